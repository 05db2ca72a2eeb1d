"""Who holds a stream: the order of those that wait, and who makes room for whom. Pure, a part of `policy.decide`.

**Order.** Class first. Within a class: who was put out in the middle of an answer, since its reader waits; then the
process tree with the least service, in quanta; then who was here before (its state was saved) before newcomers; then
by arrival. So within a class nobody is overtaken but by trees that had less.

**Ageing.** A class of which nobody holds a stream rises by one each `AGE` milliseconds that its first one is passed
over. So every class has at least one stream after ``3 AGE`` at most, however many of higher classes come, and keeps it
for a quantum against all but the interactive class; more it does not get, so that ageing does not turn into thrashing.

**Room.** A newcomer takes a free stream. Where none is free, one holder makes room: one of a lower class, or of the
same if it has shown nothing and its tree had a quantum more service, or once it has had its quantum. Where few were put
out in the middle of an answer, they put out others of their class after `RETURN` milliseconds: a gap is shared, not
suffered by one. The last ``reserve`` streams are for the interactive class.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from .turns import INTERACTIVE, Budget, Place, View

AGE = 10_000_000.0
"""Milliseconds that a sequence is passed over before it ranks one class higher."""

RETURN = 200.0
"""Milliseconds after which who was put out in the middle of an answer may put out one that has had `LEAST`."""

SHARED = 16
"""Streams from which on a class that waited keeps one for a whole quantum."""

LEAST = 4
"""Tokens that a sequence computes before it makes room for one that was put out."""


def level(view: View) -> int:
    """Its class, after ageing."""
    return view.priority - int(view.passed // AGE)


def fair(view: View, quantum: int) -> tuple[bool, int, Place, int]:
    """Sort key within a class; the smallest goes first."""
    return (not view.broken, int(view.service // quantum), view.place, view.arrival)


def ordered(waiting: Iterable[View], holding: Collection[int], quantum: int) -> list[tuple[int, View]]:
    """All that wait for a stream, with the level of each. ``holding``: the classes that hold one; these do not age."""
    seen = set(holding)
    found: list[tuple[int, View]] = []
    for view in sorted(waiting, key=lambda v: (v.priority, fair(v, quantum))):
        found.append((view.priority if view.priority in seen else level(view), view))
        seen.add(view.priority)
    return sorted(found, key=lambda f: f[0])  # stable: of the same level, the higher class first


def claims(ready: Sequence[View], budget: Budget) -> tuple[list[tuple[int, int | None]], list[View]]:
    """Who gets a stream and from whom, and all who hold one then."""
    holders = {v.key: v for v in ready if v.place is Place.STREAM}
    waiting = [v for v in ready if v.place is not Place.STREAM]
    free = budget.streams - len(holders)
    few = sum(v.broken for v in waiting) <= max(budget.streams // 4, 1)  # else swapping would eat what it shares out
    placed: list[tuple[int, int | None]] = []
    refused: set[tuple[int, bool]] = set()
    for risen, view in ordered(waiting, {v.priority for v in holders.values()}, budget.quantum):
        if (view.priority, view.broken) in refused:
            continue  # nobody overtakes within a class
        victim = None
        if free > (0 if view.priority == INTERACTIVE else budget.reserve):
            free -= 1
        elif (victim := _victim(view, risen, holders.values(), budget, few)) is not None:
            del holders[victim.key]
        else:
            refused.add((view.priority, view.broken))
            continue
        placed.append((view.key, victim.key if victim is not None else None))
        holders[view.key] = view
    return placed, list(holders.values())


def _victim(newcomer: View, risen: int, holders: Collection[View], budget: Budget, few: bool) -> View | None:
    """Whom it does the least harm to, of those that have to make room for the newcomer."""

    def yields(holder: View) -> bool:
        if newcomer.priority != holder.priority:
            alone = sum(v.priority == holder.priority for v in holders) == 1
            return risen < holder.priority and not (alone and _kept(holder, newcomer, budget))
        if few and newcomer.broken and newcomer.passed >= RETURN:
            return holder.ran >= LEAST
        if holder.started and holder.ran < budget.quantum:
            return False
        return holder.service >= newcomer.service + budget.quantum or holder.ran >= budget.quantum

    able = [v for v in holders if v.place is Place.STREAM and yields(v)]
    return max(able, key=lambda v: (v.priority, not v.started, v.ran, v.service, v.arrival), default=None)


def _kept(holder: View, newcomer: View, budget: Budget) -> bool:
    """Whether the only holder of a lower class keeps its stream: where streams are few, for a part of the quantum."""
    return newcomer.priority != INTERACTIVE and holder.ran < budget.quantum * min(budget.streams, SHARED) // SHARED
