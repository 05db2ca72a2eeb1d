"""Bodies of requests: read within a limit of bytes and of time, and never more than that into memory."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from .errors import Refusal
from .sending import ClientGone

PATIENCE = 30.0
"""Seconds that a body may take."""
PASSED = 2**28
"""Bytes of a body that is too large which are read and thrown away, before the connection is cut."""


async def read(request: Request, most: int) -> Any:
    """The JSON in the body; raises `Refusal`: 413 as soon as it is known to be too large, 400 for what is no JSON."""
    said = request.headers.get("content-length", "")
    body, passed, size = bytearray(), 0, int(said) if said.isdigit() else 0
    if size > most and "expect" in request.headers:  # it waits for leave to send
        raise _too_large(most)
    try:
        async with asyncio.timeout(PATIENCE):
            async for piece in request.stream():
                size = max(size, len(body) + len(piece))
                if size <= most:
                    body += piece
                else:  # a client that is cut off while it sends would not read why
                    body.clear()
                    passed += len(piece)
                    if passed > PASSED:
                        break
    except TimeoutError:
        raise Refusal(408, f"the body did not come within {PATIENCE:g} s", headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise ClientGone from None
    if size > most:
        raise _too_large(most)
    try:
        found = orjson.loads(bytes(body))
    except ValueError as wrong:
        raise Refusal(400, f"the body is no JSON: {wrong}", code="invalid_json") from None
    if not isinstance(found, dict):
        raise Refusal(400, f"the body is to be an object, and is a {type(found).__name__}", code="invalid_json")
    return found


def _too_large(most: int) -> Refusal:
    return Refusal(
        413, f"the body is larger than {most:,} bytes", code="request_too_large", headers={"Connection": "close"}
    )
