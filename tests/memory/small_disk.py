"""What happens on a disk that is really full; run by `test_disk_full` as a program of its own on a small tmpfs.

python -m tests.memory.small_disk FOLDER
"""

import asyncio
import os
import sys
from contextlib import contextmanager
from pathlib import Path

from llmos.apps.system.boot import boot
from llmos.apps.system.home import Home
from llmos.kernel.errors import Storage
from llmos.memory.database import Database
from llmos.memory.faults import Full
from llmos.memory.journal import entries
from llmos.memory.records import Records
from llmos.models.scripted import ScriptedEngine, echo
from llmos.syscalls.api import Passage

from ..conftest import Bench
from .scenario import Machine, seen

ENOUGH = 3000  # tries: by then any kind of write has met the end of the disk


@contextmanager
def full(folder: Path):
    """No byte is free meanwhile."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(os.urandom(4096))
        except OSError:
            pass
    try:
        yield
    finally:
        filler.unlink()


def memory(folder: Path) -> None:
    """Every kind of write of memory fails as a whole, and works again when there is room."""
    path = folder / "memory.db"
    machine = Machine(Database(path), 5)
    for _ in range(20):
        machine.act()
    for kind in machine.kinds:
        with full(folder):
            view = fails(machine, kind)
        for _ in range(3):
            kind()
        view = machine.seen()
    machine.close()
    again = Database(path)
    assert seen(again) == view
    assert again.check() == []
    again.close()
    print("memory")


def fails(machine: Machine, kind) -> dict:
    """Do it until the disk is full; what is to be seen then, which is what was seen before the last try."""
    for _ in range(ENOUGH):
        view = machine.seen()
        try:
            kind()
        except Full as fault:
            assert "full" in str(fault)  # noqa: PT017 - in a program
            assert machine.seen() == view
            return view
    raise AssertionError(f"{kind.__name__} never met the end of the disk")


CALLS = {
    "print": lambda sys, n: sys.print("x" * 900),
    "write": lambda sys, n: sys.write(f"file{n}.txt", "x" * 4000),
    "append": lambda sys, n: sys.write("long.txt", "x" * 4000, append=True),
    "remember": lambda sys, n: sys.remember([Passage(text=f"parcel {n} " * 50)]),
    "add": lambda sys, n: sys.add(f"page {n} " + "word " * 300),
    "save": lambda sys, n: sys.save({"n": n, "text": "x" * 900}),
    "now": lambda sys, n: sys.now(),
}


async def system(folder: Path) -> None:
    """A process meets the end of the disk in every kind of call, and goes on when there is room."""
    home = Home(folder / "home")
    engine = ScriptedEngine(echo)
    async with boot(home, engine=engine) as running:
        bench = Bench(running, engine)
        for name, call in CALLS.items():
            told: list[int] = []

            async def main(sys, name=name, call=call, told=told):
                with full(folder):
                    for n in range(ENOUGH):
                        try:
                            await call(sys, n)
                            told.append(n)
                        except Storage as fault:
                            assert fault.hint, fault  # noqa: PT017 - in a program
                            break
                    else:
                        raise AssertionError(f"{name} never met the end of the disk")
                await call(sys, ENOUGH)
                return len(told)

            process = bench.start(main)
            await asyncio.wait_for(process.ended.wait(), 60)
            assert process.error is None, (name, process.error)
            done = entries(running.machine.parts.database, process.pid)
            assert sum(entry.ok is True for entry in done) >= len(told) + 1, name
            print(name)
    database = Database(home.database)
    assert [record.pid for record in Records(database).alive()] == []
    assert database.check() == []
    database.close()
    for place in (home, Home(folder / "new")):
        with full(folder):
            try:
                async with boot(place, engine=ScriptedEngine(echo)):
                    raise AssertionError("booted on a full disk")
            except Storage as fault:
                assert fault.hint, fault  # noqa: PT017 - in a program
        async with boot(place, engine=ScriptedEngine(echo)):
            pass
    print("boot")


if __name__ == "__main__":
    where = Path(sys.argv[1])
    memory(where)
    asyncio.run(system(where))
