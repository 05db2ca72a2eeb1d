import asyncio
import json
from contextlib import suppress
from dataclasses import replace

import pytest
from llmos.kernel.errors import (
    AppFailed,
    BadInput,
    Denied,
    Interrupted,
    LimitExceeded,
    NotFound,
    Terminated,
    TimedOut,
)  # fmt: skip
from llmos.kernel.limits import Limits
from llmos.kernel.process import Signal, State
from llmos.syscalls import calls as c
from llmos.syscalls.table import TABLE, Keeps


async def test_a_right_that_is_missing_is_named_and_audited(bench, home):
    async def main(sys):
        await sys.remember([c.Passage(text="x")])

    with pytest.raises(Denied) as caught:
        await bench.run(main, rights=["memory:read"])
    assert caught.value.details == {"right": "memory:write", "call": "remember"}
    lines = [json.loads(line) for line in (home.root / "audit.jsonl").read_text().splitlines()]
    assert [(e["call"], e["decision"]) for e in lines] == [("remember", "denied")]


async def test_intent_and_outcome_of_every_call_stand_in_the_journal(bench):
    async def main(sys):
        await sys.write("a.txt", "hello")
        with pytest.raises(NotFound):
            await sys.read("b.txt")

    process = bench.start(main)
    await process.ended.wait()
    kept = [(e.call, e.ok) for e in bench.machine.parts.journal.entries(process.pid)]
    assert kept == [("file.write", True), ("file.read", False)]


async def test_the_intent_is_on_disk_before_the_call_acts(bench, monkeypatch):
    seen = []
    entry = bench.gate.table["progress"]

    async def handler(call, request):
        seen.extend(e.call for e in bench.machine.parts.journal.entries(call.process.pid))
        return await entry.handler(call, request)

    monkeypatch.setitem(bench.gate.table, "progress", replace(entry, handler=handler))

    async def main(sys):
        await sys.progress(1, 2)

    await bench.run(main)
    assert seen == ["progress"]


async def test_of_a_call_that_changes_nothing_only_the_outcome_is_kept_and_of_a_pure_one_nothing(bench):
    async def main(sys):
        await sys.progress(1, 2)
        tokens = await sys.count("some words")
        with pytest.raises(NotFound):
            await sys.read("nowhere.txt")
        return [await sys.now(), (await sys.count("some words")).tokens == tokens.tokens]

    process = bench.start(main)
    await process.ended.wait()
    entries = bench.machine.parts.journal.entries(process.pid)
    assert [(e.call, e.ok, e.n, e.after) for e in entries] == [
        ("progress", True, 1, 1), ("file.read", False, 2, 2), ("now", True, 3, 3),
    ]  # fmt: skip
    assert process.result == [entries[-1].reply["seconds"], True]
    assert process.usage.calls == 5


async def test_a_read_that_was_given_up_stands_in_the_journal_once_and_as_such(bench, monkeypatch):
    began = asyncio.Event()

    async def long(call, request):
        began.set()
        await asyncio.Future()

    monkeypatch.setitem(bench.gate.table, "recall", replace(bench.gate.table["recall"], handler=long))

    async def main(sys):
        reading = asyncio.ensure_future(sys.recall("anything"))
        await began.wait()
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        told = asyncio.ensure_future(sys.now())
        for _ in range(3):  # its outcome is on its way to the disk
            await asyncio.sleep(0)
        told.cancel()
        with suppress(asyncio.CancelledError):
            await told
        await sys.print("over")

    process = bench.start(main)
    await process.ended.wait()
    entries = bench.machine.parts.journal.entries(process.pid)
    assert sorted((e.call, (e.reply or {}).get("code")) for e in entries) == [
        ("now", "cancelled"), ("print", None), ("recall", "cancelled"),
    ]  # fmt: skip


def test_every_call_that_keeps_nothing_does_not_wait():
    assert not [name for name, entry in TABLE.items() if entry.keeps is Keeps.NOTHING and entry.waits]


async def test_a_time_out_is_an_error_of_its_own_and_the_process_goes_on(bench):
    async def main(sys):
        with pytest.raises(TimedOut):
            await sys.receive(timeout=0.01)
        return "went on"

    assert await bench.run(main) == "went on"


