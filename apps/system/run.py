"""`llmos app run`: one process, or one for each input with a bar for all of them."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import MofNCompleteColumn, TaskID
from rich.text import Text

from .arguments import Given
from .bars import bar
from .display import clean, err, out, print_json
from .options import Options
from .output import AppOutput, ask_terminal, fault_line, plain_result, remainder
from .piped import comes_within, is_piped, read_text
from .registry import AppInfo
from .seat import Seat, Started
from .session import session


class Bar:
    """One bar on standard error for ``total`` processes; not there when standard error is no terminal."""

    def __init__(self, total: int) -> None:
        self._progress = bar(*([MofNCompleteColumn()] if total > 1 else []))
        self._shares = [0.0] * total
        self._task: TaskID | None = None  # none before the first progress
        self._closed = False

    def update(self, place: int, share: float, what: str = "") -> None:
        """Process number ``place`` has done this share (0 to 1) of its work."""
        if self._closed:
            return
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(what, total=len(self._shares))
        self._shares[place] = share
        self._progress.update(self._task, completed=sum(self._shares))
        if what:
            self._progress.update(self._task, description=what)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Out of the way while something else is written."""
        self._progress.stop()
        yield
        if self._task is not None and not self._closed:
            self._progress.start()

    def close(self) -> None:
        """Take it away for good."""
        self._closed = True
        self._progress.stop()


async def run_app(options: Options, info: AppInfo, given: Given) -> int:
    """Run the app once, or once for each element of its ``each`` argument; returns the exit code."""
    parts = given.split(info.manifest.each)
    stdin = _input(info, given)
    if given.detach:
        from .serving import run_detached

        return await run_detached(options, info, given, stdin)
    async with session(options) as seat:
        bar = Bar(len(parts))
        try:
            return await _run(seat, info, parts, stdin, bar)
        finally:
            bar.close()


def _input(info: AppInfo, given: Given) -> str:
    """What is piped in, for an app that works on it; one that does not say so gets what is there already."""
    wants = info.manifest.input
    if wants is False or not is_piped() or given.args.get(info.manifest.each or ""):
        return ""
    return read_text() if wants or comes_within(0) else ""


async def _run(seat: Seat, info: AppInfo, parts: list[Given], stdin: str, bar: Bar) -> int:
    live = len(parts) == 1 and not parts[0].json
    outputs = [on_terminal(place, bar, live=live) for place in range(len(parts))]
    started: list[Started] = []
    for part, output in zip(parts, outputs, strict=True):
        started.append(await seat.start(info.name, part, output, stdin=stdin))
    counting = [asyncio.ensure_future(_count(bar, *one)) for one in enumerate(started)] if len(parts) > 1 else []
    if counting:
        bar.update(0, 0.0, info.name)
    codes = []
    for part, process, output in zip(parts, started, outputs, strict=True):
        await process.ended.wait()
        label = _label(info, part) if len(parts) > 1 else ""
        text = Text() if part.json or process.error else await remainder(info, process, output.text)
        with bar.hidden():
            _show(info, part, process, output, text, label)
        codes.append(process.exit_code or 0)
    await asyncio.gather(*counting)
    return next((code for code in codes if code), 0)


async def _count(bar: Bar, place: int, process: Started) -> None:
    await process.ended.wait()
    bar.update(place, 1.0)


def on_terminal(place: int, bar: Bar, *, live: bool) -> AppOutput:
    """The output of process number ``place``; ``live``: what it writes is shown as it comes."""

    def sink(text: str) -> None:
        bar.close()  # the answer itself shows how far it is
        sys.stdout.write(clean(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()

    async def ask(question: str, choices: list[str]) -> str:
        with bar.hidden():
            return await ask_terminal(question, choices)

    return AppOutput(
        ask if sys.stdin.isatty() else None,
        sink if live else None,
        lambda share, what: bar.update(place, share, what),
    )


def _show(info: AppInfo, part: Given, process: Started, output: AppOutput, text: Text, label: str) -> None:
    """What is still to be said of an ended process; ``label`` names its input where there are several."""
    if output.broken:
        raise BrokenPipeError
    error = part.in_its_words(process.error) if process.error else None
    if part.json:
        which = {"input": label} if label and error else {}
        print_json({**which, **({"error": error.to_dict()} if error else plain_result(process))})
    else:
        console = out()
        if label:
            console.print(Text(label, style="bold"))
            output.watch(lambda words: console.print(Text(clean(words)), end=""))
        if output.text and not output.text.endswith("\n"):
            console.print()
        if text:
            console.print(text)
        if label:
            console.print()
    if error:
        who = f"llmos: {info.name}" + (f" {label}" if label else "")
        err().print(fault_line(error, who), soft_wrap=True)


def _label(info: AppInfo, part: Given) -> str:
    [element] = part.args[str(info.manifest.each)]
    return clean(str(element)).removeprefix("in/")
