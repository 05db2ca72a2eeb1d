"""What the next step computes: a pure decision over a small view of all sequences. No clock, no engine, no state.

1. **Rank.** Class of priority first; who is passed over for long rises, a class every `AGE` milliseconds, so a lower
   class is served rarely under a load of higher ones, but not never. Within a class the process tree with the least
   service, in quanta; then who was here before (its state lies in a stream or was saved) before newcomers; then by
   arrival.
2. **Places.** Who holds a stream keeps it. A newcomer takes a free one; where none is free, one holder makes room: one
   of a lower class; or one of the same that has shown nothing and had a quantum more service; or, once it has had its
   quantum, one that is read along. The last ``reserve`` streams are for the interactive class. Where few were put out
   in the middle of an answer, they put out others after `RETURN` milliseconds: a gap is shared, not suffered by one.
3. **Kind.** Decoding comes first, and takes turns with prefill, since a step of both costs as much as one of each.
   Between two decode steps the prefill has a budget of time: `PATIENCE` decode steps, so nobody who reads along waits
   longer than three; where these are quick, `FLOOR`. More only where it pays soon: short rests that bring in as many as
   decode now, within `JOIN`.
4. **Parts.** A decode step takes every decoding sequence. A prefill step takes cuts in the order of rank, interactive
   ones by themselves; half of the room is for who is first, the rest for the shortest. No cut is shorter than the
   engine's grain, and none leaves less than that: what a sequence computes does not depend on where it was cut.
5. **Adapters.** A step is of one adapter. Another one takes over when one of its sequences was passed over for `SHARE`
   milliseconds, the one that waits longest first: with n adapters nobody waits longer than n times that and a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

SLIVER = 16
"""Tokens below which a cut costs nearly as much as one of that many: none is made that does not end a prefill."""

AGE = 30_000.0
"""Milliseconds that a sequence is passed over before it ranks one class higher."""

PATIENCE = 2.0
"""Decode steps' worth of prefill between two decode steps."""

FLOOR = 40.0
"""Milliseconds of prefill between two decode steps that nobody notices: the budget where few decode, in quick steps."""

JOIN = 120.0
"""Milliseconds of prefill between two decode steps where it makes the batch twice as large."""

RETURN = 200.0
"""Milliseconds after which who was put out in the middle of an answer may put out one that has had `LEAST`."""

LEAST = 4
"""Tokens that a sequence computes before it makes room for one that was put out."""

SHARE = 150.0
"""Milliseconds that an adapter keeps the engine while others wait."""

INTERACTIVE = 0


class Place(IntEnum):
    """Where a sequence's state is; the smaller, the sooner it can compute."""

    STREAM = 0
    SAVED = 1  # in memory or on disk
    NEW = 2


@dataclass(frozen=True)
class View:
    """What the decision knows of one sequence."""

    key: int
    priority: int  # 0 interactive, 1 normal, 2 batch
    service: float  # tokens computed for its tree by weight, counted from when the tree last became active
    arrival: int
    place: Place
    left: int  # tokens still to be prefilled; 0 means that it decodes
    ran: int = 0  # tokens computed since it last got a stream
    passed: float = 0.0  # milliseconds since something of it was last computed
    started: bool = False  # something of the answer under way was shown
    width: int = 1  # tokens that it wants in a decode step
    adapter: str = ""
    awaits: int | None = None  # who computes a prefix that this one will copy
    most: int | None = None  # most tokens of one cut


@dataclass(frozen=True)
class Costs:
    """What steps cost on this machine, in milliseconds."""

    decode_base: float = 4.0
    decode_each: float = 3.5
    prefill_each: float = 1.2

    def decode(self, tokens: int) -> float:
        """A decode step of so many tokens."""
        return self.decode_base + self.decode_each * tokens


@dataclass(frozen=True)
class Budget:
    """What the engine has to give."""

    streams: int
    grain: int  # least tokens of a cut, see `EngineInfo`
    batch: int  # most tokens in one step
    quantum: int = 512  # tokens for which a sequence keeps its stream against others of its class
    reserve: int = 0  # streams of these that only the interactive class may take


@dataclass(frozen=True)
class Last:
    """What came before."""

    prefilled: float = 0.0  # milliseconds of prefill since the last decode step
    adapter: str = ""


@dataclass(frozen=True)
class Turn:
    """The decision: who gets a stream, who leaves one for it, and how many tokens of whom are computed now."""

    parts: tuple[tuple[int, int], ...]
    prefill: bool
    place: tuple[tuple[int, int | None], ...] = ()  # newcomer, and its victim where no stream is free
    adapter: str = ""


def decide(views: Sequence[View], budget: Budget, costs: Costs, last: Last = Last()) -> Turn:
    """The next step. Not empty as long as anybody is there who does not await another one of ``views``."""
    here = {v.key for v in views}
    ready = sorted((v for v in views if v.awaits not in here), key=lambda v: rank(v, budget.quantum))
    placed, holding = _places(ready, budget)
    adapter = _adapter(holding, last)
    mine = [v for v in holding if v.adapter == adapter]
    decoding = [v for v in mine if v.left == 0]
    filling = [v for v in mine if v.left > 0]
    parts = _prefill(filling, decoding, budget, costs, last)
    prefill = bool(parts)
    if not prefill:
        parts = _decode(decoding, budget)
    now = {key for key, _ in parts}
    return Turn(parts, prefill, tuple(p for p in placed if p[0] in now or p[1] is None), adapter)


