"""From a client's messages to those that the model sees, and the marks by which a conversation is known again."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import orjson

from .protocol import ChatMessage, ToolCall
from .toolcalls import written

Shown = tuple[str, str]
"""Role ("system", "user", "assistant" or "tool") and text."""

_ROLES = {"developer": "system", "function": "tool"}


def shown(messages: Sequence[ChatMessage], manual: str) -> list[Shown]:
    """The messages for the model; the ``manual`` of the tools stands at the end of the first system message."""
    found: list[Shown] = []
    for message in messages:
        parts = [message.text] if message.text else []
        if message.tool_calls:
            parts.append(written(message.tool_calls))
        found.append((_ROLES.get(message.role, message.role), "\n".join(parts)))
    if manual and found[0][0] == "system":
        found[0] = ("system", f"{found[0][1]}\n\n{manual}")
    elif manual:
        found.insert(0, ("system", manual))
    return found


def marks(scope: str, messages: Sequence[ChatMessage]) -> list[bytes]:
    """A mark for each beginning of the conversation, shortest first; ``scope`` keeps users apart."""
    found, before = [], blake2b(scope.encode(), digest_size=16).digest()
    for message in messages:
        before = after(before, message)
        found.append(before)
    return found


def after(before: bytes, message: ChatMessage) -> bytes:
    """The mark of a conversation that goes on with the message.

    Clients change what does not matter: blanks around an answer, the ids of calls, the layout of their arguments.
    """
    calls = [(call.function.name, _value(call.function.arguments)) for call in message.tool_calls or []]
    said = orjson.dumps([message.role, message.text.strip(), calls], option=orjson.OPT_SORT_KEYS)
    return blake2b(before + said, digest_size=16).digest()


def answer(text: str, calls: Sequence[ToolCall]) -> ChatMessage:
    """The model's answer as the client will send it along the next time."""
    return ChatMessage(role="assistant", content=text, tool_calls=list(calls) or None)


def _value(arguments: str) -> Any:
    try:
        return orjson.loads(arguments)
    except ValueError:
        return arguments
