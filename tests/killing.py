"""Eight processes at work, the whole program killed at random moments, and started again until all have ended.

Each life of llmos is a fork of this program: it boots on the home that the life before it left, lets what was alive
go on, and is ended by SIGKILL. Whatever a process was told goes into a file of the harness's at once, a line each
(`Witness`); tools leave lines in a file too, which stands for the world outside. Both outlive every kill, and
`Harness` compares them with what llmos knows afterwards.
"""

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

from llmos.apps.system.boot import boot
from llmos.apps.system.embedders import shipped
from llmos.apps.system.home import Home
from llmos.apps.system.launch import LocalPort
from llmos.kernel.errors import OutcomeUnknown
from llmos.kernel.limits import Limits
from llmos.kernel.process import Priority
from llmos.kernel.revival import revive
from llmos.memory.journal import Journal, entries
from llmos.models.scripted import ScriptedEngine
from llmos.syscalls.api import Passage, Sys
from llmos.syscalls.rights import RIGHTS

from .conftest import Collected

STEPS = 40  # of each process


class Lost(AssertionError):
    """Something that was acknowledged is not there, or is there twice."""


class Witness:
    """Lines that survive: the page cache is the kernel's, and only this program is killed."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(self, *words) -> None:
        os.write(self._file, (json.dumps(words) + "\n").encode())


def lines(path: Path) -> list:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# -- what the processes do --


async def remembers(sys, told):
    for n in range(STEPS):
        (handle,) = await sys.remember([Passage(text=f"fact {n}: the lark of {n * 7} sings", key=f"k{n}")])
        told(n, handle)


async def files(sys, told):
    for n in range(STEPS):
        await sys.write(f"notes/{n % 5}.txt", f"version {n}")
        told(f"write {n}")
        await sys.write("log.txt", f"{n}\n", append=True)
        told(f"append {n}")


async def sends(sys, told):
    for n in range(STEPS):
        await sys.send((await sys.info()).pid + 1, {"n": n})
        told(n)


async def receives(sys, told):
    for n in range(STEPS):
        told(n, (await sys.receive()).message)


async def pays(sys, told):
    unknown = []
    for n in range(STEPS):
        try:
            told(n, await sys.tool("pay", {"key": n}))
        except OutcomeUnknown:
            unknown.append(n)
            told(n, "unknown")
    return unknown


async def writes(sys, told):
    for n in range(STEPS):
        told(n, (await sys.generate(f"line {n}", max_tokens=12, temperature=1.0)).text, await sys.random())


async def saves(sys, told):
    state = await sys.load() or {"n": 0, "sum": 0}
    while state["n"] < STEPS:
        state = {"n": state["n"] + 1, "sum": state["sum"] + (await sys.count("word " * state["n"])).tokens}
        if state["n"] % 5 == 0:
            await sys.save(state)
            told(f"saved {state['n']}", state)
    return state


async def both(sys, told):
    """Two branches at once, and pages in the context."""

    async def branch(name):
        for n in range(STEPS // 2):
            await sys.sleep(0.001 * (n % 3))
            page = await sys.add(f"{name} {n}")
            told(f"{name} {n}", page.handle)

    await asyncio.gather(branch("a"), branch("b"))
    view = await sys.context()
    words = sorted(page.first_words for page in view.pages)
    told("pages", words)
    return words


APPS = [remembers, files, sends, receives, pays, writes, saves, both]


# -- one life --


class Hasty(Journal):
    """Acknowledges before it commits: the mistake that the harness must find."""

    def _write_batch(self):
        with self._lock:
            batch, self._batch = self._batch, []
        with self._database.transaction() as connection:
            for write, done in batch:
                done.set_result(write(connection))
            time.sleep(0.02)


async def life(home: Path, first: bool, ready, *, hasty: bool) -> None:
    """Boot, let everything go on (or begin), and wait for all to end."""
    if hasty:
        import llmos.apps.system.boot as module

        module.Journal = Hasty
    outside = Witness(home / "world.jsonl")
    engine = ScriptedEngine(lambda prompt: f"{len(prompt)} is {prompt[-40:]} and more", streams=4)
    async with boot(Home(home), engine=engine) as running:
        machine = running.machine

        def pay(key: int) -> int:
            """Pay once."""
            outside.say(key)
            return key * 2

        running.tools.add(pay)

        def body(main):
            async def run(process):
                witness = Witness(home / f"told-{process.app}.jsonl")
                return await main(Sys(LocalPort(running.gate, process)), witness.say)

            return run

        if first:
            started = [
                machine.start(
                    body(main), app=main.__name__, owner="me", rights=frozenset(RIGHTS), limits=Limits(),
                    priority=Priority.NORMAL, output=Collected(),
                )
                for main in APPS
            ]  # fmt: skip
        else:
            by_name = {main.__name__: main for main in APPS}
            started = [
                revive(machine, record, body(by_name[record.app]), Collected())
                for record in machine.parts.records.alive()
            ]
        ready()
        for process in started:
            await process.ended.wait()
            if process.error is not None:
                raise process.error


class Harness:
    """Runs lives on one home. ``seed`` decides when each is killed."""

    def __init__(self, home: Path, seed: int, *, hasty: bool = False) -> None:
        self.home = home
        self.hasty = hasty
        self.kills = 0
        self._random = random.Random(seed)
        Home(home).create()
        shipped()  # read once, for all forks

    def run(self, kills: int) -> bool:
        """Lives until all processes have ended; True then. At most ``kills`` lives are killed."""
        first = True
        while True:
            ended = self._live(first, kill=self.kills < kills)
            first = (first and not (self.home / "llmos.db").exists()) or not self._begun()
            if ended:
                return True
            self.kills += 1
            self.check()

    def _begun(self) -> bool:
        """Whether all eight were entered; if the first life died before that, the next begins anew."""
        from llmos.memory.database import Database

        database = Database(self.home / "llmos.db")
        (count,) = database.one("SELECT count(*) FROM processes")
        if count < len(APPS):
            database.run("DELETE FROM processes")
            database.run("DELETE FROM journal")
            database.run("DELETE FROM pages")
        database.close()
        return count == len(APPS)

    def _live(self, first: bool, *, kill: bool) -> bool:
        """One life; False when it was killed. Raises what went wrong in it."""
        ours, theirs = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(ours)
            code = 1
            try:
                asyncio.run(life(self.home, first, lambda: os.write(theirs, b"!"), hasty=self.hasty))
                code = 0
            except BaseException as problem:  # noqa: BLE001 - told to the parent
                os.write(theirs, f"{type(problem).__name__}: {problem}".encode())
            finally:
                os._exit(code)
        os.close(theirs)
        try:
            if kill:
                if self._random.random() < 0.75:
                    os.read(ours, 1)  # it has booted
                time.sleep(self._random.uniform(0, 0.2))
                os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            said = os.read(ours, 4000).decode()
        finally:
            os.close(ours)
        if os.WIFSIGNALED(status):
            return False
        if status:
            raise Lost(said)
        return True

    # -- comparing --

    def told(self, app: str) -> list:
        return lines(self.home / f"told-{app}.jsonl")

    def check(self) -> None:
        """Nothing that was acknowledged is lost, nothing was done twice, and nobody was told two things."""
        for app in (main.__name__ for main in APPS):
            heard = {}
            for key, *rest in self.told(app):
                if heard.setdefault(json.dumps(key), rest) != rest:
                    raise Lost(f"{app} was told {heard[json.dumps(key)]} and {rest} of {key}")
        self._check_store()
        paid = Counter(json.dumps(line) for line in lines(self.home / "world.jsonl"))
        if twice := [key for key, times in paid.items() if times > 1]:
            raise Lost(f"paid twice: {twice}")

    def _check_store(self) -> None:
        from llmos.memory.database import Database
        from llmos.memory.recall import Recall
        from llmos.memory.records import Records

        database = Database(self.home / "llmos.db")
        recall = Recall(database, shipped())
        try:
            for n, handle in self.told("remembers"):
                if recall.get(handle, owner="me", app="remembers") is None:
                    raise Lost(f"passage {n} is not there")
            for record in Records(database).listing(everything=True):
                done = {e.n for e in entries(database, record.pid) if e.ok is not None}
                if record.finished is None and len(self.told(record.app)) and not done:
                    raise Lost(f"{record.app} has no outcome")
        finally:
            recall.close()
            database.close()

    def check_end(self) -> None:
        """All processes have ended as if nothing had happened."""
        self.check()
        told = {main.__name__: self.told(main.__name__) for main in APPS}
        assert {n for n, _ in told["remembers"]} == set(range(STEPS))
        assert {n for (n,) in told["sends"]} == set(range(STEPS))
        assert {n: message["n"] for n, message in told["receives"]} == {n: n for n in range(STEPS)}
        assert {n for n, *_ in told["writes"]} == set(range(STEPS))
        assert "saved 40" in {key for key, _ in told["saves"]}
        assert len({key for key, _ in told["both"]}) == STEPS + 1
        paid = {n for (n,) in lines(self.home / "world.jsonl")}
        assert {n for n, result in told["pays"] if result != "unknown"} <= paid
        log, notes, versions = self.files()
        assert log == [str(n) for n in range(STEPS)], log
        assert notes == {n % 5: f"version {n}" for n in range(STEPS)}
        assert versions == {n % 5: STEPS // 5 for n in range(STEPS)}, versions

    def files(self) -> tuple[list[str], dict[int, str], dict[int, int]]:
        """The lines of the log, the newest version of each note, and how many versions each has."""
        from llmos.memory.database import Database
        from llmos.memory.files import FileStore, FileTree

        database = Database(self.home / "llmos.db")
        tree = FileTree(FileStore(database), "me", "files")
        notes = {n: tree.read_text(f"notes/{n}.txt") for n in range(5)}
        log = tree.read_text("log.txt").split()
        versions = {n: len(tree.versions(f"notes/{n}.txt")) for n in range(5)}
        database.close()
        return log, notes, versions
