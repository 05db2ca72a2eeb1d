"""The engine's streams: who holds which, what lies in each, and which prompt may start from it.

What is left in a stream after its work is done stays as a cache for prompts that begin alike; when the stream is
needed for something else, its state goes on the shelf: all of it where it is the last that a living process computed,
else the beginning that several processes had in common. A prefix is shared only where computing it again would give
the same bits: tokens that were prefilled in cuts of at least the engine's grain, from the start; where the grain is 1,
every token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from ..models.engine import EngineInfo
from .prefixes import Prefixes
from .process import Process
from .sequence import Root, Work
from .shelf import Shelf

WORTH = 64
"""Least tokens beyond what lies elsewhere for which a state is put on the shelf rather than computed again."""


@dataclass(eq=False)
class Stream:
    """One place in the engine. Owned by the event loop's thread; steps change it only through the scheduler."""

    index: int
    tokens: list[int] = field(default_factory=list)
    whole: int = 0  # leading tokens that may be shared
    root: Root = ("", "")
    process: Process | None = None  # who computed it
    common: int = 0  # leading tokens that processes have begun with from one another
    holder: Work | None = None
    used: int = 0  # tick of the last use


@dataclass(frozen=True, eq=False)
class Kept:
    """What a state on the shelf holds."""

    tokens: list[int]
    whole: int
    root: Root
    process: Process | None


Holder = Stream | int
"""Where a prefix lies: in a stream, or on the shelf under this number."""


class Streams:
    """All streams of one engine and the states that left them, as the scheduler sees them."""

    def __init__(self, info: EngineInfo, shelf: Shelf) -> None:
        self.places = [Stream(i) for i in range(info.streams)]
        self.prefixes: Prefixes[Holder, Work] = Prefixes(info.chunk)
        self.shelf = shelf
        self.kept: dict[int, Kept] = {}
        self.asked = 0  # tokens of prompts that were placed, and
        self.saved = 0  # how many of them lay somewhere
        self.hits = 0  # prompts that began with something that lay somewhere, and
        self.placed = 0  # of how many
        self._grain = info.grain
        self._tick = 0
        self._last: WeakKeyDictionary[Process, int] = WeakKeyDictionary()  # tick of the last stream that each got
        self._parked: WeakKeyDictionary[Process, int] = WeakKeyDictionary()  # what it computed last, on the shelf

    def of(self, work: Work) -> Stream:
        """The stream that a work holds."""
        assert work.stream is not None
        return self.places[work.stream]

    def in_use(self) -> int:
        """Streams held by work that is not over."""
        return sum(p.holder is not None for p in self.places)

    # -- finding --

    def best(self, work: Work) -> tuple[Holder, int] | None:
        """The longest prefix of its prompt that lies somewhere; rather in an idle stream than a busy one."""
        found = self.prefixes.find(work.root, work.prompt, work.keys, self._most(work))
        return max(found, key=lambda one: (one[1], _ease(one[0])), default=None)

    def coming(self, work: Work, able: Callable[[Work], bool]) -> tuple[Work, int] | None:
        """The longest prefix of its prompt that one of the ``able`` is going to compute."""
        able_other = lambda other: other is not work and able(other)  # noqa: E731
        return self.prefixes.promised(work.root, work.prompt, work.keys, self._most(work), able_other)

    def _most(self, work: Work) -> int:
        return len(work.prompt) - self._grain  # a shorter rest would take another path than as a part of a longer cut

    def free(self, keep: Holder | None = None) -> Stream | None:
        """A stream without holder: an empty one, else the one used longest ago, ``keep`` only if it is the last."""
        idle = [p for p in self.places if p.holder is None]
        return min(idle, key=lambda p: (p is keep, bool(p.tokens), p.used, p.index), default=None)

    # -- changing --

    def count(self, prompt: int, found: int) -> None:
        """A prompt of so many tokens was placed, of which so many lay somewhere."""
        self.placed += 1
        self.hits += found > 0
        self.asked += prompt
        self.saved += found

    def give(self, stream: Stream, work: Work) -> None:
        """The work holds the stream from now on."""
        self._tick += 1
        stream.holder, stream.used, stream.process = work, self._tick, work.process
        self._last[work.process] = self._tick
        work.stream, work.ran = stream.index, 0

    def fill(self, stream: Stream, tokens: Sequence[int], whole: int, root: Root, common: int = 0) -> None:
        """Something else lies in the stream now."""
        self.prefixes.drop(stream)
        stream.tokens, stream.whole, stream.root, stream.common = list(tokens), whole, root, common
        self.prefixes.put(stream, root, stream.tokens, whole)

    def wrote(self, stream: Stream, tokens: Sequence[int], cut: int) -> None:
        """A step appended tokens, computed in a cut of so many."""
        joined = stream.whole == len(stream.tokens) and cut >= self._grain
        stream.tokens += tokens
        if joined:
            stream.whole = len(stream.tokens)
            self.prefixes.extend(stream, stream.whole)

    def cut(self, stream: Stream, length: int) -> None:
        """Keep the first ``length`` tokens."""
        del stream.tokens[length:]
        stream.common = min(stream.common, length)
        if stream.whole > length:
            stream.whole = length
            self.prefixes.shorten(stream, length)

    def leave(self, work: Work, *, forget: bool) -> None:
        """The work gives its stream back; what lies there stays as a cache unless it is to be forgotten."""
        if work.stream is None:
            return
        stream = self.of(work)
        stream.holder, work.stream = None, None
        if forget:
            self.fill(stream, (), 0, ("", ""))

    def clear(self) -> None:
        """Forget whatever nobody holds: for measurements and tests."""
        for stream in self.places:
            if stream.holder is None:
                self.fill(stream, (), 0, ("", ""))
        for key in list(self.kept):
            self.drop(key)

    # -- the shelf --

    def worth_keeping(self, stream: Stream, but: int = 0) -> int:
        """How much of an idle stream should go on the shelf; ``but`` so many tokens that stay in it. 0: it may go."""
        process = stream.process
        latest = process is not None and process.alive and self._last.get(process) == stream.used
        length = len(stream.tokens) if latest else stream.common
        shared = min(stream.whole, length)
        if shared - but < WORTH:
            return 0
        keys = self.prefixes.keys(stream.tokens[:shared])
        found = self.prefixes.find(stream.root, stream.tokens, keys, shared)
        elsewhere = max((has for holder, has in found if holder is not stream), default=0)
        return length if shared - elsewhere >= WORTH else 0

    def outdated(self, process: Process) -> int | None:
        """The state on the shelf that a process goes on from no more, now that it computes something newer."""
        return self._parked.pop(process, None)

    def leave_off(self, process: Process) -> None:
        """A process has ended: what it computed last need not be kept for it."""
        if (key := self.outdated(process)) is not None:
            self.drop(key)

    def drop(self, key: int) -> None:
        """A state on the shelf is not needed any more."""
        self.shelf.drop(key)
        self.unshelved(key)

    def shelved(self, key: int, kept: Kept) -> None:
        """A state lies on the shelf now."""
        self.kept[key] = kept
        self.prefixes.put(key, kept.root, kept.tokens, kept.whole)
        if kept.process is not None:
            self._parked[kept.process] = key

    def unshelved(self, key: int) -> None:
        """It no longer does."""
        if self.kept.pop(key, None) is not None:
            self.prefixes.drop(key)


def _ease(holder: Holder) -> int:
    return 0 if isinstance(holder, int) else 1 if holder.holder is not None else 2
