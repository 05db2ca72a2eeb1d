"""A store is copied while processes work, as it would be found after a crash, and a new llmos goes on from the copy."""

import asyncio
import sqlite3

import pytest
from llmos.apps.system.boot import boot
from llmos.apps.system.home import Home
from llmos.apps.system.launch import LocalPort
from llmos.kernel import revival
from llmos.kernel.errors import BadInput, Diverged, Interrupted, OutcomeUnknown, Storage, TimedOut
from llmos.kernel.limits import Limits
from llmos.kernel.process import Signal, State
from llmos.memory import checkpoint
from llmos.memory.journal import entries
from llmos.models.scripted import ScriptedEngine, echo
from llmos.syscalls.api import Sys

from .conftest import Bench, Collected


@pytest.fixture
async def crash(home, tmp_path):
    """``await crash(bench)``: what a new llmos finds if the old one dies now: a bench with nothing revived yet."""
    opened = []

    async def after(bench, script=echo, **options) -> Bench:
        again = Home(tmp_path / f"after-{len(opened)}")
        again.create()
        with sqlite3.connect(bench.running.home.database) as old, sqlite3.connect(again.database) as new:
            old.backup(new)
        engine = ScriptedEngine(script, **options)
        context = boot(again, engine=engine)
        opened.append(context)
        return Bench(await context.__aenter__(), engine)

    yield after
    for context in opened:
        await context.__aexit__(None, None, None)


def revive(bench, pid, main, output=None):
    async def body(process):
        return await main(Sys(LocalPort(bench.gate, process)))

    return revival.revive(bench.machine, bench.machine.parts.records.get(pid), body, output or Collected())


async def result(process):
    await asyncio.wait_for(process.ended.wait(), 20)
    if process.error is not None:
        raise process.error
    return process.result


class Point:
    """Where the code of a process waits, outside of any call, to be crashed."""

    def __init__(self):
        self.reached, self.free = asyncio.Event(), asyncio.Event()

    async def here(self):
        self.reached.set()
        await self.free.wait()


async def crashed(bench, crash, main, point, **more):
    """Start the code, wait for the point, crash there: the new bench and the pid. The old process is ended."""
    process = bench.start(main, **more)
    await asyncio.wait_for(point.reached.wait(), 10)
    new = await crash(bench)
    point.free.set()
    await bench.machine.signal(process.pid, Signal.KILL)
    return new, process.pid


async def test_code_runs_again_over_what_it_got_and_goes_on(bench, crash):
    point, seen = Point(), []

    async def main(sys):
        chance, time = await sys.random(), await sys.now()
        reply = await sys.generate("hello", max_tokens=20)
        await sys.remember([{"text": "a fact about larks"}])
        seen.append((chance, time, reply.text))
        await point.here()
        return len(await sys.recall("larks"))

    new, pid = await crashed(bench, crash, main, point)
    calls = len(entries(new.machine.parts.database, pid))
    process = revive(new, pid, main)
    assert await result(process) == 1
    assert seen[0] == seen[1]
    made = [entry.call for entry in entries(new.machine.parts.database, pid)]
    assert made[calls:] == ["!resume", "recall"]
    assert process.usage.calls == 5
    assert new.machine.parts.records.get(pid).finished is not None


async def test_a_generation_that_was_cut_is_the_same_again(boot_with, crash):
    text = "one two three four five six seven eight nine ten"
    bench = await boot_with(lambda prompt: text, delay=0.02)
    whole = await bench.run(lambda sys: sys.generate("count", max_tokens=100, temperature=1.0))
    process = bench.start(lambda sys: sys.generate("count", max_tokens=100, temperature=1.0))
    while process.usage.tokens_out + process.usage.computed < 12:
        await asyncio.sleep(0.005)
    new = await crash(bench, lambda prompt: text)
    await bench.machine.signal(process.pid, Signal.KILL)
    again = revive(new, process.pid, lambda sys: sys.generate("count", max_tokens=100, temperature=1.0))
    assert (await result(again)).text == whole.text
    assert [e.call for e in entries(new.machine.parts.database, process.pid)].count("generate") == 1


