"""What the next step computes: a pure decision over a small view of all sequences. No clock, no engine, no state.

1. **Held back.** Who awaits a prefix that another one computes, if that one is of no lower class.
2. **Streams** go by class, then by fair shares; see `claims`.
3. **Kind.** Decoding comes first, and takes turns with prefill, since a step of both costs as much as one of each.
   Between two decode steps the prefill has a budget of time: `PATIENCE` decode steps, so nobody who reads along waits
   longer than three; where few decode, `FLOOR`. More only where it pays soon: short rests that bring in as many as
   decode now, and the first token of an interactive one, both within `JOIN`.
4. **Parts.** A decode step takes every decoding sequence, wider ones as far as the same time allows. A prefill step
   takes cuts in the order of rank, those of interactive ones by themselves; half of the room is for who is first, the
   rest for the shortest. No cut is shorter than the engine's grain, and none leaves less than that: what a sequence
   computes does not depend on where it was cut.
5. **Adapters.** A step is of one adapter. Another one takes over when one of its sequences was passed over for `SHARE`
   milliseconds, or waits interactively for its first token; the one that waits longest first.

What holds, and why (`tests/kernel/test_policy_properties.py` plays it against a simulated machine):

* *Budget.* At most ``batch`` tokens, ``streams`` holders, one adapter and one kind in a step.
* *Work-conserving.* A step is empty only where nobody is there: who is held back, is so by one that is not.
* *Gap.* Between two tokens of an answer that keeps its stream there is one decode step and at most so much prefill:
  `PATIENCE` decode steps, `FLOOR` where fewer than `FEW` decode, or `JOIN` for short rests and interactive newcomers; a
  single cut of `SLIVER` is made however slow the machine is. Between adapters, see below.
* *Interactive.* A newcomer takes a stream at once where not all are held by its class, and is in the next prefill step;
  that is the next step or the one after. So its first token waits for the step under way, one decode step, prefill of
  others of its class, and its own.
* *Fairness.* For trees i and j of a class of which somebody waits for a stream all the time, |S_i - S_j| <= q + s m,
  with S the service by weight, q the quantum, s the streams and m the largest work, by weight. For the tree with the
  least service, in quanta, gets the next stream; so who is ahead by more than q gets none, and gains only what is left
  of the works it has begun, which are s at most (as in start-time fair queueing, Goyal, Vin and Cheng 1996, where s is
  1). Works that were put out in the middle of an answer, by another class, count as begun.
* *No starvation.* Within a class by fairness; the class as such rises, see `claims`; who holds a stream and waits for
  prefill rises in the same way. An adapter waits for at most `SHARE` and a step of each other one.
"""

from __future__ import annotations

from collections.abc import Sequence

from .claims import claims, fair, level
from .turns import INTERACTIVE, NOTHING, Budget, Costs, Last, Place, Turn, View, weight

__all__ = ["Budget", "Costs", "Last", "Place", "Turn", "View", "cut", "decide", "weight"]

SLIVER = 16
"""Tokens below which a cut costs nearly as much as one of that many: none is made that does not end a prefill."""

PATIENCE = 2.0
"""Decode steps' worth of prefill between two decode steps."""

FLOOR = 40.0
"""Milliseconds of prefill between two decode steps that nobody notices: the budget where fewer than `FEW` decode."""

FEW = 8

JOIN = 120.0
"""Milliseconds of prefill between two decode steps where it makes the batch twice as large."""

SHARE = 150.0
"""Milliseconds that an adapter keeps the engine while others wait."""


def decide(views: Sequence[View], budget: Budget, costs: Costs, last: Last = NOTHING) -> Turn:
    """The next step. Empty only where ``views`` are."""
    ready = _ready(views)
    placed, holding = claims(ready, budget)
    adapter = _adapter(holding, last)
    mine = [v for v in holding if v.adapter == adapter]
    filling = sorted((v for v in mine if v.left > 0), key=lambda v: (level(v), fair(v, budget.quantum)))
    decoding = [v for v in mine if v.left == 0]
    # Of those that make room, only who has to go in this very step does not decode.
    going = {victim for _, victim in placed}
    reading = decoding + [v for v in ready if v.key in going and v.left == 0 and v.adapter == adapter]
    # Of an adapter that comes back, that kind goes first which was away for longer.
    first = adapter != last.adapter and reading and _idle(reading) >= _idle(filling)
    parts = () if first else _prefill(filling, reading, budget, costs, last)
    prefill = bool(parts)
    if not prefill:
        came = dict(placed)
        gone = {came[v.key] for v in decoding if v.key in came}
        parts = _decode([v for v in reading if v.key not in gone], budget, costs, last)
    now = {key for key, _ in parts}
    return Turn(parts, prefill, tuple(p for p in placed if p[0] in now or p[1] is None), adapter)


