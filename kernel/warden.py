"""Starting one cage, watching it, and ending it so that nothing is left.

The cage's first process waits until the warden holds descriptors of its init process, its /proc and its
writable folders. With these the warden needs nothing from inside: memory is counted through the cage's own
/proc, the pid namespace dies with its init, and files are read out of the tmpfs after all writers are gone.
When bubblewrap itself has been waited for, its child, the init, has been too, so the namespace is empty.
"""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from functools import partial

from . import seccomp
from .cage import Cage, Inputs, Outcome, Python, Tools, command, in_memory
from .errors import NoSandbox
from .harvest import harvest
from .holding import SCRATCH, over

_START_SECONDS = 20.0  # for building the cage, on a machine however loaded
_WATCH_SECONDS = 0.05  # between two looks at memory
_AGAIN_SECONDS = 0.01  # before the second look, where the first found too much
_CHUNK = 64 * 1024


async def confine(
    argv: Sequence[str],
    *,
    tools: Tools,
    python: Python | None,
    uid: int | None,
    limits: Cage,
    inputs: Inputs,
    collect: Collection[str] | None,
    layers: tuple[str, ...] = (),
) -> Outcome:
    """Run ``argv`` in a cage of its own; raises `NoSandbox` when the cage cannot be built.

    Cancelling ends the cage before the cancellation goes on.
    """
    with ExitStack() as held:
        info, info_write = os.pipe()
        held.callback(os.close, info)
        with ExitStack() as handed_over:
            handed_over.callback(os.close, info_write)
            rules = in_memory(seccomp.program())
            handed_over.callback(os.close, rules)
            line = command(
                argv, tools=tools, python=python, uid=uid, limits=limits, inputs=inputs,
                seccomp_fd=rules, info_fd=info_write,
            )  # fmt: skip
            process = _start(line, [rules, info_write, *inputs.descriptors])
        warden = Warden(process, info, limits, held)
        try:
            await warden.admit()
            await warden.guard()
        finally:
            await warden.destroy()
        return warden.outcome(inputs.links, collect, layers)


def _start(line: list[str], descriptors: list[int]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=descriptors, cwd="/", env={},
            start_new_session=True,  # a Ctrl-C at the terminal reaches llmos alone
        )  # fmt: skip
    except OSError as error:
        raise NoSandbox("the sandbox could not be started", said=str(error)) from error


