"""The one gate: rights, limits, journal, audit line, meter, time-out and error translation of every call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from ..kernel.errors import AppFailed, BadInput, Diverged, Interrupted, OSFault, Terminated, TimedOut, from_dict
from ..kernel.machine import Machine
from ..kernel.process import Process, Signal, State
from ..kernel.replay import Replay
from ..kernel.translate import translate
from ..memory.journal import Asked, Write
from ..memory.journal import Entry as Before
from . import calls as c
from .audit import Audit
from .recording import Open, Recorder
from .rights import admit
from .table import Entry, Keeps
from .tools import Toolbox

Launcher = Callable[..., Any]


TURN = 8
"""Calls without a wait after which a process that makes nothing else lets the others run."""

NOWHERE = Open(Asked(0, 0, 0.0), "", {}, None)
"""The place of a call of which the journal has nothing."""

OVER = 0.01
"""Seconds that a call beyond the limit of calls waits: a loop that goes on all the same must not eat the core."""


@dataclass(frozen=True)
class Call:
    """What a handler gets: who calls, on which machine, and where pieces of text go.

    A handler runs again when llmos died before the outcome was on disk; then ``again`` is true. What it changes for
    good goes into ``writes``, so that it is there exactly if the outcome is.
    """

    gate: Gate
    process: Process
    on_text: Callable[[str], None] | None
    number: int  # counts the calls of this name that the process made, from 1
    open: Open  # as the journal knows it
    again: bool
    writes: list[Write] = field(default_factory=list)  # committed with the outcome of the call, all or nothing
    after: list[Callable[[], None]] = field(default_factory=list)  # run on the event loop once that is on disk
    undo: list[Callable[[], None]] = field(default_factory=list)  # run when the reply cannot be handed over

    @property
    def machine(self) -> Machine:
        """The machine behind the gate."""
        return self.gate.machine

    @property
    def asked(self) -> Asked:
        """Where the call stands in the journal; nowhere, n 0, where only its outcome is kept."""
        return self.open.asked


class Gate:
    """Every call of every process goes through `call`."""

    def __init__(
        self, machine: Machine, table: dict[str, Entry], audit: Audit, tools: Toolbox, spawn: Launcher
    ) -> None:
        self.machine = machine
        self._recorder = Recorder(machine.parts.journal, machine.parts.records)
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
        within: int | None = None,
    ) -> c.Reply:
        """Make one call for a process; ends in a reply or an `OSFault`, never in silence.

        A request in plain values, as it comes out of a socket, is checked here too. ``within`` is the journal's id of
        the call in whose course this one is made.
        """
        known = self.table.get(name)
        await self._enter(process, known)
        entry, request, plain = self._admit(process, name, known, request)
        past = process.past
        if entry.keeps is Keeps.NOTHING and (past is None or not past.has(name, plain, within)):
            self._book(process, entry, name, plain)
            return await self._directly(Call(self, process, on_text, 0, NOWHERE, again=False), entry, request)
        before = None
        if past is not None:
            if past.begins:
                return self._taken_over(process, past, name, plain)
            before = await self._before(process, past, name, plain, within)
            if before is not None and before.ok is not None:
                return handed_back(entry, before, on_text)
        self._book(process, entry, name, plain)
        if past is not None and before is not None:
            number = past.numbers[before.id]
            opened = Open(Asked(before.id, before.n, before.asked), name, plain, within)
        else:
            process.counts[name] += 1
            number = process.counts[name]
            opened = await self._open(process, entry, name, plain, within)
        return await self._settled(Call(self, process, on_text, number, opened, before is not None), entry, request)

    async def _enter(self, process: Process, entry: Entry | None) -> None:
        if entry is None or entry.keeps is not Keeps.NOTHING or process.usage.calls % TURN == 0:
            await asyncio.sleep(0)  # a process that only calls still lets the others run
        if not process.going.is_set():
            await process.going.wait()
        if process.dying is Signal.KILL or not process.alive or process.ending:
            raise Terminated("the process has ended")
        if process.account.reached("calls"):
            await asyncio.sleep(OVER)

    def _admit(
        self, process: Process, name: str, entry: Entry | None, asked: c.Request | Mapping[str, Any]
    ) -> tuple[Entry, c.Request, dict[str, Any]]:
        """The call's entry, its request, and that in plain values. One that is refused counts and has its line too."""
        shown = dict[str, Any]()
        try:
            if entry is None:
                raise BadInput(f"no system call {name!r}", hint="docs/syscalls.md lists them")
            request = asked if isinstance(asked, c.Request) else _checked(entry, name, asked)
            plain = _plain(request, c.unwritable)
            shown = _shown(entry, plain)
            admit(process, name, entry.needs, request)
        except OSFault as fault:
            self.audit.line(process, name, entry.needs if entry else "", fault.code, shown)
            count_call(process)
            raise
        return entry, request, plain

    def _book(self, process: Process, entry: Entry, name: str, plain: dict[str, Any]) -> None:
        try:
            count_call(process)
        except OSFault as fault:
            self.audit.line(process, name, entry.needs, fault.code, _shown(entry, plain))
            raise
        self.audit.line(process, name, entry.needs, "allowed", _shown(entry, plain))

    # -- coming back --

    def _taken_over(self, process: Process, past: Replay, name: str, plain: dict[str, Any]) -> c.Reply:
        """The first call of code that goes on from a state: it must ask for that."""
        if name != "load":
            fault = Diverged(
                f"{process.app} goes on from a saved state, and its first call is {name}",
                hint="an app that saves its state begins with load", call=name, args=plain,
            )  # fmt: skip
            self.machine.end(process, fault)
            raise fault
        past.begins = False
        self._caught_up(process, past)
        return c.Loaded(state=process.saved)

    async def _before(
        self, process: Process, past: Replay, name: str, plain: dict[str, Any], within: int | None
    ) -> Before | None:
        """What the journal says of the call, when it is its turn to be handed back."""
        try:
            found = await past.meet(name, plain, within)
        except Diverged as fault:
            self.machine.end(process, fault)
            raise
        self._caught_up(process, past)
        return found

    def _caught_up(self, process: Process, past: Replay) -> None:
        if past.over:
            process.past = None

    # -- doing it --

    async def _open(
        self, process: Process, entry: Entry, name: str, plain: dict[str, Any], within: int | None
    ) -> Open:  # fmt: skip
        if entry.keeps is Keeps.ALL:
            return await self._recorder.ask(process, name, plain, within)
        return self._recorder.begin(name, plain, within)

    async def _settled(self, call: Call, entry: Entry, request: c.Request) -> c.Reply:
        """Carry the call out, put its outcome on disk, and only then hand it over."""
        try:
            return await self._settle(call, entry, request)
        except BaseException as problem:
            for back in call.undo:
                back()
            if isinstance(problem, asyncio.CancelledError):
                self._recorder.give_up(call.process, call.open)
            raise
        finally:
            await call.process.going.wait()  # a stopped process hears nothing until it goes on

    async def _settle(self, call: Call, entry: Entry, request: c.Request) -> c.Reply:
        process, opened = call.process, call.open
        try:
            self.audit.sure()
            reply = await (self._carry_out if entry.waits else self._directly)(call, entry, request)
            outcome = in_plain_values(reply)
        except OSFault as fault:
            await self._recorder.end(process, opened, False, fault.to_dict())
            raise
        await self._recorder.end(process, opened, True, outcome, call.writes, call.after)
        return reply

    async def _directly(self, call: Call, entry: Entry, request: c.Request) -> c.Reply:
        """A call that does not wait: there is nothing to interrupt, and no time to run out."""
        if call.process.interrupted:
            call.process.interrupted = False
            raise Interrupted("interrupted")
        try:
            return await entry.handler(call, request)
        except Exception as problem:
            raise _translated(problem) from problem

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