@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_tool_whose_outcome_is_unknown(bench, crash, idempotent):
    began, free, calls = asyncio.Event(), asyncio.Event(), []

    async def pay(amount: int) -> int:
        """Pay."""
        calls.append(amount)
        began.set()
        await free.wait()
        return amount

    async def main(sys):
        return await sys.tool("pay", {"amount": 7})

    bench.tools.add(pay, idempotent=idempotent)
    process = bench.start(main)
    await began.wait()
    new = await crash(bench)
    await bench.machine.signal(process.pid, Signal.KILL)
    free.set()
    new.tools.add(pay, idempotent=idempotent)
    again = revive(new, process.pid, main)
    if idempotent:
        assert await result(again) == 7
        assert calls == [7, 7]
    else:
        with pytest.raises(OutcomeUnknown, match="pay"):
            await result(again)
        assert calls == [7]


async def test_mail_children_limits_and_a_stop_come_back(bench, crash):
    point = Point()

    async def child(sys):
        await sys.sleep(0.01)
        return "from the child"

    async def parent(sys):
        await sys.generate("some tokens", max_tokens=5)
        await point.here()
        first, second = await sys.receive(), await sys.receive()
        ended = await sys.wait()
        return [first.message, second.message, ended.result]

    process = bench.start(parent, limits=Limits(children=2, calls=50))
    sender = bench.start(child, parent=process)
    await sender.ended.wait()

    async def sends(sys):
        await sys.send(process.pid, {"n": 1})
        await sys.send(process.pid, {"n": 2})

    await result(bench.start(sends))
    await point.reached.wait()
    await bench.machine.signal(process.pid, Signal.STOP)
    new = await crash(bench)
    point.free.set()
    await bench.machine.signal(process.pid, Signal.KILL)
    again = revive(new, process.pid, parent)
    assert again.state is State.STOPPED
    assert again.account.used["children"] == 1
    assert again.account.used["tokens"] == again.usage.computed > 0
    await new.machine.signal(again.pid, Signal.CONT)
    assert await result(again) == [{"n": 1}, {"n": 2}, "from the child"]


async def test_a_message_that_was_taken_is_not_taken_again_and_none_is_lost(bench, crash):
    point = Point()

    async def main(sys):
        first = (await sys.receive()).message
        await point.here()
        return [first, (await sys.receive()).message]

    process = bench.start(main)

    async def sends(sys):
        for text in ("one", "two"):
            await sys.send(process.pid, text)

    await result(bench.start(sends))
    await point.reached.wait()
    new = await crash(bench)
    point.free.set()
    assert await result(process) == ["one", "two"]
    assert await result(revive(new, process.pid, main)) == ["one", "two"]
    assert new.machine.parts.database.rows("SELECT * FROM mail") == []


async def test_a_receive_that_was_given_up_leaves_its_message(bench, crash):
    point = Point()

    async def main(sys):
        with pytest.raises(TimedOut):
            await sys.receive(timeout=0.01)
        waiting = asyncio.ensure_future(sys.receive())
        await sys.sleep(0.02)
        waiting.cancel()
        await sys.sleep(0)
        await point.here()
        return (await sys.receive()).message

    new, pid = await crashed(bench, crash, main, point)
    again = revive(new, pid, main)
    while again.past is not None:
        await asyncio.sleep(0.01)
    await result(new.start(lambda sys: sys.send(pid, "late")))
    assert await result(again) == "late"


async def test_an_interrupt_is_part_of_the_past(bench, crash):
    point = Point()

    async def main(sys):
        heard = 0
        for _ in range(2):
            try:
                await sys.sleep(0.05 if heard else 30)
            except Interrupted:
                heard += 1
        await point.here()
        return heard

    process = bench.start(main)
    while not process.calls:
        await asyncio.sleep(0.001)
    await bench.machine.signal(process.pid, Signal.INT)
    await point.reached.wait()
    new = await crash(bench)
    point.free.set()
    await process.ended.wait()
    assert await asyncio.wait_for(result(revive(new, process.pid, main)), 5) == 1


