"""A process that comes back runs its code again over its journal: what it got before, it gets again.

A call is met with the oldest entry that is like it (same name, same arguments) and was not asked for yet. Outcomes
are handed back in the order in which they came, each only after the calls that had been made by then: so code that
runs several calls at a time sees them end in the same order as before. A call that was cut, and one that no entry is
like, come after all that. When nothing moves any more, the code is not what it was: `Diverged`.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..memory.journal import Entry
from .errors import Diverged

PATIENCE = 10.0
"""Seconds without a call after which code that asks for something else counts as changed."""

CANCELLED = "cancelled"
"""The outcome of a call that the process itself gave up."""

_TURNS = 4


async def let_act() -> None:
    """Rounds of the event loop that code has to act on one outcome before it hears of the next."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


class Replay:
    """What a process did in earlier lives. Owned by the event loop's thread.

    ``saved``: the process handed over its state, and the entries begin after that. ``counts`` are its calls by name
    until then. ``paused`` tells whether the process is stopped, so that nothing can move.
    """

    def __init__(
        self, entries: Sequence[Entry], *, saved: bool = False, counts: Mapping[str, int] | None = None,
        paused: Callable[[], bool] = lambda: False, patience: float | None = None, deep: bool = False,
    ) -> None:  # fmt: skip
        """``deep``: what was done in the course of a call is asked for again too, also where that has its outcome."""
        calls = [entry for entry in entries if not entry.call.startswith("!")]
        self.counts = Counter(counts or {})  # of all calls that were made
        self.numbers: dict[int, int] = {}  # of each entry: how many of its name there were with it
        for entry in calls:
            self.counts[entry.call] += 1
            self.numbers[entry.id] = self.counts[entry.call]
        self._levels = _levels(calls, deep)
        self._patience = PATIENCE if patience is None else patience
        self._patient_until = 0.0  # by the loop's clock: when all that is to be given up was so in its earlier life
        self._moved = asyncio.Event()  # set when something is asked for or handed back; a new one takes its place
        self._paused = paused
        self.begins = saved  # until the code has taken over the state

    @property
    def over(self) -> bool:
        """Whether all has been asked for and handed back."""
        return not self.begins and not any(level.left or level.outcomes for level in self._levels.values())

    def next(self) -> Entry | None:
        """The oldest call with an outcome that the code has not asked for again."""
        return next((entry for entry in self._levels[None].left if _told(entry)), None)

    def has(self, name: str, fields: dict[str, Any], within: int | None) -> bool:
        """Whether there is an entry like this call that was not asked for yet."""
        level = self._levels.get(within)
        return level is not None and any(e.call == name and e.args == fields for e in level.left)

    async def meet(self, name: str, fields: dict[str, Any], within: int | None) -> Entry | None:
        """The entry of this call, as soon as it is its turn; None for one that was never made. Raises `Diverged`."""
        found = await self.take(name, fields, within)
        if found is not None and found.ok is not None:
            await self.turn(found)
            return found
        level = self._levels.get(within)
        while level is not None and (level.left or level.outcomes):
            await self._move(level, name, fields)
        return found

    async def take(self, name: str, fields: dict[str, Any], within: int | None) -> Entry | None:
        """The entry of this call, which may be another's turn; None for one that was never made. Raises `Diverged`."""
        level = self._levels.get(within)
        if level is None:
            return None
        while (found := level.take(name, fields)) is None:
            if not level.left:
                break
            await self._move(level, name, fields)
        self._tell()
        if found is not None and _cancelled(found):
            self._await_end(found)
            await asyncio.Future()  # until it is given up again
        return found

    async def turn(self, found: Entry) -> None:
        """Until it is time for the outcome of an entry that was taken. Raises `Diverged`."""
        level = self._levels[found.within]
        try:
            while not level.turn(found):
                await self._move(level, found.call, found.args)
            await let_act()
        finally:  # handed back; or given up, as it may have been when its outcome was on its way: others go on
            level.outcomes.remove(found)
            self._tell()

    def _await_end(self, given_up: Entry) -> None:
        """Code may wait as long as it did before until it gives this call up."""
        waited = (given_up.ended or given_up.asked) - given_up.asked
        self._patient_until = max(self._patient_until, asyncio.get_running_loop().time() + waited + self._patience)

    def _tell(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _move(self, level: _Level, name: str, fields: dict[str, Any]) -> None:
        """Until something moves."""
        try:
            async with asyncio.timeout(self._patience):
                await self._moved.wait()
        except TimeoutError:
            if self._paused() or asyncio.get_running_loop().time() < self._patient_until:
                return
            expected = level.left[0] if level.left else level.outcomes[0]
            raise diverged(f"calls {name}", expected, asked=fields) from None


class _Level:
    """The calls of the code itself, or those made in the course of a call that was cut."""

    def __init__(self) -> None:
        self.left: deque[Entry] = deque()  # not asked for yet, in their order
        self.outcomes: deque[Entry] = deque()  # not handed back yet, in the order in which they came

    def take(self, name: str, fields: dict[str, Any]) -> Entry | None:
        for entry in self.left:
            if entry.call == name and entry.args == fields:
                self.left.remove(entry)
                return entry
        return None

    def turn(self, entry: Entry) -> bool:
        """Whether it is time for an outcome: those before it have been told, and all that was asked by then."""
        return self.outcomes[0] is entry and not (self.left and self.left[0].n <= (entry.after or 0))


def diverged(what: str, expected: Entry, **more: Any) -> Diverged:
    """The error for code that does something else than its journal says."""
    return Diverged(
        f"the app has changed: it {what}, its journal has {expected.call} as call {expected.n}",
        hint=f"run the version that started it, or end it: llmos kill {expected.pid}",
        call=expected.call, n=expected.n, args=expected.args, **more,
    )  # fmt: skip


def _cancelled(entry: Entry) -> bool:
    return entry.ok is False and (entry.reply or {}).get("code") == CANCELLED


def _told(entry: Entry) -> bool:
    return entry.ok is not None and not _cancelled(entry)


def _levels(calls: Sequence[Entry], deep: bool) -> dict[int | None, _Level]:
    """What will be asked for again: unless ``deep``, not what was done in the course of a call that has its outcome."""
    levels: dict[int | None, _Level] = {None: _Level()}
    for entry in calls:
        if entry.within in levels:
            levels[entry.within].left.append(entry)
            if deep or entry.ok is None:
                levels[entry.id] = _Level()
    for level in levels.values():
        told = sorted(filter(_told, level.left), key=lambda entry: (entry.after or 0, entry.ended or 0.0))
        level.outcomes.extend(told)
    return levels
