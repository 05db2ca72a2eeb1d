import ctypes
import os
import random
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gguf as reference
import pytest
from llmos.models import formats, gguf, headreader
from llmos.models.faults import Damaged, ModelFault, NoSuchModel, Unsupported

Maker = Callable[..., Path]


def _damage(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert data.count(old) >= 1
    path.write_bytes(data.replace(old, new, 1))
    return path


def test_reads_what_an_independent_writer_wrote(tiny: Path) -> None:
    file = gguf.check(tiny)
    assert (file.architecture, file.version, file.format) == ("llama", 3, "F32")
    assert (file.context_length, file.layers, file.embedding_length) == (128, 1, 32)
    assert (file.vocabulary_size, file.name, file.size) == (261, "tiny", tiny.stat().st_size)
    assert file.chat_template is not None
    assert "im_start" in file.chat_template
    assert (file.generates, file.recurrent) == (True, False)
    theirs = {t.name: t for t in reference.GGUFReader(tiny).tensors}
    assert {t.name for t in file.tensors} == set(theirs)
    assert file.parameters == sum(int(t.n_elements) for t in theirs.values())
    for tensor in file.tensors:
        other = theirs[tensor.name]
        assert (tensor.offset, tensor.size, tensor.type) == (other.data_offset, other.n_bytes, other.tensor_type.name)


def test_long_arrays_stay_in_the_file_unless_asked(tiny: Path) -> None:
    key = "tokenizer.ggml.tokens"
    assert key not in gguf.read(tiny).metadata
    tokens = gguf.read(tiny, arrays=[key]).metadata[key]
    assert isinstance(tokens, list)
    assert tokens[:3] == ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def test_vocabulary(tiny: Path) -> None:
    words = gguf.vocabulary(tiny)
    assert (words.model, words.pre, words.add_bos) == ("gpt2", "smollm", False)
    assert words.merges == ["Ġ t", "h e"]
    assert (words.piece(words.bos), words.piece(words.eos), words.piece(words.eot)) == (
        "<|im_start|>",
        "<|im_end|>",
        "",
    )
    assert len(words.tokens) == len(words.kinds) == 261


@pytest.mark.parametrize(
    ("architecture", "generates", "recurrent"),
    [("qwen3", True, False), ("bert", False, False), ("mamba", True, True), ("lfm2", True, True)],
)
def test_kinds_of_architecture(make_model: Maker, architecture: str, generates: bool, recurrent: bool) -> None:
    file = gguf.check(make_model(architecture=architecture))
    assert (file.generates, file.recurrent) == (generates, recurrent)


@pytest.mark.parametrize(
    ("architecture", "metadata", "reason"),
    [
        ("clip", {}, "projector for images"),
        ("dream", {}, "diffusion"),
        ("t5", {}, "encoder-decoder"),
        ("nosuchnet", {}, "'nosuchnet' is unknown"),
        ("llama", {"general.type": "adapter"}, "type is 'adapter'"),
        ("llama", {"split.count": 3}, "one part of 3"),
        ("llama", {"tokenizer.ggml.model": "none"}, "'none' is not served"),
    ],
)
def test_refuses_what_the_engine_cannot_serve(
    make_model: Maker, architecture: str, metadata: dict[str, object], reason: str
) -> None:
    with pytest.raises(Unsupported, match=reason) as caught:
        gguf.check(make_model(architecture=architecture, metadata=metadata))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "fault", "reason"),
    [
        (b"", Damaged, "ends within the first four bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", Damaged, "Git LFS pointer"),
        (b"<!DOCTYPE html>", Damaged, "does not begin with GGUF"),
        (b"tjgg" + bytes(64), Unsupported, "older format"),
        (b"GGUF" + struct.pack("<I", 1), Unsupported, "version 1"),
        (b"GGUF" + struct.pack(">I", 3), Unsupported, "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), Damaged, "tensors cannot stand"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), Damaged, "keys cannot stand"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63) + bytes(32), Damaged, "ends within a key"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 8, 2**50) + bytes(9), Damaged, "elements of 'k'"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 9, 1) + bytes(9), Damaged, "unknown type 9"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"k", 77) + bytes(9), Damaged, "unknown type 77"),
    ],
)
def test_names_what_is_wrong_in_a_head(tmp_path: Path, content: bytes, fault: type[ModelFault], reason: str) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(fault, match=reason):
        gguf.read(path)


