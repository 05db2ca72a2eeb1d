"""Which sentences carry a text: by how near they are to the whole, where they stand, and what the model makes of it."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..sentences import finished, leans, length, stems

Numbers = NDArray[np.float64]

LEAD = 0.1  # what the first sentence of a text gains, a second half of it, and so on
LEANING = 0.3  # what a sentence loses that leans on the one before it
OUTCOME = 0.2  # what a sentence gains that tells what was decided or found
REPEAT = 0.5  # how much of its likeness to what was chosen already a sentence loses
SHORT, LONG = 6, 45  # words; outside of these a sentence is a fragment, or a paragraph in disguise
_OUTCOME = re.compile(
    r"\b(decided|decision|agreed|approved|accepted|rejected|adopted|recommend\w*|conclu(?:de[sd]?|sion)|verdict|winner"
    r"|best|in short|overall|the result|is introduced|was chosen|voted?)\b",
    re.IGNORECASE,
)


def weights(sentences: Sequence[str], vectors: Numbers) -> Numbers:
    """How much each sentence says of the whole, shape (sentences,), for ``vectors`` of shape (sentences, width).

    Likeness to the mean of all (the centroid method of Radev et al. 2004), with a gain for the first sentences.
    """
    centre = vectors.mean(axis=0)
    likeness = vectors @ (centre / max(float(np.linalg.norm(centre)), 1e-12))
    leaning = np.array([leans(s) for s in sentences])
    outcome = np.array([bool(_OUTCOME.search(s)) for s in sentences])
    lead = LEAD / (1 + np.arange(len(sentences)))
    return np.asarray(likeness + lead - LEANING * leaning + OUTCOME * outcome)


def agreement(draft: str, draft_vector: Numbers, sentences: Sequence[str], vectors: Numbers) -> Numbers:
    """How much of a summary in free words stands in each sentence, shape (sentences,): by words and by meaning."""
    said = set(stems(draft))
    shared = [len(said.intersection(stems(s))) / (len(said) + 1) for s in sentences]
    return np.asarray(vectors @ draft_vector + np.array(shared))


def choose(weight: Numbers, vectors: Numbers, sentences: Sequence[str], room: int) -> list[int]:
    """Places of the best sentences that fit into ``room`` words, in their order; where none fits, the shortest.

    Taken one by one, each judged by its weight less its likeness to those before it (maximal marginal relevance,
    Carbonell and Goldstein 1998).
    """
    sizes = np.array([length(s) for s in sentences])
    left = _eligible(weight, sizes, sentences, room)
    likeness = np.zeros(len(sentences))  # to the nearest of those chosen
    chosen: list[int] = []
    while len(left := left[sizes[left] <= room]):
        best = int(left[np.argmax((weight - REPEAT * likeness)[left])])
        likeness = np.maximum(likeness, vectors @ vectors[best])
        left = left[left != best]
        chosen.append(best)
        room -= int(sizes[best])
    return sorted(chosen) or [int(np.argmin(sizes))]


def _eligible(weight: Numbers, sizes: NDArray[np.int64], sentences: Sequence[str], room: int) -> NDArray[np.int64]:
    """Places to choose from: sentences that stand alone, else whole ones, else any that fit; of them the better half.

    No gap is to be filled with anything that fits; but what is looked at has twice the words that there is room for.
    """
    fits = sizes <= room
    whole = np.array([finished(s) for s in sentences]) & (sizes >= SHORT) & (sizes <= LONG)
    alone = whole & np.array([not leans(s) for s in sentences])
    places = next((p for kind in (alone, whole) if len(p := np.flatnonzero(fits & kind))), np.flatnonzero(fits))
    ranked = places[np.argsort(-weight[places], kind="stable")]
    enough = int(np.searchsorted(np.cumsum(sizes[ranked]), 2 * room)) + 1
    return np.sort(ranked[: max(enough, (len(ranked) + 1) // 2)])
