"""An app in a process of its own: started, served through the gate, and cleaned up after, whatever it does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ..kernel.errors import AppFailed, BadInput, OSFault, from_dict
from ..kernel.machine import Body
from ..kernel.process import Process, Signal
from . import wire
from .gate import Gate

LAST_WORDS = 4000
"""Bytes of the app's standard error that are kept for the error message."""

PATIENCE = 1.0
"""Seconds from an app's hanging up to its end."""


def body(gate: Gate, package: str, path: list[str]) -> Body:
    """The body of a process whose app lives in ``package``; ``path`` goes in front of its import path."""

    async def run(process: Process) -> Any:
        ours, theirs = socket.socketpair()
        with theirs:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "llmos.syscalls.child", str(theirs.fileno()), package,
                pass_fds=[theirs.fileno()], env=_environment(path), start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        process.on_signal.append(lambda sent: _pass_on(child, sent))
        server = _Server(gate, process, child)
        try:
            return await server.serve(ours)
        finally:
            await server.clean_up()

    return run


def _environment(path: list[str]) -> Mapping[str, str]:
    """Nothing of the user's environment but what Python needs."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def _pass_on(child: asyncio.subprocess.Process, sent: Signal) -> None:
    """Stop, continue and kill the program itself; INT and TERM reach it through its calls."""
    numbers = {Signal.STOP: signal.SIGSTOP, Signal.CONT: signal.SIGCONT, Signal.KILL: signal.SIGKILL}
    if sent in numbers and child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, numbers[sent])


class _Server:
    """Serves the calls of one child. Owned by the event loop's thread."""

    def __init__(self, gate: Gate, process: Process, child: asyncio.subprocess.Process) -> None:
        self._gate = gate
        self._process = process
        self._child = child
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._words = asyncio.ensure_future(self._read_words())

    async def serve(self, ours: socket.socket) -> Any:
        """Until the app gives its result, an error, or is gone."""
        reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=wire.LARGEST)
        wire.send(self._writer, {"start": {"args": self._process.args}})
        while (frame := await wire.receive(reader)) is not None:
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
        raise await self._crashed()

    def _open(self, frame: dict[str, Any]) -> None:
        number = frame.get("id")
        if not isinstance(number, int) or number in self._calls:
            raise AppFailed(f"{self._process.app} sent a call without a number of its own")
        task = asyncio.ensure_future(self._answer(number, frame))
        self._calls[number] = task
        task.add_done_callback(lambda _: self._calls.pop(number, None))

    async def _answer(self, number: int, frame: dict[str, Any]) -> None:
        assert self._writer is not None
        writer = self._writer
        try:
            reply = await self._gate.call(
                self._process, str(frame["call"]), self._request(frame),
                lambda text: wire.send(writer, {"id": number, "text": text}),
            )  # fmt: skip
            wire.send(writer, {"id": number, "reply": reply.model_dump(mode="json")})
        except OSFault as fault:
            wire.send(writer, {"id": number, "error": fault.to_dict()})
        await writer.drain()

    def _request(self, frame: dict[str, Any]) -> Any:
        entry = self._gate.table.get(str(frame["call"]))
        if entry is None:
            raise BadInput(f"no system call {frame['call']!r}", hint="docs/syscalls.md lists them")
        try:
            return entry.request.model_validate(frame.get("request") or {})
        except ValidationError as wrong:
            what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in wrong.errors())
            raise BadInput(f"{frame['call']}: {what}") from None

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
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        await self._child.wait()
        await self._words
