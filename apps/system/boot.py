"""Putting the machine together, from the home on disk to a running scheduler, and taking it apart again."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...kernel.errors import BadInput
from ...kernel.machine import QUOTA, Machine, Parts
from ...kernel.process import Output, Priority, Process, Signal
from ...kernel.sandbox import Sandbox
from ...kernel.translate import translated
from ...memory.database import Database
from ...memory.embedder import Embedder
from ...memory.files import FileStore, take_in
from ...memory.indexes import index_in
from ...memory.journal import Journal
from ...memory.recall import Recall
from ...memory.records import Record, Records, forget_the_dead
from ...memory.salvage import mend
from ...models.engine import Engine
from ...syscalls.audit import Audit
from ...syscalls.gate import Gate
from ...syscalls.table import TABLE
from ...syscalls.tools import Toolbox
from .arguments import Given
from .channel import is_here
from .comeback import OutputFor, come_back, end_suspended, suspended
from .embedders import chosen_embedder, embedder_before
from .ending import held_back
from .home import Home, HomeLock
from .launch import Launcher
from .loading import Far, Loaded, Wanted, cores_of, ready_made
from .options import user
from .registry import Registry
from .seat import Row, Started

log = logging.getLogger(__name__)

OnProgress = Callable[[str, float], None]


@dataclass(frozen=True)
class Running:
    """A booted llmos."""

    home: Home
    machine: Machine
    launcher: Launcher
    gate: Gate
    tools: Toolbox
    lines: set[asyncio.Task[None]] = field(default_factory=set)  # connections of other terminals
    guests: set[asyncio.Future[Any]] = field(default_factory=set)  # what other terminals have started, until it is over

    # -- as a `seat.Seat` --

    @property
    def registry(self) -> Registry:
        """The apps there are."""
        return self.launcher.registry

    @property
    def model(self) -> str:
        """The name of the default core."""
        return self.machine.cores.default.name

    async def start(self, app: str, given: Given, output: Output, *, stdin: str = "") -> Process:
        """Start an app with what a command line gave; see `Seat.start`."""
        return self.launcher.launch(
            app, given.args, owner=given.owner or user(), output=output, stdin=stdin, handed=given.handed,
            priority=Priority[given.priority.upper()] if given.priority else None, adapter=given.adapter,
            model=given.on,
        )  # fmt: skip

    async def signal(self, pid: int, signal: str) -> None:
        """Send a signal by name; see `Seat.signal`."""
        if signal.upper() not in Signal.__members__:
            raise BadInput(f"no signal {signal!r}", hint=f"signals are {', '.join(Signal.__members__)}")
        process = self.machine.table.find(pid)
        if process is None or process.suspended:
            here = {one.pid for one in self.machine.table if not one.suspended}
            end_suspended(self.machine.parts.records, self.machine.parts.journal, here, pid, signal)
            return
        if not process.alive:
            raise BadInput(f"process {pid} has ended", hint="llmos ps lists those that live")
        await self.machine.signal(pid, Signal[signal.upper()])

    async def hand_in(self, process: Started, files: Mapping[str, Path]) -> None:
        """More files for a living process: path in its tree to file on the host."""
        with translated():
            self.machine.hand_in(self.machine.table.get(process.pid), files)

    async def suspended(self) -> list[Record]:
        """Processes of this home that have not ended and do not run, parents before their children."""
        return suspended(self)

    async def resume(self, output: OutputFor, pids: Collection[int] = ()) -> list[Process]:
        """Let suspended processes go on, as if this terminal had started them; see `Seat.resume`."""
        back = come_back(self, output, pids)
        for process in back:
            process.came_back = False  # Ctrl-C and SIGTERM reach it, and it ends with this program
        return [process for process in back if process.parent is None]

    async def rows(self) -> list[Row]:
        """The process table since boot."""
        return self.machine.snapshot()

    async def meters(self) -> Row:
        """See `Seat.meters`."""
        return self.machine.cores.meters()

    def pids(self, *, ended: bool = False) -> list[int]:
        """Processes that live, or also those that have ended since boot."""
        return [process.pid for process in self.machine.table if ended or process.alive]

    def living(self) -> list[Process]:
        """What this program's own terminal has started and has not ended; children too."""
        return [process for process in self.machine.table.living() if is_here(process) and not process.came_back]

    def host(self, guest: asyncio.Future[Any]) -> None:
        """This llmos should not end before it is done."""
        self.guests.add(guest)
        guest.add_done_callback(self.guests.discard)

    def described(self) -> dict[str, Any]:
        """How the engine runs, for a terminal that wants to join."""
        core, models = self.machine.cores.default, [core.name for core in self.machine.cores]
        return {
            "model": core.name, "models": models, "streams": core.streams, "window": core.window, "way": core.way,
        }  # fmt: skip


