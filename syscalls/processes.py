"""Processes: spawn, wait, kill, send, receive, info, save, load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..kernel.errors import BadInput, NotFound
from ..kernel.plain import plain
from ..kernel.process import Process, Signal
from ..memory import mail
from ..memory.mail import Letter
from . import calls as c

if TYPE_CHECKING:
    from .gate import Call


async def spawn(call: Call, request: c.Spawn) -> c.Spawned:
    """Start a child; its rights are cut down to the parent's. Repeated, it finds the child that is there already."""
    process, table = call.process, call.machine.table
    child = next((p for p in table.children(process.pid) if call.again and p.spawned == call.asked.n), None)
    if child is None:
        child = await call.gate.spawn(process, request.app, request.args, request.rights, call.asked.n)
    return c.Spawned(pid=child.pid)


async def wait(call: Call, request: c.Wait) -> c.Ended:
    """Wait for a child to end; each child is handed out once."""
    pid = None if request.pid is None else call.process.known_as(request.pid)
    child = await call.machine.wait_child(call.process, pid)
    call.writes.append(call.machine.parts.records.changing(child.pid, collected=True))
    call.undo.append(lambda: _not_collected(call, child))
    error = child.error.to_dict() if child.error else None
    assert child.exit_code is not None
    return c.Ended(pid=child.pid, exit_code=child.exit_code, result=plain(child.result), error=error)


def _not_collected(call: Call, child: Process) -> None:
    child.collected = False
    call.machine.parts.journal.post(call.machine.parts.records.changing(child.pid, collected=False))


async def kill(call: Call, request: c.Kill) -> c.Nothing:
    """Signal a process of one's own tree."""
    target = call.machine.related(call.process, call.process.known_as(request.pid))
    await call.machine.signal(target.pid, Signal[request.signal])
    return c.Nothing()


async def send(call: Call, request: c.Send) -> c.Nothing:
    """Put a message into the mailbox of a living process of the same owner; it is there once it is on disk."""
    process, pid = call.process, call.process.known_as(request.pid)
    target = call.machine.table.find(pid)
    if target is None or not target.alive or target.owner != process.owner:
        raise NotFound(f"no process {request.pid} to send to", pid=request.pid)
    numbers: list[int] = []
    call.writes.append(lambda connection: numbers.append(mail.put(connection, pid, process.pid, request.message)))
    call.after.append(lambda: _delivered(target, (numbers[0], process.pid, request.message)))
    return c.Nothing()


def _delivered(target: Process, letter: Letter) -> None:
    target.mailbox.append(letter)
    target.mail.set()


async def receive(call: Call, request: c.Receive) -> c.Mail:
    """The oldest message; waits for one."""
    process = call.process
    while not process.mailbox:
        process.mail.clear()
        await process.mail.wait()
    letter = number, sender, message = process.mailbox.popleft()
    call.writes.append(lambda connection: mail.take(connection, number))
    call.undo.append(lambda: _put_back(call, letter))
    return c.Mail(sender=sender, message=message)


def _put_back(call: Call, letter: Letter) -> None:
    """Who asked has gone: the message is the next again."""
    process = call.process
    process.mailbox.appendleft(letter)
    process.mail.set()
    if process.alive:
        call.machine.parts.journal.post(lambda connection: mail.put_back(connection, process.pid, letter))


async def info(call: Call, request: c.Info) -> c.ProcessInfo:
    """The process as it sees itself."""
    process = call.process
    return c.ProcessInfo(
        pid=process.pid, parent=process.parent, owner=process.owner, app=process.app,
        rights=sorted(process.rights), limits=process.limits.to_dict(), model=call.machine.parts.engine.info.name,
    )  # fmt: skip


async def save(call: Call, request: c.Save) -> c.Nothing:
    """Keep the state; what the process did before is history, and coming back begins here."""
    process = call.process
    if len(process.calls) > 1:
        raise BadInput("other calls are under way", hint="save when nothing else is waited for")
    columns = {"saved": request.state, "saved_n": call.asked.n, "counts": dict(process.counts)}
    call.writes.append(call.machine.parts.records.changing(process.pid, **columns))
    call.after.append(lambda: _saved(process, request.state))
    return c.Nothing()


def _saved(process: Process, state: Any) -> None:
    process.saved = state


async def load(call: Call, request: c.Load) -> c.Loaded:
    """The state that was saved last; None where there is none."""
    return c.Loaded(state=call.process.saved)
