"""What goes back to the client, in OpenAI's form: whole replies, and the chunks of a stream.

A chunk is put together from bytes that are made once for each answer: it is the only work that is done per token.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from ....syscalls import calls as c
from .turns import Answer, Part

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Frame:
    """What all parts of one reply share."""

    model: str
    chat: bool
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def head(self, kind: str) -> dict[str, Any]:
        """What every object begins with."""
        name = f"chatcmpl-{self.id}" if self.chat else f"cmpl-{self.id}"
        return {"id": name, "object": kind, "created": self.created, "model": self.model}

    def whole(self, answers: Sequence[Answer], *, logprobs: bool) -> bytes:
        """The reply to a request that is not streamed."""
        kind = "chat.completion" if self.chat else "text_completion"
        choices = [self._choice(i, answer, logprobs=logprobs) for i, answer in enumerate(answers)]
        return orjson.dumps({**self.head(kind), "choices": choices, "usage": usage(answers)})

    def _choice(self, index: int, answer: Answer, *, logprobs: bool) -> dict[str, Any]:
        if not self.chat:
            chances = _flat(answer.chances) if logprobs else None
            return {"index": index, "text": answer.text, "logprobs": chances, "finish_reason": answer.finish}
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
        if answer.calls:
            message["content"] = answer.text or None
            message["tool_calls"] = [call.model_dump() for call in answer.calls]
        chances = {"content": _nested(answer.chances), "refusal": None} if logprobs else None
        return {"index": index, "message": message, "logprobs": chances, "finish_reason": answer.finish}


class Chunks:
    """The chunks of one choice of a stream."""

    def __init__(self, frame: Frame, index: int) -> None:
        self._chat = frame.chat
        self._index = index
        kind = "chat.completion.chunk" if frame.chat else "text_completion"
        self._head = orjson.dumps(frame.head(kind))[:-1] + b',"choices":['
        place = b'{"index":%d,' % index
        self._before = b"data: " + self._head + place + (b'"delta":{"content":' if frame.chat else b'"text":')
        self._after = (b"}" if frame.chat else b"") + b',"logprobs":null,"finish_reason":null}]}\n\n'
        self._named: str | None = None

    def first(self) -> bytes:
        """Who speaks; a completion says nothing of it."""
        return self._delta({"role": "assistant", "content": "", "refusal": None}) if self._chat else b""

    def part(self, part: Part) -> bytes:
        """A piece of text, or of a call's arguments."""
        if part.call is None:
            return self._before + orjson.dumps(part.text) + self._after
        function: dict[str, Any] = {"arguments": part.arguments}
        call: dict[str, Any] = {"index": 0, "function": function}
        if self._named is None:
            self._named = function["name"] = part.call.name
            call |= {"id": part.call.id, "type": "function"}
        elif not part.arguments:
            return b""
        return self._delta({"tool_calls": [call]})

    def last(self, answer: Answer, *, logprobs: bool) -> bytes:
        """Why it ended, and the chances of all its tokens."""
        chances: dict[str, Any] | None = None
        if logprobs:
            chances = {"content": _nested(answer.chances)} if self._chat else _flat(answer.chances)
        return self._delta({}, finish=answer.finish, chances=chances)

    def _delta(self, delta: dict[str, Any], finish: str | None = None, chances: Any = None) -> bytes:
        said: dict[str, Any] = {"delta": delta} if self._chat else {"text": ""}
        choice = {"index": self._index, **said, "logprobs": chances, "finish_reason": finish}
        return b"data: " + self._head + orjson.dumps(choice) + b"]}\n\n"

    def counts(self, answers: Sequence[Answer]) -> bytes:
        """The last chunk where the client wants the counts."""
        return b"data: " + self._head + b'],"usage":' + orjson.dumps(usage(answers)) + b"}\n\n"


def usage(answers: Sequence[Answer]) -> dict[str, Any]:
    """Tokens of the request: the prompt counts once, whatever the number of choices."""
    prompt, out = answers[0].tokens_in, sum(answer.tokens_out for answer in answers)
    reused = {"cached_tokens": answers[0].tokens_reused}
    return {
        "prompt_tokens": prompt, "completion_tokens": out, "total_tokens": prompt + out,
        "prompt_tokens_details": reused,
    }  # fmt: skip


def _nested(chances: Sequence[c.Chance]) -> list[dict[str, Any]]:
    """As chat completions tell them."""
    return [{**_likely(one), "top_logprobs": [_likely(other) for other in one.top]} for one in chances]


def _likely(one: c.Likely) -> dict[str, Any]:
    return {"token": one.token, "logprob": one.logprob, "bytes": one.bytes}


def _flat(chances: Sequence[c.Chance]) -> dict[str, Any]:
    """As completions tell them: a list for each thing."""
    offsets, at = [], 0
    for one in chances:
        offsets.append(at)
        at += len(one.token)
    return {
        "tokens": [one.token for one in chances],
        "token_logprobs": [one.logprob for one in chances],
        "top_logprobs": [{other.token: other.logprob for other in one.top} for one in chances],
        "text_offset": offsets,
    }
