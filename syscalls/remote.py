"""An app in a process of its own: started, served through the gate, and cleaned up after, whatever it does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

from ..kernel.errors import AppFailed, OSFault, Unavailable, from_dict
from ..kernel.machine import Body
from ..kernel.process import Process, Signal
from . import wire
from .gate import Gate

log = logging.getLogger(__name__)

LAST_WORDS = 4000
"""Bytes of the app's standard error that are kept for the error message."""

PATIENCE = 1.0
"""Seconds that the program of an app has, once it is told to end or has hung up."""

AT_ONCE = 256
"""Most calls of one app under way."""


def body(gate: Gate, package: str, path: list[str]) -> Body:
    """The body of a process whose app lives in ``package``; ``path`` goes in front of its import path."""

    async def run(process: Process) -> Any:
        ours, theirs = socket.socketpair()
        with theirs:
            # -P and the home: files of the folder that the user stands in are no modules of the app.
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "llmos.syscalls.child", str(theirs.fileno()), package,
                pass_fds=[theirs.fileno()], env=_environment(path), cwd=gate.machine.parts.home, start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        process.on_signal.append(lambda sent: _pass_on(child, sent))
        server = _Server(gate, process, child)
        try:
            return await server.serve(ours)
        except asyncio.CancelledError:
            if process.dying is Signal.TERM:
                await server.last_moments()
            raise
        finally:
            await server.clean_up()

    return run


def _environment(path: list[str]) -> Mapping[str, str]:
    """Nothing of the user's environment but what Python needs."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def _pass_on(child: asyncio.subprocess.Process, sent: Signal) -> None:
    """Stop, continue and end the program itself; INT reaches it through its calls, TERM by a frame."""
    if sent is Signal.STOP:
        _signal(child, signal.SIGSTOP)
    elif sent is not Signal.INT:
        _signal(child, signal.SIGCONT)  # also before TERM and KILL, which a stopped watcher would not hear
    if sent is Signal.KILL:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()  # the order to its watcher, who ends whatever the app has started


def _signal(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)


class _Server:
    """Serves the calls of one child. Owned by the event loop's thread."""

    def __init__(self, gate: Gate, process: Process, child: asyncio.subprocess.Process) -> None:
        self._gate = gate
        self._process = process
        self._child = child
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._words = asyncio.ensure_future(self._read_words())

    async def serve(self, ours: socket.socket) -> Any:
        """Until the app gives its result, an error, or is gone."""
        self._reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=wire.LARGEST)
        wire.send(self._writer, {"start": {"args": self._process.args}})
        return await self._serve()

    async def _serve(self) -> Any:
        assert self._reader is not None
        assert self._writer is not None
        while (frame := await wire.receive(self._reader)) is not None:
            if "call" in frame:
                self._open(frame)
            elif "cancel" in frame:
                task = self._calls.get(frame.get("id", -1))
                if task is not None:
                    task.cancel()
            elif "error" in frame:
                raise from_dict(frame["error"])
            elif "result" in frame:
                return frame["result"]
            else:
                raise AppFailed(f"{self._process.app} sent a frame that means nothing")
            await asyncio.sleep(0)  # frames that wait already must not keep the loop from others
            with contextlib.suppress(ConnectionError):  # it has gone: what it sent before is still read
                await self._writer.drain()  # nothing more is read from an app that does not read its replies
        raise await self._crashed()

    async def last_moments(self) -> None:
        """TERM: the app hears of it and may go on to call, until it ends or is killed."""
        if self._writer is not None:
            wire.send(self._writer, {"signal": "TERM"})
            with contextlib.suppress(OSFault):
                await self._serve()

    def _open(self, frame: dict[str, Any]) -> None:
        number = frame.get("id")
        if not isinstance(number, int) or number in self._calls:
            raise AppFailed(f"{self._process.app} sent a call without a number of its own")
        if len(self._calls) >= AT_ONCE:
            fault = Unavailable(f"{AT_ONCE} calls are under way", hint="wait for some of them first")
            self._send({"id": number, "error": fault.to_dict()})
            return
        task = asyncio.ensure_future(self._answer(number, frame))
        self._calls[number] = task
        task.add_done_callback(lambda _: self._calls.pop(number, None))

    async def _answer(self, number: int, frame: dict[str, Any]) -> None:
        try:
            reply = await self._gate.call(
                self._process, str(frame["call"]), _fields(frame), lambda text: self._send({"id": number, "text": text})
            )
            self._send({"id": number, "reply": reply.model_dump(mode="json")})
        except OSFault as fault:
            self._send({"id": number, "error": fault.to_dict()})
        except Exception as problem:  # a bug; whoever waits for the call must hear of it all the same
            log.exception("%s of %s", frame["call"], self._process.app)
            bug = AppFailed(f"{frame['call']} failed: {type(problem).__name__}: {problem}")
            self._send({"id": number, "error": bug.to_dict()})

    def _send(self, frame: dict[str, Any]) -> None:
        assert self._writer is not None
        wire.send(self._writer, frame)

    async def _read_words(self) -> bytes:
        """Drain standard error so that the app never blocks on it; keep the end."""
        assert self._child.stderr is not None
        kept = b""
        while chunk := await self._child.stderr.read(65536):
            kept = (kept + chunk)[-LAST_WORDS:]
        return kept

    async def _crashed(self) -> AppFailed:
        try:
            code = await asyncio.wait_for(self._child.wait(), PATIENCE)
        except TimeoutError:
            return AppFailed(f"{self._process.app} hung up without a result")
        words = (await self._words).decode(errors="replace").strip()
        how = f"was ended by signal {-code}" if code < 0 else f"left with exit code {code}"
        last = f": {words.splitlines()[-1]}" if words else ""
        return AppFailed(f"{self._process.app} {how}{last}", exit_code=code, stderr=words)

    async def clean_up(self) -> None:
        """Nothing of the child stays: not its calls, not the program, not what it started."""
        for task in list(self._calls.values()):
            task.cancel()
        if self._writer is not None:
            self._writer.close()
        _pass_on(self._child, Signal.KILL)
        try:
            await asyncio.wait_for(self._child.wait(), PATIENCE)
        except TimeoutError:  # the app has stopped its own watcher
            _signal(self._child, signal.SIGKILL)
            await self._child.wait()
        await self._words


def _fields(frame: dict[str, Any]) -> Mapping[str, Any]:
    fields = frame.get("request")
    return fields if isinstance(fields, dict) else {}