async def test_time_goes_on_while_llmos_is_not_there(bench, crash):
    async def main(sys):
        await sys.sleep(1.0)
        return "woke"

    process = bench.start(main)
    while not process.calls:
        await asyncio.sleep(0.001)
    new = await crash(bench)
    await bench.machine.signal(process.pid, Signal.KILL)
    await asyncio.sleep(1.0)
    assert await asyncio.wait_for(result(revive(new, process.pid, main)), 0.8) == "woke"


async def changed(sys):
    await sys.print("other words")


async def shorter(sys):
    return "nothing asked"


@pytest.mark.parametrize(
    ("code", "said"),
    [(changed, "calls print, its journal has print as call 1"), (shorter, "ends, its journal has print as call 1")],
)
async def test_an_app_that_was_changed_stops_with_the_call_that_differs(bench, crash, monkeypatch, code, said):
    monkeypatch.setattr("llmos.kernel.replay.PATIENCE", 0.1)
    point = Point()

    async def main(sys):
        await sys.print("some words")
        await point.here()

    new, pid = await crashed(bench, crash, main, point)
    with pytest.raises(Diverged, match=said):
        await result(revive(new, pid, code))


async def test_state_that_was_saved_is_where_it_comes_back_from(bench, crash):
    point, began = Point(), []

    async def main(sys):
        done = await sys.load() or {"n": 0}
        began.append(done["n"])
        for n in range(done["n"], 30):
            await sys.print(f"turn {n}")
            if n % 10 == 9:
                await sys.save({"n": n + 1})
            if n == 24 and not point.free.is_set():
                await point.here()
        return (await sys.generate("the end", max_tokens=5)).text

    new, pid = await crashed(bench, crash, main, point)
    again = revive(new, pid, main)
    assert await result(again) == await bench.run(main)
    assert began[:2] == [0, 20]
    assert again.counts["print"] == 30


async def test_saving_while_something_is_under_way_and_beginning_without_load(bench, crash):
    point = Point()

    async def main(sys):
        waiting = asyncio.ensure_future(sys.sleep(0.2))
        await sys.sleep(0)
        with pytest.raises(BadInput, match="under way"):
            await sys.save(1)
        await waiting
        await sys.save(2)
        await point.here()

    new, pid = await crashed(bench, crash, main, point)
    with pytest.raises(Diverged, match="first call is sleep"):
        await result(revive(new, pid, main))


async def test_a_spawn_that_was_cut_finds_its_child(boot_with, crash, monkeypatch):
    bench = await boot_with(lambda prompt: "ok")
    held = asyncio.Event()
    launch = bench.launcher.spawn

    async def main(sys):
        pid = await sys.spawn("chat", {"text": "hello"})
        return (await sys.wait(pid)).exit_code

    async def slowly(*args):
        child = await launch(*args)
        await held.wait()  # the child is there, the outcome is not
        return child

    monkeypatch.setattr(bench.gate, "spawn", slowly)
    parent = bench.start(main)
    while len(bench.machine.table.living()) < 2:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.1)
    new = await crash(bench, lambda prompt: "ok")
    held.set()
    await bench.machine.signal(parent.pid, Signal.KILL)
    again = revive(new, parent.pid, main)
    children = [r for r in new.machine.parts.records.alive() if r.parent == parent.pid]
    for record in children:
        new.launcher.revive(record, Collected())
    assert await result(again) == 0
    assert len(new.machine.parts.records.children(parent.pid)) == 1


@pytest.mark.parametrize("call", ["print", "find"])  # one that acts, and one that reads
async def test_what_failed_for_want_of_room_failed_when_it_comes_back(bench, crash, monkeypatch, call):
    point = Point()
    journal = bench.machine.parts.journal
    post = journal.post

    async def main(sys):
        heard = ""
        try:
            await getattr(sys, call)("no room")
        except Storage:
            heard = "Storage"
        await getattr(sys, call)("room again")
        await point.here()
        return heard

    from llmos.memory.faults import Full

    def full(write):
        def fails(connection):
            raise Full("no room")

        monkeypatch.setattr(journal, "post", post)
        return post(fails)

    async def begin(sys):
        await sys.now()
        monkeypatch.setattr(journal, "post", full)
        return await main(sys)

    new, pid = await crashed(bench, crash, begin, point)

    async def again(sys):
        await sys.now()
        return await main(sys)

    assert await result(revive(new, pid, again)) == "Storage"