def level(view: View) -> int:
    """Its class, after ageing."""
    return view.priority - int(view.passed // AGE)


def rank(view: View, quantum: int) -> tuple[int, int, Place, int]:
    """Sort key of a sequence; the smallest goes first."""
    return (level(view), int(view.service // quantum), view.place, view.arrival)


def cut(left: int, room: int, grain: int) -> int:
    """Tokens of the next cut: at most ``room``; 0 where less than the grain would be cut off or left over."""
    if left <= room:
        return left
    most = min(room, left - grain)
    return most if most >= grain else 0


# -- places --


def _places(ready: Sequence[View], budget: Budget) -> tuple[list[tuple[int, int | None]], list[View]]:
    """Who gets a stream and from whom, and all who hold one then, in the order of ``ready``."""
    holders = {v.key: v for v in ready if v.place is Place.STREAM}
    free = budget.streams - len(holders)
    out = sum(v.place is Place.SAVED and v.started for v in ready)
    few = 4 * out <= budget.streams  # else swapping would eat the time that it shares out
    placed: list[tuple[int, int | None]] = []
    for view in ready:
        if view.place is Place.STREAM:
            continue
        if free > (0 if view.priority == INTERACTIVE else budget.reserve):
            free -= 1
            placed.append((view.key, None))
        elif (victim := _victim(view, holders.values(), budget.quantum, few)) is not None:
            del holders[victim.key]
            placed.append((view.key, victim.key))
        else:
            continue
        if view.key not in holders:
            holders[view.key] = view
    return placed, [v for v in ready if v.key in holders]


def _victim(newcomer: View, holders: Iterable[View], quantum: int, few: bool) -> View | None:
    """Whom it does the least harm to, of those that have to make room for the newcomer."""
    able = [v for v in holders if v.place is Place.STREAM and _yields(v, newcomer, quantum, few)]
    return max(able, key=lambda v: (level(v), not v.started, v.ran, v.service, v.arrival), default=None)


def _yields(holder: View, newcomer: View, quantum: int, few: bool) -> bool:
    """Whether a holder has to make room. Ageing counts against other classes only."""
    if newcomer.priority != holder.priority:
        return newcomer.priority < holder.priority or level(newcomer) < level(holder)
    if few and newcomer.place is Place.SAVED and newcomer.started and newcomer.passed >= RETURN:
        return holder.ran >= LEAST
    if holder.started and holder.ran < quantum:
        return False
    return holder.service >= newcomer.service + quantum or holder.ran >= quantum


# -- kind and parts --


def _adapter(holding: Sequence[View], last: Last) -> str:
    if not holding:
        return last.adapter
    waits: dict[str, float] = {}
    for view in holding:
        waits[view.adapter] = max(waits.get(view.adapter, 0.0), view.passed)
    longest = max(waits, key=lambda name: (waits[name], name))
    if last.adapter not in waits:
        return longest
    return longest if waits[longest] >= SHARE and longest != last.adapter else last.adapter


def _prefill(
    filling: Sequence[View], decoding: Sequence[View], budget: Budget, costs: Costs, last: Last
) -> tuple[tuple[int, int], ...]:  # fmt: skip
    """The cuts of a prefill step; none where it is time to decode."""
    urgent = [v for v in filling if v.priority == INTERACTIVE]
    chosen = urgent or filling
    room = _room(chosen, decoding, budget, costs, last)
    if urgent and decoding and not last.prefilled:  # its first token is awaited: it need not fit
        room = max(room, min(chosen[0].left, _tokens(JOIN, costs, budget)))
    if not chosen:
        return ()
    if not last.prefilled:  # however slow the machine is, there is progress
        room = max(room, min(chosen[0].left, SLIVER + budget.grain))
    return _cuts(chosen, min(room, budget.batch), budget)


def _room(filling: Sequence[View], decoding: Sequence[View], budget: Budget, costs: Costs, last: Last) -> int:
    """Tokens of prefill for which there is time before the next decode step."""
    if not decoding:
        return budget.batch
    step = costs.decode(sum(v.width for v in decoding))
    time = max(PATIENCE * step, FLOOR)
    join = 0.0
    for count, left in enumerate(sorted(v.left for v in filling), 1):
        join += left * costs.prefill_each
        if last.prefilled + join > JOIN:
            break
        if count >= len(decoding):
            time = max(time, last.prefilled + join)
    return _tokens(time - last.prefilled, costs, budget)


def _tokens(time: float, costs: Costs, budget: Budget) -> int:
    return min(max(int(time / costs.prefill_each), 0), budget.batch)


def _cuts(filling: Sequence[View], room: int, budget: Budget) -> tuple[tuple[int, int], ...]:
    taken: dict[int, int] = {}
    first = filling[0]
    order = [first, *sorted(filling[1:], key=lambda v: v.left)]
    share = room if len(filling) == 1 else max(room // 2, min(first.left, SLIVER))
    for view, part in [(first, share), *((v, room) for v in order[1:]), (first, room)]:
        done = taken.get(view.key, 0)
        most = min(part, room) if view.most is None else min(part, room, view.most - done)
        tokens = cut(view.left - done, most, budget.grain)
        if tokens >= min(view.left - done, SLIVER, budget.batch - 1):
            taken[view.key] = done + tokens
            room -= tokens
    return tuple(taken.items())


def _decode(decoding: Sequence[View], budget: Budget) -> tuple[tuple[int, int], ...]:
    """Every decoding sequence; a wider one as long as there is room for the others."""
    room = budget.batch - len(decoding)
    parts = []
    for view in decoding[: budget.batch]:
        more = min(view.width - 1, max(room, 0))
        room -= more
        parts.append((view.key, 1 + more))
    return tuple(parts)
