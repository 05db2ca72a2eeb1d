"""A machine with the scripted engine, and a check after every test that nothing is left of its processes."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from llmos.apps.system.home import Home
from llmos.kernel.errors import Denied
from llmos.kernel.limits import Limits
from llmos.kernel.process import Priority
from llmos.models.scripted import ScriptedEngine, echo
from llmos.syscalls.api import Sys
from llmos.syscalls.rights import RIGHTS


class Collected:
    """An output that keeps everything, and answers questions from a list."""

    def __init__(self, answers=()):
        self.text, self.steps, self.answers = "", [], list(answers)

    def write(self, text: str) -> None:
        self.text += text

    def progress(self, done: float, total: float, what: str) -> None:
        self.steps.append((done, total, what))

    async def ask(self, question: str, choices: list[str]) -> str:
        if not self.answers:
            raise Denied("nobody is there to ask")
        return self.answers.pop(0)


class Bench:
    """A booted machine and short ways to run code as a process on it."""

    def __init__(self, running, engine):
        self.running, self.engine = running, engine
        self.machine, self.gate, self.launcher, self.tools = (
            running.machine, running.gate, running.launcher, running.tools,
        )  # fmt: skip

    def start(self, main: Callable, *, rights=tuple(RIGHTS), output=None, limits=None, owner="me", **more):
        """Start ``async def main(sys)`` as a process."""
        from llmos.apps.system.launch import LocalPort

        async def body(process):
            return await main(Sys(LocalPort(self.gate, process)))

        return self.machine.start(
            body, app=more.pop("app", "test"), owner=owner, rights=frozenset(rights), limits=limits or Limits(),
            priority=more.pop("priority", Priority.NORMAL), output=output or Collected(), **more,
        )  # fmt: skip

    async def run(self, main: Callable, **more):
        """Run it to its end; its result, or its error raised."""
        process = self.start(main, **more)
        await asyncio.wait_for(process.ended.wait(), 20)
        if process.error is not None:
            raise process.error
        return process.result


@pytest.fixture
def collected():
    return Collected


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
async def boot_with(home):
    """``await boot_with(script, streams=…)``: a bench; everything is checked and closed after the test."""
    from llmos.apps.system.boot import boot

    opened = []

    async def make(script=echo, **options) -> Bench:
        engine = ScriptedEngine(script, **options)
        context = boot(home, engine=engine)
        bench = Bench(await context.__aenter__(), engine)
        opened.append((context, bench))
        return bench

    yield make
    for context, bench in opened:
        left = nothing_left(bench, home.root)
        await context.__aexit__(None, None, None)
        assert not left, left


@pytest.fixture
async def bench(boot_with) -> Bench:
    return await boot_with()


def nothing_left(bench: Bench, root: Path) -> list[str]:
    """What the processes of a test left behind: processes, work, streams, pages, handed-in files, children."""
    machine, found = bench.machine, []
    found += [f"process {p.pid} is {p.state.value}" for p in machine.table.living()]
    if not machine.scheduler.idle():
        found.append("work in the scheduler")
    if machine.streams_in_use():
        found.append(f"{machine.streams_in_use()} streams")
    (pages,) = machine.parts.database.one("SELECT count(*) FROM pages")
    if pages:
        found.append(f"{pages} pages")
    found += [f"an unfinished file {p}" for p in (root / "files").rglob(".llmos-part-*")]
    found += [f"child program {pid}" for pid in children()]
    return found


def children() -> list[str]:
    """Programs that this one started and that are still there, pytest's own helpers aside."""
    import os

    task = Path(f"/proc/{os.getpid()}/task")
    listed = [(t / "children").read_text().split() for t in task.iterdir()]
    return [pid for pids in listed for pid in pids if "llmos.syscalls.child" in _command(pid)]


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@pytest.fixture(scope="session")
def model_file(tmp_path_factory) -> Path:
    """The embedded model as a first run prepares it, once for all tests."""
    from llmos.models.catalog import Catalog
    from llmos.models.prepare import ready

    folder = tmp_path_factory.mktemp("model-home")
    return ready(Catalog(folder).get(), folder)


@pytest.fixture(scope="session")
def load_engine(model_file):
    """``load_engine(streams=…)``: a new engine on the embedded model; the caller closes it."""
    from llmos.models.llama import LlamaEngine

    return lambda **options: LlamaEngine(model_file, **{"window": 1024, **options})
