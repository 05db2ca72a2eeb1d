"""The one gate: rights, limits, journal, audit line, meter, time-out and error translation of every call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from ..kernel.errors import BadInput, Interrupted, OSFault, Terminated, TimedOut
from ..kernel.machine import Machine
from ..kernel.process import Process, Signal, State
from ..kernel.translate import translate, translated
from . import calls as c
from .audit import Audit
from .rights import admit
from .table import Entry
from .tools import Toolbox

Launcher = Callable[..., Any]


@dataclass(frozen=True)
class Call:
    """What a handler gets: who calls, on which machine, and where pieces of text go."""

    gate: Gate
    process: Process
    on_text: Callable[[str], None] | None

    @property
    def machine(self) -> Machine:
        """The machine behind the gate."""
        return self.gate.machine


class Gate:
    """Every call of every process goes through `call`."""

    def __init__(
        self, machine: Machine, table: dict[str, Entry], audit: Audit, tools: Toolbox, spawn: Launcher
    ) -> None:
        self.machine = machine
        self.table = table
        self.audit = audit
        self.tools = tools
        self.spawn = spawn  # starts an app by name as a child: `launch` with everything but the call's own filled in

    async def call(
        self, process: Process, name: str, request: c.Request, on_text: Callable[[str], None] | None = None
    ) -> c.Reply:
        """Make one call for a process; ends in a reply or an `OSFault`, never in silence."""
        entry = self.table.get(name)
        if entry is None:
            raise BadInput(f"no system call {name!r}", hint="docs/syscalls.md lists them")
        await self._enter(process)
        self._admit(process, name, entry, request)
        asked = await self._on_disk(self.machine.parts.journal.intent(process.pid, name, _plain(request)))
        try:
            reply = await self._carry_out(process, entry, request, on_text)
        except OSFault as fault:
            await self._on_disk(self.machine.parts.journal.outcome(asked, False, fault.to_dict()))
            raise
        await self._on_disk(self.machine.parts.journal.outcome(asked, True, _plain(reply)))
        await process.going.wait()  # a stopped process gets its reply when it goes on
        return reply

    async def _enter(self, process: Process) -> None:
        await process.going.wait()
        if process.dying is Signal.KILL or not process.alive or process.ending:
            raise Terminated("the process has ended")
        if process.interrupted:
            process.interrupted = False
            raise Interrupted("interrupted")

    def _admit(self, process: Process, name: str, entry: Entry, request: c.Request) -> None:
        fields = request.model_dump(exclude_unset=True, exclude=set(entry.private))
        try:
            admit(process, name, entry.needs, request)
            process.account.charge("calls", 1)
        except OSFault as fault:
            self.audit.line(process, name, entry.needs, fault.code, fields)
            raise
        process.usage.calls += 1
        self.audit.line(process, name, entry.needs, "allowed", fields)

    async def _on_disk(self, write: Any) -> Any:
        with translated():
            return await write

    async def _carry_out(
        self, process: Process, entry: Entry, request: c.Request, on_text: Callable[[str], None] | None
    ) -> c.Reply:
        task = asyncio.ensure_future(entry.handler(Call(self, process, on_text), request))
        process.calls[task] = None
        process.settle(State.WAITING)
        try:
            async with asyncio.timeout(request.timeout):
                return await task
        except TimeoutError:
            raise TimedOut(f"no reply within {request.timeout:g} s", seconds=request.timeout) from None
        except asyncio.CancelledError:
            if process.calls.get(task) is Signal.INT and process.dying is None:
                raise Interrupted("interrupted") from None
            raise
        except Exception as problem:
            raise _translated(problem) from problem
        finally:
            del process.calls[task]
            if not process.calls:
                process.settle(State.READY)


def _translated(problem: Exception) -> Exception:
    """The user's error, or the bug itself."""
    return translate(problem) or problem


def _plain(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_defaults=True)
