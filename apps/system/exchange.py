"""One request to a running llmos, from when it is asked to when it is answered: what is said in between, both ways."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from ...kernel.errors import BadInput, Unavailable

LARGEST = 64 * 2**20
"""Bytes of one line; long texts go in pieces."""
PIECE = 2**15
"""Characters of a text that one line carries."""
_WAITING = 16  # lines of a client that wait to be heard

Frame = dict[str, Any]


def encoded(frame: Frame) -> bytes:
    """One line of JSON. Raises `Unavailable` for what no line can hold."""
    line = json.dumps(frame, default=str).encode() + b"\n"
    if len(line) > LARGEST:
        raise Unavailable(f"{len(line)} bytes are too much for one answer", hint=f"at most {LARGEST}")
    return line


def decoded(line: bytes) -> Frame:
    """The object of a line; raises `BadInput`."""
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError, RecursionError):
        raise BadInput("a request is one JSON object a line") from None


class Exchange:
    """What the one who answers has of a request. Owned by the event loop's thread.

    ``asked`` is the request itself; the client may say more, to be heard in order, and is told steps before the answer.
    """

    def __init__(self, asked: Frame, writer: asyncio.StreamWriter) -> None:
        self.asked = asked
        self._writer = writer
        self._said: asyncio.Queue[Frame] = asyncio.Queue(_WAITING)

    async def step(self, step: Frame) -> None:
        """Tell a step; waits while the client reads slowly. `ConnectionError` when it is gone."""
        await self._send({"step": step})

    async def answer(self, answer: Frame) -> None:
        """Tell the end of it: ``{"ok": …}`` or ``{"error": …}``."""
        await self._send(answer)

    async def hear(self) -> Frame:
        """What the client says next."""
        return await self._said.get()

    async def said(self, frame: Frame) -> None:
        """For whoever reads the lines: the client has said this. Waits while too much was not heard."""
        await self._said.put(frame)

    async def _send(self, frame: Frame) -> None:
        which = {"id": self.asked["id"]} if "id" in self.asked else {}
        self._writer.write(encoded({**which, **frame}))
        await self._writer.drain()
