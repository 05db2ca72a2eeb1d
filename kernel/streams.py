"""The engine's streams: who holds which, what lies in each, and which prompt may start from it.

What is left in a stream after its work is done stays as a cache for prompts that begin alike. A prefix is shared
only where computing it again would give the same bits: in the `exact` way these are the blocks that were
prefilled whole, from the start, cut at multiples of the engine's chunk; where the engine says that any cut gives
the same (``recompute="any"``), every token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .sequence import Work


@dataclass
class Stream:
    """One place in the engine. Owned by the event loop's thread; steps change it only through the scheduler."""

    index: int
    tokens: list[int] = field(default_factory=list)
    whole: int = 0  # leading tokens that were prefilled in whole, aligned blocks
    owner: str = ""  # prefixes are shared within an owner only
    holder: Work | None = None
    used: int = 0  # tick of the last use

    def clear(self) -> None:
        """Forget what lies in it."""
        self.tokens, self.whole, self.owner, self.holder = [], 0, "", None


class Streams:
    """All streams of one engine, as the scheduler sees them."""

    def __init__(self, count: int, chunk: int, *, any_cut: bool) -> None:
        self.places = [Stream(i) for i in range(count)]
        self._chunk = chunk
        self._any_cut = any_cut
        self._tick = 0

    def of(self, work: Work) -> Stream:
        """The stream that a work holds."""
        assert work.stream is not None
        return self.places[work.stream]

    def in_use(self) -> int:
        """Streams held by work that is not over."""
        return sum(p.holder is not None for p in self.places)

    def shared(self, stream: Stream, prompt: Sequence[int], owner: str) -> int:
        """How many leading tokens of ``prompt`` the stream can give, at least one token being left to compute."""
        if stream.owner != owner:
            return 0
        most = min(len(prompt) - 1, len(stream.tokens) if self._any_cut else stream.whole)
        same, chunk = 0, self._chunk
        while same + chunk <= most and stream.tokens[same : same + chunk] == prompt[same : same + chunk]:
            same += chunk
        if self._any_cut:
            same += next((i for i in range(most - same) if stream.tokens[same + i] != prompt[same + i]), most - same)
        return same

    def best(self, prompt: Sequence[int], owner: str) -> tuple[Stream, int] | None:
        """The stream with the longest usable prefix, an idle one rather than one that is held."""
        found = [(self.shared(p, prompt, owner), p.holder is None, -p.index, p) for p in self.places]
        length, _, _, stream = max(found, key=lambda f: f[:3])
        return (stream, length) if length >= self._chunk else None

    def free(self, keep: Stream | None = None) -> Stream | None:
        """A stream without holder: an empty one, else the one used longest ago, ``keep`` only if it is the last."""
        idle = [p for p in self.places if p.holder is None]
        return min(idle, key=lambda p: (p is keep, bool(p.tokens), p.used, p.index), default=None)

    def give(self, stream: Stream, work: Work) -> None:
        """The work holds the stream from now on."""
        self._tick += 1
        stream.holder, stream.used, stream.owner = work, self._tick, work.process.owner
        work.stream, work.ran = stream.index, 0

    def wrote(self, stream: Stream, tokens: Sequence[int], *, prefill: bool) -> None:
        """A step appended tokens; whole aligned blocks of a prompt extend what can be shared."""
        at = len(stream.tokens)
        stream.tokens += tokens
        if prefill and stream.whole == at and at % self._chunk == 0 and len(tokens) == self._chunk:
            stream.whole = at + self._chunk

    def cut(self, stream: Stream, length: int) -> None:
        """Keep the first ``length`` tokens."""
        del stream.tokens[length:]
        stream.whole = min(stream.whole, length - length % self._chunk)

    def leave(self, work: Work, *, forget: bool) -> None:
        """The work gives its stream back; what lies there stays as a cache unless it is to be forgotten."""
        if work.stream is None:
            return
        stream = self.of(work)
        stream.holder, work.stream = None, None
        if forget:
            stream.clear()
