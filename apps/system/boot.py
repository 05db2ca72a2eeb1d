"""Putting the machine together, from the home on disk to a running scheduler, and taking it apart again."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from ...kernel.adapters import Adapter
from ...kernel.errors import BadInput
from ...kernel.machine import QUOTA, Machine, Parts
from ...kernel.process import Output, Priority, Process, Signal
from ...kernel.prompts import Encode, Prompts
from ...kernel.sandbox import Sandbox
from ...kernel.shelf import Shelf
from ...kernel.translate import translated
from ...memory.database import Database
from ...memory.embedder import Embedder
from ...memory.faults import Damaged
from ...memory.files import FileStore, take_in
from ...memory.indexes import index_in
from ...memory.journal import Journal
from ...memory.recall import Recall
from ...memory.records import Record, Records, forget_the_dead
from ...memory.salvage import mend
from ...memory.tokens import BytePairTokens
from ...models.adapters import Adapters
from ...models.chat import ChatTemplate
from ...models.engine import Engine
from ...models.gguf import ModelFile, Vocabulary, read, vocabulary
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
from .options import user
from .registry import Registry
from .seat import Row, Started
from .settings import settings

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
        """The name of the model that computes."""
        return self.machine.parts.engine.info.name

    async def start(self, app: str, given: Given, output: Output, *, stdin: str = "") -> Process:
        """Start an app with what a command line gave; see `Seat.start`."""
        return self.launcher.launch(
            app, given.args, owner=given.owner or user(), output=output, stdin=stdin, handed=given.handed,
            priority=Priority[given.priority.upper()] if given.priority else None, adapter=given.adapter,
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
        return dict(self.machine.scheduler.meters())

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
        info = self.machine.parts.engine.info
        return {"model": info.name, "streams": info.streams, "window": info.window, "way": info.way}


@asynccontextmanager
async def boot(
    home: Home,
    *,
    model: str | None = None,
    streams: int = 16,
    window: int = 4096,
    way: str | None = None,
    engine: Engine | None = None,
    serves: bool = False,
    on_progress: OnProgress | None = None,
) -> AsyncIterator[Running]:
    """A machine on this home until the block is left; holds the home's lock.

    ``model`` is a name of the catalog or a file (None: the default), ``way`` one of the engine's (None: as the model
    was tuned, else exact), ``on_progress`` is told what is being done
    and how far it is (0 to 1). With ``engine`` no model is loaded: tests give a scripted one. ``serves`` promises
    to others that find the home held that `control.serve` follows.
    """
    with ExitStack() as undo:
        home.create()
        undo.enter_context(HomeLock(home, serves=serves))
        states = settings(home).states
        with translated():
            with held_back():
                database = Database(home.database, progress=on_progress or silent)
            undo.callback(database.close)
            engine, prompts, identity = _processor(home, model, streams, window, way, engine, on_progress or silent)
            undo.callback(engine.close)
            forget_the_dead(database)
            journal = Journal(database)
            undo.callback(journal.close)
            embedder, recall, files = undo.enter_context(remembered(home, database, on_progress or silent))
        parts = Parts(
            home.root, engine, prompts, database, journal, Records(database), recall, embedder, Sandbox(), files,
            Shelf(home.swap, ram=states.ram, disk=states.disk),
            identity=identity,
        )  # fmt: skip
        machine = Machine(parts)
        with translated():
            listed = Adapters(home.root).listing(engine.info.name)
        machine.adapters = {entry.name: Adapter(entry.path, 1.0, entry.sha256) for entry in listed}
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


def _processor(
    home: Home,
    model: str | None,
    streams: int,
    window: int,
    way: str | None,
    engine: Engine | None,
    on_progress: OnProgress,
) -> tuple[Engine, Prompts, dict[str, str]]:
    if engine is not None:
        return engine, Prompts(ChatTemplate.default(), engine.tokenize), {}
    from ...models.catalog import Catalog
    from ...models.llama import LlamaEngine
    from ...models.prepare import ready
    from ...models.tuning.kept import Tunings

    entry = Catalog(home.root).get(model)
    tuned = Tunings(home.root).settled(entry, way, streams)
    path = ready(entry, home.root, tuned.format if tuned else None, progress=on_progress)
    options = tuned.model_dump(exclude={"format"}) if tuned else {"way": way or "exact"}
    with held_back():
        loaded = LlamaEngine(path, name=entry.name, streams=streams, window=window, **options)
    file, words = read(path), vocabulary(path)
    template = ChatTemplate(file.chat_template, words.piece(words.bos), words.piece(words.eos))
    weights = f"{path.name}, {path.stat().st_size} bytes"  # those that a model was prepared into, say
    identity = {"sha256": entry.sha256, "weights": weights, "llama_cpp": metadata.version("llama_cpp_python")}
    return loaded, Prompts(template, _encode(words, loaded, file)), identity


def _encode(words: Vocabulary, engine: Engine, file: ModelFile) -> Encode:
    """tiktoken where it is proved equal, else the engine's own tokenizer."""
    try:
        return BytePairTokens(words.tokens, words.kinds, words.pre, words.merges).encode
    except Damaged:
        return engine.tokenize
