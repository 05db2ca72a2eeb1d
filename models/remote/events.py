"""The pieces of a streamed chat completion, read as suspiciously as anything from outside."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel, ValidationError

from ..faults import ServerFault

LONGEST = 2**20
"""Bytes of one event; a server that sends more in one line is broken."""


class _Delta(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    delta: _Delta = _Delta()
    finish_reason: str | None = None
    stop_reason: str | int | None = None  # vLLM: the stop string


class _Details(BaseModel):
    cached_tokens: int | None = None


class Usage(BaseModel):
    """What a request took, as its server counts."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None

    @property
    def cached(self) -> int:
        """Tokens of the prompt that were not computed."""
        return (self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else None) or 0


class Event(BaseModel):
    """One piece."""

    choices: list[_Choice] = []
    usage: Usage | None = None
    error: Any = None

    @property
    def text(self) -> str:
        """What is new."""
        return (self.choices[0].delta.content or "") if self.choices else ""

    @property
    def finish(self) -> str | None:
        """How the answer ended, in the last piece that has text."""
        return self.choices[0].finish_reason if self.choices else None


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    """The events of a body, until ``[DONE]`` or its end; raises `ServerFault` for what is none."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST:
            raise ServerFault("the server sends a line without end", again=True)
        for line in lines:
            data = _data(line)
            if data == b"[DONE]":
                return
            if data is not None:
                yield _event(data)


def _data(line: bytes) -> bytes | None:
    """Of comments (keep-alive), names of events and empty lines there is none."""
    line = line.strip()
    if line.startswith(b"data:"):
        return line[5:].strip()
    if not line or line.startswith((b":", b"event:", b"id:", b"retry:")):
        return None
    raise ServerFault(
        "the server sends what is no stream of events", hint="is it an OpenAI-compatible /v1?", again=True
    )


def _event(data: bytes) -> Event:
    try:
        event = Event.model_validate_json(data)
    except ValidationError as wrong:
        raise ServerFault("the server sends events that cannot be read", again=True) from wrong
    if event.error is not None:
        raise ServerFault(f"the server failed: {said(data)}", again=True)
    return event


def said(body: bytes) -> str:
    """The message of an error as servers word it, in one short line."""
    try:
        error = json.loads(body)
        error = error.get("error", error) if isinstance(error, dict) else error
        words = error.get("message") or error.get("detail") if isinstance(error, dict) else error
    except ValueError:
        words = body.decode(errors="replace")
    line = " ".join(str(words or "no reason given").split())
    return line if len(line) <= 300 else f"{line[:299]}…"