def _sparse(path: Path, *parts: bytes | int) -> Path:
    """A file of these bytes, and of so many empty ones, which take no room, where a number stands."""
    with path.open("wb") as file:
        for part in (b"GGUF", *parts, 2**33):
            file.seek(part, 1) if isinstance(part, int) else file.write(part)
        file.truncate(file.tell())
    return path


def _head(tensors: int, keys: int) -> bytes:
    return struct.pack("<IQQ", 3, tensors, keys)


def _key(name: bytes, kind: int) -> bytes:
    return struct.pack("<Q", len(name)) + name + struct.pack("<I", kind)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([_head(100_001, 0)], "100001 tensors are more than"),
        ([_head(0, 100_001)], "100001 keys are more than"),
        ([_head(0, 1), struct.pack("<Q", 2**16)], "a key has 65536 bytes"),
        ([_head(0, 1), _key(b"k", 8), struct.pack("<Q", 2**26 + 1)], "the value of 'k' has 67108865 bytes"),
        ([_head(0, 1), _key(b"k", 9), struct.pack("<IQ", 8, 2**21 + 1)], "2097153 elements of 'k' are more than"),
        ([_head(0, 1), _key(b"k", 9), struct.pack("<IQ", 0, 2**21 + 1)], "2097153 elements of 'k' are more than"),
        ([_head(0, 2), _key(b"k", 9), struct.pack("<IQ", 8, 2**16), 2**19, _key(b"l", 9), struct.pack("<IQ", 8, 2**21)],
         "with 'l' the arrays hold 2162688 texts"),
        ([_head(0, 9), *(p for n in range(9) for p in (_key(b"k%d" % n, 9), struct.pack("<IQ", 10, 2**21), 2**24))],
         "the head has more than 134217728 bytes"),
        ([_head(1, 0), struct.pack("<Q", 2**32)], "a tensor's name has 4294967296 bytes"),
        ([_head(0, 2), _key(b"k" * 60_000, 0), bytes(1), _key(b"k" * 60_000, 0)], "the key 'kkkk"),
    ],
)  # fmt: skip
def test_no_file_is_so_long_that_its_head_may_be_anything(
    tmp_path: Path, parts: list[bytes | int], reason: str
) -> None:
    tracemalloc.start()
    with pytest.raises(Damaged, match=reason) as caught:
        gguf.read(_sparse(tmp_path / "x.gguf", *parts))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * 2**20
    assert len(caught.value.message) < 400


def test_a_head_that_memory_cannot_hold_is_damage(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(headreader.HeadReader, "take", full)
    with pytest.raises(Damaged, match="does not fit into memory"):
        gguf.check(tiny)


def _row(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return struct.pack("<Q", len(name)) + name.encode() + dimensions + struct.pack("<IQ", kind, offset)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([_row("a", (32,), 0, 0), _row("a", (32,), 0, 128)], "'a' stands twice"),
        ([_row("a", (32,), 0, 0), _row("b", (32,), 0, 0)], "'b' begins at 0 where 128 follows"),
        ([_row("a", (32,), 0, 0), _row("b", (32,), 0, 160)], "'b' begins at 160 where 128 follows"),
        ([_row("a", (3,), 0, 0), _row("b", (32,), 0, 12)], "'b' begins at 12 where 32 follows"),
        ([_row("a", (4096,), 0, 0)], "ends before tensor 'a' does"),
        ([_row("a", (2**40, 2**40), 0, 0)], "has the shape"),
        ([_row("a", (32, 0), 0, 0)], "has the shape"),
        ([_row("a", (33,), 8, 0)], "no whole blocks of 32"),
        ([_row("a", (1, 1, 1, 1, 1), 0, 0)], "5 dimensions"),
        ([_row("a" * 64, (1,), 0, 0)], "64 bytes"),
    ],
)
def test_names_what_is_wrong_in_the_tensor_table(tmp_path: Path, rows: list[bytes], reason: str) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, len(rows), 0) + b"".join(rows) + bytes(600))
    with pytest.raises(Damaged, match=reason):
        gguf.read(path)


