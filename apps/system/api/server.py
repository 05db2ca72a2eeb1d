"""The HTTP server around the application: its socket, its limits on connections, and its end."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ....kernel.errors import BadInput, Unavailable
from ..boot import Running
from .app import Api
from .metrics import Metrics
from .place import Place
from .sessions import Sessions, end_left

SILENT = 60.0
"""Seconds that a connection may be open without a request."""
GRACE = 5.0
"""Seconds that answers under way have when the server ends."""
CONNECTIONS = 4096
"""Most connections; fewer where the limit of open files is lower."""
FILES = 256  # open files that are not connections: models, databases, sandboxes
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Length: 97\r\n\r\n"
    b'{"error":{"message":"too many connections","type":"server_error","param":null,"code":"too_many"}}'
)


class Patient(HttpToolsProtocol):
    """A connection that is closed when nothing comes, and refused where there are too many."""

    most = CONNECTIONS

    def connection_made(self, transport: Any) -> None:
        """A client has connected."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.write(_BUSY)
            transport.close()
            return
        self.timeout_keep_alive_task = self.loop.call_later(SILENT, self.timeout_keep_alive_handler)


class _Server(uvicorn.Server):
    """One that leaves the signals to llmos."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None are."""
        yield


def listener(place: Place) -> socket.socket:
    """The socket; raises `BadInput` for an address that is none here, `Unavailable` for a port that is taken."""
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as wrong:
        raise BadInput(f"--host: {place.host}: {wrong.strerror}", hint="for example 127.0.0.1, or 0.0.0.0") from None
    family, kind, protocol, _, address = found[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError as wrong:
        made.close()
        raise _unbound(place, wrong) from None
    return made


def _unbound(place: Place, wrong: OSError) -> Exception:
    where = f"{place.host}:{place.port}"
    if wrong.errno == errno.EADDRINUSE:
        return Unavailable(f"{where} is taken by another program", hint="--port 0 takes a free one, --port N another")
    if wrong.errno == errno.EACCES:
        return Unavailable(f"{where} may not be used", hint="ports below 1024 are the system's: --port 8080")
    return BadInput(f"cannot listen on {where}: {os.strerror(wrong.errno or 0)}", hint="--host 127.0.0.1")


def raise_file_limit() -> int:
    """Let the program open as many files as it may; the number of connections that leaves room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + FILES
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return max(16, min(CONNECTIONS, soft - FILES if soft != resource.RLIM_INFINITY else CONNECTIONS))


@asynccontextmanager
async def serving(running: Running, place: Place) -> AsyncIterator[str]:
    """Answer HTTP until the block is left; gives the URL. Answers under way get `GRACE` seconds then."""
    bound = listener(place)
    Patient.most = raise_file_limit()
    end_left(running)
    sessions = Sessions(running, idle=60 * place.idle)
    api = Api(running, sessions, Metrics(running, sessions), place.largest, place.requests)
    config = uvicorn.Config(
        api.app(), http=Patient, ws="none", lifespan="off", log_config=None, access_log=False, backlog=2048,
        timeout_keep_alive=int(SILENT), timeout_graceful_shutdown=int(GRACE), server_header=False,
    )  # fmt: skip
    server = _Server(config)
    task = asyncio.ensure_future(server.serve(sockets=[bound]))
    try:
        while not server.started:
            await asyncio.wait([task], timeout=0.01)
            if task.done():
                await task
        host, port = bound.getsockname()[:2]
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        server.should_exit = True
        await asyncio.wait([task])
        await sessions.close()
        bound.close()
