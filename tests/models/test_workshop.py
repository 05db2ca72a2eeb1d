"""The workshop's parts: what is read to learn from, the fit, and an embedder made from a very small teacher."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmos.memory.embedder import StaticEmbedder
from llmos.models.workshop import corpus, make_embedder
from llmos.models.workshop.bert_to_gguf import convert

from .bert import expected, weights, write_folder

PO = """
msgid "The parcel is %(state)s"
msgstr "Das Paket ist %(state)s"

#, fuzzy
msgid "shoes"
msgstr "Hüte"
"""


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "shop.whl"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("shop/locale/de/LC_MESSAGES/django.po", PO)
        made.writestr("shop/translations/en.json", json.dumps({"a": {"b": "late parcel"}, "c": "same", "d": "shoes"}))
        made.writestr("shop/translations/de.json", json.dumps({"a": {"b": "spätes Paket"}, "c": "same", "x": "nichts"}))
    return path


def test_translations_are_found_in_catalogues(wheel: Path) -> None:
    pairs = corpus.translations([wheel], "de")
    assert pairs[:2] == [("The parcel is", "Das Paket ist"), ("late parcel", "spätes Paket")]
    assert ("Germany", "Deutschland") in pairs
    assert not any("shoes" in english for english, _ in pairs)


def test_sentences_are_found_in_files(tmp_path: Path) -> None:
    rows = [
        {"text": "the parcel is late", "n": 1, "more": ["shoes", "the shoes are\u2028late again"]},
        {"text": "接受退货 a b c"},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n")
    (tmp_path / "b.csv").write_text('x,"one, two, three"\n')
    (tmp_path / "c.tsv").write_text('what is "this\tone two three four\n')
    (tmp_path / "d.bin").write_bytes(b"\xff" * 99)
    found = ["the parcel is late", "the shoes are late again", "one, two, three", 'what is "this', "one two three four"]
    assert list(corpus.sentences(tmp_path)) == found


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_the_fit_is_the_least_squares_solution(data: st.DataObject) -> None:
    from llmos.models.workshop.fitting import mean_of_tokens, refine

    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    texts = data.draw(st.lists(st.lists(st.integers(0, 5), max_size=5), min_size=1, max_size=8))
    mix = mean_of_tokens(texts, 6)
    dense = np.zeros((len(texts), 6))
    for row, tokens in enumerate(texts):
        for token in tokens:
            dense[row, token] += 1 / len(tokens)
    assert np.allclose(mix.toarray(), dense)
    wanted, start = (random.standard_normal((n, 3)).astype(np.float32) for n in (len(texts), 6))
    stay = random.uniform(0.1, 2, 6).astype(np.float32)
    right = np.linalg.solve(dense.T @ dense + np.diag(stay), dense.T @ wanted + stay[:, None] * start)
    assert np.allclose(refine(mix, wanted, start, stay), right, atol=1e-3)


def test_an_embedder_is_made_from_a_teacher(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_embedder, "DIM", 16)
    tensors = weights()
    convert(write_folder(tmp_path / "teacher", tensors), tmp_path / "teacher.gguf", "F32")
    texts = [f"the {word} is {other} {end}" for word in ("shoes", "parcel", "shoe") for other in ("late", "the")
             for end in ("", "shoe", "parcel", "late", "shoes shoes", "parcel is late")]  # fmt: skip
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "all.jsonl").write_text("\n".join(json.dumps(text.strip()) for text in texts))
    out, cache = tmp_path / "made.npz", tmp_path / "cache.npz"
    make_embedder.make(tmp_path / "teacher.gguf", out, [tmp_path / "texts"], [wheel], cache)
    embedder = StaticEmbedder(out)
    said = np.array([expected(tensors, text) for text in texts])
    close = np.corrcoef((embedder.embed(texts) @ embedder.embed(texts).T).ravel(), (said @ said.T).ravel())[0, 1]
    make_embedder.make(tmp_path / "teacher.gguf", tmp_path / "plain.npz", [], [], None)
    plain = StaticEmbedder(tmp_path / "plain.npz")
    before = np.corrcoef((plain.embed(texts) @ plain.embed(texts).T).ravel(), (said @ said.T).ravel())[0, 1]
    assert close > before + 0.05
    assert "paket" in embedder._tokenizer.get_vocab()
    first = np.load(out)["table"]
    assert cache.exists()
    make_embedder.make(tmp_path / "teacher.gguf", out, [tmp_path / "texts"], [wheel], cache)
    assert np.array_equal(first, np.load(out)["table"])
