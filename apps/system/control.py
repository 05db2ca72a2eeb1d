"""What a running llmos answers to other terminals.

JSON lines over a socket in HOME/run that only its user may open:

    {"call": "ps"}                                 ->  {"ok": [row, ...]}
    {"call": "cores"}                              ->  {"ok": [core, ...]}, see `Cores.rows`
    {"call": "kill", "pid": 3, "signal": "TERM"}   ->  {"ok": null}
    {"call": "context", "pid": 3}                  ->  {"ok": `window.context`}
    {"call": "hand_in", "pid": 3, "files": {…}}    ->  {"ok": null}; path in the process to path on the host
    {"call": "ping"}                               ->  {"ok": {"pid", "model", "models", "streams", "window", "way"}}
    anything else                                  ->  {"error": {"code", "message", "hint", "details"}}

Some tell steps before the answer, and end when their client goes away:

    {"call": "service", "name": "memory.ls", "with": {…}}   ->  {"step": {…}} as it goes on; see `stores`
    {"call": "run", …}, {"call": "attach", "pid": 3, …}, {"call": "resume", "pid": 3, …}    ->  see `hosting`

A request may carry an ``id`` of its own, which all lines about it then carry: then many can be under way at a time.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ...kernel.errors import AppFailed, BadInput, OSFault
from ...kernel.translate import translate
from . import hosting, stores
from .boot import Running
from .client import SOCKET, short_path
from .exchange import LARGEST, Exchange, decoded
from .replaying import replay
from .window import context

PATIENCE = 2.0
"""Seconds that answers under way have when llmos ends: whoever sent the KILL that ends it still hears so."""

Handler = Callable[[Running, Exchange], Awaitable[Any]]


@dataclass(eq=False)
class _Line:
    """One connection. Requests without an ``id`` are carried out one after the other, others together."""

    running: Running
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    under_way: dict[Any, tuple[Exchange, asyncio.Task[None]]] = field(default_factory=dict)

    async def converse(self) -> None:
        """Until the client goes, or this is cancelled: then short answers are still given, streams are broken off."""
        try:
            with suppress(ConnectionError, ValueError):  # gone, or a line longer than the reader takes
                while line := await self.reader.readline():
                    await self._take(line)
        finally:
            await self._end()
            self.writer.close()

    async def _end(self) -> None:
        tasks = {task for _, task in self.under_way.values()}
        streams = {task for exchange, task in self.under_way.values() if _is_stream(exchange)}
        for task in streams:
            task.cancel()
        if tasks - streams:
            _, late = await asyncio.wait(tasks - streams, timeout=PATIENCE)
            for task in late:
                task.cancel()
        if tasks:  # what a service does on a thread ends before its stores are closed
            await asyncio.wait(tasks)

    async def _take(self, line: bytes) -> None:
        try:
            frame = decoded(line)
        except BadInput as fault:
            await Exchange({}, self.writer).answer({"error": fault.to_dict()})
            return
        number = str(frame.get("id", ""))
        exchange, task = self.under_way.get(number, (None, None))
        if "call" in frame or "id" not in frame:
            if exchange is not None and task is not None:
                if _is_stream(exchange):  # to wait for it would be not to see that the client goes
                    await Exchange(frame, self.writer).answer({"error": _BUSY.to_dict()})
                    return
                await asyncio.wait({task})
            exchange = Exchange(frame, self.writer)
            task = asyncio.ensure_future(self._carry_out(exchange))
            self.under_way[number] = exchange, task
            task.add_done_callback(lambda _: self.under_way.pop(number, None))
            if frame.get("call") in HOSTED:
                self.running.host(task)
        elif exchange is not None:  # else it was said too late: the answer is under way
            await exchange.said(frame)

    async def _carry_out(self, exchange: Exchange) -> None:
        with suppress(ConnectionError):
            await exchange.answer(await _reply(self.running, exchange))


_BUSY = BadInput("a request of this id is under way", hint="give each an id of its own")


def _is_stream(exchange: Exchange) -> bool:
    return str(exchange.asked.get("call")) in STREAMS


async def _reply(running: Running, exchange: Exchange) -> dict[str, Any]:
    name = str(exchange.asked.get("call"))
    handler = CALLS.get(name) or STREAMS.get(name)
    try:
        if handler is None:
            raise BadInput(f"no such request: {name!r}", hint="this llmos may be of another version")
        return {"ok": await handler(running, exchange)}
    except (KeyError, ValidationError) as wrong:
        what = f"{wrong} is missing" if isinstance(wrong, KeyError) else wrong.errors()[0]["msg"]
        fault: OSFault = BadInput(f"no such request: {name!r} so: {what}", hint="this llmos may be of another version")
    except ConnectionError:
        raise
    except Exception as problem:  # noqa: BLE001 - a bug ends one request, not the llmos that others use
        fault = translate(problem) or AppFailed(f"{name} failed: {type(problem).__name__}: {problem}")
    return {"error": fault.to_dict()}


# -- the calls --


async def _ping(running: Running, exchange: Exchange) -> dict[str, Any]:
    return {"pid": os.getpid(), **running.described()}


async def _ps(running: Running, exchange: Exchange) -> list[dict[str, Any]]:
    return await running.rows()


async def _cores(running: Running, exchange: Exchange) -> list[dict[str, Any]]:
    return running.machine.cores.rows(running.machine.table.living)


async def _meters(running: Running, exchange: Exchange) -> dict[str, Any]:
    return await running.meters()


async def _kill(running: Running, exchange: Exchange) -> None:
    await running.signal(_pid(exchange), str(exchange.asked["signal"]))


async def _context(running: Running, exchange: Exchange) -> dict[str, Any]:
    return context(running.machine.table.get(_pid(exchange)))


async def _service(running: Running, exchange: Exchange) -> Any:
    steps = stores.begin(stores.stores_of(running), str(exchange.asked["name"]), dict(exchange.asked["with"]))
    return await stores.answer(steps, exchange.step)


async def _hand_in(running: Running, exchange: Exchange) -> None:
    process = running.machine.table.get(_pid(exchange))
    await running.hand_in(process, {path: Path(file) for path, file in dict(exchange.asked["files"]).items()})


async def _replay(running: Running, exchange: Exchange) -> dict[str, Any]:
    telling: set[asyncio.Future[None]] = set()

    def on_share(share: float) -> None:
        step = asyncio.ensure_future(exchange.step({"share": share}))
        telling.add(step)
        step.add_done_callback(telling.discard)

    told = await replay(running, _pid(exchange), on_share)
    await asyncio.gather(*telling)
    return told


def _pid(exchange: Exchange) -> int:
    pid = exchange.asked["pid"]
    if not isinstance(pid, int):
        raise BadInput(f"{pid!r} is no pid")
    return pid


CALLS: dict[str, Handler] = {
    "ping": _ping, "ps": _ps, "cores": _cores, "meters": _meters, "kill": _kill, "context": _context,
    "hand_in": _hand_in,
}  # fmt: skip
"""Carried out to the end, whether or not their client waits for it."""

STREAMS: dict[str, Handler] = {
    "service": _service,
    "run": hosting.run,
    "attach": hosting.attach,
    "resume": hosting.resume,
    "replay": _replay,
}
"""Broken off when their client goes away."""

HOSTED = {"run", "resume", "replay"}
"""A llmos that ends waits for these first."""


@asynccontextmanager
async def serve(running: Running) -> AsyncIterator[None]:
    """Answer until the block is left. The home's lock is held, so a socket that lies there is nobody's."""
    path = running.home.run / SOCKET
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with short_path(running.home.run) as folder:
        listener.bind(f"{folder}/{SOCKET}")
        os.chmod(path, 0o600)

    def opened(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.ensure_future(_Line(running, reader, writer).converse())
        running.lines.add(line)
        line.add_done_callback(running.lines.discard)

    server = await asyncio.start_unix_server(opened, sock=listener, limit=LARGEST)
    try:
        yield
    finally:
        server.close()
        for line in running.lines:
            line.cancel()
        if running.lines:
            await asyncio.wait(running.lines)
        path.unlink(missing_ok=True)
