"""Tools: functions that the outside offers."""

from typing import Any

from pydantic import BaseModel, Field

from .base import Label, Reply, Request


class ListTools(Request):
    """The tools this process may call."""


class ToolInfo(BaseModel):
    """A tool and the JSON schema of its arguments."""

    name: str
    description: str
    json_schema: dict[str, Any]


class Tools(Reply):
    """Tools by name."""

    tools: list[ToolInfo]


class CallTool(Request):
    """Call a tool."""

    name: str
    args: dict[str, Any] = Field({}, description="arguments by name")


class ToolResult(Reply):
    """What the tool returned; it came from outside."""

    result: Any
    label: Label = "untrusted"
