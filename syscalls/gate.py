"""The one gate: rights, limits, journal, audit line, meter, time-out and error translation of every call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from ..kernel.errors import AppFailed, BadInput, Interrupted, OSFault, Terminated, TimedOut
from ..kernel.machine import Machine
from ..kernel.process import Process, Signal, State
from ..kernel.translate import translate, translated
from ..memory.journal import Write
from . import calls as c
from .audit import Audit
from .rights import admit
from .table import Entry
from .tools import Toolbox

Launcher = Callable[..., Any]


OVER = 0.01
"""Seconds that a call beyond the limit of calls waits: a loop that goes on all the same must not eat the core."""


@dataclass(frozen=True)
class Call:
    """What a handler gets: who calls, on which machine, and where pieces of text go."""

    gate: Gate
    process: Process
    on_text: Callable[[str], None] | None
    number: int  # counts the calls of this name that the process made, from 1
    writes: list[Write] = field(default_factory=list)  # committed with the outcome of the call, all or nothing
    after: list[Callable[[], None]] = field(default_factory=list)  # run on the event loop once that is on disk
    undo: list[Callable[[], None]] = field(default_factory=list)  # run when the reply cannot be handed over

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
        self,
        process: Process,
        name: str,
        request: c.Request | Mapping[str, Any],
        on_text: Callable[[str], None] | None = None,
    ) -> c.Reply:
        """Make one call for a process; ends in a reply or an `OSFault`, never in silence.

        A request in plain values, as it comes out of a socket, is checked here too.
        """
        await self._enter(process)
        entry, request, plain = self._admit(process, name, request)
        process.counts[name] += 1
        call = Call(self, process, on_text, process.counts[name])
        journal = self.machine.parts.journal
        asked = await self._on_disk(journal.intent(process.pid, name, plain))
        try:
            try:
                reply = await self._carry_out(call, entry, request)
                outcome = _plain(reply, AppFailed(f"{name} gave something that is no plain value"))
            except OSFault as fault:
                await self._on_disk(journal.outcome(asked, False, fault.to_dict()))
                raise
            await self._on_disk(journal.outcome(asked, True, outcome, call.writes))
            for then in call.after:
                then()
        except BaseException:
            for back in call.undo:
                back()
            raise
        finally:
            await process.going.wait()  # a stopped process hears nothing until it goes on
        return reply

    async def _enter(self, process: Process) -> None:
        await asyncio.sleep(0)  # a process that only calls still lets the others run
        await process.going.wait()
        if process.dying is Signal.KILL or not process.alive or process.ending:
            raise Terminated("the process has ended")
        if process.interrupted:
            process.interrupted = False
            raise Interrupted("interrupted")
        if process.account.reached("calls"):
            await asyncio.sleep(OVER)

    def _admit(
        self, process: Process, name: str, asked: c.Request | Mapping[str, Any]
    ) -> tuple[Entry, c.Request, dict[str, Any]]:
        """The call's entry, its request, and that in plain values. Every attempt counts and has its audit line."""
        needs, shown = "", dict[str, Any]()
        try:
            process.account.charge("calls", 1)
            process.usage.calls += 1
            entry = self._entry(name)
            needs = entry.needs
            request = asked if isinstance(asked, c.Request) else _checked(entry, name, asked)
            plain = _plain(request, c.unwritable(request))
            shown = {key: value for key, value in plain.items() if key not in entry.private}
            admit(process, name, needs, request)
        except OSFault as fault:
            self.audit.line(process, name, needs, fault.code, shown)
            raise
        self.audit.line(process, name, needs, "allowed", shown)
        return entry, request, plain

    def _entry(self, name: str) -> Entry:
        if name not in self.table:
            raise BadInput(f"no system call {name!r}", hint="docs/syscalls.md lists them")
        return self.table[name]

    async def _on_disk(self, write: Any) -> Any:
        with translated():
            return await write

    async def _carry_out(self, call: Call, entry: Entry, request: c.Request) -> c.Reply:
        process = call.process
        task = asyncio.ensure_future(entry.handler(call, request))
        process.calls[task] = None
        if process.interrupted:  # it came while the call was on its way to the journal
            process.interrupted = False
            process.calls[task] = Signal.INT
            task.cancel()
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


def _checked(entry: Entry, name: str, fields: Mapping[str, Any]) -> c.Request:
    try:
        return entry.request.model_validate(fields)
    except ValidationError as wrong:
        raise BadInput(f"{name}: {c.said(wrong)}", hint="docs/syscalls.md has the fields") from None


def _plain(model: BaseModel, otherwise: OSFault) -> dict[str, Any]:
    """The model in JSON values; raises ``otherwise`` where it holds something else, or text that is no Unicode."""
    try:
        return model.model_dump(mode="json", exclude_defaults=True)
    except (ValueError, RecursionError) as problem:
        raise otherwise from problem
