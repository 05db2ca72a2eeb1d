"""An app in a process of its own comes back over the socket as one that runs here does."""

import asyncio
import textwrap

import pytest
from llmos.kernel.limits import Limits
from llmos.kernel.process import Priority, Signal
from llmos.kernel.revival import revive
from llmos.memory.journal import entries
from llmos.syscalls import remote
from llmos.syscalls.rights import RIGHTS

from .conftest import Collected
from .syscalls.test_remote import HEAD
from .test_coming_back import crash, result

__all__ = ["crash"]
pytestmark = pytest.mark.programs

BESIDE_EACH_OTHER = """
waiting = {asyncio.ensure_future(sys.sleep(0.01 * n)): n for n in (5, 1, 4, 2, 3, 0)}
given_up = asyncio.ensure_future(sys.receive())
order = []
left = set(waiting)
while left:
    done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
    order.append(sorted(waiting[task] for task in done))
given_up.cancel()
await sys.write("order.txt", str(order))
await sys.print(str(order))
await sys.receive()
return str(order)
"""

PARENT = """
pid = await sys.spawn("chat", {"text": "hello"})
return {"code": (await sys.wait(pid)).exit_code}
"""


@pytest.fixture
def body(tmp_path):
    def make(bench, text):
        folder = tmp_path / "plug"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").touch()
        (folder / "app.py").write_text(HEAD + textwrap.indent(text, " " * 8))
        return remote.body(bench.gate, "plug", [str(tmp_path)])

    return make


async def until(true):
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


def begin(bench, body, out, *rights):
    return bench.machine.start(
        body, app="plug", owner="me", rights=frozenset(rights), limits=Limits(), priority=Priority.NORMAL, output=out,
    )  # fmt: skip


async def test_calls_beside_each_other_end_in_the_same_order_again(bench, crash, body):
    out = Collected()
    process = begin(bench, body(bench, BESIDE_EACH_OTHER), out, "files:write", "process:message")
    await until(lambda: (out.text and process.calls) or not process.alive)
    assert process.error is None
    new = await crash(bench)
    await bench.machine.signal(process.pid, Signal.KILL)
    record = new.machine.parts.records.get(process.pid)
    again = revive(new.machine, record, body(new, BESIDE_EACH_OTHER), Collected())
    await until(lambda: again.past is None or not again.alive)
    await result(new.start(lambda sys: sys.send(process.pid, "go on")))
    assert await result(again) == out.text.strip()
    calls = [entry.call for entry in entries(new.machine.parts.database, process.pid)]
    assert calls.count("file.write") == 1


async def test_its_child_comes_back_with_it(boot_with, crash, body):
    text = "one two three four five six seven eight nine ten"
    bench = await boot_with(lambda prompt: text, delay=0.1)
    process = begin(bench, body(bench, PARENT), Collected(), *RIGHTS)
    await until(lambda: len(bench.machine.table.living()) == 2 or not process.alive)
    assert process.error is None
    await asyncio.sleep(0.3)
    new = await crash(bench, lambda prompt: text)
    await bench.machine.signal(process.pid, Signal.KILL)
    records = new.machine.parts.records
    again = revive(new.machine, records.get(process.pid), body(new, PARENT), Collected())
    (child,) = (record for record in records.alive() if record.parent == process.pid)
    new.launcher.revive(child, again.output)
    assert await result(again) == {"code": 0}
    assert len(records.children(process.pid)) == 1
