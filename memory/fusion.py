"""From two rankings to one: words and vectors fused, and a list that does not say the same thing twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .embedder import Vectors
from .keywords import Matches
from .passages import Why

# Share of similarity in the fused score; BM25, as a share of the best passage's, has the rest. On six sets every value
# from 0.3 to 0.6 was within 0.004 nDCG@10 of the best, and reciprocal rank fusion 0.01 to 0.07 below: it gives the
# weaker ranking as much say as the stronger one (figures: docs/decisions/0003-vector-index.md and 0011-recall.md).
SIMILARITY_SHARE = 0.4

# How much a passage gives way for repeating what is above it. On four sets 0.2 changed nDCG@10 by -0.006 to +0.024, and
# 0.5 lowered it on three: docs/decisions/0011-recall.md.
DIVERSITY = 0.2
DIVERSE = 50  # places that are given by what passages add; below, by their scores alone


@dataclass(frozen=True)
class Judged:
    """A passage that either ranking put forward."""

    number: int
    score: float
    why: Why


def fuse(matches: Matches, by_word: Sequence[int], near: Mapping[int, float], by_vector: Sequence[int]) -> list[Judged]:
    """All that were put forward, best first, equal ones by number; ``near`` has the similarity of each."""
    top = matches.scores[by_word[0]] if by_word else 1.0
    word_rank = {number: rank for rank, number in enumerate(by_word, 1)}
    vector_rank = {number: rank for rank, number in enumerate(by_vector, 1)}
    judged = []
    for number in dict.fromkeys([*by_word, *by_vector]):
        words, similarity = matches.scores.get(number, 0.0), near.get(number, 0.0)
        score = (1 - SIMILARITY_SHARE) * words / top + SIMILARITY_SHARE * max(similarity, 0.0)
        coverage = words / matches.most if words else 0.0
        why = Why(word_rank.get(number), vector_rank.get(number), similarity, coverage, matches.words(number))
        judged.append(Judged(number, score, why))
    return sorted(judged, key=lambda one: (-one.score, one.number))


ALIKE = 0.6  # similarity of two passages up to which they are not taken for a repetition; at 1 they are one
CROWD = 4  # passages of one source, of which the next counts as half a repetition


def diverse(scores: Sequence[float], vectors: Vectors, sources: Sequence[str], k: int, weight: float) -> list[int]:
    """Places of the ``k`` that say most together, best first (maximal marginal relevance: Carbonell, Goldstein 1998).

    ``scores`` fall; ``vectors`` has a row for each, of zeros where there is none. A passage loses up to ``weight`` of
    its score: for being like one that was taken before, or for coming from a source that many were taken from.
    """
    left, taken = np.array(scores, dtype=np.float64), list[int]()
    closest, crowds = np.zeros(len(scores)), dict[str, int]()
    while len(taken) < min(k, len(scores)):
        crowded = np.array([crowds.get(source, 0) for source in sources]) / CROWD
        repeated = np.maximum(closest, crowded / (1 + crowded))
        worth = left * (1 - weight * repeated)
        worth[taken] = -np.inf
        chosen = int(np.argmax(worth))
        taken.append(chosen)
        alike = (np.einsum("ij,j->i", vectors, vectors[chosen]) - ALIKE) / (1 - ALIKE)
        closest = np.maximum(closest, np.clip(alike, 0, 1))
        if sources[chosen]:
            crowds[sources[chosen]] = crowds.get(sources[chosen], 0) + 1
    return taken