def test_unknown_tensor_type_is_not_served(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + _row("a", (32,), 4, 0) + bytes(200))
    with pytest.raises(Unsupported, match="unknown type 4"):
        gguf.read(path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"llama.block_count", b"llama.block_couns", "block_count is missing"),
        (b"token_embd.weight", b"token_embd.veight", None),
        (struct.pack("<IIQ", 9, 5, 261), struct.pack("<IIQ", 9, 4, 261), "token_type does not fit 261 tokens"),
        (b"llama.embedding_length" + struct.pack("<II", 4, 32), b"llama.embedding_length" + struct.pack("<II", 4, 64),
         r"shape \(32, 261\), not \(64, 261\)"),
    ],
)  # fmt: skip
def test_names_what_is_missing(tiny: Path, old: bytes, new: bytes, reason: str | None) -> None:
    """Another name for the embeddings is sound as far as the head goes: the first load tells."""
    _damage(tiny, old, new)
    if reason is None:
        gguf.check(tiny)
        return
    with pytest.raises(Damaged, match=reason):
        gguf.check(tiny)


def test_truncated_by_one_byte(tiny: Path) -> None:
    end = max(t.offset + t.size for t in gguf.read(tiny).tensors)
    tiny.write_bytes(tiny.read_bytes()[: end - 1])
    with pytest.raises(Damaged, match="ends before tensor"):
        gguf.check(tiny)


@pytest.mark.parametrize("name", ["nothing.gguf", "."])
def test_unreadable_paths(tmp_path: Path, name: str) -> None:
    with pytest.raises(NoSuchModel, match="cannot read"):
        gguf.read(tmp_path / name)


def test_a_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NoSuchModel, match="no regular file"):
        gguf.read(tmp_path / "fifo")


def test_no_damage_raises_anything_else(tiny: Path) -> None:
    """300 mutations of the head and truncations, from fixed seeds: a fault of ours or a sound file, never else."""
    sound = tiny.read_bytes()
    head = gguf.read(tiny).tensors[0].offset
    faults: list[ModelFault] = []
    for seed in range(300):
        dice = random.Random(seed)
        data = bytearray(sound)
        if seed % 3 == 0:
            data = data[: dice.randrange(len(data))]
        for _ in range(dice.choice([1, 2, 8])):
            at = dice.randrange(min(head, len(data)))
            width = dice.choice([1, 4, 8])
            data[at : at + width] = dice.choice([bytes(width), b"\xff" * width, dice.randbytes(width)])
        tiny.write_bytes(data)
        try:
            gguf.check(tiny)
            gguf.vocabulary(tiny)
        except ModelFault as fault:
            faults.append(fault)
    assert len(faults) > 150
    assert all(f.hint and "\n" not in f.message for f in faults)


def _library(name: str) -> ctypes.CDLL:
    import llama_cpp

    return ctypes.CDLL(str(Path(llama_cpp.__file__).parent / "lib" / f"{name}.so"))


def test_blocks_are_those_of_ggml() -> None:
    ggml = _library("libggml-base")
    ggml.ggml_type_name.restype = ctypes.c_char_p
    ggml.ggml_type_size.restype = ctypes.c_size_t
    ggml.ggml_blck_size.restype = ctypes.c_int64
    for number in range(max(formats.BLOCKS) + 1):
        size = ggml.ggml_type_size(number)
        block = formats.BLOCKS.get(number)
        assert (block is None) == (size == 0)
        if block is not None:
            name = ggml.ggml_type_name(number).decode().upper()
            assert block == (name, ggml.ggml_blck_size(number), size)


def test_architectures_are_those_of_llama_cpp() -> None:
    """The library keeps its table to itself, but its C++ functions are exported."""
    library = _library("libllama")
    name_of = library._Z13llm_arch_name8llm_arch
    name_of.restype = ctypes.c_char_p
    names = {i: name_of(i).decode() for i in range(400)}
    names = {i: name for i, name in names.items() if name not in ("unknown", "(unknown)")}

    def those(symbol: str) -> set[str]:
        function = getattr(library, symbol)
        function.restype = ctypes.c_bool
        return {name for i, name in names.items() if function(ctypes.byref(ctypes.c_int(i)))}

    assert those("_Z21llm_arch_is_recurrentRK8llm_arch") == formats.RECURRENT
    assert those("_Z18llm_arch_is_hybridRK8llm_arch") == formats.HYBRID
    assert those("_Z21llm_arch_is_diffusionRK8llm_arch") == formats.DIFFUSION
    assert set(names.values()) == formats.SERVED | formats.DIFFUSION | set(formats.OTHERS)


@pytest.mark.model
def test_the_embedded_model_is_sound(embedded: Path) -> None:
    file = gguf.check(embedded)
    assert (file.architecture, file.format, file.vocabulary_size, file.layers) == ("llama", "Q4_1", 49152, 30)
    assert file.parameters == 134_515_008
