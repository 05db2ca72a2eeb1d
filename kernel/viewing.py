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
                found = self._cached(work)
                left = len(work.feed) - found
                if not process.usage.computed:
                    place = Place.NEW
                awaits = self._awaits(work, ready, found)
        root = process.account.root()
        return View(
            key=work.arrival,
            tree=id(root),
            priority=int(process.priority),
            service=root.service,
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

    def _cached(self, work: Work) -> int:
        """Tokens of its prompt that lie somewhere."""
        version = self._streams.prefixes.version
        if work.version != version:
            found = self._streams.best(work)
            work.version, work.cached = version, found[1] if found is not None else 0
        return work.cached

    def _awaits(self, work: Work, ready: Mapping[int, Work], found: int) -> int | None:
        """Who is going to have more of its prompt than lies anywhere now, and will be there before it."""

        def before(other: Work) -> bool:
            if other.arrival not in ready:
                return False
            ahead = other.arrival < work.arrival and other.process.priority <= work.process.priority
            return other.stream is not None or ahead

        coming = self._streams.coming(work, before)
        return coming[0].arrival if coming is not None and coming[1] >= found + SOON else None