async def test_limits_of_calls_count_for_the_whole_tree(bench):
    async def main(sys):
        for _ in range(10):
            await sys.now()

    with pytest.raises(LimitExceeded) as caught:
        await bench.run(main, limits=Limits(calls=5))
    assert caught.value.details["limit"] == "calls"


async def test_the_limit_of_seconds_ends_a_process_that_waits_for_ever(bench):
    async def main(sys):
        await sys.receive()

    with pytest.raises(LimitExceeded, match="seconds"):
        await bench.run(main, limits=Limits(seconds=0.05))


async def test_interrupt_ends_the_call_and_the_process_may_go_on(bench):
    async def main(sys):
        try:
            await sys.sleep(60)
        except Interrupted:
            return "interrupted, and on"

    process = bench.start(main)
    await asyncio.sleep(0.02)
    await bench.machine.signal(process.pid, Signal.INT)
    await asyncio.wait_for(process.ended.wait(), 2)
    assert (process.result, process.exit_code) == ("interrupted, and on", 0)


async def test_an_interrupt_outside_a_call_waits_for_the_next(bench):
    go = asyncio.Event()

    async def main(sys):
        await go.wait()
        await sys.now()

    process = bench.start(main)
    await asyncio.sleep(0)
    await bench.machine.signal(process.pid, Signal.INT)
    go.set()
    await asyncio.wait_for(process.ended.wait(), 2)
    assert process.exit_code == Interrupted.exit_code


async def test_terminate_lets_a_process_tidy_up(bench):
    async def main(sys):
        try:
            await sys.sleep(60)
        finally:
            await sys.write("last.txt", "words")

    process = bench.start(main)
    await asyncio.sleep(0.02)
    await bench.machine.signal(process.pid, Signal.TERM)
    await asyncio.wait_for(process.ended.wait(), 2)
    assert isinstance(process.error, Terminated)
    assert process.exit_code == 143

    async def look(sys):
        return await sys.read("last.txt")

    assert await bench.run(look) == "words"


async def test_kill_takes_the_children_and_a_process_that_will_not_die_is_refused_every_call(bench):
    pids = []

    async def child(sys):
        await sys.sleep(60)

    async def stubborn(sys):
        while True:
            try:
                await sys.sleep(60)
            except asyncio.CancelledError:
                continue

    parent = bench.start(stubborn)
    pids.append(bench.start(child, parent=parent).pid)
    await asyncio.sleep(0.02)
    await asyncio.wait_for(bench.machine.signal(parent.pid, Signal.KILL), 3)
    assert parent.exit_code in (137, 143)
    assert not bench.machine.table.get(pids[0]).alive


async def test_killed_while_it_writes_nothing_is_left_within_a_step(boot_with):
    bench = await boot_with(lambda p: "x" * 900, delay=0.004)

    async def main(sys):
        await sys.add("a page", kind="pinned")
        await sys.generate("write", max_tokens=800)

    process = bench.start(main)
    while process.usage.first_token is None:
        assert process.alive, process.error
        await asyncio.sleep(0.005)
    steps = len(bench.engine.steps)
    await bench.machine.signal(process.pid, Signal.KILL)
    assert len(bench.engine.steps) - steps <= 1
    assert (process.exit_code, bench.machine.streams_in_use(), sum(bench.engine.held())) == (137, 0, 0)


async def test_stop_and_continue(bench):
    async def main(sys):
        for _ in range(200):
            await sys.now()
        return "done"

    process = bench.start(main)
    await asyncio.sleep(0.01)
    await bench.machine.signal(process.pid, Signal.STOP)
    await asyncio.sleep(0.03)
    calls = process.usage.calls
    await asyncio.sleep(0.03)
    assert (process.state, process.usage.calls) == (State.STOPPED, calls)
    await bench.machine.signal(process.pid, Signal.CONT)
    await asyncio.wait_for(process.ended.wait(), 10)
    assert process.result == "done"


