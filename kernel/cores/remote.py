"""A core behind a server: messages go out, text comes back. It lives on the event loop and has no thread.

What it gives is the server's: no promise of llmos's about the same tokens holds here. Tokens are an estimate until the
server has counted.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from ...models.faults import Refused
from ...models.remote.answer import Said
from ...models.remote.dialect import Asked, chosen, one_of
from ...models.remote.server import Server
from ...models.shape import Sentences, Shape
from ..adapters import Adapter
from ..errors import AppFailed, Unavailable
from ..process import State
from ..prompts import Messages
from ..sequence import Written
from .core import REMOTE, Judged, Kind, Prompt, Writing

if TYPE_CHECKING:
    from ..process import Process

T = TypeVar("T")

A_MESSAGE = 8
"""Tokens that a template puts around a message, at most."""

LEARNS_FROM = 400
"""Bytes of a prompt from which on its count by the server tells how long its tokens are."""


class RemoteCore:
    """See `Core`."""

    kind: Kind = "remote"
    way = REMOTE

    def __init__(self, name: str, server: Server) -> None:
        place = server.place
        self.name, self.model = name, place.model
        self.asked_as = place.name
        self.window, self.streams = place.window, place.parallel
        self.server = server
        self._room = asyncio.Semaphore(place.parallel)
        self._asks: dict[asyncio.Task[Any], Process] = {}
        self._rates: deque[float] = deque([0.4], maxlen=16)  # tokens a byte of the last prompts
        self._closed = False

    @property
    def admits(self) -> bool:
        """Whether the server is asked at all now."""
        return self.server.breaker.admits

    @property
    def state(self) -> str:
        """How its circuit breaker stands."""
        breaker = self.server.breaker
        return f"open for {breaker.left:.0f} s: {breaker.why}" if breaker.state == "open" else breaker.state

    @property
    def busy(self) -> int:
        """Requests under way and waiting."""
        return len(self._asks)

    # -- counting --

    def prompt(self, messages: Messages, begin: str = "") -> Prompt:
        """Messages, and about how many tokens they are."""
        return Prompt(messages, begin, self.measure(messages) + self.count(begin))

    def raw(self, text: str) -> Prompt:
        """Not here: the server has the template."""
        raise Refused(f"{self.name} takes no text to go on from", hint="give messages, or use a local model")

    def measure(self, messages: Messages) -> int:
        """The most that it is likely to be, by what the server counted before."""
        return sum(self.count(text) + A_MESSAGE for _, text in messages)

    def count(self, text: str) -> int:
        """As `measure`."""
        return round(len(text.encode()) * max(self._rates)) + bool(text)

    def piece(self, token: int) -> bytes:
        """Here tokens have no numbers."""
        raise NotImplementedError(f"{self.name} has no tokens")

    def adapter(self, name: str) -> Adapter:
        """There are none."""
        raise Unavailable(f"{self.name} takes no adapters", hint="run the app without --adapter")

    def conditions(self, adapter: str) -> dict[str, Any]:
        """Far from all: a server tells little of how it computes."""
        place = self.server.place
        return {"model": self.model, "way": self.way, "window": self.window, "url": place.url, "adapter": adapter}

    async def counted(self, texts: Sequence[str]) -> list[int]:
        """By the server, where it counts."""
        found = [await self.server.count(text) for text in texts]
        return [self.count(text) if one is None else one for text, one in zip(texts, found, strict=True)]

    def cached(self, process: Process, prompt: Prompt) -> int:
        """Nobody knows."""
        return 0

    def _learn(self, messages: Messages, tokens: int) -> None:
        size = sum(len(text.encode()) for _, text in messages)
        if size >= LEARNS_FROM and tokens:
            self._rates.append(min(tokens / size * 1.05, 1.0))

    # -- asking --

    async def write(self, process: Process, prompt: Prompt, how: Writing) -> Written:
        """As `Server.write`; what the process may spend is looked at with every piece."""
        if how.top is not None:
            raise Refused(f"{self.name} tells no chances of tokens", hint="leave them out, or use a local model")
        sampling = replace(how.sampling, ends=not how.ignore_end)
        asked = Asked(list(prompt.messages), prompt.begin, how.most, sampling, how.stops, how.shape)
        said = await self._ask(process, asked, how)
        return Written(
            said.text, said.finish, [], said.cached, said.first_token_s, said.seconds, counted=said.tokens_out
        )  # fmt: skip

    async def choose(self, process: Process, prompt: Prompt, options: Sequence[str], *, normalise: bool) -> Judged:
        """By letting the model write one of them and nothing else; the server tells no scores."""
        plain = self.server.place.kind != "llama-server"
        shape = Shape(schema=one_of(options)) if plain else Shape(sentences=Sentences(tuple(options)))
        asked = Asked(list(prompt.messages), prompt.begin, most=_room_for(options), shape=shape)
        said = await self._ask(process, asked, Writing(asked.most, asked.sampling))
        names = list(options)
        best = chosen(said.text, names) if plain else names.index(said.text) if said.text in names else None
        if best is None:
            raise AppFailed(f"{self.name} chose none of the options", hint="its server does not hold to a schema")
        return Judged(best, [])

    async def _ask(self, process: Process, asked: Asked, how: Writing) -> Said:
        pieces = 0

        async def on_text(text: str) -> None:
            nonlocal pieces
            await process.going.wait()
            pieces += 1
            self._book(process, 1)
            if how.on_text is not None:
                how.on_text(text)

        said = await self._tracked(process, self._in_turn(process, asked, on_text))
        self._learn(asked.messages, said.tokens_in)
        self._book(process, max(0, said.tokens_in - said.cached) + max(0, said.tokens_out - pieces))
        return said

    async def _in_turn(self, process: Process, asked: Asked, on_text: Any) -> Said:
        async with self._room:
            await process.going.wait()
            return await self.server.write(asked, on_text)

    def _book(self, process: Process, tokens: int) -> None:
        usage = process.usage
        usage.first_token = usage.first_token or time.monotonic()
        usage.computed += tokens
        process.account.spend("tokens", tokens)

    async def _tracked(self, process: Process, asking: Coroutine[Any, Any, T]) -> T:
        """Until it is answered; whoever cancels waits until the connection is closed."""
        if self._closed:
            asking.close()
            raise Unavailable("llmos is shutting down")
        task = asyncio.ensure_future(asking)
        self._asks[task] = process
        process.settle(State.RUNNING)
        try:
            return await task
        finally:
            task.cancel()
            await asyncio.wait([task])
            del self._asks[task]
            process.settle(State.READY)

    async def gone(self, process: Process) -> None:
        """Until its connections are closed."""
        await self._broken_off([task for task, whose in self._asks.items() if whose is process])

    async def _broken_off(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def wake(self) -> None:
        """What waits for CONT waits at the process itself."""

    def idle(self) -> bool:
        """Whether nothing is asked."""
        return not self._asks

    async def close(self) -> None:
        """Break off what is asked, close the connections."""
        self._closed = True
        await self._broken_off(list(self._asks))
        await self.server.close()


def _room_for(options: Sequence[str]) -> int:
    """Tokens that the longest option may take, as JSON: never fewer than its bytes."""
    return max(len(option.encode()) for option in options) + 32
