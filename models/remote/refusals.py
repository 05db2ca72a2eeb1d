"""What a server means by a status other than 200."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import NoReturn

import httpx

from ..faults import NoSuchModel, Refused, ServerFault, Told, TooLong
from .events import LONGEST, said
from .place import Place
from .retrying import retry_after

CHECK = "is the server there? llmos doctor asks it"
_AGAIN = (500, 502, 503, 504)
_READ_S = 10.0  # seconds that an error may take to come


async def refuse(place: Place, response: httpx.Response) -> NoReturn:
    """Raise it as a fault."""
    text, status, name = await _short(response), response.status_code, place.name
    wait = retry_after(response.headers.get("Retry-After"))
    if status == 429:
        after = f"it asks to wait {wait:.0f} s" if wait is not None else "try again later"
        raise Told(f"{name} is busy: {said(text)}", hint=after, again=True, wait=wait)
    if status in (401, 403):
        where = f"look at {place.key_env}" if place.key_env else "llmos model add … --key-env VARIABLE names the key"
        raise Refused(f"{name} refuses the key: {said(text)}", hint=where)
    if (counts := _too_long(text)) is not None:
        raise TooLong(*counts)
    if status == 404:
        raise NoSuchModel(f"{name}: {said(text)}", hint=f"{place.url}/models tells which models there are")
    if status in _AGAIN:
        raise ServerFault(f"{name} failed ({status}): {said(text)}", hint=CHECK, again=True, wait=wait)
    raise Refused(f"{name} refuses the request ({status}): {said(text)}", hint="ask for what this server does")


async def _short(response: httpx.Response) -> bytes:
    """A body, as far as an error may be long."""
    found = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(_READ_S):
            async for chunk in response.aiter_bytes():
                found += chunk
                if len(found) > LONGEST:
                    break
    return found


def _too_long(body: bytes) -> tuple[int, int] | None:
    """Tokens and room, where an error says that the prompt does not fit."""
    try:
        error = json.loads(body)["error"]
        if error["type"] == "exceed_context_size_error":  # llama-server
            return int(error["n_prompt_tokens"]), int(error["n_ctx"])
        if error["code"] == "context_length_exceeded":
            counts = [int(word) for word in str(error["message"]).replace(",", "").split() if word.isdigit()]
            return (max(counts), min(counts)) if len(counts) > 1 else None
    except (ValueError, KeyError, TypeError):
        pass
    return None
