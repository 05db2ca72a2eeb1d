"""The index for large collections: clusters of vectors in one byte a component, NumPy only, in a file for each space.

A search looks at the clusters whose centres are nearest, and compares every vector in them; what came since these
were made stands in a tail, and all of it is compared. The file is written whole and beside the old one, never changed,
and is believed only where its checksum is right: damage costs building it anew, never a wrong answer or a crash.
"""

import json
import os
import shutil
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .embedder import Vectors
from .vectors import Held, IndexBroken, Keys, Mark, similarities

Codes = NDArray[np.int8]
Scales = NDArray[np.float32]

PROBES = 48  # clusters that a search looks at
CLUSTERS = 2.0  # clusters are this many times the square root of the number of vectors
FOLD_FROM = 20_000  # vectors in the tail, and
FOLD_SHARE = 0.05  # their share of all, from which on they are sorted into the clusters
_SAMPLE = 32  # vectors a cluster that its centre is learnt from
_ROUNDS = 8
_SLICE = 8192  # rows multiplied at once
_MAGIC = b"llmos clusters 1\n"


@dataclass(frozen=True)
class _Rows:
    """Vectors as they are kept: component = code * scale of the row."""

    keys: Keys
    codes: Codes
    scales: Scales

    @classmethod
    def of(cls, keys: Keys, vectors: Vectors) -> "_Rows":
        scales = np.abs(vectors).max(axis=1).astype(np.float32) / np.float32(127)
        scales[scales == 0] = 1
        return cls(keys, np.rint(vectors / scales[:, None]).astype(np.int8), scales)

    def score(self, start: int, end: int, vector: Vectors) -> Scales:
        part: Scales = similarities(self.codes[start:end].astype(np.float32), vector) * self.scales[start:end]
        return part

    def vectors(self, rows: NDArray[np.int64]) -> Vectors:
        whole: Vectors = self.codes[rows] * self.scales[rows, None]
        return whole


@dataclass(frozen=True)
class _Shelf:
    """One space; never changed, but replaced."""

    mark: Mark
    base: _Rows  # sorted by cluster
    centres: Vectors
    starts: Keys  # of each cluster in the base, and its end
    trained: int  # vectors there were when the centres were learnt
    tail: tuple[_Rows, ...] = ()

    @property
    def waiting(self) -> int:
        return sum(len(rows.keys) for rows in self.tail)

    @property
    def count(self) -> int:
        return len(self.base.keys) + self.waiting


