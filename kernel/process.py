"""Processes: one run of an app each, with what it may do, what it has used, and how it stands."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any, Protocol

from ..memory.context import Context
from ..memory.journal import Write
from ..memory.mail import Letter
from ..memory.pages import Page
from .errors import NotFound, OSFault
from .files import ProcessFiles
from .limits import Account, Limits, Usage
from .replay import Replay


class State(Enum):
    """How a process stands; changed only by the scheduler, the gate and signals, through `Process.settle`."""

    READY = "ready"  # runs its own code
    RUNNING = "running"  # has tokens in the engine
    WAITING = "waiting"  # in a call that waits for something else
    STOPPED = "stopped"
    DONE = "done"


class Priority(IntEnum):
    """Classes of service; a lower class runs before a higher one."""

    INTERACTIVE = 0
    NORMAL = 1
    BATCH = 2


class Signal(Enum):
    """What can be sent to a process."""

    INT = "INT"  # ends the call it is in with `Interrupted`; the process may go on
    TERM = "TERM"  # ends it; it may tidy up for a moment
    KILL = "KILL"  # ends it at once
    STOP = "STOP"
    CONT = "CONT"


class Output(Protocol):
    """Where a process's output goes, and who answers its questions."""

    def write(self, text: str) -> None:
        """Text as it comes."""

    async def room(self) -> None:
        """Until more may be written, where that is slow to be read."""

    def progress(self, done: float, total: float, what: str) -> None:
        """How far the work is."""

    async def ask(self, question: str, choices: list[str]) -> str:
        """The human's answer; raises `Denied` when there is no human."""


@dataclass(eq=False)
class Process:
    """One run of an app. Owned by the event loop's thread."""

    pid: int
    app: str
    owner: str
    rights: frozenset[str]
    account: Account
    limits: Limits
    priority: Priority
    output: Output
    context: Context
    files: ProcessFiles
    parent: int | None = None
    spawned: int | None = None  # n of the parent's call that started it
    args: dict[str, Any] = field(default_factory=dict)
    stdin: str = ""
    adapter: str = ""  # the LoRA that its model works with, by name; see `Machine.adapters`
    replays: int | None = None  # the process that it is a replay of
    state: State = State.READY
    exit_code: int | None = None
    result: Any = None
    error: OSFault | None = None
    usage: Usage = field(default_factory=Usage)
    counts: Counter[str] = field(default_factory=Counter)  # calls admitted, by name
    started_at: float = field(default_factory=time.time)  # seconds since the epoch
    mailbox: deque[Letter] = field(default_factory=deque)
    mail: asyncio.Event = field(default_factory=asyncio.Event)
    going: asyncio.Event = field(default_factory=asyncio.Event)  # cleared while stopped
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Future[Any] | None = None  # its own code; signals cancel it
    calls: dict[asyncio.Future[Any], Signal | None] = field(default_factory=dict)  # under way; INT marks and ends them
    interrupted: bool = False  # INT came outside a call: the next one raises it
    dying: Signal | None = None  # TERM or KILL, once it was sent
    cause: OSFault | None = None  # why the kernel ended it, where that was not a signal
    ending: bool = False  # its own code is over, the kernel tidies up
    suspended: bool = False  # it leaves this machine and will go on where its journal ends
    came_back: bool = False  # it, or the root of its tree, was begun by an earlier llmos
    past: Replay | None = None  # what it did in earlier lives, as long as its code has not caught up
    owed: list[Write] = field(default_factory=list)  # what the journal could not take and has to hear of first
    saved: Any = None  # the state that it handed over last
    aliases: dict[int, int] = field(default_factory=dict)  # pids that it knows from another machine: here
    collected: bool = False  # its parent has waited for it
    on_signal: list[Callable[[Signal], None]] = field(default_factory=list)  # for code outside this program

    def __post_init__(self) -> None:
        self._beneath = self.state
        self.going.set()
        self.usage.started = self.usage.started or time.monotonic()

    @property
    def name(self) -> str:
        """What it is called in a list."""
        return self.app if self.replays is None else f"{self.app} (replay of {self.replays})"

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.state is not State.DONE

    def settle(self, state: State) -> None:
        """Change the state; a stopped process stays stopped until CONT, a finished one finished."""
        self._beneath = state
        if self.state is not State.DONE and (self.going.is_set() or state is State.DONE):
            self.state = state

    def stop(self) -> None:
        """STOP: it computes nothing and gets no reply until CONT."""
        self.going.clear()
        self.state = State.STOPPED

    def go(self) -> None:
        """CONT: on from where it was."""
        self.going.set()
        if self.state is State.STOPPED:
            self.state = self._beneath

    def add_pages(self, role: str, text: str, **how: Any) -> list[Page]:
        """Add a text to the context and book its pages; ``how`` and what it raises as `Context.add`, and its limits."""
        pages = self.context.add(role, text, admit=lambda count: self.account.charge("pages", count), **how)
        self.usage.pages += len(pages)
        return pages

    def drop_pages(self, handle: str) -> None:
        """Remove pages of the context for good, and give their place in the limits back."""
        count = self.context.drop(handle)
        self.account.charge("pages", -count)
        self.usage.pages -= count

    def known_as(self, pid: int) -> int:
        """The process that it means by a pid, which may come from another machine."""
        return self.aliases.get(pid, pid)

    def seconds(self) -> float:
        """Wall time from start to end, or until now."""
        return (self.usage.ended or time.monotonic()) - self.usage.started

    def first_token_s(self) -> float | None:
        """From the start to the first token, if there was one."""
        return None if self.usage.first_token is None else self.usage.first_token - self.usage.started

    def row(self) -> dict[str, Any]:
        """One line of the process table, in plain values."""
        return {
            "pid": self.pid, "parent": self.parent, "app": self.name, "owner": self.owner,
            "state": "suspended" if self.suspended else self.state.value,
            "priority": self.priority.name.lower(), "exit_code": self.exit_code,
            "tokens_in": self.usage.tokens_in, "tokens_out": self.usage.tokens_out,
            "first_token_s": self.first_token_s(), "seconds": self.seconds(),
            "pages": max(self.usage.pages, self.usage.shown),
            "faults": self.usage.faults, "error": self.error.message if self.error else None,
        }  # fmt: skip


