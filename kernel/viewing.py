"""What the policy sees of the works that may compute now."""

from __future__ import annotations

from collections.abc import Mapping

from .policy import Place, View
from .sequence import Work
from .streams import Streams

SOON = 16
"""Tokens more that another work must be going to have than lie somewhere now, for a work to wait for it."""


class Viewing:
    """Makes views. Owned by the event loop's thread."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def view(self, work: Work, ready: Mapping[int, Work], now: float) -> View:
        """One work, at a time in seconds by the monotonic clock; ``ready`` are all that may compute, by arrival."""
        process, left = work.process, work.left
        place, awaits = Place.STREAM, None
        if work.stream is None:
            place = Place.SAVED
            if work.shelved is None:
                # What it will find when it is placed: then short rests of several prompts share a step.
                awaits = self._look_up(work, ready)
                left = len(work.feed) - work.cached
                if not process.usage.computed:
                    place = Place.NEW
        return View(
            key=work.arrival,
            priority=int(process.priority),
            service=process.account.root().service,
            arrival=work.arrival,
            place=place,
            left=left,
            ran=work.ran,
            passed=(now - work.seen) * 1000,
            started=work.started,
            width=work.width,
            adapter=work.root[1],
            awaits=awaits,
            most=work.most_cut,
        )

    def _look_up(self, work: Work, ready: Mapping[int, Work]) -> int | None:
        """Note what lies somewhere of its prompt; who is going to have more of it, and will be there before it.

        Looked up anew only where blocks came or went since, or where who was awaited will not be there.
        """

        def before(other: Work) -> bool:
            if other.arrival not in ready:
                return False
            ahead = other.arrival < work.arrival and other.process.priority <= work.process.priority
            return other.stream is not None or ahead

        version = self._streams.prefixes.version
        if work.version != version:
            found = self._streams.best(work)
            work.version, work.cached = version, found[1] if found is not None else 0
            work.coming = self._streams.coming(work, before)
        elif work.coming is not None and not before(work.coming[0]):
            work.coming = self._streams.coming(work, before)
        coming = work.coming
        return coming[0].arrival if coming is not None and coming[1] >= work.cached + SOON else None
