"""Values of a GGUF file's head, taken one after another.

No count is believed that the file cannot hold; and as a file may be long and empty, nothing longer either than a head
has reason to be: what a wrong one takes is about a second and some hundred megabytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .faults import Damaged, NoSuchModel, Unsupported
from .formats import BLOCKS

AGAIN = "download it again, or convert it again"
UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9
_LONGEST_NAME = 63  # GGML_MAX_NAME without its terminator
_LONGEST_KEY = 2**16 - 1  # bytes, as the format says
_LONGEST_TEXT = 2**26  # bytes of a value: some carry their whole tokenizer.json, of which gemma's has 32 MiB
_LONGEST_HEAD = 2**27  # bytes
_MOST_ENTRIES = 100_000  # keys, or tensors; the largest mixtures of experts have some ten thousand tensors
_MOST_ELEMENTS = 2**21  # in one array, and in all that hold texts; the largest vocabularies have 300,000 tokens
_LONGEST_REASON = 200  # characters of a message
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

Scalar = int | float | bool | str
Array = list[int] | list[float] | list[str]


class ArrayType(NamedTuple):
    """What an array holds: the file's number for the type of its elements, and how many there are."""

    element: int
    length: int


@dataclass(frozen=True)
class Tensor:
    """One row of the tensor table."""

    name: str
    shape: tuple[int, ...]  # fastest dimension first, as in the file
    type: str
    offset: int  # bytes from the start of the file
    size: int  # bytes, without padding


class HeadReader:
    """Reads forward; ``at`` is the byte that comes next, ``size`` the bytes of the whole file."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self.name = name
        self.size = file.seek(0, 2)
        self.at = file.seek(0)
        self._texts = 0  # elements of the arrays of texts until here

    def damaged(self, what: str, *, hint: str = AGAIN) -> Damaged:
        """The fault to raise for what was found here."""
        shown = what if len(what) <= _LONGEST_REASON else f"{what[:_LONGEST_REASON]}…"
        return Damaged(f"{self.name}: {shown} (byte {self.at})", hint=hint)

    def _claim(self, length: int, what: str) -> None:
        if length > self.size - self.at:
            raise self.damaged(f"the file ends within {what}")
        self.at += length
        if self.at > _LONGEST_HEAD:
            raise self.damaged(f"the head has more than {_LONGEST_HEAD} bytes")

    def take(self, length: int, what: str) -> bytes:
        """The next bytes."""
        self._claim(length, what)
        data = self._file.read(length)
        if len(data) != length:  # it was cut while we read
            raise self.damaged(f"the file ends within {what}")
        return data

    def u32(self, what: str) -> int:
        """An unsigned number of 4 bytes."""
        return int.from_bytes(self.take(4, what), "little")

    def u64(self, what: str) -> int:
        """An unsigned number of 8 bytes."""
        return int.from_bytes(self.take(8, what), "little")

    def count(self, what: str, least: int, most: int = _MOST_ENTRIES) -> int:
        """A number of things that take at least ``least`` bytes each; more than ``most`` are damage."""
        count = self.u64(what)
        if count * least > self.size - self.at:
            raise self.damaged(f"{count} {what} cannot stand in the rest of the file")
        if count > most:
            raise self.damaged(f"{count} {what} are more than the {most} that a model may have")
        return count

    def key(self) -> str:
        """The name of a value."""
        return self.string("a key", _LONGEST_KEY)

    def string(self, what: str, most: int = _LONGEST_TEXT) -> str:
        """A text with its length before it, of ``most`` bytes; bytes that are no UTF-8 become U+FFFD."""
        length = self.u64(what)
        if most < length <= self.size - self.at:
            raise self.damaged(f"{what} has {length} bytes")
        return self.take(length, what).decode("utf-8", "replace")

    def scalar(self, kind: int, key: str) -> Scalar:
        """A value that is no array."""
        if kind == STRING:
            return self.string(f"the value of {key!r}")
        layout = self._layout(kind, key)
        value: Scalar = struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout), repr(key)))[0]
        return value

    def array_type(self, key: str) -> ArrayType:
        """The beginning of an array: what follows fits into the file."""
        kind = self.u32(repr(key))
        width = 8 if kind == STRING else struct.calcsize("<" + self._layout(kind, key))
        length = self.count(f"elements of {key!r}", width, _MOST_ELEMENTS)
        self._texts += length if kind == STRING else 0
        if self._texts > _MOST_ELEMENTS:
            raise self.damaged(f"with {key!r} the arrays hold {self._texts} texts")
        return ArrayType(kind, length)

    def array(self, of: ArrayType, key: str) -> Array:
        """The elements."""
        if of.element == STRING:
            return [self.string(repr(key)) for _ in range(of.length)]
        layout = f"<{of.length}{_SCALARS[of.element]}"
        return list(struct.unpack(layout, self.take(struct.calcsize(layout), repr(key))))

    def skip_array(self, of: ArrayType, key: str) -> None:
        """Leave the elements in the file."""
        if of.element == STRING:
            for _ in range(of.length):
                self._skip(self.u64(repr(key)), repr(key))
        else:
            self._skip(of.length * struct.calcsize("<" + _SCALARS[of.element]), repr(key))

    def _skip(self, length: int, what: str) -> None:
        self._claim(length, what)
        self._file.seek(length, 1)

    def _layout(self, kind: int, key: str) -> str:
        if kind not in _SCALARS:
            raise self.damaged(f"{key!r} has the unknown type {kind}")
        return _SCALARS[kind]


@contextmanager
def opened(path: Path) -> Iterator[HeadReader]:
    """The reader of a file; `NoSuchModel` where it cannot be read."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would keep us waiting
            raise NoSuchModel(f"cannot read {path}: it is no regular file", hint="name a readable GGUF file")
        with path.open("rb") as file:
            yield HeadReader(file, path.name)
    except OSError as problem:
        raise NoSuchModel(f"cannot read {path}: {problem.strerror}", hint="name a readable GGUF file") from problem
    except MemoryError as problem:
        raise Damaged(f"{path.name}: its head does not fit into memory", hint=AGAIN) from problem


