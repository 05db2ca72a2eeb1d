"""A machine with the scripted engine, and a check after every test that nothing is left of its processes."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
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

    async def room(self) -> None:
        pass

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
async def boot_with(home, whats_left):
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
        left = whats_left(bench)
        await context.__aexit__(None, None, None)
        assert not left, left


@pytest.fixture
async def bench(boot_with) -> Bench:
    return await boot_with()


@pytest.fixture(autouse=True)
def programs_left():
    """``programs_left()``: the programs started since the test began that still run; in the end there is none."""
    before = children()

    def left() -> list[str]:
        return [f"child program {pid}: {line}" for pid, line in children().items() if pid not in before]

    yield left
    assert not left(), left()


@pytest.fixture
def whats_left(programs_left):
    """``whats_left(bench)``: what the processes of a test left behind, which should be nothing."""
    return lambda bench: remains(bench) + programs_left()


def remains(bench: Bench) -> list[str]:
    """Processes, work, streams, pages and content that no file has."""
    machine, found = bench.machine, []
    found += [f"process {p.pid} is {p.state.value}" for p in machine.table.living()]
    if not machine.scheduler.idle():
        found.append("work in the scheduler")
    if machine.streams_in_use():
        found.append(f"{machine.streams_in_use()} streams")
    (pages,) = machine.parts.database.one("SELECT count(*) FROM pages")
    if pages:
        found.append(f"{pages} pages")
    if loose := machine.parts.files.sweep(dry_run=True).chunks:
        found.append(f"{loose} chunks of no file")
    return found


def children() -> dict[str, str]:
    """Command lines of the programs that this one started and that still run, by pid; Python's own helpers aside."""
    listed: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # the thread has ended
            listed += (task / "children").read_text().split()
    lines = {pid: _command(pid) for pid in listed}
    return {pid: line for pid, line in lines.items() if line and "multiprocessing" not in line}


def _command(pid: str) -> str:
    """The command line; "" for a program that has ended, waited for or not."""
    for _ in range(1000):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
            line = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            return ""
        if line or state in "ZX":
            return line.replace("\0", " ").strip()
        time.sleep(0.001)  # it is just beginning, and has none yet
    return "without a command line"


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
