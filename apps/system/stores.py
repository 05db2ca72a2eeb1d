"""What a home remembers, without an engine: opened, and used by name as *services*.

A service is a function of `SERVICES`: it takes `Stores` and plain JSON values by name, and gives a plain JSON value; or
it is a generator that yields how far it is (plain JSON objects) and returns that value. `use` carries one out: inside
the llmos that holds the home, through its control socket, or here when there is none. To add one:

    def count(stores: Stores, *, owner: str) -> int: ...          # or -> Steps, and yield {"done": 3, "total": 10, …}
    SERVICES["fs.count"] = count                                  # in `SERVICES` below
    use(home, "fs.count", owner="ann")                            # in the command

Paths in its arguments are absolute: both sides run as the same user, in folders of their own. A step runs on any
thread, so nothing is yielded within a transaction or a lock; between two steps (a tenth of a second is good) the
caller may close the generator, which is how Ctrl-C at a client arrives: what is on disk then must be consistent.
Faults of memory and of the disk are translated here; arguments that a service does not know are `BadInput`.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Collection, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

from ...kernel.errors import BadInput, HomeHeld
from ...kernel.translate import translated
from ...memory.database import Database
from ...memory.files import FileStore
from ...memory.ingest.library import Library
from ...memory.recall import Recall
from ...memory.records import Records
from . import checkpoints, file_services, housekeeping, memory_services
from .boot import Running, remembered, silent
from .client import NotRunning, request
from .ending import held_back
from .home import Home, HomeLock

Json = Any
Steps = Generator[dict[str, Json], None, Json]
Service = Callable[..., Json | Steps]

PATIENCE = 5.0
"""Seconds that a home may be held by a llmos that does not answer yet, or that is about to end."""
_AGAIN = 0.05  # seconds between two attempts
_SILENCE = 300.0  # seconds between two lines of the one that carries out a service


@dataclass(frozen=True)
class Stores:
    """What the services work on; whoever made it holds the home's lock."""

    home: Home
    database: Database
    recall: Recall
    files: FileStore
    new_pid: Callable[[], int]  # a pid that was never used in this home
    model: str | None = None  # the name of the model that computes, where one does
    models: Collection[str] = ()  # of all cores

    @cached_property
    def library(self) -> Library:
        """The files that are remembered."""
        return Library(self.database, self.recall)


SERVICES: dict[str, Service] = {
    "memory.add": memory_services.add,
    "memory.search": memory_services.search,
    "memory.ls": memory_services.ls,
    "memory.forget": memory_services.forget,
    "memory.export": memory_services.export,
    "memory.import": memory_services.take_in,
    "memory.stats": memory_services.stats,
    "memory.check": memory_services.check,
    "memory.rebuild": memory_services.rebuild,
    "fs.ls": file_services.ls,
    "fs.cat": file_services.cat,
    "fs.put": file_services.put,
    "fs.get": file_services.get,
    "fs.find": file_services.find,
    "fs.log": file_services.log,
    "fs.diff": file_services.diff,
    "fs.rollback": file_services.rollback,
    "fs.rm": file_services.rm,
    "fs.mv": file_services.mv,
    "fs.tag": file_services.tag,
    "fs.du": file_services.du,
    "fs.check": file_services.check,
    "process.checkpoint": checkpoints.write,
    "process.restore": checkpoints.read,
    "gc": housekeeping.gc,
    "gc.some": housekeeping.gc_some,
}


def stores_of(running: Running) -> Stores:
    """Those of the llmos in this program."""
    parts, new_pid = running.machine.parts, running.machine.table.new_pid
    cores = [core.name for core in running.machine.cores]
    return Stores(running.home, parts.database, parts.recall, parts.files, new_pid, running.model, cores)


@contextmanager
def opened(home: Home) -> Iterator[Stores]:
    """The stores of a home that no llmos holds, until the block is left; raises `HomeHeld`."""
    with ExitStack() as undo:
        undo.enter_context(HomeLock(home.create()))
        with held_back(), translated():
            database = Database(home.database)
            undo.callback(database.close)
            _, recall, files = undo.enter_context(remembered(home, database, silent))
            pids = count(Records(database).next_pid())
        yield Stores(home, database, recall, files, lambda: next(pids))


def use(home: Home, name: str, on_step: Callable[[dict[str, Json]], None] | None = None, /, **fields: Json) -> Json:
    """Carry out a service; what it gives. ``on_step`` gets what it yields. Raises its error, or `HomeHeld`."""
    limit = time.monotonic() + PATIENCE
    while True:
        try:
            return request(home, {"call": "service", "name": name, "with": fields}, on_step, _SILENCE)
        except NotRunning:
            pass
        try:
            with opened(home) as stores:
                return _here(begin(stores, name, fields), on_step)
        except HomeHeld as held:  # by one that begins or ends, and will answer, or be gone, in a moment
            if not held.details["serves"] and time.monotonic() > limit:
                raise
            time.sleep(_AGAIN)


def begin(stores: Stores, name: str, fields: dict[str, Json]) -> Steps:
    """The steps of a service, none of them taken yet. Raises `BadInput` for one that there is not."""
    service = SERVICES.get(name)
    if service is None:
        raise BadInput(f"no such service: {name!r}", hint="the llmos that holds the home may be of another version")
    try:
        inspect.signature(service).bind(stores, **fields)
    except TypeError as problem:
        raise BadInput(f"{name}: {problem}", hint="both llmos should be of the same version") from None
    return _steps(service, stores, fields)


def _steps(service: Service, stores: Stores, fields: dict[str, Json]) -> Steps:
    with translated():
        done = service(stores, **fields)
        return (yield from done) if inspect.isgenerator(done) else done


def _here(steps: Steps, on_step: Callable[[dict[str, Json]], None] | None) -> Json:
    try:
        while True:
            # An exception within a function that SQLite calls (`checks.digest`) would be lost, and look like damage.
            with held_back():
                step = next(steps)
            if on_step is not None:
                on_step(step)
    except StopIteration as end:
        return end.value
    finally:
        steps.close()


async def answer(steps: Steps, send: Callable[[dict[str, Json]], Awaitable[None]]) -> Json:
    """Take the steps on worker threads, the next when the last was sent; ends after the one under way if cancelled."""
    taking: asyncio.Future[tuple[bool, Json]] | None = None
    try:
        while True:
            taking = asyncio.ensure_future(asyncio.to_thread(_next, steps))
            over, value = await asyncio.shield(taking)
            if over:
                return value
            await send(value)
    finally:
        if taking is not None:
            await asyncio.wait([taking])
            taking.exception()  # of a step that nobody waits for any more
        await asyncio.to_thread(steps.close)


def _next(steps: Steps) -> tuple[bool, Json]:
    """(False, what was yielded) or (True, what was returned)."""
    try:
        return False, next(steps)
    except StopIteration as end:
        return True, end.value