async def test_a_process_that_cannot_come_back_has_ended_with_the_reason(bench, crash):
    point = Point()
    new, pid = await crashed(bench, crash, lambda sys: point.here(), point, app="nosuch")
    assert new.launcher.revive(new.machine.parts.records.get(pid), Collected()) is None
    new.machine.parts.journal.close()
    record = new.machine.parts.records.get(pid)
    assert (record.exit_code, record.error) == (2, "no app 'nosuch'")


async def test_suspending_keeps_all_and_ends_nothing(bench, crash):
    point = Point()

    async def main(sys):
        await sys.count("words")
        await point.here()
        return "done"

    process = bench.start(main)
    await point.reached.wait()
    await bench.machine.suspend(process)
    assert process.state is State.DONE
    new = await crash(bench)
    point.free.set()
    assert await result(revive(new, process.pid, main)) == "done"


async def test_a_call_that_is_given_up_while_its_outcome_is_on_its_way_holds_up_nothing(bench, crash, monkeypatch):
    monkeypatch.setattr("llmos.kernel.replay.PATIENCE", 0.3)
    point, lives = Point(), []

    async def main(sys):
        lives.append(1)
        first, second = asyncio.ensure_future(sys.count("first")), asyncio.ensure_future(sys.count("second"))
        await first
        if len(lives) == 1:
            await second  # its outcome is on disk; what the code does with it is not
        second.cancel()
        third = await sys.count("third")
        await point.here()
        return third

    new, pid = await crashed(bench, crash, main, point)
    assert (await result(revive(new, pid, main))).tokens > 0


async def test_time_outs_of_its_own_may_be_longer_than_the_patience_with_changed_code(bench, crash, monkeypatch):
    monkeypatch.setattr("llmos.kernel.replay.PATIENCE", 0.1)
    point = Point()

    async def quiet(sys):
        try:
            async with asyncio.timeout(0.6):
                await sys.receive()
        except TimeoutError:
            return await sys.count("nothing came")

    async def main(sys):
        async def slow():
            return await sys.sleep(1.0)

        heard, _ = await asyncio.gather(quiet(sys), slow())
        await point.here()
        return heard

    new, pid = await crashed(bench, crash, main, point)
    assert (await result(revive(new, pid, main))).tokens > 0


async def test_pages_that_are_out_move_with_a_checkpoint(boot_with, crash, tmp_path):
    bench = await boot_with(window=600)
    point = Point()

    async def main(sys):
        handles = [(await sys.add(f"The lark number {n} sings. " * 10)).handle for n in range(30)]
        await point.here()
        found = await sys.fetch(handles[0])
        return found.text, [page.text for page in await sys.recall_pages("lark number 17", k=1)]

    await bench.run(lambda sys: sys.now())  # so that pids and ids are others there
    process = bench.start(main)
    await asyncio.wait_for(point.reached.wait(), 10)
    assert process.context.out
    checkpoint.write(bench.machine.parts.database, process.pid, tmp_path / "moved.llmos")
    point.free.set()
    there = await result(process)
    new = await crash(bench, window=600)
    with new.machine.parts.database.transaction() as connection:
        read = checkpoint.read(tmp_path / "moved.llmos")
        pids = checkpoint.restore(connection, read, new.machine.table.new_pid, tmp_path / "handed")
    assert pids[process.pid] != process.pid
    here = await result(revive(new, pids[process.pid], main))
    assert here == there
    assert "number 0 " in here[0]
    assert "number 17 " in here[1][0]


async def test_a_parent_hears_of_a_child_that_could_not_come_back(bench, crash):
    point = Point()

    async def parent(sys):
        await point.here()
        return (await sys.wait()).error["code"]

    process = bench.start(parent)
    child = bench.start(lambda sys: sys.sleep(60), parent=process, app="nosuch")
    while not child.calls:
        await asyncio.sleep(0.001)
    new = await crash(bench)
    point.free.set()
    await bench.machine.signal(process.pid, Signal.KILL)
    again = revive(new, process.pid, parent)
    assert new.launcher.revive(new.machine.parts.records.get(child.pid), Collected()) is None
    assert await result(again) == "not_found"
