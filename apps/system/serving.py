"""A llmos without a terminal of its own: it holds the home for others, `llmos serve`, and what is detached."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from time import monotonic
from typing import IO

from ...kernel.errors import HomeHeld, Unavailable
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


async def run_serve(options: Options, *, until_idle: bool) -> int:
    """Hold the home until Ctrl-C or TERM; or until nothing has run, and no terminal was there, for a while."""
    async with session(options) as seat:
        if isinstance(seat, Guest):
            raise HomeHeld(
                f"{options.home.root} is held by process {seat.holder}", hint="that one serves others already"
            )
        err().print(f"llmos on {seat.model} serves {options.home.root}; Ctrl-C ends it", style="dim", markup=False)
        last = monotonic()
        while not until_idle or monotonic() - last < IDLE:
            await asyncio.sleep(_LOOK)
            if _busy(seat):
                last = monotonic()
    return 0


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
    numbers = ["--streams", str(options.streams), "--window", str(options.window), "--way", options.way]
    return ["--home", str(options.home.root), *models, *numbers]


def answers(home: Home) -> bool:
    """Whether a llmos runs on a home."""
    try:
        ask(home, "ping")
    except NotRunning:
        return False
    return True
