"""A llmos as the command line and the shell use it: their own, or that of another program which holds the home."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from time import monotonic

from ...kernel.errors import HomeHeld
from ...models.scripted import ScriptedEngine
from .boot import Running, boot
from .channel import channel_of
from .client import SOCKET, NotRunning
from .control import serve
from .display import err
from .ending import Ending
from .guest import Guest, guest
from .home import Home
from .housekeeping import tidying
from .options import SCRIPTED, Options
from .settings import settings
from .stores import stores_of

PATIENCE = 5.0
"""Seconds that a home may be held by one that does not say that it will answer, such as a command at work on it."""
_AGAIN = 0.05  # seconds between two attempts


@asynccontextmanager
async def session(options: Options) -> AsyncIterator[Running | Guest]:
    """A running llmos on the home of the options, until the block is left.

    One that holds the home already is used; else this program becomes the one, with a bar while it gets ready, and
    when the block is left stays until the processes that other terminals run here have ended. Signals end what was
    started here, see `Ending`; nothing is broken off while the machine is taken apart.
    """
    keep = settings(options.home).retention.keep
    ending = Ending()
    async with AsyncExitStack() as stack:
        stack.callback(ending.release)
        seat = await _seat(options, stack)
        stack.push_async_callback(ending.let_go)
        if isinstance(seat, Running):
            stack.push_async_callback(_suspend_detached, seat)
        with ending.guard(seat):
            if isinstance(seat, Running):
                await stack.enter_async_context(serve(seat))
                await stack.enter_async_context(tidying(stores_of(seat), keep))
            yield seat
            if isinstance(seat, Running):
                ending.listen()
                await _host_guests(seat)


async def _seat(options: Options, stack: AsyncExitStack) -> Running | Guest:
    """At the llmos that holds the home, or of our own; of two that begin at the same moment one waits for the other."""
    limit = monotonic() + PATIENCE
    while True:
        try:
            return await stack.enter_async_context(guest(options))
        except NotRunning:
            pass
        try:
            return await _own(options, stack)
        except HomeHeld as held:
            if not held.details["serves"] and monotonic() > limit:
                raise
            await _a_moment(options.home, held, limit)


async def _a_moment(home: Home, held: HomeHeld, limit: float) -> None:
    """Until the one that holds the home answers, as it begins, or is gone, as it ends; else until the limit."""
    console = err()
    who = f"waiting for the llmos that holds the home (process {held.details['pid']})"
    with console.status(who) if console.is_terminal else nullcontext():
        while True:
            await asyncio.sleep(_AGAIN)
            free = home.holder() is None or (home.run / SOCKET).exists()
            if free or (not held.details["serves"] and monotonic() > limit):
                return


async def _own(options: Options, stack: AsyncExitStack) -> Running:
    with preparing() as on_progress:
        booting = boot(
            options.home, model=options.model, also=options.also, streams=options.streams, window=options.window,
            way=options.way, engine=_scripted(options), serves=True, on_progress=on_progress,
        )  # fmt: skip
        return await stack.enter_async_context(booting)


async def _host_guests(running: Running) -> None:
    """Until what other terminals have started here is over; Ctrl-C ends it."""
    if running.guests:
        err().print("llmos: processes of other terminals still run here; Ctrl-C ends them", style="dim")
    while running.guests:
        await asyncio.wait(running.guests)


async def _suspend_detached(running: Running) -> None:
    """What nobody waits for goes on another time."""
    for process in running.machine.table.living():
        if process.parent is None and channel_of(process).detached:
            await running.machine.suspend(process)


def _scripted(options: Options) -> ScriptedEngine | None:
    """With ``--model scripted`` no model is loaded and every prompt is said back: for trying an app's plumbing."""
    if options.model != SCRIPTED:
        return None
    return ScriptedEngine(streams=options.streams, window=options.window)


@contextmanager
def preparing() -> Iterator[Callable[[str, float], None]]:
    """A bar on standard error while a model is made ready; it goes when the work is done."""
    from .bars import bar, share

    with bar(share()) as progress:
        task = None

        def on_progress(what: str, done: float) -> None:
            nonlocal task
            if task is None:
                task = progress.add_task(what, total=1.0)
            progress.update(task, description=what, completed=done)

        yield on_progress
