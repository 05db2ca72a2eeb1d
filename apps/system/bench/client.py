"""One streamed chat completion, timed: what every measurement over HTTP is made of.

On asyncio's streams alone, with a connection for each request: the program that measures shares the processor with
the server that it measures, and a general HTTP client takes several times as long for each piece of an answer.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 600.0
"""Seconds that one answer may take."""

Message = Mapping[str, str]


class Refused(Exception):
    """The server answered with an error, before or within its answer; ``status`` is 0 for one within."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status}: {message}" if status else message)
        self.status = status


FAILS = (Refused, OSError, EOFError, TimeoutError, ValueError)
"""What can go wrong with a request: refused, cut off, too late, or no proper answer."""


@dataclass(frozen=True)
class Target:
    """Where requests go: the base URL that ends in ``/v1``, the model to name, and a key if one is needed."""

    url: str
    model: str = ""
    key: str = ""


@dataclass
class Answer:
    """What came, and when: seconds from before the connection was made, at ``begun`` by `time.perf_counter`."""

    begun: float
    seconds: float = 0.0  # in all
    times: list[float] = field(default_factory=list)  # of each piece of text
    texts: list[str] = field(default_factory=list)
    prompt: int = 0  # tokens of the prompt, as the server counts
    cached: int = 0  # of these, taken from what the server had
    written: int = 0  # tokens of the answer, as the server counts; 0 where it doesn't say

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.texts)

    @property
    def tokens(self) -> int:
        """Tokens of the answer; pieces where the server does not count."""
        return self.written or len(self.texts)

    @property
    def first(self) -> float | None:
        """Seconds until the first piece of text; None where none came."""
        return self.times[0] if self.times else None

    @property
    def gap(self) -> float:
        """The longest time between two pieces."""
        return max((b - a for a, b in itertools.pairwise(self.times)), default=0.0)

    def note(self, event: Mapping[str, Any], now: float) -> None:
        """Take in one event that came ``now`` seconds after the request."""
        if (usage := event.get("usage")) is not None:
            self.prompt, self.written = usage["prompt_tokens"], usage["completion_tokens"]
            self.cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        for choice in event.get("choices") or ():
            if piece := (choice.get("delta") or {}).get("content"):
                self.times.append(now)
                self.texts.append(piece)


async def chat(
    target: Target, messages: Sequence[Message], most: int, *, on_piece: Callable[[Answer], None] | None = None,
    **fields: Any,
) -> Answer:  # fmt: skip
    """Ask for exactly ``most`` tokens, greedily, unless ``fields`` say otherwise; raises one of `FAILS`."""
    body = {
        "messages": messages, "max_tokens": most, "temperature": 0, "ignore_eos": True, "stream": True,
        "stream_options": {"include_usage": True}, **fields,
    }  # fmt: skip
    if target.model:
        body["model"] = target.model
    answer = Answer(time.perf_counter())
    async with asyncio.timeout(PATIENCE):
        async for event in _events(target, "/chat/completions", body):
            answer.note(event, time.perf_counter() - answer.begun)
            if on_piece is not None and answer.times:
                on_piece(answer)
    answer.seconds = time.perf_counter() - answer.begun
    return answer


async def _events(target: Target, path: str, body: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The events of a streamed reply, up to ``[DONE]`` or the end of the connection."""
    url = urlsplit(target.url)
    secure = ssl.create_default_context() if url.scheme == "https" else None
    reader, writer = await asyncio.open_connection(url.hostname, url.port or (443 if secure else 80), ssl=secure)
    try:
        writer.write(_request(target, url.netloc, url.path.rstrip("/") + path, body))
        status, chunked = await _head(reader)
        if status != 200:
            raise Refused(status, _message(b"".join([part async for part in _parts(reader, chunked)])))
        async for line in _lines(_parts(reader, chunked)):
            if line == b"data: [DONE]":
                return
            if line.startswith((b"data: ", b"error: ")):
                event = json.loads(line.partition(b": ")[2])
                if "error" in event or line.startswith(b"error"):
                    raise Refused(0, _message(line.partition(b": ")[2]))
                yield event
    finally:
        writer.close()


def _request(target: Target, host: str, path: str, body: Mapping[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    key = f"Authorization: Bearer {target.key}\r\n" if target.key else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{key}"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content


async def _head(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status, and whether the body comes in chunks."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    return int(head.split(b" ", 2)[1]), b"\r\ntransfer-encoding: chunked" in head


async def _parts(reader: asyncio.StreamReader, chunked: bool) -> AsyncIterator[bytes]:
    """The body as it comes."""
    if not chunked:
        while part := await reader.read(65536):
            yield part
        return
    while (line := await reader.readline()) and (size := int(line.split(b";")[0], 16)):
        yield (await reader.readexactly(size + 2))[:-2]


async def _lines(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines of a body, wherever its parts end; a last one without an end is left out."""
    rest = b""
    async for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            yield line.rstrip(b"\r")


def _message(said: bytes) -> str:
    """What an error says, in whatever wrapping."""
    try:
        found = json.loads(said)
    except ValueError:
        return said[:300].decode(errors="replace")
    found = found.get("error", found) if isinstance(found, dict) else found
    return str(found.get("message", found) if isinstance(found, dict) else found)[:300]
