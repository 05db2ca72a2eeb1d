"""Tools: typed Python functions that processes may call by name."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel as Model
from pydantic import ValidationError, create_model

from ..kernel.errors import AppFailed, BadInput, NotFound, OSFault, OutcomeUnknown, Unavailable
from ..kernel.plain import plain
from . import calls as c
from .rights import holds

if TYPE_CHECKING:
    from .gate import Call


THREADS, EACH = 64, 8
"""Tools at work at a time, of all processes and of each."""


@dataclass(frozen=True)
class Tool:
    """A function, the model of its arguments, and what it says of itself."""

    name: str
    description: str
    function: Callable[..., Any]
    arguments: type[Model]
    idempotent: bool  # doing it twice is doing it once


class Toolbox:
    """Tools by name. A function's signature is its schema, its docstring its description."""

    def __init__(self) -> None:
        self._tools: dict[str, Tool] = {}
        # Of their own, so that a tool which hangs keeps nothing of the kernel's waiting.
        self._threads = ThreadPoolExecutor(THREADS, "llmos-tool")
        self._lock = threading.Lock()
        self._busy: Counter[int] = Counter()  # threads at work, by pid; whoever holds the lock

    async def on_thread(self, pid: int, function: Callable[[], Any]) -> Any:
        """Run it on a thread. One that is given up by a time-out or a signal keeps its thread until it returns."""
        with self._lock:
            if self._busy[pid] >= EACH:
                raise Unavailable(f"{EACH} tools of this process are at work", hint="wait for them first")
            self._busy[pid] += 1
        work = self._threads.submit(function)
        work.add_done_callback(lambda _: self._over(pid))
        return await asyncio.wrap_future(work)

    def _over(self, pid: int) -> None:
        with self._lock:
            self._busy[pid] -= 1
            if not self._busy[pid]:
                del self._busy[pid]

    def add(self, function: Callable[..., Any], name: str = "", *, idempotent: bool = False) -> None:
        """Offer a function; every parameter needs a type. It may be async; a plain one runs in a worker thread.

        Where llmos died during a call, an ``idempotent`` tool is called again; for any other the process is told
        `OutcomeUnknown`.
        """
        name = name or function.__name__
        fields: dict[str, Any] = {}
        for parameter in inspect.signature(function, eval_str=True).parameters.values():
            if parameter.annotation is parameter.empty or parameter.kind in (
                parameter.VAR_POSITIONAL,
                parameter.VAR_KEYWORD,
            ):
                raise BadInput(f"tool {name}: parameter {parameter.name} needs a type", hint="annotate it")
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (parameter.annotation, default)
        arguments = create_model(f"{name}_arguments", __config__={"extra": "forbid"}, **fields)
        self._tools[name] = Tool(name, inspect.getdoc(function) or name, function, arguments, idempotent)

    def get(self, name: str) -> Tool:
        """The tool, or `NotFound`."""
        if name not in self._tools:
            raise NotFound(f"no tool {name!r}", hint=f"there are {', '.join(self._tools) or 'none'}", tool=name)
        return self._tools[name]

    def allowed(self, rights: frozenset[str]) -> list[Tool]:
        """Tools that these rights cover, by name."""
        return [t for name, t in sorted(self._tools.items()) if holds(rights, f"tool:call:{name}")]


async def listing(call: Call, request: c.ListTools) -> c.Tools:
    """The tools this process may call."""
    return c.Tools(
        tools=[
            c.ToolInfo(name=t.name, description=t.description, json_schema=t.arguments.model_json_schema())
            for t in call.gate.tools.allowed(call.process.rights)
        ]
    )


async def call(call: Call, request: c.CallTool) -> c.ToolResult:
    """Check the arguments, call the function; what it raises is an error of the tool, not of llmos."""
    tool = call.gate.tools.get(request.name)
    if call.again and not tool.idempotent:
        raise OutcomeUnknown(
            f"llmos ended while tool {tool.name} was at work, and it may have done its work or not",
            hint="find out before calling it again", tool=tool.name,
        )  # fmt: skip
    try:
        arguments = tool.arguments.model_validate(request.args)
    except ValidationError as wrong:
        raise BadInput(f"tool {tool.name}: {c.said(wrong)}") from None
    given = {name: getattr(arguments, name) for name in tool.arguments.model_fields}
    try:
        if inspect.iscoroutinefunction(tool.function):
            result = await tool.function(**given)
        else:
            result = await call.gate.tools.on_thread(call.process.pid, partial(tool.function, **given))
    except OSFault:
        raise
    except Exception as problem:
        raise AppFailed(f"tool {tool.name} failed: {type(problem).__name__}: {problem}", tool=tool.name) from problem
    return c.ToolResult(result=plain(result))
