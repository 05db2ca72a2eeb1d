"""The other end of the socket: runs one app in a process of its own.

    python -P -m llmos.syscalls.child FD PACKAGE

FD is the socket to llmos (see `wire`). Nothing of the kernel runs here; every call is a frame. The program that is
started forks at once: it keeps watch (see `watch`), and its child is the app.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

from ..kernel.errors import AppFailed, OSFault, Terminated, Unavailable, from_dict
from ..kernel.plain import plain
from ..kernel.replay import let_act
from . import calls as c
from . import watch, wire
from .api import Sys
from .loader import arguments, load
from .table import TABLE


class SocketPort:
    """Calls as frames; replies are matched by number. ``on_term`` is called when llmos says that it is time to end."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_term: Callable[[], object]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_term = on_term
        self._numbers = itertools.count()
        self._open: dict[int, tuple[asyncio.Future[dict[str, Any]], Callable[[str], None] | None]] = {}

    async def call(self, name: str, request: c.Request, on_text: Callable[[str], None] | None) -> c.Reply:
        """One call; raises the error that llmos answered with."""
        number = next(self._numbers)
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._open[number] = (reply, on_text)
        try:
            wire.send(self._writer, {"id": number, "call": name, "request": _plain(request)})
            return TABLE[name].reply.model_validate(await reply)
        except asyncio.CancelledError:
            wire.send(self._writer, {"id": number, "cancel": True})
            raise
        finally:
            del self._open[number]

    async def listen(self) -> None:
        """Hand out what llmos sends, until it hangs up."""
        while (frame := await wire.receive(self._reader)) is not None:
            if "signal" in frame:
                self._on_term()
                continue
            reply, on_text = self._open.get(frame["id"], (None, None))
            if reply is None or reply.done():
                continue
            if "text" in frame:
                _hand_out(frame["text"], reply, on_text)
            elif "reply" in frame:
                reply.set_result(frame["reply"])
            else:
                reply.set_exception(from_dict(frame["error"]))
            await let_act()  # also where the next outcome is here already
        for reply, _ in self._open.values():
            if not reply.done():
                reply.set_exception(Unavailable("llmos has hung up"))


def _plain(request: c.Request) -> dict[str, Any]:
    try:
        return request.model_dump(mode="json", exclude_unset=True)
    except (ValueError, RecursionError) as problem:
        raise c.unwritable(request) from problem


def _hand_out(text: str, reply: asyncio.Future[dict[str, Any]], on_text: Callable[[str], None] | None) -> None:
    try:
        if on_text is not None:
            on_text(text)
    except Exception as problem:  # noqa: BLE001 - the app's own code: its call fails with what it raised
        reply.set_exception(problem)


async def _main(fd: int, package: str) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=fd), limit=wire.LARGEST)
    start = await wire.receive(reader)
    if start is None:
        return
    this = asyncio.current_task()
    assert this is not None
    port = SocketPort(reader, writer, this.cancel)
    listening = asyncio.ensure_future(port.listen())
    last = await _run(package, Sys(port), start["start"]["args"])
    try:
        wire.send(writer, last)
    except (ValueError, TypeError, OSFault) as problem:
        wire.send(writer, {"error": AppFailed(f"the result cannot be sent: {problem}").to_dict()})
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    writer.close()
    listening.cancel()


async def _run(package: str, sys: Sys, args: dict[str, Any]) -> dict[str, Any]:
    """The app from beginning to end; the last frame."""
    try:
        app = load(package)
        result = await app.main(sys, arguments(app, args))
        return {"result": plain(result)}
    except asyncio.CancelledError:
        return {"error": Terminated("ended by TERM", signal="TERM").to_dict()}
    except OSFault as fault:
        return {"error": fault.to_dict()}
    except Exception as problem:  # noqa: BLE001 - the outermost edge of an app
        traceback.print_exc()
        return {"error": AppFailed(f"{type(problem).__name__}: {problem}").to_dict()}


def main() -> None:
    """Entry point. Prints go to standard error (standard output is nobody's)."""
    fd, package = int(sys.argv[1]), sys.argv[2]
    if app := watch.fork():
        os.close(fd)  # so that the socket closes with the app
        watch.over(app)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(fd, package))


if __name__ == "__main__":
    main()
