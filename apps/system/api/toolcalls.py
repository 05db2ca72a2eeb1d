"""Tools of a client: how the model is told of them, what a call looks like, and its way into a reply.

A call is ``<tool_call>\\n{"name":…,"arguments":{…}}\\n</tool_call>``, as the models that were taught calls write it.
The model decides freely whether to begin one; once it has, a grammar holds the arguments to the tool's schema.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from ....models.grammar import CallSpec, from_calls
from .protocol import ChatRequest, ChosenTool, FunctionCall, Tool, ToolCall

OPEN = "<tool_call>"
CLOSE = "</tool_call>"
KEYS = ("name", "arguments")
_MANUAL = """You may call functions. Their signatures, each in JSON:
<tools>
{tools}
</tools>
To call one, write its name and arguments like this:
<tool_call>
{{"name":NAME,"arguments":{{...}}}}
</tool_call>"""
_HEAD = re.compile(r'^\{"name":("(?:[^"\\]|\\.)*"),"arguments":')


@dataclass(frozen=True)
class Toolset:
    """What may be called in one answer. ``forced``: nothing else than a call may be written."""

    tools: Sequence[Tool]
    forced: bool

    @classmethod
    def of(cls, asked: ChatRequest) -> Toolset:
        """From the request; raises `ValueError` for a choice that is no tool."""
        if asked.tool_choice == "none" or not (asked.tools or asked.tool_choice == "required"):
            return cls((), forced=False)
        if isinstance(asked.tool_choice, ChosenTool):
            name = asked.tool_choice.function.name
            chosen = [tool for tool in asked.tools if tool.function.name == name]
            if not chosen:
                raise ValueError(f"there is no tool {name!r} among the tools")
            return cls(chosen, forced=True)
        if not asked.tools:
            raise ValueError("a call is required, but there are no tools")
        return cls(asked.tools, forced=asked.tool_choice == "required")

    @property
    def manual(self) -> str:
        """What the model is told; "" without tools."""
        if not self.tools:
            return ""
        lines = [orjson.dumps(tool.model_dump(exclude_none=True)).decode() for tool in self.tools]
        return _MANUAL.format(tools="\n".join(lines))

    def grammar(self) -> str:
        """A call of one of the tools, without its marks; raises `BadGrammar`."""
        specs = [
            CallSpec(tool.function.name, tool.function.description, tool.function.parameters or {"type": "object"})
            for tool in self.tools
        ]
        return from_calls(specs, KEYS)


def written(calls: Sequence[ToolCall]) -> str:
    """Calls of an earlier answer, as the model wrote them."""
    return "\n".join(f"{OPEN}\n{_call(call.function)}\n{CLOSE}" for call in calls)


def _call(function: FunctionCall) -> str:
    name = orjson.dumps(function.name).decode()
    return f'{{"name":{name},"arguments":{function.arguments or "{}"}}}'


@dataclass
class CallReader:
    """Reads a call as its text comes: first the name, then the arguments piece by piece."""

    id: str = field(default_factory=lambda: f"call_{secrets.token_hex(12)}")
    name: str = ""
    arguments: str = ""
    _text: str = ""

    def feed(self, piece: str) -> str:
        """What is new of the arguments. The call's own last brace is held back."""
        self._text += piece
        head = _HEAD.match(self._text)
        if head is None:
            return ""
        self.name = self.name or orjson.loads(head.group(1))
        whole = self._text[head.end() : -1]
        new = whole[len(self.arguments) :]
        self.arguments = whole
        return new

    def call(self) -> ToolCall:
        """The whole call, when its text is complete."""
        return ToolCall(id=self.id, function=FunctionCall(name=self.name, arguments=self.arguments))
