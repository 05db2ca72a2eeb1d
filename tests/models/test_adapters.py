"""Adapters of the catalog: what their files say, and whether they fit."""

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from llmos.models.adapters import Adapters
from llmos.models.catalog import Catalog
from llmos.models.faults import Damaged, NoSuchModel, Unsupported

from .conftest import WIDTH


def write_adapter(
    path: Path, *, architecture="llama", kind="adapter", width=WIDTH, rank=4, names=("blk.0.attn_q.weight",),
    halves=("lora_a", "lora_b"), invocation=(),
) -> Path:  # fmt: skip
    """A LoRA of random weights for the very small model."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_string("general.type", kind)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    if invocation:
        writer.add_array("adapter.alora.invocation_tokens", list(invocation))
    random = np.random.default_rng(1)
    for name in names:
        for half, shape in (("lora_a", (rank, width)), ("lora_b", (width, rank))):
            if half in halves:
                writer.add_tensor(f"{name}.{half}", random.standard_normal(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def adapters(tmp_path: Path, tiny: Path) -> Adapters:
    """Those of a home whose catalog has the very small model."""
    Catalog(tmp_path / "home").add(tiny, name="tiny")
    return Adapters(tmp_path / "home")


@pytest.fixture
def lora(tmp_path: Path) -> Callable[..., Path]:
    return lambda **how: write_adapter(tmp_path / "lora.gguf", **how)


def test_one_that_fits_is_listed_with_what_it_says(adapters, lora):
    added = adapters.add("polite", lora(invocation=[5, 6]), "tiny")
    assert (added.base, added.rank, added.alpha, added.invocation) == ("tiny", 4, 8.0, [5, 6])
    assert adapters.listing("tiny") == [added]
    assert adapters.listing("another") == []
    assert adapters.remove("polite") == added
    assert adapters.listing() == []
    assert added.path.exists()


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ({"kind": "model"}, Unsupported, "is no LoRA adapter"),
        ({"architecture": "gemma"}, Unsupported, "is an adapter for gemma, the model is llama"),
        ({"width": 48}, Unsupported, "whose matrix is 32 x 32"),
        ({"names": ["blk.7.attn_q.weight"]}, Unsupported, "has no such matrix"),
        ({"halves": ["lora_a"]}, Damaged, "has not both of its matrices"),
        ({"names": []}, Damaged, "changes nothing"),
    ],
)
def test_one_that_does_not_fit_is_refused_with_the_reason(adapters, lora, how, kind, said):
    with pytest.raises(kind, match=said):
        adapters.add("polite", lora(**how), "tiny")
    assert adapters.listing() == []


def test_names_are_checked(adapters, lora):
    file = lora()
    adapters.add("polite", file, "tiny")
    for name in ("polite", "a@b", "A", ""):
        with pytest.raises(Unsupported, match="cannot be called"):
            adapters.add(name, file, "tiny")
    with pytest.raises(NoSuchModel, match="no model"):
        adapters.add("other", file, "nowhere")
    with pytest.raises(NoSuchModel, match="no adapter"):
        adapters.remove("nobody")
