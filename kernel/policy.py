"""What the next step computes: a pure decision over a small view of all sequences. No clock, no engine, no state.

1. Places. Streams go to sequences by rank: class of priority, then those still within their quantum, then the
   process tree that has had the least service (in quanta), then the order of arrival. Whoever holds a stream
   and is not chosen is swapped out. Who is passed over for long rises, a class every `AGE` steps: a lower class
   is served rarely under a load of higher ones, but not never.
2. Kind. Decoding and prefill take turns, since a step of both kinds costs as much as one of each: a decode
   step comes at the latest after ``patience`` prefill steps, so an answer under way never waits longer.
3. Parts. A decode step takes every decoding sequence. A prefill step takes whole cuts in the order of rank
   while they fit into one cut's worth of tokens. Cuts stand at multiples of ``chunk`` in the sequence itself,
   never where room happens to end: what a sequence computes must not depend on its neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

PATIENCE = {0: 2, 1: 4, 2: 8}
"""Most prefill steps in a row while a sequence of that priority class decodes."""


AGE = 200
"""Steps that a sequence is passed over before it ranks one class higher; some ten seconds on two cores."""


@dataclass(frozen=True)
class View:
    """What the decision knows of one sequence."""

    key: int
    priority: int  # 0 interactive, 1 normal, 2 batch
    service: int  # tokens computed for its process tree, counted from when the tree last became active
    arrival: int
    resident: bool  # holds a stream now
    at: int  # tokens in its stream
    left: int  # tokens still to be prefilled; 0 means that it decodes
    ran: int  # tokens computed since it last got a stream
    passed: int = 0  # steps since something of it was last computed


@dataclass(frozen=True)
class Budget:
    """What the engine has to give."""

    streams: int
    chunk: int
    batch: int  # most tokens in one step
    quantum: int = 512  # tokens for which a sequence keeps its stream against others of its class


@dataclass(frozen=True)
class Turn:
    """The decision: who holds a stream, and how many tokens of whom are computed now."""

    hold: tuple[int, ...]
    parts: tuple[tuple[int, int], ...]
    prefill: bool


def rank(view: View, quantum: int) -> tuple[int, bool, int, int]:
    """Sort key of a sequence; the smallest goes first."""
    settled = view.resident and view.ran < quantum
    return (view.priority - view.passed // AGE, not settled, view.service // quantum, view.arrival)


def cut(at: int, left: int, chunk: int) -> int:
    """Tokens of the next prefill cut: up to the next multiple of ``chunk``."""
    return min(left, chunk - at % chunk)


def decide(views: Sequence[View], budget: Budget, since_decode: int) -> Turn:
    """The next step; ``since_decode`` counts the prefill steps since the last decode step."""
    chosen = sorted(views, key=lambda v: rank(v, budget.quantum))[: budget.streams]
    hold = tuple(v.key for v in chosen)
    decoding = [v for v in chosen if v.left == 0]
    filling = [v for v in chosen if v.left > 0]
    patience = min((PATIENCE[v.priority] for v in decoding), default=0)
    if filling and (not decoding or since_decode < patience):
        return Turn(hold, _cuts(filling, budget), prefill=True)
    return Turn(hold, tuple((v.key, 1) for v in decoding[: budget.batch]), prefill=False)


def _cuts(filling: Sequence[View], budget: Budget) -> tuple[tuple[int, int], ...]:
    room = min(budget.chunk, budget.batch)
    parts: list[tuple[int, int]] = []
    for view in filling:
        tokens = cut(view.at, view.left, budget.chunk)
        if tokens <= room:
            parts.append((view.key, tokens))
            room -= tokens
    return tuple(parts)
