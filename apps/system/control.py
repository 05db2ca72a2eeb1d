"""What a running llmos answers to other terminals.

JSON lines over a socket in HOME/run that only its user may open:

    {"call": "ps"}                                 ->  {"ok": [row, ...]}
    {"call": "kill", "pid": 3, "signal": "TERM"}   ->  {"ok": null}
    {"call": "context", "pid": 3}                  ->  {"ok": {"window", "used", "pages", "faults", "evictions"}}
    {"call": "ping"}                               ->  {"ok": {"pid"}}
    {"call": "service", "name": "memory.ls", "with": {…}}  ->  {"step": {…}} as it goes on, then {"ok": …}; see `stores`
    anything else                                  ->  {"error": {"code", "message", "hint", "details"}}
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ...kernel.errors import BadInput, OSFault
from ...kernel.machine import Machine
from ...kernel.process import Process, Signal
from .boot import Running
from .client import SOCKET, short_path
from .comeback import end_suspended
from .stores import Json, Stores, answer, begin

Send = Callable[[dict[str, Json]], Awaitable[None]]

LONGEST = 2**24
"""Bytes of a request: twice what a command line can hold."""

PATIENCE = 2.0
"""Seconds that answers under way have when llmos ends: whoever sent the KILL that ends it still hears so."""


@dataclass
class _Lines:
    """Connections, and which of them are in the midst of an answer."""

    open: set[asyncio.Task[None]] = field(default_factory=set)
    answering: set[asyncio.Task[None]] = field(default_factory=set)
    closing: bool = False

    async def close(self) -> None:
        """No more questions; answers under way are given, within `PATIENCE`."""
        self.closing = True
        if self.answering:
            await asyncio.wait(self.answering, timeout=PATIENCE)
        for line in self.open:
            line.cancel()
        if self.open:  # what a service does on a thread ends before its stores are closed
            await asyncio.wait(self.open)


@asynccontextmanager
async def serve(running: Running) -> AsyncIterator[None]:
    """Answer until the block is left. The home's lock is held, so a socket that lies there is nobody's."""
    path = running.home.run / SOCKET
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with short_path(running.home.run) as folder:
        listener.bind(f"{folder}/{SOCKET}")
        os.chmod(path, 0o600)
    lines, parts = _Lines(), running.machine.parts
    stores = Stores(running.home, parts.database, parts.recall, parts.files)

    def opened(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.ensure_future(_converse(running.machine, stores, reader, writer, lines))
        lines.open.add(line)
        line.add_done_callback(lines.open.discard)

    server = await asyncio.start_unix_server(opened, sock=listener, limit=LONGEST)
    try:
        yield
    finally:
        server.close()
        await lines.close()
        path.unlink(missing_ok=True)


async def _converse(
    machine: Machine, stores: Stores, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lines: _Lines
) -> None:
    me = asyncio.current_task()
    assert me is not None

    async def send(step: dict[str, Json]) -> None:
        writer.write(json.dumps({"step": step}).encode() + b"\n")
        await writer.drain()

    try:
        with suppress(ConnectionError, ValueError):  # gone, or a line longer than the reader takes
            while not lines.closing and (line := await reader.readline()):
                lines.answering.add(me)
                writer.write(await _reply(machine, stores, line, send))
                await writer.drain()
                lines.answering.discard(me)
    finally:
        lines.answering.discard(me)
        writer.close()


async def _reply(machine: Machine, stores: Stores, line: bytes, send: Send) -> bytes:
    try:
        reply = {"ok": await _answer(machine, stores, line, send)}
    except OSFault as fault:
        reply = {"error": fault.to_dict()}
    return json.dumps(reply).encode() + b"\n"


async def _answer(machine: Machine, stores: Stores, line: bytes, send: Send) -> Any:
    try:
        asked = dict(json.loads(line))
    except (ValueError, TypeError):
        raise BadInput("a request is one JSON object a line") from None
    match asked:
        case {"call": "ping"}:
            return {"pid": os.getpid()}
        case {"call": "ps"}:
            return machine.snapshot()
        case {"call": "kill", "pid": int(pid), "signal": str(name)}:
            return await kill(machine, pid, name)
        case {"call": "context", "pid": int(pid)}:
            return context(machine.table.get(pid))
        case {"call": "service", "name": str(name), "with": dict(fields)}:
            return await answer(begin(stores, name, fields), send)
    raise BadInput(f"no such request: {asked.get('call')!r}", hint="this llmos may be of another version")


async def kill(machine: Machine, pid: int, name: str) -> None:
    """Send a signal by name; raises `BadInput` for a process that has ended."""
    if name.upper() not in Signal.__members__:
        raise BadInput(f"no signal {name!r}", hint=f"signals are {', '.join(Signal.__members__)}")
    if pid not in {process.pid for process in machine.table}:
        records, journal = machine.parts.records, machine.parts.journal
        end_suspended(records, journal, [process.pid for process in machine.table], pid, name)
        return
    if not machine.table.get(pid).alive:
        raise BadInput(f"process {pid} has ended", hint="llmos ps lists those that live")
    await machine.signal(pid, Signal[name.upper()])


def context(process: Process) -> dict[str, Any]:
    """The window of a living process in plain values, pages in their order. Raises `BadInput` for an ended one."""
    if not process.alive:
        raise BadInput(f"process {process.pid} has ended", hint="only living processes have pages")
    view = process.context.view()
    pages = [
        {
            "handle": page.handle, "role": page.role, "kind": page.kind.value, "label": page.label,
            "tokens": page.tokens, "resident": page.resident, "text": page.text,
        }
        for page in view.pages
    ]  # fmt: skip
    return {
        "window": view.window, "used": view.used, "faults": view.faults, "evictions": view.evictions, "pages": pages,
    }  # fmt: skip
