"""The machine: cores, process table, memory and sandbox as one object, and the life of a process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypeVar

from ..memory.context import Context
from ..memory.database import Database
from ..memory.embedder import Embedder
from ..memory.faults import MemoryFault
from ..memory.files import FileStore, FileTree
from ..memory.journal import Journal, Write
from ..memory.pageindex import PageIndex
from ..memory.pages import PageStore
from ..memory.recall import Recall
from ..memory.records import Records
from ..memory.rendering import Measure
from .cores.core import Core
from .cores.cores import Cores
from .errors import AppFailed, LimitExceeded, NotFound, OSFault, Terminated, Unavailable
from .files import ProcessFiles
from .limits import Account, Limits
from .plain import plain
from .process import Output, Priority, Process, ProcessTable, Signal, State
from .replay import diverged
from .sandbox import Sandbox
from .scheduler import Scheduler
from .signals import deliver
from .translate import translate

Body = Callable[[Process], Coroutine[Any, Any, Any]]
"""What a process runs: an app's code with its system calls, as a coroutine."""

T = TypeVar("T")

KILLED = 137
QUOTA = 2**30  # bytes of one owner's files, see `FileStore`


@dataclass
class Parts:
    """What a machine is made of; `boot` puts it together."""

    home: Path
    cores: Cores
    database: Database
    journal: Journal
    records: Records
    recall: Recall
    embedder: Embedder
    sandbox: Sandbox
    files: FileStore


