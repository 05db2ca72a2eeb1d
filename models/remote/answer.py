"""An answer of a server, as it comes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..faults import ServerFault
from .events import Event, Usage

OnText = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Said:
    """A finished answer. Tokens are the server's count; where it gives none, those of the answer are its pieces."""

    text: str
    finish: str  # "end", "stop" or "length"
    tokens_in: int
    cached: int  # of these, not computed
    tokens_out: int
    first_token_s: float
    seconds: float


class Answer:
    """An answer as it comes. ``echoed`` is what the server says first although it was given."""

    def __init__(self, on_text: OnText, echoed: str) -> None:
        self.begun = False
        self._on_text = on_text
        self._echoed = echoed
        self._held = ""  # may still be what was given
        self._started = time.monotonic()
        self._first: float | None = None
        self._text: list[str] = []
        self._pieces = 0
        self._finish: str | None = None
        self._usage: Usage | None = None

    @property
    def seconds(self) -> float:
        """Since it was asked for."""
        return time.monotonic() - self._started

    async def take(self, event: Event) -> None:
        """One piece."""
        self._usage = event.usage or self._usage
        if event.finish is not None:
            stopped = isinstance(event.choices[0].stop_reason, str)
            self._finish = "length" if event.finish == "length" else "stop" if stopped else "end"
        if not event.text:
            return
        self._first = self._first or self.seconds
        self._pieces += 1
        self.begun = True
        if text := self._new(event.text):
            self._text.append(text)
            await self._on_text(text)

    def _new(self, text: str) -> str:
        if not self._echoed:
            return text
        self._held += text
        if self._echoed.startswith(self._held) and self._held != self._echoed:
            return ""
        new, self._echoed = self._held.removeprefix(self._echoed), ""
        return new

    def finished(self) -> Said:
        """The whole, once there is nothing more to come; raises `ServerFault` where its end is missing."""
        if self._finish is None:
            raise ServerFault("the server hung up in the middle of an answer", hint="try again", again=True)
        text = "".join(self._text) + (self._held if self._echoed else "")
        usage = self._usage or Usage(completion_tokens=self._pieces)
        return Said(
            text, self._finish, usage.prompt_tokens, usage.cached,
            usage.completion_tokens or self._pieces, self._first or self.seconds, self.seconds,
        )  # fmt: skip
