"""How likely tokens are, from logits."""

import numpy as np
from numpy.typing import NDArray

from .engine import Chance


def loglikelihood(logits: NDArray[np.float32], target: int) -> float:
    """log softmax(logits)[target], in double precision."""
    wide = logits.astype(np.float64)
    top = wide.max()
    return float(wide[target] - top - np.log(np.exp(wide - top).sum()))


def chance(logits: NDArray[np.float32], token: int, count: int) -> Chance:
    """The chance of a token, and of the ``count`` likeliest; ties go to the smaller token."""
    wide = logits.astype(np.float64)
    top = wide.max()
    norm = top + np.log(np.exp(wide - top).sum())
    count = min(count, len(logits))
    best = np.argpartition(-logits, count)[:count] if 0 < count < len(logits) else np.arange(count)
    order = sorted(best.tolist(), key=lambda one: (-logits[one], one))
    return Chance(token, float(wide[token] - norm), tuple((one, float(wide[one] - norm)) for one in order))
