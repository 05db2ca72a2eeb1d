import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmos.memory.embedder import MAX_TOKENS, StaticEmbedder
from llmos.memory.faults import DamagedFile, MissingFile
from llmos.models.workshop import make_embedder

SHIPPED = Path(__file__).parents[2] / "models" / "shipped"


@pytest.fixture(scope="module")
def embedder():
    return StaticEmbedder(SHIPPED / "embedder.npz")


def test_vectors_have_the_promised_shape_and_length(embedder):
    vectors = embedder.embed(["Shoes can be returned.", "a", "The weather in Ghent"])
    assert vectors.shape == (3, embedder.dim) == (3, 256)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert embedder.embed([]).shape == (0, 256)


def test_what_means_the_same_is_nearer(embedder):
    question, same, other = embedder.embed(
        ["How can I send my shoes back?", "Returning footwear", "Opening hours of the library"]
    )
    assert question @ same > question @ other + 0.1


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("Wo ist mein Paket?", "Where is my parcel?"),
        ("¿Cuándo llega mi pedido?", "When does my order arrive?"),
        ("Le mot de passe est faux", "The password is wrong"),
    ],
)
def test_what_means_the_same_in_another_language_is_nearer(embedder, other, same):
    others = ["The weather in Ghent", "A recipe for soup", "Opening hours of the library"]
    scores = embedder.embed([same, *others]) @ embedder.embed([other])[0]
    assert scores.argmax() == 0


def test_texts_meet_in_pairs_of_characters_that_are_no_tokens(embedder):
    pairs = ("魑魅", "魍魎")
    assert all(embedder._tokenizer.token_to_id(pair) is None for pair in pairs)
    first, same, other = embedder.embed([f"{pairs[0]}!", f"他说{pairs[0]}", f"他说{pairs[1]}"])
    assert first @ same > first @ other + 0.1
    half, full = embedder.embed(["カード", "ｶｰﾄﾞ"])
    assert np.isfinite(half @ full)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=4))
@settings(max_examples=100, deadline=None)
def test_the_maker_splits_texts_as_the_embedder_does(embedder, texts):
    split = make_embedder.ids(embedder._tokenizer, texts)
    for tokens, vector, text in zip(split, embedder.embed(texts), texts, strict=True):
        if make_embedder.cut(text) == text:
            rows = embedder._table[tokens] * embedder._scale[tokens, None]
            length = np.linalg.norm(rows.sum(axis=0))
            assert np.allclose(vector * length, rows.sum(axis=0), atol=1e-4)


def test_a_vector_does_not_depend_on_its_neighbours(embedder):
    texts = ["one", "two words", "and a longer text about parcels, " * 30, "", "one", "接受退货 ok", "魑魅"]
    together = embedder.embed(texts)
    assert all(np.array_equal(row, embedder.embed([text])[0]) for row, text in zip(together, texts, strict=True))
    assert np.array_equal(together, embedder.embed(texts[::-1])[::-1])


@pytest.mark.parametrize("text", ["", "   ", "\0", "\ud800", "龘龘龘"])
def test_text_without_a_known_token_has_no_direction(embedder, text):
    vector = embedder.embed([text])[0]
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(0) or np.linalg.norm(vector) == pytest.approx(1)
    assert text.strip() or not vector.any()


def test_a_long_text_is_embedded_by_its_beginning(embedder):
    beginning = "parcel " * MAX_TOKENS
    assert np.array_equal(embedder.embed([beginning])[0], embedder.embed([beginning + "shoes " * 500])[0])
    assert not np.array_equal(embedder.embed([beginning])[0], embedder.embed(["shoes " + beginning])[0])


def test_a_missing_or_damaged_file_is_named(tmp_path):
    with pytest.raises(MissingFile, match=r"nothing\.npz"):
        StaticEmbedder(tmp_path / "nothing.npz")
    whole = (SHIPPED / "embedder.npz").read_bytes()
    other = tmp_path / "other.npz"
    np.savez(other, table=np.zeros((2, 2)))
    for name, content in {"empty": b"", "garbage": b"x" * 999, "half": whole[: len(whole) // 2]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DamagedFile, match=name):
            StaticEmbedder(tmp_path / name)
    with pytest.raises(DamagedFile, match="other"):
        StaticEmbedder(other)


def test_the_card_describes_the_file_that_is_shipped(embedder):
    content = (SHIPPED / "embedder.npz").read_bytes()
    card = (SHIPPED / "embedder.md").read_text()
    assert hashlib.sha256(content).hexdigest() in card
    assert embedder.name in card
    assert len(content) < 16e6
