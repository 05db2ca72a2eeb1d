"""Whether new work is let in, or refused at the door with the time after which to come again: a pure decision.

A queue that grows without end serves nobody: everybody waits, and who gives up leaves work behind that is done for
nothing. So the door counts. How long a newcomer would wait is estimated as for a fluid: only what is of its class or a
higher one stands before it, the streams are full while anybody waits, and a token then costs what it costs in a full
step. With N works ahead on S streams, all of them together worth T milliseconds, a stream is free when N - S + 1 of
them are gone, after T (N - S + 1) / N; before that, an interactive newcomer takes the stream of a lower class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import BadInput, OSFault, Overloaded
from .policy import PATIENCE, Costs


@dataclass(frozen=True)
class Ahead:
    """What is in the machine of one class, running or waiting."""

    works: int = 0
    prefill: int = 0  # tokens that have to be prefilled yet
    answers: int = 0  # tokens that have to be drawn yet


@dataclass(frozen=True)
class Asked:
    """What wants to come in."""

    priority: int
    prefill: int  # tokens of its prompt that lie nowhere
    answer: int  # tokens it is going to draw, as far as is known
    deadline: float | None = None  # seconds in which its answer has to be complete


@dataclass(frozen=True)
class Door:
    """How much may wait."""

    streams: int
    most: int = 512  # works of its class and the higher ones that a newcomer finds without a stream
    patience: float | None = None  # seconds to the first token that a newcomer is let in for; None: any


@dataclass(frozen=True)
class Expected:
    """Seconds that a newcomer may expect: to its first token, and to the end of its answer."""

    first: float
    done: float


@dataclass(frozen=True)
class Refusal:
    """Why it is not let in. ``retry_after``: seconds; None where it would be refused by an empty machine too."""

    reason: str  # "queue", "patience" or "deadline"
    retry_after: int | None
    expected: Expected

    def fault(self) -> OSFault:
        """The error that says so to a user."""
        if self.retry_after is None:
            return BadInput(
                f"the answer takes some {self.expected.done:.1f} s even on an empty machine",
                hint="allow more time, or ask for fewer tokens",
                expected=round(self.expected.done, 1),
            )
        what = "too many requests wait" if self.reason == "queue" else "an answer would come too late"
        return Overloaded(
            f"{what}: the first token is {self.expected.first:.1f} s away",
            hint=f"try again in {self.retry_after} s",
            retry_after=self.retry_after,
            reason=self.reason,
        )


def admit(asked: Asked, ahead: Mapping[int, Ahead], door: Door, costs: Costs) -> Refusal | None:
    """None where it is let in. ``ahead``: what is in the machine, by class."""
    expected = foresee(asked, ahead, door.streams, costs)
    before = _before(asked, ahead)
    if (over := before.works - door.streams - door.most + 1) > 0:
        gone = _worth(before, door.streams, costs) * over / before.works
        return Refusal("queue", _seconds(gone / 1000), expected)
    if asked.deadline is not None and expected.done > asked.deadline:
        alone = foresee(asked, {}, door.streams, costs)
        if alone.done > asked.deadline:
            return Refusal("deadline", None, alone)
        return Refusal("deadline", _seconds(expected.done - asked.deadline), expected)
    # Who finds nobody waiting is never sent away: its own prefill is no reason.
    if door.patience is not None and before.works >= door.streams and expected.first > door.patience:
        return Refusal("patience", _seconds(expected.first - door.patience), expected)
    return None


def foresee(asked: Asked, ahead: Mapping[int, Ahead], streams: int, costs: Costs) -> Expected:
    """How long it is going to take, if nobody else comes."""
    before = _before(asked, ahead)
    waiting = before.works - streams + 1
    wait = _worth(before, streams, costs) * waiting / before.works if waiting > 0 else 0.0
    own = asked.prefill * costs.prefill_each
    if before.works:  # others decode meanwhile
        own *= (PATIENCE + 1) / PATIENCE
    decoding = min(before.works + 1, streams)
    first = wait + own
    return Expected(first / 1000, (first + asked.answer * costs.decode(decoding)) / 1000)


def _before(asked: Asked, ahead: Mapping[int, Ahead]) -> Ahead:
    mine = [a for priority, a in ahead.items() if priority <= asked.priority]
    return Ahead(sum(a.works for a in mine), sum(a.prefill for a in mine), sum(a.answers for a in mine))


def _worth(ahead: Ahead, streams: int, costs: Costs) -> float:
    """Milliseconds that all of it takes together."""
    full = min(ahead.works, streams)
    return ahead.prefill * costs.prefill_each + ahead.answers * costs.decode(full) / max(full, 1)


def _seconds(time: float) -> int:
    """As a header wants them: whole, at least one."""
    return max(1, math.ceil(time))
