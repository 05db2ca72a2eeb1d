"""A search over some collections: what may take part, the two rankings, and the hits that come of them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .database import Database
from .embedder import Vectors
from .embedders import Embedders
from .follower import Follower
from .fusion import DIVERSE, Judged, diverse, fuse
from .keywords import Keywords, Matches
from .passages import Filter, Hit
from .spaces import Space, SpaceVectors, read_vectors
from .texts import sound
from .vectors import ExactIndex, IndexBroken, compared, nearest, similarities

log = logging.getLogger(__name__)

CANDIDATES = 100  # passages that each of the two rankings puts forward, or
WIDER = 4  # times as many as are asked for
POOL = 4  # times as many as are asked for, from which those are chosen that say most together
FEW = 2_000  # passages that pass a filter, up to which each of them is scored: some 10 µs each
LOOK = 10_000  # candidates that an index is asked for where more pass


@dataclass(frozen=True)
class Query:
    """What is asked for."""

    text: str
    k: int
    narrowed: Filter
    diversity: float

    @property
    def wanted(self) -> int:
        """Passages that each ranking puts forward."""
        return max(CANDIDATES, WIDER * self.k)


class Searcher:
    """Searches with what `Recall` owns; safe to call from any thread."""

    def __init__(
        self, db: Database, keywords: Keywords, embedders: Embedders, follower: Follower | None, index_from: int
    ) -> None:
        self._db = db
        self._keywords = keywords
        self._embedders = embedders
        self._follower = follower
        self._index_from = index_from
        self.exact = ExactIndex()

    def search(self, spaces: Sequence[Space], query: Query) -> list[Hit]:
        """The ``k`` best of these collections, best first, equal ones by key."""
        active = self._embedders.active  # read once: another may take over while this search is under way
        few = self._few(spaces, query.narrowed)
        vector = active.vectors([("", sound(query.text))])[0]
        allowed = None if few is None else [number for numbers in few.values() for number in numbers]
        matches = self._keywords.search([space.id for space in spaces], sound(query.text), allowed)
        by_word = self._by_word(spaces, matches, query, few is None)
        by_vector = self._by_vector(spaces, active.id, vector, query, few)
        numbers, vectors = read_vectors(self._db, active.id, list({*by_word, *by_vector}))
        near = dict(zip(numbers.tolist(), similarities(vectors, vector).tolist(), strict=True)) if len(numbers) else {}
        judged = fuse(matches, by_word, near, by_vector)
        return _chosen(spaces, judged, query, dict(zip(numbers.tolist(), vectors, strict=True)))

    def _few(self, spaces: Sequence[Space], narrowed: Filter) -> dict[int, list[int]] | None:
        """The passages of each collection that pass a filter; None where there is none, or too many pass."""
        if not narrowed:
            return None
        few, room = dict[int, list[int]](), FEW
        for space in spaces:
            few[space.id] = space.matching(narrowed, limit=room + 1)
            room -= len(few[space.id])
            if room < 0:
                return None
        return few

    def _by_word(self, spaces: Sequence[Space], matches: Matches, query: Query, unchecked: bool) -> list[int]:
        """The passages that fit best by words, best first."""
        ranked = matches.ranked()
        if not (query.narrowed and unchecked):
            return ranked[: query.wanted]
        passed: list[int] = []
        for start in range(0, len(ranked), LOOK):
            part = ranked[start : start + LOOK]
            passing = {number for space in spaces for number in space.matching(query.narrowed, part)}
            passed += [number for number in part if number in passing]
            if len(passed) >= query.wanted:
                break
        return passed[: query.wanted]

    def _by_vector(
        self,
        spaces: Sequence[Space],
        embedder: int,
        vector: Vectors,
        query: Query,
        few: Mapping[int, list[int]] | None,
    ) -> list[int]:
        """The passages that are nearest, and at all near, nearest first."""
        found: list[tuple[int, float]] = []
        for space in spaces:
            truth = SpaceVectors(space, embedder, query.narrowed)
            if few is not None:
                found += compared(truth, vector, few[space.id], query.wanted)
            else:
                found += self._nearest(truth, vector, query.wanted)
        found.sort(key=lambda pair: (-pair[1], pair[0]))
        return [number for number, score in found if score > 0][: query.wanted]

    def _nearest(self, truth: SpaceVectors, vector: Vectors, wanted: int) -> list[tuple[int, float]]:
        """The ``wanted`` nearest of one collection."""
        count = truth.count
        if count < self._index_from and self._embedders.complete:
            if not truth.narrowed:
                return self.exact.search(truth, vector, wanted)
            ranked = self.exact.search(truth, vector, count)
            passing = set(truth.alive([key for key, _ in ranked]))
            return [pair for pair in ranked if pair[0] in passing][:wanted]
        index = self._follower.index(truth) if self._follower and self._embedders.complete else None
        try:
            found = nearest(index, truth, vector, wanted, LOOK if truth.narrowed else 2 * wanted)
        except IndexBroken as error:
            assert self._follower is not None
            self._follower.failed(error)
            found = nearest(None, truth, vector, wanted, 0)
        if found is None:  # the index names too few that pass the filter
            found = compared(truth, vector, truth.space.matching(truth.narrowed), wanted)
        return found


def _chosen(spaces: Sequence[Space], judged: list[Judged], query: Query, vectors: Mapping[int, Vectors]) -> list[Hit]:
    """The hits of what was judged, best first."""
    pool = judged[: POOL * query.k if query.diversity else query.k]
    pool += [one for one in judged[len(pool) :] if one.score == pool[-1].score] if pool else []  # ties: by key
    score = {one.number: one for one in pool}
    stored = {number: hit for space in spaces for number, hit in space.hits(score).items()}
    hits = [(number, replace(hit, score=score[number].score, why=score[number].why)) for number, hit in stored.items()]
    hits.sort(key=lambda pair: (-pair[1].score, pair[1].key, pair[0]))
    if query.diversity and hits:
        none = np.zeros_like(next(iter(vectors.values()), np.zeros(1, dtype=np.float32)))
        rows = np.stack([vectors.get(number, none) for number, _ in hits])
        scores, sources = [hit.score for _, hit in hits], [hit.source for _, hit in hits]
        first = diverse(scores, rows, sources, min(query.k, DIVERSE), query.diversity)
        hits = [hits[place] for place in [*first, *(n for n in range(len(hits)) if n not in set(first))]]
    return [hit for _, hit in hits[: query.k]]
