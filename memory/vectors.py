"""Indexes over vectors: their face, how they follow the truth, and the exact one.

The truth (text, vector, metadata) lives in SQLite. An index holds vectors only, may be thrown away at any time, and is
brought in step by `follow`. It holds every vector up to a mark; what came later is compared one by one, and what is
gone since is passed over, so that a search is right whether or not its index is in step. When which index answers:
docs/decisions/0011-recall.md.

A *space* is a set of vectors searched together; a key is the number of a passage in the truth.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .embedder import Vectors

Keys = NDArray[np.int64]

LOOK = 1000  # candidates whose passages are looked at together
ROUNDING = 0.02  # that an index may be off in a component of a vector
BATCH = 5000  # vectors read at once; chromadb takes 5,461 at most


@dataclass(frozen=True, order=True)
class Mark:
    """A point in the growth of a space: all of the turns before ``turn``, and of that one the keys up to ``key``.

    Whatever is added has a higher turn than all before it, and keys are never used twice.
    """

    turn: int = 0
    key: int = 0


@dataclass(frozen=True)
class Held:
    """What an index holds of a space: everything up to ``mark``, and ``count`` vectors, some of them gone perhaps."""

    mark: Mark
    count: int


class IndexBroken(Exception):
    """An index cannot be opened, read or written; the truth is untouched, and exact search can answer."""


class VectorIndex(Protocol):
    """Finds the vectors nearest to one. Methods raise `IndexBroken`.

    One thread at a time may change it; any number may search meanwhile.
    """

    def held(self, space: str) -> Held | None:
        """What it holds of a space, or None where it cannot say; then the space is filled anew."""
        ...

    def vectors(self, space: str, keys: Sequence[int]) -> tuple[Keys, Vectors]:
        """Those of the keys that it holds, and their vectors, as near to the true ones as it keeps them."""
        ...

    def add(self, space: str, keys: Keys, vectors: Vectors) -> None:
        """Add unit vectors, shape (len(keys), dim), at most `BATCH` of them; again is as good as once."""
        ...

    def settle(self, space: str, mark: Mark, done: bool) -> None:
        """Record that it holds everything up to ``mark``; with ``done`` there is nothing more for now."""
        ...

    def search(self, space: str, vector: Vectors, k: int) -> list[int]:
        """Keys of about the ``k`` nearest, best first."""
        ...

    def drop(self, space: str) -> None:
        """Forget a space, also on disk."""
        ...

    def clear(self) -> None:
        """Forget every space, also on disk, and whatever is broken with them."""
        ...

    def close(self) -> None:
        """Give back files and threads; the index may be opened again by using it."""
        ...


class Truth(Protocol):
    """One space as SQLite holds it."""

    @property
    def name(self) -> str:
        """Of the space."""
        ...

    @property
    def count(self) -> int:
        """Number of keys."""
        ...

    @property
    def turn(self) -> int:
        """The turn that brought the last."""
        ...

    def after(self, mark: Mark, limit: int = -1) -> list[Mark]:
        """The marks of what came after, in order, ``limit`` at most."""
        ...

    def alive(self, keys: Iterable[int]) -> list[int]:
        """Those of the keys that are still there, and wanted at all."""
        ...

    def vectors(self, keys: Sequence[int]) -> tuple[Keys, Vectors]:
        """Those of the keys that have a sound vector, ascending, and their vectors."""
        ...


def follow(index: VectorIndex, truth: Truth) -> Iterator[int]:
    """Bring a space in step with the truth, step by step; yields after each how many vectors the index has seen."""
    held = index.held(truth.name)
    if held and (held.count > 2 * truth.count + BATCH or held.mark.turn > truth.turn):
        index.drop(truth.name)  # most of it is gone, or the truth was put back to an earlier state
        held = None
    mark, seen = (held.mark, held.count) if held else (Mark(), 0)
    while part := truth.after(mark, BATCH):
        index.add(truth.name, *truth.vectors([one.key for one in part]))
        mark, seen = part[-1], seen + len(part)
        index.settle(truth.name, mark, done=not truth.after(mark, 1))
        yield seen


def agrees(index: VectorIndex, truth: Truth, sample: Sequence[int]) -> bool:
    """Whether the index holds the sampled vectors up to its mark as the truth has them."""
    keys, right = truth.vectors(sample)
    found, held = index.vectors(truth.name, keys.tolist())
    order = np.argsort(found)
    if not np.array_equal(found[order], keys):
        return False
    return not len(keys) or bool(np.abs(held[order] - right).max() < ROUNDING)


def nearest(
    index: VectorIndex | None, truth: Truth, vector: Vectors, k: int, look: int
) -> list[tuple[int, float]] | None:
    """The ``k`` nearest as (key, exact similarity), best first; what an index does not hold yet is compared one by one.

    ``look`` candidates are asked of the index. None where so few of them are alive that others may be nearer.
    """
    held = index.held(truth.name) if index else None
    found = index.search(truth.name, vector, look) if index and held else []
    alive: list[int] = []
    for start in range(0, len(found), LOOK):
        part = found[start : start + LOOK]
        there = set(truth.alive(part))
        alive += [key for key in part if key in there]
        if len(alive) >= 2 * k:
            break
    if held and len(alive) < k and len(found) < held.count:
        return None
    later = truth.alive([one.key for one in truth.after(held.mark if held else Mark())])
    return compared(truth, vector, alive[: 2 * k] + later, k)


def compared(truth: Truth, vector: Vectors, keys: Sequence[int], k: int) -> list[tuple[int, float]]:
    """The ``k`` nearest of these keys as (key, similarity), best first."""
    found: list[tuple[int, float]] = []
    for part in batches(keys):
        some, vectors = truth.vectors(part)
        if len(some):
            scored = [
                (np.array([key for key, _ in found], dtype=np.int64), np.array([s for _, s in found], np.float32))
            ]
            scored.append((some, similarities(vectors, vector)))
            found = best(np.concatenate([one for one, _ in scored]), np.concatenate([one for _, one in scored]), k)
    return found


def batches(keys: Sequence[int]) -> Iterator[Sequence[int]]:
    """Parts of at most `BATCH`."""
    return (keys[start : start + BATCH] for start in range(0, len(keys), BATCH))


def similarities(vectors: Vectors, vector: Vectors) -> Vectors:
    """Dot product of each row with ``vector``, shape (n,).

    einsum adds a row's products in one order however many rows there are, and in this thread alone. BLAS does
    neither: a score would depend on the neighbours, and its threads would be in the engine's way.
    """
    scores: Vectors = np.einsum("ij,j->i", vectors, vector)
    return scores


def best(keys: Keys, scores: Vectors, k: int) -> list[tuple[int, float]]:
    """The ``k`` (at least 1) highest scores as (key, score), best first, equal scores by key."""
    if len(keys) > k:
        # Everything as good as the k-th stays in, so that ties are decided below and not by the partition.
        bar = np.partition(scores, len(scores) - k)[len(scores) - k]
        keys, scores = keys[scores >= bar], scores[scores >= bar]
    order = np.lexsort((keys, -scores))[:k]
    return [(int(keys[i]), float(scores[i])) for i in order]


@dataclass(frozen=True)
class _Shelf:
    keys: Keys
    vectors: Vectors
    mark: Mark


class ExactIndex:
    """Compares with every vector, held in memory; the spaces used longest ago make room for others."""

    def __init__(self, room: int = 128 * 1024**2) -> None:
        """Hold at most ``room`` bytes of vectors, but always the space settled last."""
        self._room = room
        self._shelves: OrderedDict[str, _Shelf] = OrderedDict()  # least recently settled first
        self._lock = threading.Lock()  # of that; a shelf never changes

    def search(self, truth: Truth, vector: Vectors, k: int) -> list[tuple[int, float]]:
        """The ``k`` nearest of a space as (key, similarity), best first; it is in step with the truth before."""
        shelf = self._follow(truth)
        alive = truth.count
        if alive < len(shelf.keys):
            kept = np.isin(shelf.keys, np.array(truth.alive(shelf.keys.tolist()), dtype=np.int64))
            shelf = self._put(truth.name, _Shelf(shelf.keys[kept], shelf.vectors[kept], shelf.mark))
        return best(shelf.keys, similarities(shelf.vectors, vector), k) if len(shelf.keys) else []

    def drop(self, space: str) -> None:
        """Forget a space."""
        with self._lock:
            self._shelves.pop(space, None)

    def close(self) -> None:
        """Forget every space."""
        with self._lock:
            self._shelves.clear()

    def _follow(self, truth: Truth) -> _Shelf:
        with self._lock:
            shelf = self._shelves.get(truth.name)
        shelf = shelf or _Shelf(np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.float32), Mark())
        new = truth.after(shelf.mark)
        if not new:
            return shelf
        parts = [truth.vectors(part) for part in batches([one.key for one in new])]
        keys = [shelf.keys, *(keys for keys, _ in parts)]
        vectors = [some for some in (shelf.vectors, *(some for _, some in parts)) if some.size]
        joined = np.concatenate(vectors) if vectors else shelf.vectors
        return self._put(truth.name, _Shelf(np.concatenate(keys), joined, new[-1]))

    def _put(self, space: str, shelf: _Shelf) -> _Shelf:
        with self._lock:
            self._shelves[space] = shelf
            self._shelves.move_to_end(space)
            while len(self._shelves) > 1 and sum(one.vectors.nbytes for one in self._shelves.values()) > self._room:
                self._shelves.popitem(last=False)
        return shelf
