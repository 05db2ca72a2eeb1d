"""The servers that are measured: started on a free port with the same model, threads and room, one at a time.

A peer is this llmos in one of its ways, a llama-server by its path, or any OpenAI-compatible server by its URL, which
is used as it runs.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from ....kernel.errors import BadInput, Unavailable
from .client import Target

READY = 120.0
"""Seconds that a server may take to load its model."""
LEAVE = 15.0
"""Seconds that it may take to end when asked to."""
_AGAIN = 0.05  # seconds between two looks
_SAID = 1500  # characters of a log that an error shows


@dataclass(frozen=True)
class Room:
    """What every server gets: ``streams`` sequences of ``window`` tokens each. Threads: one for each processor."""

    model: Path
    streams: int = 16
    window: int = 2048

    @property
    def threads(self) -> int:
        """Processors that this program may use; llmos takes as many."""
        return len(os.sched_getaffinity(0))


class Peer(Protocol):
    """A server that can be measured."""

    @property
    def name(self) -> str:
        """How it is called in tables."""

    def version(self) -> str:
        """Which one it is."""

    def command(self, room: Room, port: int, folder: Path) -> Sequence[str]:
        """What starts it on a port of loopback; ``folder`` is its own and goes with it."""


@dataclass(frozen=True)
class Llmos:
    """This llmos, or the one that ``program`` starts, in a home of its own."""

    way: str = "exact"
    program: Sequence[str] = (sys.executable, "-P", "-m", "llmos.apps.system.main")

    @property
    def name(self) -> str:
        """By its way."""
        return f"llmos {self.way}"

    def version(self) -> str:
        """As it says itself, and that of the bindings."""
        return f"{first_line([*self.program, '--version'])}, llama-cpp-python {bindings()}"

    def command(self, room: Room, port: int, folder: Path) -> Sequence[str]:
        """`llmos serve`."""
        return [
            *self.program, "--home", str(folder), "serve", "--model", str(room.model), "--port", str(port),
            "--streams", str(room.streams), "--context", str(room.window), "--way", self.way, "--json",
        ]  # fmt: skip


@dataclass(frozen=True)
class LlamaServer:
    """A llama-server by its path; its context is that of all slots together. ``parallel`` False: slots as it likes."""

    program: Path
    options: Sequence[str] = ()
    parallel: bool = True
    name: str = "llama-server"

    def version(self) -> str:
        """As it says itself."""
        return first_line([str(self.program), "--version"])

    def command(self, room: Room, port: int, folder: Path) -> Sequence[str]:
        """With as many slots as there are streams."""
        slots = ["-np", str(room.streams)] if self.parallel else []
        return [
            str(self.program), "-m", str(room.model), "-c", str(room.streams * room.window), *slots,
            "-t", str(room.threads), "--host", "127.0.0.1", "--port", str(port), *self.options,
        ]  # fmt: skip


@dataclass(frozen=True)
class Running:
    """A server that runs already, by the URL that ends in ``/v1``. Its model and room are its own."""

    name: str
    url: str

    def version(self) -> str:
        """Nobody can say."""
        return self.url

    def command(self, room: Room, port: int, folder: Path) -> Sequence[str]:
        """Nothing is to be started."""
        return []

    @classmethod
    def given(cls, text: str) -> Running:
        """From ``NAME=URL``; raises `BadInput`."""
        name, sign, url = text.partition("=")
        if not (name and sign and re.match(r"https?://[^/]+", url)):
            raise BadInput(f"--peer {text}", hint="NAME=URL, such as other=http://127.0.0.1:8000/v1")
        return cls(name, url.rstrip("/"))


@asynccontextmanager
async def serving(peer: Peer, room: Room) -> AsyncIterator[Target]:
    """A fresh server until the block is left; raises `Unavailable` with what it said when it does not come up."""
    if isinstance(peer, Running):
        yield Target(peer.url, await _model(peer.url), os.environ.get("OPENAI_API_KEY", ""))
        return
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as folder:
        port, said = _free_port(), Path(folder, "said")
        url = f"http://127.0.0.1:{port}/v1"
        with said.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *peer.command(room, port, Path(folder, "home")), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            await _ready(peer, process, url, said)
            yield Target(url, await _model(url))
        finally:
            await _end(process)


async def _ready(peer: Peer, process: asyncio.subprocess.Process, url: str, said: Path) -> None:
    """Until it has loaded its model and answers."""
    async with httpx.AsyncClient() as client:
        try:
            async with asyncio.timeout(READY):
                while process.returncode is None:
                    if await _answers(client, url + "/models") and await _answers(client, _health(url, peer)):
                        return
                    await asyncio.sleep(_AGAIN)
        except TimeoutError:
            pass
    why = "ended" if process.returncode is not None else f"was not ready within {READY:.0f} s"
    last = said.read_text(errors="replace")[-_SAID:].strip()
    raise Unavailable(f"{peer.name} {why}: {last or 'it said nothing'}", hint="is its path right, and the model whole?")


def _health(url: str, peer: Peer) -> str:
    return url.removesuffix("/v1") + ("/healthz" if isinstance(peer, Llmos) else "/health")


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.TransportError:
        return False


async def _model(url: str) -> str:
    """The first model that it lists, which is the one it was started with."""
    async with httpx.AsyncClient() as client:
        try:
            reply = (await client.get(url + "/models")).raise_for_status().json()
            return str(reply["data"][0]["id"])
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as wrong:
            raise Unavailable(f"{url}/models: {wrong}", hint="the URL of an OpenAI-compatible server, with /v1") from None


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), LEAVE)
        except TimeoutError:
            process.kill()
            await process.wait()


def _free_port() -> int:
    """One that was free a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def first_line(command: Sequence[str]) -> str:
    """What a program says first, such as its version; raises `BadInput` where it cannot be run."""
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as wrong:
        raise BadInput(f"{command[0]}: {wrong}", hint="the path of the program") from None
    return next((line.strip() for line in (run.stdout + run.stderr).splitlines() if line.strip()), "unknown")


def bindings() -> str:
    """The version of llama-cpp-python."""
    from importlib.metadata import version

    return version("llama-cpp-python")
