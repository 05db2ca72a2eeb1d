"""The other end of the socket: runs one app in a process of its own.

    python -m llmos.syscalls.child FD PACKAGE

FD is the socket to llmos (see `wire`). Nothing of the kernel runs here; every call is a frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from ..kernel.errors import AppFailed, OSFault, Unavailable, from_dict
from . import calls as c
from . import wire
from .api import Sys
from .loader import arguments, load
from .table import TABLE

PR_SET_PDEATHSIG = 1


class SocketPort:
    """Calls as frames; replies are matched by number."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count()
        self._open: dict[int, tuple[asyncio.Future[dict[str, Any]], Callable[[str], None] | None]] = {}

    async def call(self, name: str, request: c.Request, on_text: Callable[[str], None] | None) -> c.Reply:
        """One call; raises the error that llmos answered with."""
        number = next(self._numbers)
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._open[number] = (reply, on_text)
        plain = request.model_dump(mode="json", exclude_unset=True)
        wire.send(self._writer, {"id": number, "call": name, "request": plain})
        try:
            return TABLE[name].reply.model_validate(await reply)
        except asyncio.CancelledError:
            wire.send(self._writer, {"id": number, "cancel": True})
            raise
        finally:
            del self._open[number]

    async def listen(self) -> None:
        """Hand out what llmos sends, until it hangs up."""
        while (frame := await wire.receive(self._reader)) is not None:
            reply, on_text = self._open.get(frame["id"], (None, None))
            if reply is None or reply.done():
                continue
            if "text" in frame:
                if on_text is not None:
                    on_text(frame["text"])
            elif "reply" in frame:
                reply.set_result(frame["reply"])
            else:
                reply.set_exception(from_dict(frame["error"]))
        for reply, _ in self._open.values():
            if not reply.done():
                reply.set_exception(Unavailable("llmos has hung up"))


async def _main(fd: int, package: str) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=fd), limit=wire.LARGEST)
    start = await wire.receive(reader)
    if start is None:
        return
    port = SocketPort(reader, writer)
    listening = asyncio.ensure_future(port.listen())
    try:
        app = load(package)
        result = await app.main(Sys(port), arguments(app, start["start"]["args"]))
        last: dict[str, Any] = {"result": result.model_dump(mode="json") if isinstance(result, BaseModel) else result}
    except OSFault as fault:
        last = {"error": fault.to_dict()}
    except Exception as problem:  # noqa: BLE001 - the outermost edge of an app
        traceback.print_exc()
        last = {"error": AppFailed(f"{type(problem).__name__}: {problem}").to_dict()}
    wire.send(writer, last)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    writer.close()
    listening.cancel()


def main() -> None:
    """Entry point: dies with its parent, prints go to standard error (standard output is nobody's)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(int(sys.argv[1]), sys.argv[2]))


if __name__ == "__main__":
    main()