@asynccontextmanager
async def boot(
    home: Home,
    *,
    model: str | None = None,
    also: Sequence[str | Engine] = (),
    streams: int = 16,
    window: int = 4096,
    way: str | None = None,
    engine: Engine | None = None,
    serves: bool = False,
    on_progress: OnProgress | None = None,
) -> AsyncIterator[Running]:
    """A machine on this home until the block is left; holds the home's lock.

    ``model`` is a name of the catalog or a file (None: the default) and computes where a process asks for nothing
    else, ``also`` are further ones; ``engine`` stands in for ``model``: tests give a scripted one. ``way`` is one of
    the engine's (None: as the model was tuned, else exact). ``on_progress`` is told what is being done and how far it
    is (0 to 1). ``serves`` promises to others that find the home held that `control.serve` follows.
    """
    with ExitStack() as undo:
        home.create()
        undo.enter_context(HomeLock(home, serves=serves))
        with translated():
            with held_back():
                database = Database(home.database, progress=on_progress or silent)
            undo.callback(database.close)
            wanted = Wanted(home, streams, window, way, on_progress or silent)
            loaded: list[Loaded | Far] = []
            for one in (engine or model, *also):
                loaded.append(wanted.load(one) if one is None or isinstance(one, str) else ready_made(one))
                undo.callback(loaded[-1].close)
            forget_the_dead(database)
            journal = Journal(database)
            undo.callback(journal.close)
            embedder, recall, files = undo.enter_context(remembered(home, database, on_progress or silent))
        parts = Parts(
            home.root, cores_of(loaded, home), database, journal, Records(database), recall, embedder,
            Sandbox(), files,
        )  # fmt: skip
        machine = Machine(parts)
        audit, tools = Audit(home.root / "audit.jsonl"), Toolbox()
        undo.callback(audit.close)
        launcher = Launcher(machine, Registry(home))
        gate = launcher.gate = Gate(machine, TABLE, audit, tools, launcher.spawn)
        try:
            yield Running(home, machine, launcher, gate, tools)
        finally:
            await machine.close()


@contextmanager
def remembered(
    home: Home, database: Database, on_progress: OnProgress
) -> Iterator[tuple[Embedder, Recall, FileStore]]:  # fmt: skip
    """The passages and files of a home, and the embedder chosen for it, until the block is left. Needs no engine."""
    with ExitStack() as undo:
        embedder = undo.enter_context(chosen_embedder(home.root, on_progress))
        before = undo.enter_context(embedder_before(home.root, database, embedder))
        recall = _recall_on(home, database, embedder, before)
        undo.callback(recall.close)
        yield embedder, recall, _files_on(home, database, on_progress)


def _recall_on(home: Home, database: Database, embedder: Embedder, before: Embedder | None) -> Recall:
    """Searched by ``before`` until ``embedder`` can."""
    index = index_in(home.root / "index", database, os.environ.get("LLMOS_CHROMA", ""))
    recall = Recall(database, before or embedder, index)
    if before is not None:
        recall.use(embedder)
    if database.suspect:
        wrong = mend(database, recall)
        log.warning("%s was changed while nobody ran: %s", database.path, "; ".join(wrong[:3]) or "no harm was done")
    return recall


def _files_on(home: Home, database: Database, on_progress: OnProgress) -> FileStore:
    """Those that an older llmos had in a folder of their own are taken in."""
    take_in(database, home.files, lambda share: on_progress("taking in the files of an older llmos", share))
    return FileStore(database, QUOTA)


def silent(what: str, share: float) -> None:
    """Nobody watches."""
