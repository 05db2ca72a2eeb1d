"""How well a model foretells a text: its perplexity.

    perplexity = exp(-1/n · Σ log p(t_i | the tokens before it within the window))

over all tokens of the text but the first, n in number, natural logarithms (Jelinek and others 1977). Windows of
`WINDOW` tokens begin every `STRIDE`; each token is scored once, in the first window that holds it, so all but those of
the first window have at least ``WINDOW - STRIDE`` tokens before them. Where the vocabulary wants a beginning token,
each window begins with one, which is not scored. Values of two models compare only where their tokens are the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from .engine import CHUNK, Engine, Slice

WINDOW, STRIDE = 1024, 512


class Loss(NamedTuple):
    """How much worse one way to compute foretells the same tokens than another."""

    share: float  # of the perplexity; 0.02 is 2 % worse
    error: float  # its standard error, of the paired differences


def perplexity(surprises: Sequence[float]) -> float:
    """Of a text whose tokens have these negative log-likelihoods, of which there is one at least."""
    return math.exp(math.fsum(surprises) / len(surprises))


def loss(surprises: Sequence[float], reference: Sequence[float]) -> Loss:
    """What the first lose against the second, token by token the same text."""
    gaps = [one - other for one, other in zip(surprises, reference, strict=True)]
    mean = math.fsum(gaps) / len(gaps)
    spread = math.fsum((gap - mean) ** 2 for gap in gaps) / max(len(gaps) - 1, 1)
    return Loss(math.expm1(mean), math.exp(mean) * math.sqrt(spread / len(gaps)))


def surprises(
    engine: Engine, tokens: Sequence[int], *, window: int = WINDOW, stride: int = STRIDE, begin: int | None = None
) -> list[float]:
    """Negative log-likelihoods of all ``tokens`` but the first, in nats; uses and empties stream 0.

    ``window`` counts the beginning token ``begin`` too, and is at most the engine's; ``stride`` is less than it.
    """
    head = [] if begin is None else [begin]
    room = min(window, engine.info.window) - len(head)
    found: list[float] = []
    for start in range(0, len(tokens), min(stride, room - 1)):
        part = tokens[start : start + room]
        new = start + len(part) - 1 - len(found)  # tokens that no window before this one held
        if new > 0:
            found += _last(engine, [*head, *part[:-1]], part[len(part) - new :])
    return found


def _last(engine: Engine, fed: Sequence[int], targets: Sequence[int]) -> list[float]:
    """Feeds a window from its start; of each of its last tokens, how little it leads one to expect the target."""
    engine.trim(0, 0)
    silent = len(fed) - len(targets)  # tokens after which nothing is asked
    left, found = iter(targets), []
    for at in range(0, len(fed), CHUNK):
        piece = fed[at : at + CHUNK]
        asked = list(islice(left, max(at + len(piece) - max(silent, at), 0)))
        (result,) = engine.step([Slice(0, piece, at, targets=asked or None)])
        found += [-value for value in result.logprobs or ()]
    engine.trim(0, 0)
    return found