def count_call(process: Process) -> None:
    """Book a call; raises `LimitExceeded`."""
    process.account.charge("calls", 1)
    process.usage.calls += 1


def handed_back(entry: Entry, before: Before, on_text: Callable[[str], None] | None) -> c.Reply:
    """What the call came to in an earlier life. Raises the error that it raised then."""
    if not before.ok:
        raise from_dict(before.reply or {})
    try:
        reply = entry.reply.model_validate(before.reply)
    except ValidationError as wrong:
        raise AppFailed(
            f"the journal's reply to {before.call} is of another version: {c.said(wrong)}",
            hint="go on with the version of llmos that wrote it",
        ) from None
    text = getattr(reply, "text", getattr(reply, "answer", ""))
    if on_text is not None and text:
        on_text(text)
    return reply


def _shown(entry: Entry, plain: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in plain.items() if key not in entry.private}


def _translated(problem: Exception) -> Exception:
    """The user's error, or the bug itself."""
    return translate(problem) or problem


def _checked(entry: Entry, name: str, fields: Mapping[str, Any]) -> c.Request:
    try:
        return entry.request.model_validate(fields)
    except ValidationError as wrong:
        raise BadInput(f"{name}: {c.said(wrong)}", hint="docs/syscalls.md has the fields") from None


def _plain(model: BaseModel, otherwise: Callable[[BaseModel], OSFault]) -> dict[str, Any]:
    """The model in JSON values; raises ``otherwise`` where it holds something else, or text that is no Unicode."""
    try:
        return model.model_dump(mode="json", exclude_defaults=True)
    except (ValueError, RecursionError) as problem:
        raise otherwise(model) from problem


def in_plain_values(reply: c.Reply) -> dict[str, Any]:
    """A reply as the journal has it."""
    return _plain(reply, _no_value)


def _no_value(reply: BaseModel) -> OSFault:
    return AppFailed(f"a call came to a {type(reply).__name__} that is no plain value")