@dataclass
class Machine:
    """One running llmos. Owned by the event loop's thread."""

    parts: Parts
    table: ProcessTable = field(init=False)
    cores: Cores = field(init=False)
    pages: PageIndex = field(init=False)  # finds those that are out

    def __post_init__(self) -> None:
        self.table = ProcessTable(self.parts.records.next_pid())
        self.cores = self.parts.cores
        self.pages = PageIndex(self.parts.database, self.parts.embedder)
        self._lives: set[asyncio.Task[None]] = set()
        self.closing = False  # nothing begins any more

    # -- starting and ending --

    def start(
        self,
        body: Body,
        *,
        app: str,
        owner: str,
        rights: frozenset[str],
        limits: Limits,
        priority: Priority,
        output: Output,
        parent: Process | None = None,
        spawned: int | None = None,
        args: Mapping[str, Any] | None = None,
        stdin: str = "",
        handed: Mapping[str, Path] | None = None,
        adapter: str = "",
        replays: int | None = None,
        model: str = "",
    ) -> Process:
        """Start a process; its files are handed in, and its record is on disk, before its first instruction.

        ``spawned`` is the number of the parent's call in its journal. A process that ``replays`` another has no life
        of its own: it does not come back. ``model`` names a core, or the model of one; "" is the parent's, or else the
        default. Raises `NotFound` where there is no such core, or no such ``adapter`` for its model.
        """
        if self.closing:
            raise Unavailable("llmos is shutting down")
        core = self.core_for(model, parent)
        if adapter:
            core.adapter(adapter)
        if parent is not None:
            parent.account.charge("children", 1)
        pid = self.table.new_pid()
        files = self.files_of(pid, owner, app, handed or {})
        account = Account(limits, parent.account if parent else None)
        process = Process(
            pid, app, owner, rights, account, limits, priority, output, Context(*self.window(pid, core)), files,
            parent=parent.pid if parent else None, spawned=spawned, args=dict(args or {}), stdin=stdin,
            adapter=adapter, replays=replays, core=core,
            came_back=parent is not None and parent.came_back,
        )  # fmt: skip
        self.begin(process, body, self._entering(process))
        return process

    def _entering(self, process: Process) -> Write:
        # A replay stands among those that have ended, so that nothing lets it go on as if it were one of them.
        over = {} if process.replays is None else {"finished": process.started_at}
        entering = self.parts.records.entering(
            process.pid, parent=process.parent, owner=process.owner, app=process.app, args=process.args,
            priority=process.priority.name.lower(), started=process.started_at, rights=sorted(process.rights),
            limits=process.limits.to_dict(), stdin=process.stdin, handed=process.files.handed(),
            model=process.core.asked_as, spawned=process.spawned, **over,
        )  # fmt: skip
        marked = {} if process.replays is None else {"replays": process.replays}
        conditions = self.parts.records.running_on(process.pid, process.core.conditions(process.adapter) | marked)

        def write(connection: Connection) -> None:
            entering(connection)
            conditions(connection)

        return write

    def begin(self, process: Process, body: Body, entering: Write) -> None:
        """Let a process run; ``entering`` is on disk before its first instruction."""
        entered = asyncio.wrap_future(self.parts.journal.post(entering))

        async def code() -> Any:
            await entered
            return await body(process)

        self.table.add(process)
        process.task = asyncio.ensure_future(code())
        life = asyncio.get_running_loop().create_task(self._live(process, process.task), name=f"process {process.pid}")
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    def core_for(self, model: str, parent: Process | None = None) -> Core:
        """The core for a new process, see `start`."""
        if not model and parent is not None:
            return parent.core
        return self.cores.place(model, self.table.living)

    def window(self, pid: int, core: Core) -> tuple[int, Measure, PageStore]:
        """What the context of a process is made of."""
        return core.window, core.measure, PageStore(self.parts.database, pid)

    def files_of(self, pid: int, owner: str, app: str, handed: Mapping[str, Path]) -> ProcessFiles:
        """Its app's part of its owner's tree, and what was handed in."""
        return ProcessFiles(FileTree(self.parts.files, owner, app, pid), self.parts.recall, handed)

    def hand_in(self, process: Process, files: Mapping[str, Path]) -> None:
        """Hand more files to a living process: path in its tree, file on the host."""
        if not files:
            return
        for path, file in files.items():
            process.files.hand_in(path, file)
        self.parts.journal.post(self.parts.records.changing(process.pid, handed=process.files.handed()))

    async def _live(self, process: Process, code: asyncio.Future[Any]) -> None:
        """Until a process counts as ended. Signals break off its code, wherever that is; nothing breaks off this."""
        timer = None
        if process.limits.seconds is not None:
            left = process.limits.seconds - process.seconds()
            timer = asyncio.get_running_loop().call_later(max(left, 0), self._expire, process)
        await asyncio.wait([code])
        process.ending = True
        if code.cancelled():
            self._ended_by_signal(process)
        elif (problem := code.exception()) is not None:
            self._ended_by_error(process, problem)
        elif process.past is not None and (expected := process.past.next()) is not None:
            self._ended_by_error(process, diverged("ends", expected))
        else:
            process.result, process.exit_code = code.result(), 0
        if timer is not None:
            timer.cancel()
        await self._tidy(process)

    def _ended_by_signal(self, process: Process) -> None:
        killed = process.dying is Signal.KILL
        name = process.dying.name if process.dying else "TERM"
        process.error = process.cause or Terminated(f"ended by {name}", signal=name)
        process.exit_code = process.cause.exit_code if process.cause else KILLED if killed else Terminated.exit_code

    def _ended_by_error(self, process: Process, problem: BaseException) -> None:
        fault = translate(problem)
        if fault is None:
            fault = AppFailed(f"{process.app} failed: {type(problem).__name__}: {problem}", hint="llmos log PID tells")
            fault.__cause__ = problem
        process.error = process.cause or fault
        process.exit_code = process.error.exit_code

    def _expire(self, process: Process) -> None:
        self.end(process, LimitExceeded(
            f"the limit of {process.limits.seconds:g} seconds is reached",
            hint="raise limits.seconds in the app's manifest", limit="seconds", most=process.limits.seconds,
        ))  # fmt: skip

    def end(self, process: Process, cause: OSFault) -> None:
        """End a process for a reason of the kernel's; it may tidy up, and has the reason as its error."""
        process.cause = process.cause or cause
        deliver(process, Signal.TERM, process.core)

    async def _tidy(self, process: Process) -> None:
        """Whatever the process held is given back before it counts as ended."""
        for child in self.table.children(process.pid):
            if child.alive and not process.suspended:
                deliver(child, Signal.KILL, child.core)
        for child in self.table.children(process.pid):
            await child.ended.wait()
        await asyncio.gather(*(core.gone(process) for core in self.cores))
        process.usage.ended = time.monotonic()
        process.usage.faults = process.context.faults
        try:
            process.context.close()
            if not process.suspended:
                self.parts.journal.post(self.parts.records.using(process.pid, process.usage.kept()))
                await self._on_disk(self.parts.records.finishing(process.pid, **self._final(process)))
        except (MemoryFault, OSError) as problem:  # a full disk must keep nobody from ending
            if process.error is None:
                self._ended_by_error(process, problem)
        finally:
            process.account.charge("pages", -process.usage.pages)
            process.settle(State.DONE)
            self.table.finished(process)
            process.ended.set()

    def _final(self, process: Process) -> dict[str, Any]:
        names = ("exit_code", "tokens_in", "tokens_out", "first_token_s", "seconds", "pages", "faults", "error")
        row = process.row()
        fault = process.error.to_dict() if process.error else None
        return {**{name: row[name] for name in names}, "result": plain(process.result), "fault": fault}

    async def _on_disk(self, write: Write) -> Any:
        return await asyncio.wrap_future(self.parts.journal.post(write))

    # -- signals and waiting --

    async def signal(self, pid: int, signal: Signal) -> None:
        """Send a signal; after KILL, returns when nothing of the process is left."""
        process = self.table.get(pid)
        self.parts.journal.event(pid, "signal", {"signal": signal.name})
        deliver(process, signal, process.core)
        if signal is Signal.KILL:
            await process.ended.wait()
        elif signal in (Signal.STOP, Signal.CONT) and process.alive:
            with suppress(MemoryFault):  # it has been heard; only a crash would not remember it
                await self._on_disk(self.parts.records.changing(pid, stopped=signal is Signal.STOP))

    async def suspend(self, process: Process) -> None:
        """Take a process and its children off this machine; `revive` lets them go on where their journals end."""
        tree = [one for one in self.table.tree(process.pid) if one.alive]
        for one in tree:
            one.suspended = True
        for one in tree:
            self.parts.journal.event(one.pid, "suspend", {})
            deliver(one, Signal.KILL, one.core)
        for one in tree:
            await one.ended.wait()

    async def wait_child(self, parent: Process, pid: int | None) -> Process:
        """A child of the parent that has ended and was not waited for before."""
        if pid is not None and self.table.get(pid).parent != parent.pid:
            raise NotFound(f"process {pid} is no child of {parent.pid}", pid=pid)
        while True:
            children = [c for c in self.table.children(parent.pid) if not c.collected and pid in (None, c.pid)]
            if not children:
                raise NotFound("there is no child to wait for", hint="spawn one first")
            for child in children:
                if not child.alive:
                    child.collected = True
                    return child
            waits = [asyncio.ensure_future(c.ended.wait()) for c in children]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    def related(self, process: Process, pid: int) -> Process:
        """A process of the same tree, for signals; `NotFound` for any other, whether it exists or not."""
        if pid in {p.pid for p in self.table.tree(process.pid)}:
            return self.table.get(pid)
        raise NotFound(f"process {pid} is not in the tree of {process.pid}", pid=pid)

    async def worker(self, function: Callable[..., T], *args: Any, **named: Any) -> T:
        """Run blocking work (disk, vectors) in a worker thread. A cancelled caller does not wait for its end."""
        return await asyncio.to_thread(function, *args, **named)

    # -- looking --

    def snapshot(self) -> list[dict[str, Any]]:
        """The process table in plain rows."""
        return [p.row() for p in self.table]

    def idle(self) -> bool:
        """No living process, no work on any core."""
        return not self.table.living() and self.cores.idle()

    @property
    def scheduler(self) -> Scheduler:
        """That of the first core in this program."""
        return self.cores.local.scheduler

    def streams_in_use(self) -> int:
        """Streams held by work under way."""
        return sum(core.scheduler.streams.in_use() for core in self.cores.locals)

    async def close(self, *, suspend: bool = False) -> None:
        """End every process, then the machine. What came back from an earlier llmos, or all, may go on another time."""
        self.closing = True
        for process in self.table.living():
            process.suspended = suspend or process.came_back
            deliver(process, Signal.KILL, process.core)
        for process in self.table.living():
            await process.ended.wait()
        await self.cores.close()
        self.pages.close()
        await self.worker(self.parts.recall.close)  # what it does in the background needs the database
        self.parts.journal.close()
        self.parts.database.close()
