"""Spawn, wait, kill, send and receive, through `Sys` on a machine."""

import asyncio

import pytest
from llmos.kernel.errors import Denied, LimitExceeded, NotFound
from llmos.kernel.limits import Limits
from llmos.kernel.process import Signal

SUMMARIZE = {"inputs": [], "words": 10}


async def test_a_child_is_waited_for_once_and_its_result_handed_over(bench):
    async def main(sys):
        pid = await sys.spawn("chat", {"text": "what is the time?"})
        ended = await sys.wait(pid)
        with pytest.raises(NotFound):
            await sys.wait(pid)
        return pid, ended

    pid, ended = await bench.run(main)
    assert (ended.pid, ended.exit_code, ended.error) == (pid, 0, None)
    assert ended.result["turns"] == 1


async def test_a_child_that_fails_is_an_outcome_not_an_error_of_the_parent(bench):
    async def main(sys):
        await sys.spawn("summarize", SUMMARIZE)
        return await sys.wait()

    ended = await bench.run(main)
    assert (ended.exit_code, ended.error["code"]) == (2, "bad_input")


async def test_a_child_never_has_a_right_that_its_parent_lacks(bench):
    async def main(sys):
        await sys.spawn("summarize", SUMMARIZE)
        return await sys.wait()

    await bench.run(main, rights=["process:spawn", "files:read"])
    child = next(p for p in bench.machine.table if p.app == "summarize")
    assert child.rights == frozenset({"files:read"})


async def test_a_parent_may_give_less_than_the_child_asks_for(bench):
    async def main(sys):
        await sys.spawn("summarize", SUMMARIZE, rights=["model:use"])
        return await sys.wait()

    await bench.run(main)
    assert next(p for p in bench.machine.table if p.app == "summarize").rights == frozenset({"model:use"})


async def test_several_waiters_each_get_a_child(bench):
    async def main(sys):
        pids = [await sys.spawn("summarize", SUMMARIZE) for _ in range(3)]
        ended = await asyncio.gather(*(sys.wait() for _ in pids))
        return sorted(pids), sorted(e.pid for e in ended)

    started, ended = await bench.run(main)
    assert started == ended


async def test_without_a_child_there_is_nothing_to_wait_for(bench):
    with pytest.raises(NotFound):
        await bench.run(lambda sys: sys.wait())


async def test_signals_reach_one_s_own_tree_only(bench):
    stranger = bench.start(lambda sys: sys.sleep(30))

    async def main(sys):
        pid = await sys.spawn("chat", {"text": ""})
        await sys.kill(pid, "KILL")
        ended = await sys.wait(pid)
        with pytest.raises(NotFound):
            await sys.kill(stranger.pid)
        return ended.exit_code

    assert await bench.run(main) == 137
    assert stranger.alive
    await bench.machine.signal(stranger.pid, Signal.KILL)


async def test_children_count_against_the_limit_of_their_tree(bench):
    async def main(sys):
        for _ in range(3):
            await sys.spawn("summarize", SUMMARIZE)

    with pytest.raises(LimitExceeded) as caught:
        await bench.run(main, limits=Limits(children=2))
    assert caught.value.details["limit"] == "children"


async def test_spawning_needs_its_right(bench):
    with pytest.raises(Denied):
        await bench.run(lambda sys: sys.spawn("chat"), rights=["model:use"])


async def test_messages_arrive_in_order_and_only_at_processes_of_the_same_owner(bench):
    async def listens(sys):
        return [(await sys.receive()).message for _ in range(3)]

    listener = bench.start(listens)
    foreign = bench.start(lambda sys: sys.receive(), owner="somebody else")

    async def main(sys):
        for number in range(3):
            await sys.send(listener.pid, {"n": number})
        with pytest.raises(NotFound):
            await sys.send(foreign.pid, "hello")

    await bench.run(main)
    await listener.ended.wait()
    assert listener.result == [{"n": 0}, {"n": 1}, {"n": 2}]
    await bench.machine.signal(foreign.pid, Signal.KILL)


async def test_a_message_that_nobody_took_is_not_lost(bench):
    async def impatient(sys):
        got = []
        while len(got) < 30:
            try:
                got.append((await asyncio.wait_for(sys.receive(), 0.002)).message)
            except TimeoutError:
                continue
        return got

    listener = bench.start(impatient)

    async def main(sys):
        for number in range(30):
            await sys.send(listener.pid, number)
            await sys.sleep(0.001)

    await bench.run(main)
    await asyncio.wait_for(listener.ended.wait(), 20)
    assert listener.result == list(range(30))
