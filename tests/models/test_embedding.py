import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from llmos.models import prepare
from llmos.models.embedding import GGUFEmbedder
from llmos.models.faults import Damaged, EngineFault, Unsupported
from llmos.models.workshop.bert_to_gguf import convert

from .bert import LONGEST, WIDTH, expected, weights, write_folder

TEXTS = ["the parcel is late .", "Shoes", "the shoes", "late " * 9]


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    return weights()


@pytest.fixture(scope="module")
def file(tensors: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    convert(write_folder(folder / "small", tensors), folder / "small.gguf", "F32")
    return folder / "small.gguf"


@pytest.fixture
def embedder(file: Path) -> Iterator[GGUFEmbedder]:
    made = GGUFEmbedder(file, threads=1)
    yield made
    made.close()


def test_vectors_are_those_of_the_model_that_was_converted(embedder: GGUFEmbedder, tensors: dict) -> None:
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.dim) == (4, WIDTH)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.allclose(vectors, [expected(tensors, text) for text in TEXTS], atol=1e-3)


@pytest.mark.parametrize(("form", "least"), [("F16", 0.9999), ("Q8_0", 0.999)])
def test_smaller_formats_are_close(tensors: dict, tmp_path: Path, form: str, least: float) -> None:
    convert(write_folder(tmp_path / "small", tensors), tmp_path / "small.gguf", form)
    embedder = GGUFEmbedder(tmp_path / "small.gguf", threads=1)
    for text, vector in zip(TEXTS, embedder.embed(TEXTS), strict=True):
        assert vector @ expected(tensors, text) > least
    embedder.close()


def test_pooling_is_what_the_file_says(tensors: dict, tmp_path: Path) -> None:
    convert(write_folder(tmp_path / "small", tensors, "cls_token"), tmp_path / "small.gguf", "F32")
    embedder = GGUFEmbedder(tmp_path / "small.gguf", threads=1)
    assert np.allclose(embedder.embed(TEXTS[:1])[0], expected(tensors, TEXTS[0], "cls_token"), atol=1e-3)
    embedder.close()


def test_a_vector_does_not_depend_on_its_neighbours(embedder: GGUFEmbedder, file: Path) -> None:
    texts = [*TEXTS, "", *TEXTS[::-1]]
    vectors = embedder.embed(texts)
    assert all(np.array_equal(row, embedder.embed([text])[0]) for row, text in zip(vectors, texts, strict=True))
    together = GGUFEmbedder(file, threads=1, together=3)
    assert np.allclose(together.embed(texts), vectors, atol=1e-3)
    together.close()


def test_a_long_text_is_embedded_by_its_beginning(embedder: GGUFEmbedder, tensors: dict) -> None:
    beginning = "late parcel " * LONGEST
    vector = embedder.embed([beginning])[0]
    assert np.allclose(vector, expected(tensors, beginning), atol=1e-3)
    assert np.array_equal(vector, embedder.embed([beginning + "shoes " * 9_000])[0])


@pytest.mark.parametrize("text", ["", " \n ", "\0", "\ud800", "龘龘", "x" * 500])
def test_any_text_has_a_vector_or_none(embedder: GGUFEmbedder, text: str) -> None:
    length = np.linalg.norm(embedder.embed([text])[0])
    assert length == pytest.approx(1) or (length == 0 and not text.strip(" \n\0"))
    assert embedder.embed([]).shape == (0, WIDTH)


def test_threads_take_turns(embedder: GGUFEmbedder) -> None:
    alone = embedder.embed(TEXTS)
    got: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: got.extend(embedder.embed(TEXTS) for _ in range(5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 20
    assert all(np.array_equal(alone, vectors) for vectors in got)


def test_a_model_that_writes_is_refused(make_model: Callable[..., Path], file: Path) -> None:
    with pytest.raises(Unsupported, match="writes text") as caught:
        GGUFEmbedder(make_model())
    assert "BERT" in caught.value.hint
    broken = make_model("half.gguf")
    broken.write_bytes(file.read_bytes()[:900])
    with pytest.raises(Damaged):
        GGUFEmbedder(broken)


def test_a_closed_one_says_so(file: Path) -> None:
    embedder = GGUFEmbedder(file, threads=1)
    embedder.close()
    embedder.close()
    with pytest.raises(EngineFault, match="closed"):
        embedder.embed(TEXTS)


@pytest.mark.programs
def test_it_is_loaded_on_trial_first(file: Path, tmp_path: Path) -> None:
    prepare.probe_load(file, tmp_path)
    assert (tmp_path / "models" / "prepared.json").exists()


@pytest.mark.parametrize("change", [{"model_type": "roberta"}, {"position_embedding_type": "relative_key"}])
def test_what_is_no_bert_is_not_converted(tensors: dict, tmp_path: Path, change: dict[str, str]) -> None:
    with pytest.raises(SystemExit, match="is no BERT"):
        convert(write_folder(tmp_path / "other", tensors, **change), tmp_path / "other.gguf")
    with pytest.raises(SystemExit, match="vector of a text"):
        convert(write_folder(tmp_path / "max", tensors, "max_tokens"), tmp_path / "max.gguf")
    assert not (tmp_path / "max.gguf").exists()
