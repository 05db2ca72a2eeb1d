"""Processes: spawn, wait, kill, send, receive, info."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ..kernel.errors import NotFound
from ..kernel.process import Process, Signal
from . import calls as c

if TYPE_CHECKING:
    from .gate import Call


async def spawn(call: Call, request: c.Spawn) -> c.Spawned:
    """Start a child; its rights are cut down to the parent's."""
    child: Process = await call.gate.spawn(call.process, request.app, request.args, request.rights)
    return c.Spawned(pid=child.pid)


async def wait(call: Call, request: c.Wait) -> c.Ended:
    """Wait for a child to end; each child is handed out once."""
    child = await call.machine.wait_child(call.process, request.pid)
    result = child.result.model_dump(mode="json") if isinstance(child.result, BaseModel) else child.result
    error = child.error.to_dict() if child.error else None
    assert child.exit_code is not None
    return c.Ended(pid=child.pid, exit_code=child.exit_code, result=result, error=error)


async def kill(call: Call, request: c.Kill) -> c.Nothing:
    """Signal a process of one's own tree."""
    target = call.machine.related(call.process, request.pid)
    await call.machine.signal(target.pid, Signal[request.signal])
    return c.Nothing()


async def send(call: Call, request: c.Send) -> c.Nothing:
    """Put a message into the mailbox of a living process of the same owner."""
    target = next((p for p in call.machine.table.living() if p.pid == request.pid), None)
    if target is None or target.owner != call.process.owner:
        raise NotFound(f"no process {request.pid} to send to", pid=request.pid)
    target.mailbox.append((call.process.pid, request.message))
    target.mail.set()
    return c.Nothing()


async def receive(call: Call, request: c.Receive) -> c.Mail:
    """The oldest message; waits for one."""
    process = call.process
    while not process.mailbox:
        process.mail.clear()
        await process.mail.wait()
    sender, message = process.mailbox.popleft()
    call.undo.append(lambda: _put_back(process, sender, message))
    return c.Mail(sender=sender, message=message)


def _put_back(process: Process, sender: int, message: Any) -> None:
    """Who asked has gone: the message is the next again."""
    process.mailbox.appendleft((sender, message))
    process.mail.set()


async def info(call: Call, request: c.Info) -> c.ProcessInfo:
    """The process as it sees itself."""
    process = call.process
    return c.ProcessInfo(
        pid=process.pid, parent=process.parent, owner=process.owner, app=process.app,
        rights=sorted(process.rights), limits=process.limits.to_dict(), model=call.machine.parts.engine.info.name,
    )  # fmt: skip
