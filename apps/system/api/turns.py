"""One answer: from a request to the system calls of its process, and back to a text, calls of tools and counts."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ....syscalls import calls as c
from ....syscalls.api import Sys
from .conversation import Conversation
from .messages import Shown
from .protocol import ChatRequest, Format, ToolCall, Writing
from .toolcalls import OPEN, CallReader, Toolset

_FINISH = {"end": "stop", "stop": "stop", "length": "length"}


@dataclass
class Part:
    """What is new of an answer: text, or a piece of the arguments of the call that is read."""

    text: str = ""
    call: CallReader | None = None
    arguments: str = ""


OnPart = Callable[[Part], None]


@dataclass
class Answer:
    """A finished answer."""

    text: str
    finish: str  # as OpenAI says it: "stop", "length" or "tool_calls"
    tokens_in: int
    tokens_reused: int
    tokens_out: int
    first_token_s: float
    calls: list[ToolCall] = field(default_factory=list)
    chances: list[c.Chance] = field(default_factory=list)

    @classmethod
    def of(cls, reply: c.Generated) -> Answer:
        """What one call of `generate` wrote."""
        return cls(
            reply.text, _FINISH[reply.finish], reply.tokens_in, reply.tokens_reused, reply.tokens_out,
            reply.first_token_s, chances=reply.chances,
        )  # fmt: skip


def fields(asked: Writing, choice: int) -> dict[str, Any]:
    """The part of a `generate` call that all requests share; the choices of one request have seeds of their own."""
    seed = secrets.randbits(32) if asked.seed is None else asked.seed
    found = {
        "temperature": asked.temperature, "top_k": asked.top_k, "top_p": max(asked.top_p, 1e-6), "min_p": asked.min_p,
        "repeat_penalty": asked.repeat_penalty, "seed": (seed + choice) & 0xFFFFFFFF, "stop": asked.stop,
        "ignore_end": asked.ignore_eos,
    }  # fmt: skip
    if asked.temperature == 0:
        found["seed"] = 0  # nothing is drawn
    return found


def form(asked: Format | None) -> dict[str, Any]:
    """The schema that the answer is held to."""
    if asked is None or asked.type == "text":
        return {}
    return {"json_schema": asked.json_schema.schema_ if asked.json_schema else {"type": "object"}}


@dataclass
class ChatTurn:
    """A turn of a chat, to be carried out in a process."""

    asked: ChatRequest
    messages: Sequence[Shown]
    tools: Toolset
    most: int
    choice: int
    on_part: OnPart | None

    async def run(self, conversation: Conversation, sys: Sys) -> Answer:
        """Write the answer."""
        common = fields(self.asked, self.choice)
        if self.asked.logprobs:
            common["top"] = self.asked.top_logprobs or 0
        common |= await self._sight(conversation, sys)
        if self.tools.forced:
            return await self._call(sys, common, None)
        stop = [*common["stop"], OPEN] if self.tools.tools else common["stop"]
        reply = await sys.generate(
            **{**common, "stop": stop}, **form(self.asked.response_format), max_tokens=self.most, on_text=self._text()
        )
        if self.tools.tools and reply.stopped == OPEN and reply.tokens_out < self.most:
            return await self._call(sys, common, reply)
        return Answer.of(reply)

    async def _sight(self, conversation: Conversation, sys: Sys) -> dict[str, Any]:
        """What the model is shown: the messages, or those that fit of the pages that they are made into."""
        said = [c.Message(role=role, text=text) for role, text in self.messages]
        if self.asked.overflow == "refuse":
            return {"messages": said, "use_context": False}
        await _into_pages(conversation, sys, self.messages[:-1])
        return {"messages": said[-1:], "use_context": True}

    async def _call(self, sys: Sys, common: dict[str, Any], before: c.Generated | None) -> Answer:
        """Let it write the call it has begun, or must begin; ``before`` is what it wrote until then."""
        said, spent = (before.text, before.tokens_out) if before else ("", 0)
        reader = CallReader()
        begin = f"{said}{OPEN}\n"
        reply = await sys.generate(
            **{**common, "stop": [], "ignore_end": False}, begin=begin, grammar=self.tools.grammar(),
            max_tokens=self.most - spent, on_text=self._arguments(reader),
        )  # fmt: skip
        answer = Answer.of(reply)
        answer.text = said.rstrip()
        answer.tokens_out += spent
        if before is not None:
            answer.tokens_in, answer.tokens_reused = before.tokens_in, before.tokens_reused
            answer.first_token_s, answer.chances = before.first_token_s, before.chances + answer.chances
        if reader.name:
            answer.calls = [reader.call()]
        if answer.finish == "stop":
            answer.finish = "tool_calls"
        return answer

    def _text(self) -> Callable[[str], None] | None:
        on_part = self.on_part
        return None if on_part is None else lambda text: on_part(Part(text))

    def _arguments(self, reader: CallReader) -> Callable[[str], None]:
        def read(text: str) -> None:
            new = reader.feed(text)
            if self.on_part is not None and reader.name:
                self.on_part(Part(call=reader, arguments=new))

        return read


async def _into_pages(conversation: Conversation, sys: Sys, messages: Sequence[Shown]) -> None:
    """Make the context what the client says was said: what goes on is added, what was changed is taken out."""
    same = 0
    for (known, _), message in zip(conversation.paged, messages, strict=False):
        if known != message:
            break
        same += 1
    while len(conversation.paged) > same:
        await sys.drop(conversation.paged.pop()[1])
    for role, text in messages[same:]:
        page = await sys.add(text, role=role, kind="system" if role == "system" else "dialogue")
        conversation.paged.append(((role, text), page.handle))
