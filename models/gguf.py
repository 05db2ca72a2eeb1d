"""Reading and checking GGUF files, before any C code sees them.

Layout (little endian): magic, version, number of tensors, number of keys; the keys with typed values; the table of
tensors (name, shape, type, offset); padding to the alignment; the tensors' data, each padded to the alignment.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from .faults import Damaged, Unsupported
from .formats import DIFFUSION, ENCODERS, FILE_TYPES, HYBRID, OTHERS, RECURRENT, SERVED, TOKENIZERS
from .headreader import (
    AGAIN,
    ARRAY,
    FLOAT32,
    INT32,
    STRING,
    Array,
    ArrayType,
    HeadReader,
    Scalar,
    Tensor,
    opened,
    tensor_table,
)

_SHORT = 64  # arrays up to this length are always kept
_LEAST_KEY, _LEAST_TENSOR = 13, 32  # bytes that a key with its value, or a row of the tensor table, takes at least
_OLDER = (b"ggjt", b"tjgg", b"ggml", b"lmgg", b"ggmf", b"fmgg")
_TOKENS = "tokenizer.ggml.tokens"


@dataclass(frozen=True)
class ModelFile:
    """What the head of a file says. `read` guarantees its structure, `check` that the engine can serve it."""

    path: Path
    version: int
    size: int  # bytes of the whole file
    metadata: dict[str, Scalar | Array]  # without the long arrays that nobody asked for
    arrays: dict[str, ArrayType]  # every array, read or not
    kinds: dict[str, int]  # the file's number for the type of every value that is no array
    tensors: tuple[Tensor, ...]

    def text(self, key: str) -> str:
        """A text value; "" where the key is absent or of another type."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int:
        """A whole number from 0; -1 where the key is absent or of another type."""
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else -1

    def size_of(self, key: str) -> int:
        """A number that belongs to the architecture, such as "block_count"; 0 where it is absent."""
        return max(self.number(f"{self.architecture}.{key}"), 0)

    @property
    def architecture(self) -> str:
        """Name of the network's kind, such as "llama"."""
        return self.text("general.architecture")

    @property
    def name(self) -> str:
        """The name its makers gave it, else the file's."""
        return self.text("general.name") or self.path.stem

    @property
    def licence(self) -> str:
        """As its makers wrote it, or ""."""
        return self.text("general.license")

    @property
    def format(self) -> str:
        """How most of its values are stored, such as "Q8_0"."""
        return FILE_TYPES.get(self.number("general.file_type"), "unknown")

    @property
    def context_length(self) -> int:
        """Tokens of the window that it was trained with."""
        return self.size_of("context_length")

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return self.size_of("block_count")

    @property
    def embedding_length(self) -> int:
        """Width of its states."""
        return self.size_of("embedding_length")

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens."""
        tokens = self.arrays.get(_TOKENS)
        return tokens.length if tokens else 0

    @property
    def chat_template(self) -> str | None:
        """Jinja source, where the file has one."""
        return self.text("tokenizer.chat_template") or None

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(math.prod(t.shape) for t in self.tensors)

    @property
    def generates(self) -> bool:
        """Whether it writes text; else it can only embed."""
        return self.architecture not in ENCODERS

    @property
    def recurrent(self) -> bool:
        """Whether some state cannot be cut back: a stream can be emptied, but not trimmed to a prefix."""
        return self.architecture in RECURRENT | HYBRID


@dataclass(frozen=True)
class Vocabulary:
    """What a tokenizer is built from. Ids that the file does not give are None."""

    model: str  # "gpt2" (byte pairs), "llama", "bert", ...
    pre: str  # name of the rule that splits text before the pairs are merged
    tokens: list[str]
    kinds: list[int]  # 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
    merges: list[str]
    bos: int | None
    eos: int | None
    eot: int | None
    add_bos: bool
    add_space_prefix: bool

    def piece(self, token: int | None) -> str:
        """The text of a token as the vocabulary spells it; "" for None."""
        return "" if token is None else self.tokens[token]


def read(path: Path, *, arrays: Collection[str] = ()) -> ModelFile:
    """The head of a GGUF file; arrays longer than 64 are kept only when named in ``arrays``.

    Raises `Damaged` where the structure is broken, `Unsupported` for another format or version, `NoSuchModel`
    where the file cannot be opened. Takes time and memory in proportion to the head, whatever it claims,
    and no head is believed that is longer than a model's could be.
    """
    with opened(path) as reader:
        version = _version(reader)
        tensors, keys = reader.count("tensors", _LEAST_TENSOR), reader.count("keys", _LEAST_KEY)
        metadata, types, kinds = _metadata(reader, keys, arrays)
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 8 or alignment & (alignment - 1):
            raise reader.damaged(f"the alignment {alignment!r} is no power of two from 8")
        return ModelFile(path, version, reader.size, metadata, types, kinds, tensor_table(reader, tensors, alignment))


def _version(reader: HeadReader) -> int:
    magic = reader.take(4, "the first four bytes")
    if magic in _OLDER:
        raise Unsupported(f"{reader.name}: an older format than GGUF", hint="convert it with llama.cpp")
    if magic == b"vers":
        raise reader.damaged("it is a Git LFS pointer, not the model", hint="fetch the file that it stands for")
    if magic != b"GGUF":
        raise reader.damaged("it does not begin with GGUF", hint="name a GGUF file")
    version = reader.u32("the version")
    if version not in (2, 3):
        kind = "big-endian" if version in (0x02000000, 0x03000000) else f"GGUF version {version}"
        raise Unsupported(f"{reader.name}: {kind} files are not served", hint="convert it to version 3")
    return version


def _metadata(
    reader: HeadReader, count: int, wanted: Collection[str]
) -> tuple[dict[str, Scalar | Array], dict[str, ArrayType], dict[str, int]]:
    values: dict[str, Scalar | Array] = {}
    arrays: dict[str, ArrayType] = {}
    kinds: dict[str, int] = {}
    for _ in range(count):
        key = reader.key()
        if key in values or key in arrays:
            raise reader.damaged(f"the key {key!r} stands twice")
        kind = reader.u32(repr(key))
        if kind != ARRAY:
            values[key], kinds[key] = reader.scalar(kind, key), kind
            continue
        arrays[key] = reader.array_type(key)
        if key in wanted or arrays[key].length <= _SHORT:
            values[key] = reader.array(arrays[key], key)
        else:
            reader.skip_array(arrays[key], key)
    return values, arrays, kinds


def check(path: Path) -> ModelFile:
    """`read`, and whether the engine can serve it. Raises `Damaged` or `Unsupported` with the reason."""
    file = read(path)
    _check_kind(file)
    for key in ("context_length", "block_count", "embedding_length"):
        if file.size_of(key) == 0:
            raise Damaged(f"{path.name}: {file.architecture}.{key} is missing", hint=AGAIN)
    _check_vocabulary(file)
    if not file.tensors:
        raise Damaged(f"{path.name}: it holds no tensors", hint="name the model, not its vocabulary alone")
    for tensor in file.tensors:
        if tensor.name == "token_embd.weight" and tensor.shape != (file.embedding_length, file.vocabulary_size):
            raise Damaged(
                f"{path.name}: token_embd.weight has the shape {tensor.shape}, not "
                f"({file.embedding_length}, {file.vocabulary_size})", hint=AGAIN,
            )  # fmt: skip
    return file


def _check_kind(file: ModelFile) -> None:
    name, kind = file.path.name, file.architecture
    if not kind:
        raise Damaged(f"{name}: general.architecture is missing", hint=AGAIN)
    if file.text("general.type") not in ("", "model"):
        raise Unsupported(f"{name}: its type is {file.text('general.type')!r}, not model", hint="name the model's file")
    if file.number("split.count") > 1:
        raise Unsupported(f"{name}: one part of {file.number('split.count')}", hint="join the parts first")
    if kind in SERVED:
        return
    what = OTHERS.get(kind, "a diffusion model, which the engine does not serve" if kind in DIFFUSION else "")
    raise Unsupported(
        f"{name}: {kind} is {what}" if what else f"{name}: the architecture {kind!r} is unknown to the engine",
        hint="choose a text model in GGUF, for example of the llama, qwen or gemma families",
    )


def _check_vocabulary(file: ModelFile) -> None:
    """llama.cpp reads the arrays beside the tokens as if they had their length and type: make sure of it."""
    model = file.text("tokenizer.ggml.model")
    if model not in TOKENIZERS:
        raise Unsupported(f"{file.path.name}: the tokenizer {model!r} is not served", hint="choose a text model")
    expected = {_TOKENS: STRING, "tokenizer.ggml.token_type": INT32, "tokenizer.ggml.scores": FLOAT32}
    for key, element in expected.items():
        array = file.arrays.get(key)
        if array is None and key != _TOKENS:
            continue
        if array is None or not array.length or array != ArrayType(element, file.vocabulary_size):
            raise Damaged(f"{file.path.name}: {key} does not fit {file.vocabulary_size} tokens", hint=AGAIN)


def vocabulary(path: Path) -> Vocabulary:
    """The tokenizer's tables of a file that `check` accepts."""
    prefix = "tokenizer.ggml."
    names = ("tokens", "token_type", "merges")
    file = read(path, arrays=[prefix + n for n in names])
    _check_vocabulary(file)
    tokens, kinds, merges = (file.metadata.get(prefix + n) for n in names)
    bos, eos, eot = (file.number(f"{prefix}{n}_token_id") for n in ("bos", "eos", "eot"))
    size = file.vocabulary_size
    return Vocabulary(
        model=file.text(prefix + "model"),
        pre=file.text(prefix + "pre"),
        tokens=cast(list[str], tokens),
        kinds=cast(list[int], kinds or [1] * size),
        merges=cast(list[str], merges or []),
        bos=bos if 0 <= bos < size else None,
        eos=eos if 0 <= eos < size else None,
        eot=eot if 0 <= eot < size else None,
        add_bos=file.metadata.get(prefix + "add_bos_token", file.text(prefix + "model") == "llama") is True,
        add_space_prefix=file.metadata.get(prefix + "add_space_prefix", True) is True,
    )