def tensor_table(reader: HeadReader, count: int, alignment: int) -> tuple[Tensor, ...]:
    """The tensor table. Each tensor must begin where the one before ends, as ggml demands."""
    rows: dict[str, Tensor] = {}
    expected = 0
    for _ in range(count):
        tensor = _row(reader)
        if tensor.name in rows:
            raise reader.damaged(f"the tensor {tensor.name!r} stands twice")
        if tensor.offset != expected:
            raise reader.damaged(f"tensor {tensor.name!r} begins at {tensor.offset} where {expected} follows")
        expected += tensor.size + -tensor.size % alignment
        rows[tensor.name] = tensor
    start = reader.at + -reader.at % alignment
    for row in rows.values():
        if start + row.offset + row.size > reader.size:
            raise reader.damaged(f"the file of {reader.size} bytes ends before tensor {row.name!r} does")
    return tuple(Tensor(t.name, t.shape, t.type, start + t.offset, t.size) for t in rows.values())


def _row(reader: HeadReader) -> Tensor:
    """One row of the table; its offset still counts from the start of the data."""
    name = reader.string("a tensor's name", _LONGEST_NAME)
    if not name:
        raise reader.damaged("a tensor's name has 0 bytes")
    dimensions = reader.u32(name)
    if not 1 <= dimensions <= 4:
        raise reader.damaged(f"tensor {name!r} has {dimensions} dimensions")
    shape = tuple(reader.u64(name) for _ in range(dimensions))
    if not 0 < math.prod(shape) < 2**62:
        raise reader.damaged(f"tensor {name!r} has the shape {shape}")
    number, offset = reader.u32(name), reader.u64(name)
    block = BLOCKS.get(number)
    if block is None:
        raise Unsupported(
            f"{reader.name}: tensor {name!r} has the unknown type {number}", hint="llama.cpp may be too old for it"
        )
    if shape[0] % block.elements:
        raise reader.damaged(f"rows of {name!r} ({shape[0]}) are no whole blocks of {block.elements}")
    return Tensor(name, shape, block.name, offset, math.prod(shape) // block.elements * block.size)