class Warden:
    """One running cage, seen from outside; lives in one event loop."""

    def __init__(self, process: "subprocess.Popen[bytes]", info: int, limits: Cage, held: ExitStack) -> None:
        self._process = process
        self._info = info
        self._limits = limits
        self._held = held  # closes every descriptor below
        self._init: int | None = None  # pidfd of the cage's first process, once it waits for us
        self._uid = os.geteuid()
        self._folders: dict[str, int] = {}  # "proc", "work", "tmp", "dev/shm"
        self._streams: list[asyncio.StreamReader] = []
        self._texts = [bytearray(), bytearray()]
        self._truncated = False
        self._killed_by: str | None = None
        self._began = self._took = 0.0
        self._ended = asyncio.Event()
        self._admission = asyncio.ensure_future(self._take_hold())

    async def admit(self) -> None:
        """Wait until the cage stands and we hold it; raises `NoSandbox` with what bubblewrap said."""
        # Not cancelled with its caller: only a cage we hold can be ended for certain.
        await asyncio.shield(self._admission)

    async def _take_hold(self) -> None:
        loop = asyncio.get_running_loop()
        ended = os.pidfd_open(self._process.pid)
        self._held.callback(os.close, ended)
        loop.add_reader(ended, self._see_end, ended)
        self._held.callback(loop.remove_reader, ended)
        for pipe in (self._process.stdout, self._process.stderr):
            stream = asyncio.StreamReader(limit=_CHUNK)
            transport, _ = await loop.connect_read_pipe(partial(asyncio.StreamReaderProtocol, stream), pipe)
            self._held.callback(transport.close)
            self._streams.append(stream)
        try:
            async with asyncio.timeout(_START_SECONDS):
                ready = await self._streams[0].read(1)
                words = b"" if ready else await self._streams[1].read(_CHUNK)
        except TimeoutError:
            self._process.kill()
            raise NoSandbox(f"the sandbox did not stand after {_START_SECONDS:.0f} s") from None
        if not ready:
            raise NoSandbox("the sandbox could not be built", said=words.decode(errors="replace").strip())
        try:
            self._hold(json.loads(os.read(self._info, 4096))["child-pid"])
        except (OSError, ValueError) as error:
            raise NoSandbox("the sandbox cannot be watched from outside", said=str(error)) from error

    def _hold(self, pid: int) -> None:
        self._init = os.pidfd_open(pid)
        self._held.callback(os.close, self._init)
        self._uid = os.stat(f"/proc/{pid}").st_uid
        for name in ("proc", "work", *SCRATCH):
            self._folders[name] = os.open(f"/proc/{pid}/root/{name}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._held.callback(os.close, self._folders[name])

    def _see_end(self, ended: int) -> None:
        asyncio.get_running_loop().remove_reader(ended)
        self._process.wait()
        self._ended.set()

    async def guard(self) -> None:
        """Let the program start, and see that it stays within its limits until it has ended."""
        assert self._process.stdin is not None
        self._began = time.monotonic()
        with suppress(BrokenPipeError), self._process.stdin as gate:
            gate.write(b"\n")
        async with asyncio.TaskGroup() as group:
            for stream, text in zip(self._streams, self._texts, strict=True):
                group.create_task(self._read(stream, text))
            watch = group.create_task(self._watch_memory())
            try:
                async with asyncio.timeout(self._limits.seconds):
                    await self._ended.wait()
            except TimeoutError:
                self._kill("time")
                await self._ended.wait()
            self._took = time.monotonic() - self._began
            watch.cancel()

    async def _read(self, stream: asyncio.StreamReader, text: bytearray) -> None:
        while chunk := await stream.read(_CHUNK):
            room = self._limits.output - len(text)
            text += chunk[:room]
            if len(chunk) > room:
                self._truncated = True
                self._kill("output")

    async def _watch_memory(self) -> None:
        """End the cage when two looks in a row find too much: one alone may count what was moving meanwhile."""
        before = False
        while True:
            await asyncio.sleep(_AGAIN_SECONDS if before else _WATCH_SECONDS)
            now = over(self._folders, self._limits.memory)
            if now and before:
                return self._kill("memory")
            before = now

    def _kill(self, limit: str | None) -> None:
        if not self._ended.is_set():
            self._killed_by = self._killed_by or limit
        with suppress(ProcessLookupError):
            if self._init is None:
                self._process.kill()
            else:
                signal.pidfd_send_signal(self._init, signal.SIGKILL)

    async def destroy(self) -> None:
        """End the cage if it still stands, and wait until the kernel has cleared it away."""
        try:
            await asyncio.gather(self._admission, return_exceptions=True)
        finally:
            self._kill(None)
            if self._process.stdin:
                self._process.stdin.close()
        await self._ended.wait()

    def outcome(self, links: list[str], collect: Collection[str] | None, layers: tuple[str, ...]) -> Outcome:
        """What happened, and what was left in /work; to be asked after `destroy`."""
        status = self._process.returncode
        code, number = (None, status - 128) if status - 128 in set(signal.Signals) else (status, None)
        if self._killed_by or status < 0:  # below 0: something else on the machine ended bubblewrap
            code, number = None, int(signal.SIGKILL)
        files, left = harvest(self._folders["work"], self._limits.file_bytes, only=collect, ignore=links)
        return Outcome(
            exit_code=code, signal=number, stdout=bytes(self._texts[0]), stderr=bytes(self._texts[1]),
            truncated=self._truncated, timed_out=self._killed_by == "time", killed_by=self._killed_by,
            seconds=self._took, files=files, left_out=left, layers=layers, uid=self._uid,
        )  # fmt: skip
