"""A server of models, asked so that its failures stay its own.

A request is repeated only as long as nothing of its answer was seen. Who cancels closes the connection, and the
server stops writing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from ..faults import ServerFault, TooSlow
from .answer import Answer, OnText, Said
from .breaker import Breaker
from .dialect import Asked, body
from .events import Event, events
from .place import Place
from .refusals import CHECK, refuse
from .retrying import Retries

log = logging.getLogger(__name__)


class Server:
    """One model of one server. Owned by the event loop's thread."""

    def __init__(self, place: Place, *, retries: Retries | None = None, breaker: Breaker | None = None) -> None:
        self.place = place
        self.breaker = breaker or Breaker(place.name)
        self._retries = retries or Retries()
        self._client = client(place)

    async def write(self, asked: Asked, on_text: OnText) -> Said:
        """An answer, its text told as it comes.

        Raises `Refused`, `TooLong`, `NoSuchModel`, and `Remote` when the server fails, is too slow or is resting.
        """
        fields, headers = body(self.place, asked), self.place.headers()
        failed = 0
        while True:
            answer = Answer(on_text, asked.begin if self.place.kind == "llama-server" else "")
            try:
                with self.breaker.attempt():
                    return await self._attempt(fields, headers, answer)
            except ServerFault as fault:
                failed += 1
                pause = self._retries.pause(failed, fault.wait) if fault.again and not answer.begun else None
                if pause is None:
                    raise
                log.info("%s: attempt %d failed, the next in %.2f s: %s", self.place.name, failed, pause, fault)
                await asyncio.sleep(pause)

    async def _attempt(self, fields: dict[str, Any], headers: dict[str, str], answer: Answer) -> Said:
        async with self._open(fields, headers) as response:
            pieces = events(response.aiter_bytes())
            while (event := await self._next(pieces, answer)) is not None:
                await answer.take(event)
        return answer.finished()

    @asynccontextmanager
    async def _open(self, fields: dict[str, Any], headers: dict[str, str]) -> AsyncIterator[httpx.Response]:
        """The answer's stream; what fails on the way becomes a fault of the server's."""
        name = self.place.name
        try:
            async with asyncio.timeout(self.place.first_token_s):
                request = self._client.build_request("POST", "chat/completions", json=fields, headers=headers)
                response = await self._client.send(request, stream=True)
        except httpx.ConnectTimeout:
            raise ServerFault(f"{name} does not answer at {self.place.url}", hint=CHECK, again=True) from None
        except TimeoutError:
            raise self._slow() from None
        except httpx.HTTPError as wrong:
            raise ServerFault(f"{name} cannot be reached: {_words(wrong)}", hint=CHECK, again=True) from wrong
        try:
            if response.status_code != 200:
                await refuse(self.place, response)
            yield response
        except httpx.HTTPError as wrong:
            raise ServerFault(f"{name} hung up: {_words(wrong)}", hint="try again", again=True) from wrong
        finally:
            await response.aclose()

    async def _next(self, pieces: AsyncIterator[Event], answer: Answer) -> Event | None:
        """The next piece, in time; None after the last."""
        left = self.place.between_s if answer.begun else self.place.first_token_s - answer.seconds
        try:
            async with asyncio.timeout(max(left, 0.001)):
                return await anext(pieces, None)
        except TimeoutError:
            raise self._slow(answer.begun) from None

    def _slow(self, begun: bool = False) -> TooSlow:
        if begun:
            return TooSlow(f"{self.place.name} stopped in the middle of an answer", hint=_slower("between"))
        seconds = f"{self.place.first_token_s:g} s"
        return TooSlow(f"{self.place.name} gave no token within {seconds}", hint=_slower("first-token"))

    async def count(self, text: str) -> int | None:
        """Tokens of a text by the server's own tokenizer; None where it does not count."""
        path, ask = {
            "llama-server": ("/tokenize", {"content": text}),
            "vllm": ("/tokenize", {"model": self.place.model, "prompt": text, "add_special_tokens": False}),
        }.get(self.place.kind, ("", {}))
        if not path or not self.breaker.admits:
            return None
        try:
            answer = await self._client.post(
                self.place.root + path, json=ask, headers=self.place.headers(), timeout=self.place.connect_s
            )
            return len(answer.json()["tokens"]) if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return None

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._client.aclose()


def client(place: Place) -> httpx.AsyncClient:
    """Connections to a server; a proxy of the environment is not asked for what runs on this machine."""
    timeout = httpx.Timeout(None, connect=place.connect_s)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=place.parallel)
    return httpx.AsyncClient(base_url=f"{place.url}/", timeout=timeout, limits=limits, trust_env=not place.near)


def _slower(what: str) -> str:
    return f"a slower server wants a longer time: llmos model add --{what}"


def _words(wrong: Exception) -> str:
    return " ".join(str(wrong).split()) or type(wrong).__name__
