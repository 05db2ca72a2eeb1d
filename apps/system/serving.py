"""A llmos without a terminal of its own: it holds the home for others, `llmos serve`, and what is detached."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import IO

from ...kernel.errors import HomeHeld, Unavailable
from .api.place import Place
from .arguments import Given
from .boot import Running
from .client import NotRunning, ask
from .display import clean, err, out, print_json
from .guest import Guest, guest
from .home import Home
from .options import Options
from .output import AppOutput
from .registry import AppInfo
from .session import preparing, session

IDLE = 5.0
"""Seconds without a process or a terminal after which a llmos that was begun for one job ends."""
_LOOK = 0.1  # seconds between two looks


async def run_holder(options: Options) -> int:
    """Hold the home until nothing has run, and no terminal was there, for a while."""
    async with _holding(options) as seat:
        last = monotonic()
        while monotonic() - last < IDLE:
            await asyncio.sleep(_LOOK)
            if _busy(seat):
                last = monotonic()
    return 0


async def run_serve(options: Options, place: Place, *, as_json: bool) -> int:
    """Hold the home, and answer HTTP, until Ctrl-C or TERM."""
    from .api.server import serving

    async with _holding(options) as seat, serving(seat, place) as url:
        _announce(seat, place, url, as_json=as_json)
        await asyncio.Event().wait()
    return 0


@asynccontextmanager
async def _holding(options: Options) -> AsyncIterator[Running]:
    """Our own llmos; raises `HomeHeld` where another one serves the home."""
    async with session(options) as seat:
        if isinstance(seat, Guest):
            raise HomeHeld(
                f"{options.home.root} is held by process {seat.holder}", hint="that one serves others already"
            )
        yield seat


def _announce(seat: Running, place: Place, url: str, *, as_json: bool) -> None:
    """Say that it serves, and how to try it."""
    core = seat.machine.cores.default
    if as_json:
        print_json({"url": url, "pid": os.getpid(), "home": str(seat.home.root), **seat.described()})
        sys.stdout.flush()
        return
    body = '{"messages":[{"role":"user","content":"Hello"}]}'
    lines = {
        f"llmos on {seat.model} serves {url}/v1 and {seat.home.root}; Ctrl-C ends it": "",
        f"{core.streams} streams of {core.window:,} tokens each, {core.way}": "dim",
        f"try: curl {url}/v1/chat/completions -d '{body}'": "dim",
    }
    if not place.loopback:
        lines[f"anybody who reaches {place.host} may use it, there is no password; --host 127.0.0.1 keeps it here"] = (
            "red"
        )
    for line, style in lines.items():
        err().print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def _busy(running: Running) -> bool:
    return bool(running.machine.table.living() or running.guests or running.lines)


async def run_detached(options: Options, info: AppInfo, given: Given, stdin: str) -> int:
    """Start the app, or one for each element of its ``each`` argument, and leave it to run; says the pids."""
    await _begun(options)
    async with guest(options) as seat:
        for part in given.split(info.manifest.each):
            process = await seat.start(info.name, part, AppOutput(), stdin=stdin, detach=True)
            if part.json:
                print_json({"pid": process.pid})
            else:
                out().print(f"process {process.pid}; llmos attach {process.pid} shows what it writes", markup=False)
    return 0


async def _begun(options: Options) -> None:
    """If no llmos holds the home, begin one in the background, which ends when nothing is left to do."""
    with tempfile.TemporaryFile() as said:
        server: subprocess.Popen[bytes] | None = None
        with preparing() as on_progress:
            while not answers(options.home):
                server = server or _begin(options, said)
                on_progress("starting llmos in the background", 0.0)
                if server.poll() is not None:
                    said.seek(0)
                    words = clean(said.read().decode(errors="replace")).strip().removeprefix("llmos: ")
                    raise Unavailable(words or f"llmos left with exit code {server.returncode}", hint="llmos serve")
                await asyncio.sleep(_LOOK)


def _begin(options: Options, said: IO[bytes]) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-P", "-m", "llmos.apps.system.main", *_words(options), "serve", "--until-idle"]
    return subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
    )


def _words(options: Options) -> Sequence[str]:
    """The options as they are typed before a command."""
    models = [word for name in (options.model, *options.also) if name for word in ("--model", name)]
    way = ["--way", options.way] if options.way else []
    numbers = ["--streams", str(options.streams), "--window", str(options.window)]
    return ["--home", str(options.home.root), *models, *way, *numbers]


def answers(home: Home) -> bool:
    """Whether a llmos runs on a home."""
    try:
        ask(home, "ping")
    except NotRunning:
        return False
    return True
