"""Indexes over vectors: their face, how they follow the truth, and the exact one (`chroma` has the approximate one).

The truth (text, vector, metadata) lives in SQLite. An index holds vectors only, is brought in step with the truth by
`follow`, and may be thrown away at any time. docs/decisions/0003-vector-index.md says when which of them answers.

A *space* is a set of vectors searched together; a key is the row number of a passage in the truth.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .embedder import Vectors

log = logging.getLogger(__name__)

T = TypeVar("T")
Keys = NDArray[np.int64]

BATCH = 5000  # vectors handed to an index at once; chromadb takes 5,461 at most


@dataclass(frozen=True)
class Mark:
    """Identifies a set of passages. Keys ascend and are never used twice, so equal marks mean equal sets."""

    count: int
    newest: int  # the highest key ever given out in this space, 0 before the first


class IndexBroken(Exception):
    """An index cannot be opened, read or written; the truth is untouched, and exact search can answer."""


class VectorIndex(Protocol):
    """Finds the vectors nearest to one. Methods raise `IndexBroken`; the caller sees to one thread at a time."""

    def mark(self, space: str) -> Mark | None:
        """What the space held when it was last settled; None when that is unknown or no longer so."""
        ...

    def keys(self, space: str) -> set[int]:
        """All keys in the space."""
        ...

    def add(self, space: str, keys: Sequence[int], vectors: Vectors) -> None:
        """Add unit vectors, shape (len(keys), dim), at most `BATCH` of them; keys must be new."""
        ...

    def remove(self, space: str, keys: Iterable[int]) -> None:
        """Remove the keys; those that are not there are passed over."""
        ...

    def settle(self, space: str, mark: Mark) -> None:
        """Record that the space now holds exactly what ``mark`` identifies."""
        ...

    def search(self, space: str, vector: Vectors, k: int) -> list[tuple[int, float]]:
        """The ``k`` nearest as (key, cosine similarity), best first."""
        ...

    def clear(self) -> None:
        """Forget every space, also on disk."""
        ...

    def close(self) -> None:
        """Give back files and threads; the index may be opened again by using it."""
        ...


class Truth(Protocol):
    """One space as SQLite holds it."""

    @property
    def mark(self) -> Mark:
        """Of the passages as they are now."""
        ...

    def keys(self, after: int = 0) -> list[int]:
        """Keys above ``after``, ascending."""
        ...

    def vectors(self, keys: Sequence[int]) -> Vectors:
        """Shape (len(keys), dim), in the order of ``keys``."""
        ...


def follow(index: VectorIndex, space: str, truth: Truth, limit: int | None = None) -> bool:
    """Bring a space in step with the truth, by adding ``limit`` vectors at most; True when it is in step."""
    goal, known = truth.mark, index.mark(space)
    if known == goal:
        return True
    missing = truth.keys(known.newest) if known else []
    if known is None or known.count + len(missing) != goal.count:  # something is gone too: compare all
        wanted, held = truth.keys(), index.keys(space)
        index.remove(space, held.difference(wanted))
        missing = [key for key in wanted if key not in held]
    todo = missing if limit is None else missing[:limit]
    for start in range(0, len(todo), BATCH):
        part = todo[start : start + BATCH]
        index.add(space, part, truth.vectors(part))
    left = len(missing) - len(todo)
    # Unfinished, it holds what the truth held at an earlier time, or else is compared as a whole the next time.
    index.settle(space, Mark(goal.count - left, todo[-1] if todo else 0) if left else goal)
    return not left


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


@dataclass
class _Shelf:
    keys: Keys
    vectors: Vectors
    mark: Mark | None = None


class ExactIndex:
    """Compares with every vector, held in memory; the spaces used longest ago make room for others."""

    def __init__(self, room: int = 128 * 1024**2) -> None:
        """Hold at most ``room`` bytes of vectors, but always the space settled last."""
        self._room = room
        self._shelves: OrderedDict[str, _Shelf] = OrderedDict()  # least recently settled or searched first

    def mark(self, space: str) -> Mark | None:
        """See `VectorIndex`."""
        shelf = self._shelves.get(space)
        return shelf.mark if shelf else None

    def keys(self, space: str) -> set[int]:
        """See `VectorIndex`."""
        shelf = self._shelves.get(space)
        return set(shelf.keys.tolist()) if shelf else set()

    def add(self, space: str, keys: Sequence[int], vectors: Vectors) -> None:
        """See `VectorIndex`."""
        new = np.asarray(keys, dtype=np.int64)
        shelf = self._shelves.get(space)
        if shelf:
            new, vectors = np.concatenate([shelf.keys, new]), np.concatenate([shelf.vectors, vectors])
        self._shelves[space] = _Shelf(new, vectors)

    def remove(self, space: str, keys: Iterable[int]) -> None:
        """See `VectorIndex`."""
        shelf = self._shelves.get(space)
        if shelf:
            keep = ~np.isin(shelf.keys, np.fromiter(keys, dtype=np.int64))
            self._shelves[space] = _Shelf(shelf.keys[keep], shelf.vectors[keep])

    def settle(self, space: str, mark: Mark) -> None:
        """See `VectorIndex`."""
        if space in self._shelves:
            self._shelves[space].mark = mark
            self._shelves.move_to_end(space)
        while len(self._shelves) > 1 and sum(shelf.vectors.nbytes for shelf in self._shelves.values()) > self._room:
            self._shelves.popitem(last=False)

    def search(self, space: str, vector: Vectors, k: int) -> list[tuple[int, float]]:
        """See `VectorIndex`."""
        shelf = self._shelves.get(space)
        if not shelf:
            return []
        self._shelves.move_to_end(space)
        return best(shelf.keys, similarities(shelf.vectors, vector), k)

    def clear(self) -> None:
        """See `VectorIndex`."""
        self._shelves.clear()

    def close(self) -> None:
        """See `VectorIndex`."""
        self.clear()


class Sidecar:
    """An index at the side of the truth: opened when first asked, kept in step, done without when it breaks.

    When it breaks it is thrown away and built anew by the following searches; when it breaks again, it is left
    alone until the next start.
    """

    def __init__(self, factory: Callable[[], VectorIndex]) -> None:
        self._factory = factory
        self._index: VectorIndex | None = None
        self._failures = 0

    def search(self, space: str, truth: Truth, vector: Vectors, k: int, step: int) -> list[int] | None:
        """Keys of ``k`` near vectors; None where the index is broken, or not in step after ``step`` more vectors."""

        def ask(index: VectorIndex) -> list[int] | None:
            if not follow(index, space, truth, step):
                return None
            return [key for key, _ in index.search(space, vector, k)]

        return self._try(ask)

    def sync(self, space: str, truth: Truth) -> bool:
        """Bring a space in step, however long that takes; False where the index is broken."""
        return bool(self._try(lambda index: follow(index, space, truth)))

    def close(self) -> None:
        """Give back what the index holds."""
        if self._index:
            self._index.close()

    def _try(self, ask: Callable[[VectorIndex], T | None]) -> T | None:
        if self._failures > 1:
            return None
        try:
            self._index = self._index or self._factory()
            return ask(self._index)
        except (IndexBroken, ImportError) as error:
            self._failures += 1
            log.warning("searching without the vector index: %s", error)
        try:
            if self._index:
                self._index.clear()
        except IndexBroken as error:
            self._failures += 1
            log.warning("the vector index cannot be cleared: %s", error)
        return None


def chroma(path: Path) -> Callable[[], VectorIndex]:
    """A factory of the index on chromadb in a folder of its own; chromadb is imported when it is called."""

    def factory() -> VectorIndex:
        from .chroma import ChromaIndex

        return ChromaIndex(path)

    return factory
