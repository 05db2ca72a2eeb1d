"""What a process got before it gets again, in the order in which it came; code that has changed is found out."""

import asyncio

import pytest
from llmos.kernel.errors import Diverged
from llmos.kernel.replay import CANCELLED, Replay
from llmos.memory.journal import Entry


class Past:
    """Builds a journal, a call or an outcome at a time."""

    def __init__(self):
        self.rows = []

    def call(self, name, within=None, **args):
        number = len(self.rows) + 1
        self.rows.append(Entry(100 + number, 7, number, name, args, float(number), None, None, None, within))
        return number

    def outcome(self, n, reply="", *, ok=True):
        old, after = self.rows[n - 1], len(self.rows)
        time = 1000.0 + sum(row.ok is not None for row in self.rows)
        value = {"reply": reply} if ok else {"code": reply}
        self.rows[n - 1] = Entry(
            old.id, 7, n, old.call, old.args, old.asked, ok, value, time, old.within, after,
        )  # fmt: skip

    def replay(self, **more):
        return Replay(self.rows, **{"patience": 0.05, **more})


@pytest.fixture
def past():
    return Past()


async def test_calls_get_their_outcomes_and_the_rest_is_new(past):
    for name in ("now", "remember"):
        past.outcome(past.call(name), name)
    replay = past.replay()
    assert (await replay.meet("now", {}, None)).reply == {"reply": "now"}
    assert not replay.over
    assert (await replay.meet("remember", {}, None)).reply == {"reply": "remember"}
    assert replay.over
    assert await replay.meet("now", {}, None) is None


async def test_a_call_that_was_cut_comes_back_without_an_outcome_and_with_its_number(past):
    past.outcome(past.call("generate"))
    past.call("generate", prompt="b")
    replay = past.replay(counts={"generate": 5})
    await replay.meet("generate", {}, None)
    cut = await replay.meet("generate", {"prompt": "b"}, None)
    assert (cut.ok, replay.numbers[cut.id], replay.counts["generate"]) == (None, 7, 7)
    assert replay.over


@pytest.mark.parametrize(("name", "args"), [("now", {"a": 2}), ("sleep", {"a": 1}), ("sleep", {})])
async def test_another_call_than_the_journal_has_is_found_out(past, name, args):
    past.outcome(past.call("now", a=1))
    with pytest.raises(Diverged, match=f"calls {name}, its journal has now as call 1") as caught:
        await past.replay().meet(name, args, None)
    assert caught.value.details["asked"] == args


async def test_two_at_a_time_end_in_the_order_of_before(past):
    slow, quick = past.call("generate", prompt="slow"), past.call("generate", prompt="quick")
    past.outcome(quick, "q")
    past.outcome(past.call("now"), "after quick")
    past.outcome(slow, "s")
    replay, order = past.replay(patience=5), []

    async def branch(prompt, then=None):
        order.append((await replay.meet("generate", {"prompt": prompt}, None)).reply["reply"])
        if then:
            order.append((await replay.meet(then, {}, None)).reply["reply"])

    await asyncio.gather(branch("slow"), branch("quick", "now"))
    assert order == ["q", "after quick", "s"]


async def test_an_outcome_waits_for_calls_that_had_been_made_by_then(past):
    first = past.call("first")
    past.outcome(past.call("second"), "s")
    past.outcome(first, "f")
    replay, order = past.replay(patience=5), []

    async def ask(name, wait):
        await asyncio.sleep(wait)
        order.append(f"asked {name}")
        await replay.meet(name, {}, None)
        order.append(f"got {name}")

    await asyncio.gather(ask("first", 0), ask("second", 0.02))
    assert order == ["asked first", "asked second", "got second", "got first"]


async def test_what_the_process_gave_up_it_gives_up_again(past):
    past.outcome(past.call("receive"), CANCELLED, ok=False)
    past.outcome(past.call("now"), "n")
    replay = past.replay(patience=5)
    waiting = asyncio.ensure_future(replay.meet("receive", {}, None))
    assert (await replay.meet("now", {}, None)).reply == {"reply": "n"}
    await asyncio.wait([waiting], timeout=0.02)
    assert not waiting.done()
    assert replay.over
    waiting.cancel()


async def test_calls_within_a_call_are_asked_for_only_if_that_was_cut(past):
    whole = past.call("run")
    past.outcome(past.call("generate", within=100 + whole), "step")
    past.outcome(whole, "answer")
    cut = past.call("run", goal="b")
    past.outcome(past.call("generate", within=100 + cut), "half")
    replay = past.replay()
    assert (await replay.meet("run", {}, None)).reply == {"reply": "answer"}
    assert (await replay.meet("run", {"goal": "b"}, None)).ok is None
    assert (await replay.meet("generate", {}, 100 + cut)).reply == {"reply": "half"}
    assert replay.over


async def test_a_branch_that_is_ahead_waits_for_the_others_before_it_does_new_things(past):
    for name in ("a1", "b1"):
        past.outcome(past.call(name), name)
    replay, order = past.replay(patience=5), []

    async def ahead():
        await replay.meet("a1", {}, None)
        assert await replay.meet("a2", {}, None) is None
        order.append("new")

    async def behind():
        await asyncio.sleep(0.03)
        await replay.meet("b1", {}, None)
        order.append("old")

    await asyncio.gather(ahead(), behind())
    assert sorted(order) == ["new", "old"]
    assert replay.over


def test_what_is_left_when_the_code_ends_is_told(past):
    past.outcome(past.call("now"))
    past.call("sleep")
    replay = past.replay()
    assert replay.next().call == "now"