def cut(left: int, room: int, grain: int) -> int:
    """Tokens of the next cut: at most ``room``; 0 where less than the grain would be cut off or left over."""
    if left <= room:
        return left
    most = min(room, left - grain)
    return most if most >= grain else 0


def _ready(views: Sequence[View]) -> Sequence[View]:
    """Without those that are held back: who awaits one of a lower class is not, nor is who awaits in a ring."""
    here = {v.key: v for v in views}
    if all(v.awaits not in here for v in views):
        return views

    def held(view: View) -> bool:
        other, seen = view, set()
        while other.awaits in here and other.key not in seen:
            seen.add(other.key)
            other = here[other.awaits]
        return view.awaits in here and other.key not in seen and here[view.awaits].priority <= view.priority

    return [v for v in views if not held(v)]


def _adapter(holding: Sequence[View], last: Last) -> str:
    """Whose turn it is."""
    groups: dict[str, list[View]] = {}
    for view in holding:
        groups.setdefault(view.adapter, []).append(view)
    if len(groups) < 2:
        return next(iter(groups), last.adapter)
    waits = {
        name: (any(v.priority == INTERACTIVE and not v.started for v in group), _idle(group))
        for name, group in groups.items()
    }
    longest = max(waits, key=lambda name: (waits[name], name))
    if last.adapter not in waits:
        return longest
    due = waits[longest][0] > waits[last.adapter][0] or waits[longest][1] >= SHARE
    return longest if due else last.adapter


def _idle(views: Sequence[View]) -> float:
    """Milliseconds since something of these was computed; where nothing was yet, since the first of them came."""
    ran = [v.passed for v in views if v.ran]
    return min(ran) if ran else max((v.passed for v in views), default=0.0)


def _prefill(
    filling: Sequence[View], decoding: Sequence[View], budget: Budget, costs: Costs, last: Last
) -> tuple[tuple[int, int], ...]:  # fmt: skip
    """The cuts of a prefill step; none where it is time to decode."""
    urgent = [v for v in filling if level(v) <= INTERACTIVE]
    chosen = urgent or filling
    if not chosen:
        return ()
    room = _room(chosen, decoding, budget, costs, last)
    if decoding and not last.prefilled:
        if urgent:  # its first token is awaited: it need not fit
            room = max(room, min(chosen[0].left, _tokens(JOIN, costs, budget)))
        room = max(room, min(chosen[0].left, SLIVER + budget.grain))  # however slow the machine is, there is progress
    return _cuts(chosen, min(room, budget.batch), budget)


def _room(filling: Sequence[View], decoding: Sequence[View], budget: Budget, costs: Costs, last: Last) -> int:
    """Tokens of prefill for which there is time before the next decode step."""
    if not decoding:
        return budget.batch
    time = PATIENCE * costs.decode(len(decoding))
    if len(decoding) < FEW:
        time = max(time, FLOOR)
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


def _decode(decoding: Sequence[View], budget: Budget, costs: Costs, last: Last) -> tuple[tuple[int, int], ...]:
    """Every decoding sequence; wider ones as long as the others are not kept waiting for it."""
    count = len(decoding)
    time = (PATIENCE + 1) * costs.decode(count) - last.prefilled - costs.decode_base
    room = min(budget.batch, int(time / costs.decode_each)) - count if costs.decode_each else budget.batch - count
    parts = []
    for view in sorted(decoding, key=lambda v: fair(v, budget.quantum)) if count > budget.batch else decoding:
        more = max(min(view.width - 1, room), 0)
        room -= more
        parts.append((view.key, 1 + more))
    return tuple(parts[: budget.batch])
