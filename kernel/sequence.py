"""One piece of work for the engine: a text being written, or options being scored."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..models.engine import Chance, Result, Sampler
from ..models.textout import TextOut
from .process import Process


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
    state: bytes | None = None  # saved stream while swapped out
    swapped: list[int] = field(default_factory=list)  # the tokens in that state
    whole: int = 0  # of these, leading tokens in whole prefilled blocks
    ran: int = 0  # tokens computed since it got its stream
    seen: int = 0  # the scheduler's count of steps when something of it was last computed
    reused: int = 0  # tokens of the prompt that came from the cache
    begun: float = field(default_factory=time.monotonic)
    sampler: Sampler | None = None

    def __post_init__(self) -> None:
        self.start(0)

    def start(self, reused: int) -> None:
        """Begin (again) with the first ``reused`` tokens of the prompt already in the stream."""
        self.at = self.reused = reused
        self.feed = self.prompt[reused:]

    @property
    def left(self) -> int:
        """Tokens still to be prefilled, as the policy counts them."""
        return len(self.feed) if self.prefilling else 0

    @property
    def over(self) -> bool:
        """Finished, failed or given up."""
        return self.done.done()

    @property
    def runnable(self) -> bool:
        """Whether it may compute now: not over, and its process not stopped."""
        return not self.over and self.process.going.is_set()

    def targets(self, tokens: int) -> Sequence[int] | None:
        """What to score in the next part of this many tokens."""
        return None

    def wants_token(self, tokens: int) -> bool:
        """Whether the part of this many tokens ends where a token is drawn."""
        return False

    @abstractmethod
    def take(self, result: Result, ends: Callable[[int], bool], piece: Callable[[int], bytes]) -> None:
        """The step computed the part that was taken off ``feed``."""

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
    first: float | None = None
    ignore_end: bool = False  # go on where the model would end
    top: int | None = None  # see `Slice.top`
    chances: list[Chance] = field(default_factory=list)

    def wants_token(self, tokens: int) -> bool:
        """At the end of the prompt, and at every token after it."""
        return tokens == len(self.feed)

    def take(self, result: Result, ends: Callable[[int], bool], piece: Callable[[int], bytes]) -> None:
        """Take the drawn token: show its text, or finish."""
        if not result.tokens:
            return
        (token,) = result.tokens
        self.prefilling = False
        self.first = self.first or time.monotonic()
        if ends(token) and not self.ignore_end:
            self._finish("end")
            return
        self.drawn.append(token)
        self.chances += result.chances
        self.feed = [token]
        self._show(self.out.feed(piece(token)))
        if self.out.stopped is not None:
            self._finish("stop")
        elif len(self.drawn) >= self.most:
            self._finish("length")

    def _show(self, text: str) -> None:
        if text:
            self.text.append(text)
            if self.on_text is not None:
                self.on_text(text)

    def _finish(self, how: str) -> None:
        self._show(self.out.finish())
        now = time.monotonic()
        first = (self.first or now) - self.begun
        text, seconds = "".join(self.text), now - self.begun
        self.done.set_result(
            Written(text, how, self.drawn, self.reused, first, seconds, self.chances, self.out.stopped)
        )


@dataclass(eq=False)
class Scoring(Work):
    """Log-likelihood of each option after the prompt, one option after another on the same stream.

    The first option goes with the prompt. The prompt's last token is fed again before each further one, since its
    logits score the option's first.
    """

    options: list[list[int]] = field(default_factory=list)
    scores: list[list[float]] = field(default_factory=list)

    @property
    def base(self) -> int:
        """Where each option begins: the length of the prompt without its last token."""
        return len(self.prompt) - 1

    def start(self, reused: int) -> None:
        """As `Work.start`."""
        self.at = self.reused = reused
        self.scores = [[]]
        self.feed = [*self.prompt[reused:], *self.options[0][:-1]]

    def targets(self, tokens: int) -> Sequence[int] | None:
        """The option's tokens, shifted by one against what is fed; None for a part of the prompt alone."""
        first, end = max(self.at - self.base, 0), self.at + tokens - self.base
        return self.options[len(self.scores) - 1][first:end] if end > 0 else None

    def take(self, result: Result, ends: Callable[[int], bool], piece: Callable[[int], bytes]) -> None:
        """Collect scores; go on to the next option when one is through."""
        self.scores[-1] += result.logprobs or []
        if self.feed:
            return
        if len(self.scores) == len(self.options):
            self.done.set_result(self.scores)
            return
        self.feed = [self.prompt[-1], *self.options[len(self.scores)][:-1]]
        self.scores.append([])
        self.at = self.base
