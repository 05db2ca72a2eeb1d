"""LoRA adapters: files that are refused before llama.cpp sees them, and what a sound one does."""

from pathlib import Path

import gguf
import llmos
import numpy as np
import pytest
from llmos.models.engine import Slice
from llmos.models.faults import Damaged, EngineFault, Unsupported
from llmos.models.gguf import read
from llmos.models.lora import activation, check_lora

EXAMPLES = Path(llmos.__file__).parent / "examples"
WIDTH = 32  # of the very small model
QUERY = "blk.0.attn_q.weight"


def write_adapter(path: Path, pairs: dict[str, tuple[np.ndarray, np.ndarray]], **keys) -> Path:
    """A LoRA of pairs (a, b), each row by row: a is (rank, inputs), b is (outputs, rank)."""
    writer = gguf.GGUFWriter(path, keys.pop("architecture", "llama"))
    writer.add_type(keys.pop("type", "adapter"))
    kind = gguf.GGMLQuantizationType[keys.pop("kind", "F32")]
    writer.add_string("adapter.type", keys.pop("form", "lora"))
    alpha = keys.pop("alpha", 16.0)
    if alpha is not None:
        writer.add_key_value("adapter.lora.alpha", alpha, keys.pop("alpha_type", gguf.GGUFValueType.FLOAT32))
    if (tokens := keys.pop("invocation", None)) is not None:
        element = keys.pop("invocation_type", gguf.GGUFValueType.UINT32)
        writer.add_key_value("adapter.alora.invocation_tokens", tokens, gguf.GGUFValueType.ARRAY, sub_type=element)
    for name, (a, b) in pairs.items():
        for part, values in (("a", a), ("b", b)):
            if values is not None:
                stored = values if values.dtype == np.float64 else gguf.quants.quantize(values, kind)
                writer.add_tensor(f"{name}.lora_{part}", stored, raw_dtype=None if stored is values else kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def pair(inputs: int, outputs: int, rank: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.standard_normal((rank, inputs), np.float32), random.standard_normal((outputs, rank), np.float32)


def test_a_sound_adapter_is_accepted(tiny, tmp_path):
    assert check_lora(write_adapter(tmp_path / "a.gguf", {QUERY: pair(WIDTH, WIDTH)}), read(tiny)).invocation == ()


def test_the_invocation_is_read(tiny, tmp_path):
    path = write_adapter(tmp_path / "a.gguf", {QUERY: pair(WIDTH, WIDTH)}, invocation=[4, 5, 6])
    assert check_lora(path, read(tiny)).invocation == (4, 5, 6)


@pytest.mark.parametrize(
    ("pairs", "keys", "fault", "says"),
    [
        ({QUERY: pair(WIDTH, WIDTH)}, {"type": "model"}, Unsupported, "not a LoRA"),
        ({QUERY: pair(WIDTH, WIDTH)}, {"form": "ia3"}, Unsupported, "not a LoRA"),
        ({QUERY: pair(WIDTH, WIDTH)}, {"architecture": "qwen2"}, Unsupported, "qwen2"),
        ({QUERY: pair(WIDTH, WIDTH)}, {"alpha": 16.0, "alpha_type": gguf.GGUFValueType.FLOAT64}, Damaged, "alpha"),
        ({QUERY: pair(WIDTH, WIDTH)}, {"alpha": 16, "alpha_type": gguf.GGUFValueType.UINT32}, Damaged, "alpha"),
        ({QUERY: pair(WIDTH, WIDTH)}, {"alpha": float("nan")}, Damaged, "alpha"),
        ({QUERY: pair(WIDTH, WIDTH)}, {"invocation": [999]}, Unsupported, "invocation"),
        ({QUERY: pair(WIDTH, WIDTH)}, {"invocation": [1] * 65}, Damaged, "invocation"),
        (
            {QUERY: pair(WIDTH, WIDTH)},
            {"invocation": [1], "invocation_type": gguf.GGUFValueType.INT32},
            Damaged,
            "invocation",
        ),
        ({}, {}, Damaged, "changes no weight"),
        ({QUERY: (pair(WIDTH, WIDTH)[0], None)}, {}, Damaged, "lacks one"),
        ({QUERY: pair(WIDTH + 32, WIDTH)}, {}, Unsupported, "do not fit"),
        ({QUERY: (pair(WIDTH, WIDTH)[0], pair(WIDTH, WIDTH, 4)[1])}, {}, Unsupported, "do not fit"),
        ({"blk.7.attn_q.weight": pair(WIDTH, WIDTH)}, {}, Unsupported, "no weight"),
        ({"nonsense": pair(WIDTH, WIDTH)}, {}, Unsupported, "no weight"),
        ({"token_embd.weight": pair(WIDTH, WIDTH)}, {}, Unsupported, "output too"),
        ({QUERY: tuple(x.astype(np.float64) for x in pair(WIDTH, WIDTH))}, {}, Unsupported, "F64"),
    ],
)
def test_what_llama_cpp_would_stumble_over_is_refused(tiny, tmp_path, pairs, keys, fault, says):
    path = write_adapter(tmp_path / "a.gguf", pairs, **keys)
    with pytest.raises(fault, match=says):
        check_lora(path, read(tiny))


def test_every_cut_of_a_file_is_refused(tiny, tmp_path):
    model = read(tiny)
    whole = write_adapter(tmp_path / "a.gguf", {QUERY: pair(WIDTH, WIDTH)}).read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in range(0, len(whole) - 64, 61):
        cut.write_bytes(whole[:length])
        with pytest.raises((Damaged, Unsupported)):
            check_lora(cut, model)


def test_an_adapter_begins_at_its_last_invocation():
    assert activation([1, 2, 3], ()) == 0
    assert activation([7, 1, 2, 9, 1, 2, 5], (1, 2)) == 4
    assert activation([1, 2], (1, 2)) == 0
    assert activation([1, 3, 2], (1, 2)) is None
    assert activation([], (1,)) is None


@pytest.fixture(scope="module", params=["exact", "exact-q8"])
def engine(load_engine, request):
    loaded = load_engine(streams=4, way=request.param)
    yield loaded
    loaded.close()


@pytest.fixture
def empty(engine):
    yield engine
    for stream in range(4):
        engine.trim(stream, 0)


@pytest.fixture
def adapter(model_file, tmp_path):
    """Writes a random LoRA of attention and feed-forward weights of the embedded model, of F32, F16 or Q8_0."""
    shapes = {t.name: t.shape for t in read(model_file).tensors}

    def make(seed: int, kind: str = "F32", rank: int = 8, **keys) -> Path:
        names = [n for n in shapes if n.endswith(("attn_q.weight", "attn_v.weight", "ffn_down.weight"))]
        pairs = {name: tuple(0.05 * v for v in pair(*shapes[name], rank, seed)) for name in names}
        return write_adapter(tmp_path / f"{seed}.gguf", pairs, kind=kind, **keys)

    return make


def score(engine, tokens, adapter="", neighbours=(), at=0):
    """The likelihoods of one token after each of these, which follow the first ``at`` of stream 0; they are trimmed."""
    ours = Slice(0, tokens, at, targets=[9] * len(tokens))
    result, *_ = engine.step([ours, *(Slice(s, tokens, at) for s in neighbours)], adapter)
    for stream in (0, *neighbours):
        engine.trim(stream, at)
    return result.logprobs


@pytest.mark.model
def test_it_changes_what_is_computed_and_only_while_it_is_used(empty, adapter):
    tokens = empty.tokenize("The shop opens at nine and closes at six on every day but Sunday.")
    assert empty.adapt("one", adapter(1)) == ()
    assert empty.adapt("two", adapter(2, invocation=[5, 6])) == (5, 6)
    base = score(empty, tokens)
    one, two = score(empty, tokens, "one"), score(empty, tokens, "two")
    assert len({tuple(base), tuple(one), tuple(two)}) == 3
    assert score(empty, tokens) == base
    assert score(empty, tokens, "one") == one


@pytest.mark.model
def test_a_scale_of_zero_is_the_base_and_a_name_can_be_given_anew(empty, adapter):
    tokens = empty.tokenize("All that is gold does not glitter.")
    base = score(empty, tokens)
    empty.adapt("a", adapter(3))
    assert score(empty, tokens, "a") != base
    empty.adapt("a", adapter(3), scale=0.0)  # while the one before is in use
    assert score(empty, tokens, "a") == base


@pytest.mark.model
@pytest.mark.parametrize(("kind", "rank"), [("F32", 8), ("F32", 32), ("F16", 16), ("Q8_0", 32)])
def test_under_an_adapter_neighbours_change_no_bit(empty, adapter, kind, rank):
    tokens = empty.tokenize((EXAMPLES / "documents" / "the-ferry-bell.txt").read_text())[:330]
    empty.adapt("n", adapter(4, kind, rank))
    for stream in range(4):
        empty.step([Slice(stream, tokens[:300], 0)], "n")
    # Of single tokens many: what is added up in another order is seldom enough to survive being quantised.
    for part in (*([token] for token in tokens[:16]), tokens[300:302], tokens[300:330]):
        alone = score(empty, part, "n", at=300)
        assert alone == score(empty, part, "n", neighbours=(1, 2, 3), at=300)
    all_rows = score(empty, tokens[300:330], "n", at=300)
    (last,) = empty.step([Slice(0, tokens[300:330], 300, targets=[9])], "n")  # one row is wanted
    assert last.logprobs == all_rows[-1:]


@pytest.mark.model
def test_a_token_alone_leaves_nothing_in_the_stream_beside_it(empty, adapter):
    empty.adapt("n", adapter(5))
    tokens = empty.tokenize("Once upon a time there was a shop.")
    empty.step([Slice(1, tokens, 0)], "n")
    kept = bytes(empty.save(1))
    alone, beside = empty.step([Slice(0, [5], 0, targets=[9]), Slice(1, tokens, len(tokens), targets=[9])], "n")
    assert len(alone.logprobs) == len(beside.logprobs) == 1
    empty.trim(1, len(tokens))
    assert bytes(empty.save(1)) == kept


@pytest.mark.model
def test_a_name_that_was_not_loaded_is_refused_and_harms_nothing(empty):
    with pytest.raises(EngineFault, match="no adapter"):
        empty.step([Slice(0, [1], 0)], "nobody")
    empty.step([Slice(0, [1], 0)])
