"""A booted llmos as the command line and the shell use it: with its control socket, and a bar while it gets ready."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from ...models.scripted import ScriptedEngine
from .boot import Running, boot
from .control import serve
from .display import err
from .ending import Ending
from .options import SCRIPTED, Options


@asynccontextmanager
async def session(options: Options) -> AsyncIterator[Running]:
    """A running llmos on the home of the options, until the block is left.

    Signals end what runs in it, see `Ending`; nothing is broken off while the machine is taken apart.
    """
    ending = Ending()
    async with AsyncExitStack() as stack:
        stack.callback(ending.release)
        with preparing() as on_progress:
            booting = boot(
                options.home, model=options.model, streams=options.streams, window=options.window, way=options.way,
                engine=_scripted(options), on_progress=on_progress,
            )  # fmt: skip
            running = await stack.enter_async_context(booting)
        stack.push_async_callback(ending.let_go)
        with ending.guard(running.machine):
            await stack.enter_async_context(serve(running))
            yield running


def _scripted(options: Options) -> ScriptedEngine | None:
    """With ``--model scripted`` no model is loaded and every prompt is said back: for trying an app's plumbing."""
    if options.model != SCRIPTED:
        return None
    return ScriptedEngine(streams=options.streams, window=options.window)


@contextmanager
def preparing() -> Iterator[Callable[[str, float], None]]:
    """A bar on standard error while a model is made ready; it goes when the work is done."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    console = err()
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = None

        def on_progress(what: str, share: float) -> None:
            nonlocal task
            if task is None:
                task = progress.add_task(what, total=1.0)
            progress.update(task, description=what, completed=share)

        yield on_progress
