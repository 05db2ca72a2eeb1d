"""A process that comes back runs its code again over its journal: what it got before, it gets again.

A call is met with the oldest entry that is like it (same name, same arguments) and was not asked for yet. Outcomes
are handed back in the order in which they came, each only after the calls that had been made by then: so code that
runs several calls at a time sees them end in the same order as before. A call that no entry is like waits for the
rest of the journal to be asked for; when nothing moves any more, the code is not what it was: `Diverged`.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

from ..memory.journal import Entry
from .errors import Diverged

PATIENCE = 10.0
"""Seconds without a call after which code that asks for something else counts as changed."""

CANCELLED = "cancelled"
"""The outcome of a call that the process itself gave up."""

_TURNS = 4  # rounds of the event loop that code has to act on one outcome before the next is handed back


class Replay:
    """What a process did in earlier lives. Owned by the event loop's thread.

    ``saved``: the process handed over its state, and the entries begin after that. ``counts`` are its calls by name
    until then.
    """

    def __init__(
        self, entries: Sequence[Entry], *, saved: bool = False, counts: Mapping[str, int] | None = None,
        patience: float | None = None,
    ) -> None:  # fmt: skip
        calls = [entry for entry in entries if not entry.call.startswith("!")]
        self.counts = Counter(counts or {})  # of all calls that were made
        self.numbers: dict[int, int] = {}  # of each entry: how many of its name there were with it
        for entry in calls:
            self.counts[entry.call] += 1
            self.numbers[entry.id] = self.counts[entry.call]
        self._left = _asked_for_again(calls)
        told = [entry for entry in self._left if entry.ok is not None and not _cancelled(entry)]
        self._outcomes = deque(sorted(told, key=lambda entry: (entry.after or 0, entry.ended or 0.0)))
        self._patience = PATIENCE if patience is None else patience
        self._moved = asyncio.Event()  # set whenever something was asked for or handed back
        self.begins = saved  # until the code has taken over the state

    @property
    def over(self) -> bool:
        """Whether all has been asked for and handed back."""
        return not (self._left or self._outcomes or self.begins)

    def next(self) -> Entry | None:
        """The oldest call with an outcome that the code has not asked for again."""
        return next((entry for entry in self._left if entry.ok is not None and not _cancelled(entry)), None)

    async def meet(self, name: str, fields: dict[str, Any], within: int | None) -> Entry | None:
        """The entry of this call, as soon as it is its turn; None for one that was never made. Raises `Diverged`."""
        while (found := self._take(name, fields, within)) is None:
            if not self._left:
                return None
            await self._move(name, fields)
        self._moved.set()
        if found.ok is None:
            return found
        if _cancelled(found):
            await asyncio.Future()  # until it is given up again
        while self._outcomes[0] is not found or any(entry.n <= (found.after or 0) for entry in self._left):
            await self._move(name, fields)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        self._outcomes.popleft()
        self._moved.set()
        return found

    def _take(self, name: str, fields: dict[str, Any], within: int | None) -> Entry | None:
        for place, entry in enumerate(self._left):
            if (entry.call, entry.within) == (name, within) and entry.args == fields:
                return self._left.pop(place)
        return None

    async def _move(self, name: str, fields: dict[str, Any]) -> None:
        """Until something moves."""
        self._moved.clear()
        try:
            await asyncio.wait_for(self._moved.wait(), self._patience)
        except TimeoutError:
            expected = self._left[0] if self._left else self._outcomes[0]
            raise diverged(f"calls {name}", expected, asked=fields) from None


def diverged(what: str, expected: Entry, **more: Any) -> Diverged:
    """The error for code that does something else than its journal says."""
    return Diverged(
        f"the app has changed: it {what}, its journal has {expected.call} as call {expected.n}",
        hint=f"run the version that started it, or end it: llmos kill {expected.pid}",
        call=expected.call, n=expected.n, args=expected.args, **more,
    )  # fmt: skip


def _cancelled(entry: Entry) -> bool:
    return entry.ok is False and (entry.reply or {}).get("code") == CANCELLED


def _asked_for_again(calls: Sequence[Entry]) -> list[Entry]:
    """In order, without what was done in the course of a call that has its outcome: nobody asks for that again."""
    cut: set[int | None] = {None}
    found = []
    for entry in calls:
        if entry.within in cut:
            found.append(entry)
            if entry.ok is None:
                cut.add(entry.id)
    return found
