"""The main job: three apps at the same time on one model, over the examples, with answers as they come."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ...kernel.errors import Interrupted, NotFound, OSFault
from .arguments import parse
from .describe import description_of
from .display import clean, out, process_table
from .options import Options
from .output import AppOutput, fault_line, remainder
from .registry import Registry
from .seat import Row, Seat, Started
from .session import session

_LOOKS = 8  # a second, at the table beneath the answers


@dataclass(frozen=True)
class Job:
    """One process of the demo: the words of its command line, below ``llmos app run``."""

    app: str
    words: tuple[str, ...]
    owner: str
    title: str


def jobs() -> list[Job]:
    """Four customers, three readers of documents, three readers of books."""
    questions = (
        "How long do I have to return shoes?", "How much is express delivery?",
        "How do I cancel my order from half an hour ago?", "Do you sell fishing rods?",
    )  # fmt: skip
    documents = ("flood-in-the-archive.txt", "market-square-decision.txt", "head-torch-test.md")
    tables = ("--items", "catalog/items.csv", "--ratings", "catalog/ratings.csv")
    return [
        *(Job("support", ("--kb", "shop/articles", question), "customer", question) for question in questions),
        *(Job("summarize", (f"documents/{name}", "--words", "60"), "editor", name) for name in documents),
        *(Job("recommend", (*tables, "--user", n, "-k", "3"), "reader", f"reader {n}") for n in ("17", "42", "101")),
    ]


async def run_demo(options: Options, examples: Path | None) -> int:
    """Run all jobs together; 0 when every one of them did its work, 130 when Ctrl-C ended one."""
    folder = _folder(examples)
    console = out()
    async with session(options) as seat:
        started = time.monotonic()
        pairs = [(job, *await _start(seat, job, folder)) for job in jobs()]
        async with _shown(console, seat, [(process, output) for _, process, output in pairs]):
            waits = [_ended(console, seat.registry, *pair) for pair in pairs]
            await asyncio.gather(*waits)
        took = time.monotonic() - started
        rows = await _rows(seat, [process for _, process, _ in pairs])
        console.print(process_table(rows, title=f"{len(pairs)} processes of three apps on one model"))
        tokens = sum(row["tokens_out"] for row in rows)
        console.print(f"\n{took:.1f} s in all, {tokens} tokens written, {seat.model}", markup=False)
    codes = {process.exit_code for _, process, _ in pairs}
    return Interrupted.exit_code if Interrupted.exit_code in codes else 1 if codes - {0} else 0


def _folder(examples: Path | None) -> Path:
    places = [examples] if examples else [Path("examples"), Path(__file__).parents[2] / "examples"]
    for place in places:
        if (place / "shop" / "articles").is_dir():
            return place
    raise NotFound(f"no examples in {places[0]}", hint="run it in the repository, or name their folder with --examples")


async def _start(seat: Seat, job: Job, folder: Path) -> tuple[Started, AppOutput]:
    info = seat.registry.get(job.app)
    given = parse(description_of(info), job.words, program=job.app, folder=folder)
    assert given is not None
    given.owner, output = job.owner, AppOutput()
    return await seat.start(job.app, given, output), output


async def _rows(seat: Seat, processes: Sequence[Started]) -> list[Row]:
    """The lines of the table that are about these, and about their children."""
    pids = {process.pid for process in processes}
    return [row for row in await seat.rows() if row["pid"] in pids or row["parent"] in pids]


async def _ended(console: Console, registry: Registry, job: Job, process: Started, output: AppOutput) -> None:
    """Print the answer of one process when it is there."""
    await process.ended.wait()
    rest = await remainder(registry.get(job.app), process, output.text) if not process.error else Text()
    said = [Text(clean(output.text).strip()), rest, fault_line(process.error) if process.error else Text()]
    head = Text.assemble((f"{process.pid} {job.app} ", "bold cyan"), (job.title, "bold"))
    console.print(head, *filter(None, said), Text(), sep="\n")


@asynccontextmanager
async def _shown(console: Console, seat: Seat, pairs: list[tuple[Started, AppOutput]]) -> AsyncIterator[None]:
    """On a terminal, the process table beneath the answers while they come; nothing elsewhere."""
    if not console.is_terminal:
        yield
        return

    processes, rows = [process for process, _ in pairs], list[Row]()

    def picture() -> Group:
        under_way = [
            Text(f"{process.pid} {tail(output.text, console.width - len(f'{process.pid} '))}", style="dim")
            for process, output in pairs
            if process.alive and output.text
        ]
        return Group(process_table(rows), *under_way)

    async def repaint(live: Live) -> None:
        while True:
            rows[:] = await _rows(seat, processes)
            live.refresh()
            await asyncio.sleep(1 / _LOOKS)

    # Not rich's own refreshing: that is a thread, and it paints between the lines of an answer being printed.
    with Live(console=console, get_renderable=picture, auto_refresh=False, transient=True) as live:
        painting = asyncio.ensure_future(repaint(live))
        try:
            yield
        finally:
            painting.cancel()
            with suppress(asyncio.CancelledError, OSFault):  # a llmos that has ended shows nothing more
                await painting


def tail(text: str, width: int) -> str:
    """The last words of a text that fit into one line of so many cells; of a longer last word its end."""
    line = ""
    for word in reversed(clean(text).split()):
        longer = f"{word} {line}" if line else word
        if cell_len(longer) > width:
            break
        line = longer
    if line or not text.strip():
        return line
    return clean(text).split()[-1][-max(width // 2, 1) :]