class ProcessTable:
    """All processes of this machine since boot, by pid."""

    def __init__(self, first_pid: int = 1, keep: int = 1000) -> None:
        self._pids = itertools.count(first_pid)
        self._rows: dict[int, Process] = {}
        self._living: dict[int, Process] = {}
        self._finished: dict[int, None] = {}  # in the order in which they ended
        self._children: dict[int, list[Process]] = {}
        self._keep = keep  # finished processes that stay in memory; the records on disk keep all

    def new_pid(self) -> int:
        """A pid that was never used in this home."""
        return next(self._pids)

    def add(self, process: Process) -> None:
        """Enter a process; one that was suspended here and goes on takes its own place."""
        if (before := self._rows.pop(process.pid, None)) is not None:
            self._finished.pop(process.pid, None)
            self._forget(before)
        self._rows[process.pid] = process
        if process.parent is not None:
            self._children.setdefault(process.parent, []).append(process)
        if process.alive:
            self._living[process.pid] = process
        else:
            self.finished(process)

    def finished(self, process: Process) -> None:
        """It has ended; those that ended first make room."""
        self._living.pop(process.pid, None)
        self._finished[process.pid] = None
        while len(self._finished) > self._keep:
            pid = next(iter(self._finished))
            del self._finished[pid]
            self._forget(self._rows.pop(pid))

    def _forget(self, process: Process) -> None:
        if process.parent is None:
            return
        siblings = self._children[process.parent]
        siblings.remove(process)
        if not siblings:
            del self._children[process.parent]

    def get(self, pid: int) -> Process:
        """The process, or `NotFound`."""
        try:
            return self._rows[pid]
        except KeyError:
            raise NotFound(f"no process {pid}", hint="llmos ps --all lists them", pid=pid) from None

    def find(self, pid: int) -> Process | None:
        """The process, if it is here."""
        return self._rows.get(pid)

    def __iter__(self) -> Iterator[Process]:
        return iter(list(self._rows.values()))

    def living(self) -> list[Process]:
        """All that have not ended."""
        return list(self._living.values())

    def children(self, pid: int) -> list[Process]:
        """Direct children, in the order they were started."""
        return list(self._children.get(pid, ()))

    def tree(self, pid: int) -> list[Process]:
        """The process and all its descendants, parents first."""
        found = [self.get(pid)]
        for process in found:
            found += self.children(process.pid)
        return found
