"""Frames on the socket between llmos and an app in a process of its own: a length (4 bytes), then JSON.

to the app:    {"start": {...}}                  once, first
               {"id": n, "text": "..."}          pieces of a call's text, in order
               {"id": n, "reply": {...}}         or {"id": n, "error": {...}}: ends call n
               {"signal": "TERM"}                tidy up and end
from the app:  {"id": n, "call": NAME, "request": {...}}
               {"id": n, "cancel": true}         the app no longer waits for call n
               {"result": ...}                   or {"error": {...}}: the app is done
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from ..kernel.errors import AppFailed, LimitExceeded

LARGEST = 64 * 2**20
"""Bytes of one frame: enough for a large file, too little to fill the memory."""


async def receive(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next frame; None at the end of the stream. Raises `AppFailed` for what is no frame."""
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        if size > LARGEST:
            raise AppFailed(f"a frame of {size} bytes is too large", hint=f"at most {LARGEST}")
        frame = json.loads(await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except (ValueError, RecursionError) as problem:
        raise AppFailed(f"a frame is not JSON: {problem}") from None
    if not isinstance(frame, dict):
        raise AppFailed("a frame is not a JSON object")
    return frame


def send(writer: asyncio.StreamWriter, frame: dict[str, Any]) -> None:
    """Queue a frame; nothing is sent on a closed socket. Raises `LimitExceeded` for one that is too large."""
    data = json.dumps(frame, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if len(data) > LARGEST:
        raise LimitExceeded(f"{len(data)} bytes are too much for one call", hint=f"at most {LARGEST}: take it in parts")
    if not writer.is_closing():
        writer.write(len(data).to_bytes(4, "big") + data)