async def test_messages_go_to_the_same_owner_only(bench):
    async def receiver(sys):
        return (await sys.receive()).message

    mine, other = bench.start(receiver), bench.start(receiver, owner="you")

    async def sender(sys):
        await sys.send(mine.pid, {"hello": 1})
        with pytest.raises(NotFound):
            await sys.send(other.pid, "psst")

    await bench.run(sender)
    await asyncio.wait_for(mine.ended.wait(), 2)
    assert mine.result == {"hello": 1}
    await bench.machine.signal(other.pid, Signal.KILL)


async def test_signals_reach_the_own_tree_only(bench):
    async def sleeper(sys):
        await sys.sleep(60)

    stranger = bench.start(sleeper)

    async def main(sys):
        with pytest.raises(NotFound):
            await sys.kill(stranger.pid)

    await bench.run(main)
    assert stranger.alive
    await bench.machine.signal(stranger.pid, Signal.KILL)


async def test_an_app_that_breaks_ends_alone_with_its_reason(bench):
    async def main(sys):
        return {}["missing"]

    with pytest.raises(AppFailed, match="KeyError"):
        await bench.run(main)


async def test_memory_is_within_owner_and_app(bench):
    async def keep(sys):
        await sys.remember([c.Passage(text="the kettle is red", title="kettle")])

    async def find(sys):
        return [hit.text for hit in await sys.recall("what colour is the kettle?")]

    await bench.run(keep)
    assert await bench.run(find) == ["the kettle is red"]
    assert await bench.run(find, owner="you") == []
    assert await bench.run(find, app="other") == []


async def test_context_counts_pages_and_gives_them_back(bench):
    async def main(sys):
        page = await sys.add("hello there")
        assert page.tokens > 0
        view = await sys.context()
        assert [p.handle for p in view.pages] == [page.handle]
        await sys.drop(page.handle)
        for _ in range(3):
            await sys.add("again")

    process = bench.start(main, limits=Limits(pages=3))
    await process.ended.wait()
    assert (process.error, process.usage.pages) == (None, 3)


async def test_generate_shows_keeps_and_counts(boot_with, collected):
    bench = await boot_with(lambda p: "fine, thanks")
    output = collected()

    async def main(sys):
        reply = await sys.generate("how are you?", keep=True, show=True)
        assert reply.text == "fine, thanks"
        view = await sys.context()
        assert [p.role for p in view.pages] == ["user", "assistant"]
        pieces = [piece async for piece in sys.stream("and now?")]
        assert "".join(pieces) == "fine, thanks"

    process = bench.start(main, output=output)
    await process.ended.wait()
    assert (process.error, output.text) == (None, "fine, thanks")
    assert process.usage.tokens_out == 24
    assert process.first_token_s() is not None


async def test_bad_requests_name_the_field(bench):
    async def main(sys):
        await sys.generate("x", max_tokens=0)

    with pytest.raises(BadInput, match="max_tokens"):
        await bench.run(main)


async def test_tools_check_their_arguments_and_their_failures_are_theirs(bench):
    def add(a: int, b: int = 1) -> int:
        """Add two numbers."""
        return a + b

    async def broken() -> str:
        raise RuntimeError("no")

    bench.tools.add(add)
    bench.tools.add(broken)

    async def main(sys):
        assert [t.name for t in await sys.tools()] == ["add", "broken"]
        assert await sys.tool("add", {"a": 2}) == 3
        with pytest.raises(BadInput, match="a:"):
            await sys.tool("add", {"a": "two"})
        with pytest.raises(AppFailed, match="RuntimeError"):
            await sys.tool("broken")
        with pytest.raises(NotFound):
            await sys.tool("nothing")

    await bench.run(main)

    async def narrow(sys):
        assert [t.name for t in await sys.tools()] == ["add"]
        with pytest.raises(Denied):
            await sys.tool("broken")

    await bench.run(narrow, rights=["tool:call:add"])


async def test_ask_reaches_the_human_or_is_denied(bench, collected):
    async def main(sys):
        return await sys.ask("sure?", ["yes", "no"])

    assert await bench.run(main, output=collected(["yes"])) == "yes"
    with pytest.raises(Denied):
        await bench.run(main)


async def test_a_process_that_ended_can_make_no_call(bench):
    kept = []

    async def main(sys):
        kept.append(sys)

    await bench.run(main)
    with pytest.raises(Terminated):
        await kept[0].now()