class ClusterIndex:
    """A `vectors.VectorIndex` in a folder of its own, which is made when first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shelves: dict[str, _Shelf | None] = {}

    def held(self, space: str) -> Held | None:
        """See `VectorIndex`; reads and checks the file at the first time (a third of a second a million)."""
        shelf = self._shelf(space)
        return Held(shelf.mark, shelf.count) if shelf else None

    def vectors(self, space: str, keys: Sequence[int]) -> tuple[Keys, Vectors]:
        """See `VectorIndex`."""
        shelf, wanted = self._shelf(space), np.array(keys, dtype=np.int64)
        parts = (shelf.base, *shelf.tail) if shelf else ()
        rows = [np.flatnonzero(np.isin(part.keys, wanted)) for part in parts]
        found = [(part.keys[where], part.vectors(where)) for part, where in zip(parts, rows, strict=True) if len(where)]
        if not found:
            return np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.float32)
        return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])

    def add(self, space: str, keys: Keys, vectors: Vectors) -> None:
        """See `VectorIndex`."""
        if not len(keys):
            return
        shelf = self._shelf(space) or _empty(vectors.shape[1])
        self._shelves[space] = replace(shelf, tail=(*shelf.tail, _Rows.of(keys, vectors)))

    def settle(self, space: str, mark: Mark, done: bool) -> None:
        """See `VectorIndex`; a long tail is sorted into the clusters, which takes seconds."""
        shelf = self._shelf(space)
        if shelf is None:  # nothing has come with a vector
            return
        shelf = self._shelves[space] = replace(shelf, mark=mark)
        if done and shelf.waiting >= max(FOLD_FROM, FOLD_SHARE * shelf.count):
            shelf = self._shelves[space] = _folded(shelf)
            _write(self._path(space), shelf)

    def search(self, space: str, vector: Vectors, k: int) -> list[int]:
        """See `VectorIndex`."""
        shelf = self._shelf(space)
        if shelf is None:
            return []
        near = np.argsort(-similarities(shelf.centres, vector), kind="stable")[:PROBES]
        spans = [(shelf.starts[one], shelf.starts[one + 1]) for one in near]
        scores = [shelf.base.score(start, end, vector) for start, end in spans]
        keys = [shelf.base.keys[start:end] for start, end in spans]
        scores += [rows.score(0, len(rows.keys), vector) for rows in shelf.tail]
        keys += [rows.keys for rows in shelf.tail]
        all_scores, all_keys = np.concatenate(scores), np.concatenate(keys)
        if len(all_keys) > k:
            top = np.argpartition(-all_scores, k)[:k]
            all_scores, all_keys = all_scores[top], all_keys[top]
        found: list[int] = all_keys[np.lexsort((all_keys, -all_scores))].tolist()
        return found

    def drop(self, space: str) -> None:
        """See `VectorIndex`."""
        self._shelves[space] = None
        self._path(space).unlink(missing_ok=True)

    def clear(self) -> None:
        """See `VectorIndex`."""
        self._shelves.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """See `VectorIndex`."""
        self._shelves.clear()

    def _path(self, space: str) -> Path:
        return self._folder / f"{space}.clusters"

    def _shelf(self, space: str) -> _Shelf | None:
        if space not in self._shelves:
            self._shelves[space] = _read(self._path(space))
        return self._shelves[space]


def _empty(dim: int) -> _Shelf:
    none = _Rows(np.zeros(0, np.int64), np.zeros((0, dim), np.int8), np.zeros(0, np.float32))
    return _Shelf(Mark(), none, np.zeros((1, dim), np.float32), np.zeros(2, np.int64), 0)


def _folded(shelf: _Shelf) -> _Shelf:
    """The same vectors, all sorted into clusters; these are learnt anew when there are twice as many vectors."""
    parts = (shelf.base, *shelf.tail)
    keys = np.concatenate([part.keys for part in parts])
    codes = np.concatenate([part.codes for part in parts])
    scales = np.concatenate([part.scales for part in parts])
    centres, trained = shelf.centres, shelf.trained
    if len(keys) >= 2 * trained:
        centres, trained = _centres(codes), len(keys)
        nearest = _nearest(codes, centres)
    else:
        of_base = np.repeat(np.arange(len(centres)), np.diff(shelf.starts))
        nearest = np.concatenate([of_base, *(_nearest(part.codes, centres) for part in shelf.tail)])
    order = np.lexsort((keys, nearest))
    starts = np.searchsorted(nearest[order], np.arange(len(centres) + 1))
    return _Shelf(shelf.mark, _Rows(keys[order], codes[order], scales[order]), centres, starts, trained)


def _centres(codes: Codes) -> Vectors:
    """Directions that the vectors gather around: spherical k-means on a sample, the same for the same vectors."""
    random = np.random.default_rng(len(codes))
    count = max(1, int(CLUSTERS * len(codes) ** 0.5))
    sample = codes[np.sort(random.choice(len(codes), min(len(codes), count * _SAMPLE), replace=False))]
    centres = _unit(sample[random.choice(len(sample), count, replace=False)].astype(np.float32))
    whole = _unit(sample.astype(np.float32))
    for _ in range(_ROUNDS):
        nearest = _nearest(sample, centres)
        order = np.argsort(nearest, kind="stable")
        counts = np.bincount(nearest, minlength=count)
        filled = np.flatnonzero(counts)
        firsts = np.cumsum(counts)[filled] - counts[filled]
        centres[filled] = _unit(np.add.reduceat(whole[order], firsts))
    return centres


def _nearest(codes: Codes, centres: Vectors) -> NDArray[np.int64]:
    """The cluster of each row. A scale does not matter for which centre is the nearest."""
    slices = range(0, len(codes), _SLICE)
    parts = [np.argmax(codes[i : i + _SLICE].astype(np.float32) @ centres.T, axis=1) for i in slices]
    return np.concatenate(parts)


def _unit(rows: Vectors) -> Vectors:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Vectors = rows / np.maximum(lengths, np.float32(1e-9))
    return unit


def _write(path: Path, shelf: _Shelf) -> None:
    """Magic, a line of JSON, the arrays one after the other; then the checksum of all that."""
    arrays: dict[str, NDArray[Any]] = {"keys": shelf.base.keys, "starts": shelf.starts, "centres": shelf.centres,
              "scales": shelf.base.scales, "codes": shelf.base.codes}  # fmt: skip
    head = {
        "mark": [shelf.mark.turn, shelf.mark.key], "trained": shelf.trained,
        "arrays": {name: [array.dtype.str, array.shape] for name, array in arrays.items()},
    }  # fmt: skip
    line = json.dumps(head).encode()
    line += b" " * (-(len(_MAGIC) + len(line) + 1) % 64) + b"\n"  # numbers lie where a processor reads them fastest
    begun = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with begun.open("wb") as file:
            check = 0
            for piece in (_MAGIC, line, *(array.tobytes() for array in arrays.values())):
                check = zlib.crc32(piece, check)
                file.write(piece)
            file.write(check.to_bytes(4, "little"))
            file.flush()
            os.fsync(file.fileno())
        begun.replace(path)
    except OSError as error:
        with suppress(OSError):
            begun.unlink()
        raise IndexBroken(f"{path} cannot be written: {error}") from error


def _read(path: Path) -> _Shelf | None:
    """What was written, mapped rather than read into memory; None where there is none, or none to be trusted."""
    try:
        data = np.memmap(path, dtype=np.uint8, mode="r")
    except (OSError, ValueError):  # there is none, or an empty one
        return None
    with path.open("rb") as file:
        magic, line = file.read(len(_MAGIC)), file.readline(10_000)
    if magic != _MAGIC or zlib.crc32(data[:-4].data) != int.from_bytes(data[-4:].tobytes(), "little"):
        return None
    head, at = json.loads(line), len(magic) + len(line)
    arrays = {}
    for name, (kind, shape) in head["arrays"].items():
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        arrays[name] = data[at : at + size].view(kind).reshape(shape)
        at += size
    base = _Rows(arrays["keys"], arrays["codes"], arrays["scales"])
    return _Shelf(Mark(*head["mark"]), base, arrays["centres"], arrays["starts"], head["trained"])
