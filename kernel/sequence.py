"""One piece of work for the engine: a text being written, or options being scored."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..models.engine import Chance, Result, Sampler, Slice
from ..models.lookup import Lookup
from ..models.textout import TextOut
from .process import Process

Root = tuple[str, str]
"""Owner and adapter: prefixes are shared within one of these only."""

WIDE = 8
"""Tokens up to which what a constraint forces goes with a decode step; more are prefilled."""


@dataclass
class Written:
    """A finished text."""

    text: str
    finish: str  # "end", "stop" or "length"
    tokens: list[int]
    reused: int
    first_token_s: float
    seconds: float
    chances: list[Chance] = field(default_factory=list)  # one for each token, where they were asked for
    stopped: str | None = None  # the stop string that was met


@dataclass(eq=False)
class Work(ABC):
    """Base of both kinds. Owned by the event loop's thread; the engine's thread reads it during a step only.

    ``feed`` is what has to go into the stream next; its first token stands at position ``at``.
    """

    process: Process
    prompt: list[int]
    done: asyncio.Future[Any]
    arrival: int = 0
    at: int = 0  # tokens in the stream
    feed: list[int] = field(default_factory=list)
    prefilling: bool = True
    stream: int | None = None
    shelved: int | None = None  # its state on the shelf while it is swapped out
    ran: int = 0  # tokens computed since it got its stream
    seen: float = field(default_factory=time.monotonic)  # when something of it was last computed
    reused: int = 0  # tokens of the prompt that came from the cache
    begun: float = field(default_factory=time.monotonic)
    sampler: Sampler | None = None
    keys: list[bytes] = field(default_factory=list)  # the blocks of the prompt, see `Prefixes.keys`
    version: int = -1  # of the prefixes when it was looked up last, and
    cached: int = 0  # how many of the prompt's tokens lay somewhere then, and
    coming: tuple[Work, int] | None = None  # who was going to have more of them, and how many

    def __post_init__(self) -> None:
        self.start(0)

    def start(self, reused: int) -> None:
        """Begin (again) with the first ``reused`` tokens of the prompt already in the stream."""
        self.at = self.reused = reused
        self.feed = self.prompt[reused:]

    def again(self) -> None:
        """Its state was lost: all of it is computed again."""
        self.start(0)

    @property
    def root(self) -> Root:
        """Within what its prefixes are shared."""
        return (self.process.owner, self.process.adapter)

    @property
    def left(self) -> int:
        """Tokens still to be prefilled, as the policy counts them."""
        return len(self.feed) if self.prefilling or len(self.feed) > WIDE else 0

    @property
    def width(self) -> int:
        """Tokens that it wants in a decode step."""
        return len(self.feed)

    @property
    def started(self) -> bool:
        """Whether something of its answer was shown."""
        return False

    @property
    def most_cut(self) -> int | None:
        """Most tokens of one part of it, where there is a limit."""
        return None

    @property
    def over(self) -> bool:
        """Finished, failed or given up."""
        return self.done.done()

    @property
    def runnable(self) -> bool:
        """Whether it may compute now: not over, and its process not stopped."""
        return not self.over and self.process.going.is_set()

    @abstractmethod
    def part(self, count: int) -> Slice:
        """The next ``count`` tokens, for its stream."""

    @abstractmethod
    def take(self, part: Slice, result: Result, ends: Callable[[int], bool], piece: Callable[[int], bytes]) -> int:
        """The step computed the part. Returns how many tokens of it stand in the stream now."""

    def flush(self) -> None:  # noqa: B027 - scoring shows nothing
        """Hand on what may be shown."""

    def close(self) -> None:
        """Free what it holds in the engine besides its stream."""
        if self.sampler is not None:
            self.sampler.close()
            self.sampler = None


@dataclass(eq=False)
class Writing(Work):
    """Draws up to ``most`` tokens after the prompt."""

    most: int = 256
    out: TextOut = field(default_factory=TextOut)
    on_text: Callable[[str], None] | None = None
    drawn: list[int] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    shown: int = 0  # of these pieces, how many were handed on
    first: float | None = None
    top: int | None = None  # see `Slice.top`
    chances: list[Chance] = field(default_factory=list)
    lookup: Lookup | None = None  # guesses what is copied from the prompt
    guess: Sequence[int] = ()  # what may follow ``feed``

    def start(self, reused: int) -> None:
        """As `Work.start`; the tokens that were drawn stay drawn."""
        self.at = self.reused = reused
        self.prefilling, self.guess = True, ()
        self.feed = [*self.prompt, *self.drawn][reused:]

    @property
    def width(self) -> int:
        """With the guess."""
        return len(self.feed) + len(self.guess)

    @property
    def started(self) -> bool:
        """Whether somebody reads along."""
        return bool(self.drawn)

    def part(self, count: int) -> Slice:
        """A token is drawn at the end of the prompt, and after every token that follows it."""
        assert self.stream is not None
        solid = len(self.feed)
        if count < solid:
            return Slice(self.stream, self.feed[:count], self.at)
        guess = self.guess[: count - solid]
        tokens = [*self.feed, *guess]
        return Slice(self.stream, tokens, self.at, self.sampler, guess=len(guess), top=self.top)

    def take(self, part: Slice, result: Result, ends: Callable[[int], bool], piece: Callable[[int], bytes]) -> int:
        """Take the drawn tokens: their text may be shown, or the work is finished."""
        solid = len(part.tokens) - part.guess
        kept = solid + max(len(result.tokens) - 1, 0)
        self.at += kept
        del self.feed[:solid]
        if not result.tokens:
            return kept
        self.prefilling = False
        self.first = self.first or time.monotonic()
        self.chances += result.chances
        if self.lookup is not None:
            self.lookup.judge(part.guess, len(result.tokens) - 1)
        self._draw((*result.tokens, *result.forced), ends, piece)
        if not self.over:
            self.feed = [result.tokens[-1], *result.forced]
            if self.lookup is not None:
                self.guess = self.lookup.guess(self.most - len(self.drawn) - 1)
        return kept

    def _draw(self, tokens: Sequence[int], ends: Callable[[int], bool], piece: Callable[[int], bytes]) -> None:
        for token in tokens:
            if ends(token):
                self._finish("end")
                return
            self.drawn.append(token)
            if self.lookup is not None:
                self.lookup.add(token)
            if text := self.out.feed(piece(token)):
                self.text.append(text)
            if self.out.stopped is not None or len(self.drawn) >= self.most:
                self._finish("stop" if self.out.stopped is not None else "length")
                return

    def flush(self) -> None:
        """Hand on the pieces that are new."""
        if self.on_text is not None and self.shown < len(self.text):
            new, self.shown = "".join(self.text[self.shown :]), len(self.text)
            self.on_text(new)

    def _finish(self, how: str) -> None:
        if rest := self.out.finish():
            self.text.append(rest)
        self.flush()
        now = time.monotonic()
        first, text = (self.first or now) - self.begun, "".join(self.text)
        del self.chances[len(self.drawn) :]
        seconds, stopped = now - self.begun, self.out.stopped
        self.done.set_result(Written(text, how, self.drawn, self.reused, first, seconds, self.chances, stopped))


@dataclass(eq=False)
class Scoring(Work):
    """Log-likelihood of each option after the prompt, one option after another on the same stream.

    The first option goes with the prompt. The prompt's last token is fed again before each further one, since its
    logits score the option's first.
    """

    options: list[list[int]] = field(default_factory=list)
    scores: list[list[float]] = field(default_factory=list)
    most_targets: int = 128  # of one part

    @property
    def base(self) -> int:
        """Where each option begins: the length of the prompt without its last token."""
        return len(self.prompt) - 1

    @property
    def most_cut(self) -> int | None:
        """A part that reaches into an option has no more tokens than can be scored."""
        return self.most_targets if self.at + len(self.feed) > self.base + self.most_targets else None

    def start(self, reused: int) -> None:
        """As `Work.start`."""
        self.at = self.reused = reused
        self.scores = [[]]
        self.feed = [*self.prompt[reused:], *self.options[0][:-1]]

    def part(self, count: int) -> Slice:
        """With the option's tokens as targets, shifted by one against what is fed; none for the prompt alone."""
        assert self.stream is not None
        first, end = max(self.at - self.base, 0), self.at + count - self.base
        targets = self.options[len(self.scores) - 1][first:end] if end > 0 else None
        return Slice(self.stream, self.feed[:count], self.at, targets=targets)

    def take(self, part: Slice, result: Result, ends: Callable[[int], bool], piece: Callable[[int], bytes]) -> int:
        """Collect scores; go on to the next option when one is through."""
        count = len(part.tokens)
        self.at += count
        del self.feed[:count]
        self.scores[-1] += result.logprobs or []
        if not self.feed and len(self.scores) == len(self.options):
            self.done.set_result(self.scores)
        elif not self.feed:
            self.at = self.base
            self.feed = [self.prompt[-1], *self.options[len(self.scores)][:-1]]
            self.scores.append([])
        return count
