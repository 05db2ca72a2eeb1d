"""Which sentences carry a text: by how near they are to the whole, where they stand, and what the model makes of it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..sentences import length, stems, words

Numbers = NDArray[np.float64]

LEAD = 0.1  # what the first sentence of a text gains, a second half of it, and so on
LEANING = 0.3  # what a sentence loses that leans on the one before it
REPEAT = 0.5  # how much of its likeness to what was chosen already a sentence loses
SHORT, LONG = 6, 45  # words; outside of these a sentence is a fragment, or a paragraph in disguise
_LEANING_WORDS = (
    "he she it they this that these those but and so or also then there therefore however here third second"
)
_LEANS = frozenset(_LEANING_WORDS.split())


def weights(sentences: Sequence[str], vectors: Numbers) -> Numbers:
    """How much each sentence says of the whole, shape (sentences,), for ``vectors`` of shape (sentences, width).

    Likeness to the mean of all (the centroid method of Radev et al. 2004), with a gain for the first sentences.
    """
    centre = vectors.mean(axis=0)
    likeness = vectors @ (centre / max(float(np.linalg.norm(centre)), 1e-12))
    leaning = np.array([bool(_LEANS.intersection(words(s)[:1])) for s in sentences])
    return np.asarray(likeness + LEAD / (1 + np.arange(len(sentences))) - LEANING * leaning)


def agreement(draft: str, draft_vector: Numbers, sentences: Sequence[str], vectors: Numbers) -> Numbers:
    """How much of a summary in free words stands in each sentence, shape (sentences,): by words and by meaning."""
    said = set(stems(draft))
    shared = [len(said.intersection(stems(s))) / (len(said) + 1) for s in sentences]
    return np.asarray(vectors @ draft_vector + np.array(shared))


def choose(weight: Numbers, vectors: Numbers, sentences: Sequence[str], room: int) -> list[int]:
    """Places of the best sentences that fit into ``room`` words, in their order; at least one.

    Taken one by one, each judged by its weight less its likeness to those before it (maximal marginal relevance,
    Carbonell and Goldstein 1998). Only the better half is looked at, so that no gap is filled with anything that fits.
    """
    sizes = [length(s) for s in sentences]
    whole = [at for at, size in enumerate(sizes) if SHORT <= size <= LONG and not sentences[at].endswith(("?", ":"))]
    ranked = sorted(whole or range(len(sizes)), key=lambda at: (-weight[at], at))
    left = ranked[: max(1, (len(ranked) + 1) // 2)]
    chosen: list[int] = []
    while left:
        best = max(left, key=lambda at: (_worth(at, weight, vectors, chosen), -at))
        left.remove(best)
        if not chosen or sizes[best] <= room:
            chosen.append(best)
            room -= sizes[best]
    return sorted(chosen)


def _worth(at: int, weight: Numbers, vectors: Numbers, chosen: list[int]) -> float:
    return float(weight[at]) - REPEAT * max((float(vectors[at] @ vectors[c]) for c in chosen), default=0.0)
