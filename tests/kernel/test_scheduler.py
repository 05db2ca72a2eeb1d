"""The scheduler against the scripted engine: the same loop, no model."""

import asyncio
from types import SimpleNamespace

import pytest
from llmos.kernel.errors import LimitExceeded, Unavailable
from llmos.kernel.limits import Account, Limits
from llmos.kernel.process import Priority, Process, Signal, State
from llmos.kernel.scheduler import Scheduler
from llmos.kernel.signals import deliver
from llmos.models.engine import Sampling
from llmos.models.scripted import ScriptedEngine


def counting(prompt: str) -> str:
    """An answer that depends on the whole prompt, so that a mixed-up stream shows."""
    return f"{len(prompt)}:{sum(prompt.encode()) % 9973}:" + prompt[-20:]


def process(pid: int = 1, *, owner: str = "me", priority=Priority.NORMAL, limits=None) -> Process:
    limits = limits or Limits()
    nothing = SimpleNamespace()
    return Process(pid, "test", owner, frozenset(), Account(limits), limits, priority, nothing, nothing, nothing)


@pytest.fixture
async def serve():
    made = []

    def make(engine: ScriptedEngine, **options) -> Scheduler:
        made.append(Scheduler(engine, **options))
        return made[-1]

    yield make
    for scheduler in made:
        assert scheduler.idle()
        assert scheduler.streams.in_use() == 0
        await scheduler.close()


async def write(scheduler: Scheduler, who: Process, prompt: str, most: int = 60, **more):
    tokens = scheduler.engine.tokenize(prompt)
    return await scheduler.write(who, tokens, most=most, sampling=Sampling(), **more)


async def test_text_comes_in_pieces_and_whole(serve):
    scheduler, pieces = serve(ScriptedEngine(lambda p: "grüß dich")), []
    written = await write(scheduler, process(), "hello", on_text=pieces.append)
    assert (written.text, written.finish) == ("grüß dich", "end")
    assert "".join(pieces) == "grüß dich"
    assert len(pieces) > 5


async def test_length_and_stop_end_an_answer(serve):
    scheduler = serve(ScriptedEngine(lambda p: "one two three"))
    assert (await write(scheduler, process(), "x", most=5)).finish == "length"
    stopped = await write(scheduler, process(), "x", stops=["two"])
    assert (stopped.text, stopped.finish) == ("one ", "stop")


@pytest.mark.parametrize("streams", [1, 3, 24])
async def test_neighbours_swaps_and_streams_change_no_answer(serve, streams):
    engine = ScriptedEngine(counting, streams=streams, window=2048)
    scheduler = serve(engine, quantum=40)
    prompts = [f"question {i} " * (i * 7 % 31 + 1) for i in range(24)]
    written = await asyncio.gather(*(write(scheduler, process(i), p) for i, p in enumerate(prompts)))
    assert [w.text for w in written] == [counting(p)[:60] for p in prompts]
    assert (scheduler.swaps > 0) == (streams < 24)


async def test_a_prefix_is_computed_once_for_an_owner_and_never_shared_with_another(serve):
    engine = ScriptedEngine(counting, streams=4, window=4096)
    scheduler = serve(engine)
    prefix = "s" * 300
    first = await write(scheduler, process(1), prefix + "one")
    again = await write(scheduler, process(2), prefix + "two")
    other = await write(scheduler, process(3, owner="you"), prefix + "two")
    assert [w.reused for w in (first, again, other)] == [0, 300, 0]
    assert again.text == other.text == counting(prefix + "two")[:60]


async def test_siblings_started_together_share_the_first_block(serve):
    scheduler = serve(ScriptedEngine(counting, streams=8, window=4096))
    prompts = [("p" * 128) + f"{i} " * 40 for i in range(6)]
    written = await asyncio.gather(*(write(scheduler, process(i), p) for i, p in enumerate(prompts)))
    assert [w.reused for w in written] == [0, 128, 128, 128, 128, 128]


async def test_of_a_conversation_only_what_was_computed_last_is_kept(serve):
    scheduler = serve(ScriptedEngine(counting, streams=2, window=4096))
    talk, others = process(1), [process(i) for i in range(2, 8)]
    for turn in range(1, 13):
        await write(scheduler, talk, "t" * (200 * turn))
        await asyncio.gather(*(write(scheduler, other, f"{other.pid}{turn} " * 60) for other in others))
    assert 0 < scheduler.shelf.meters()["in_memory"] <= 1 + len(others)
    assert (await write(scheduler, talk, "t" * 2500)).reused == 2400
    for one in (talk, *others):
        await scheduler.gone(one)
    assert scheduler.shelf.meters()["in_memory"] == 0


async def test_what_processes_began_with_in_common_outlives_them(serve):
    scheduler = serve(ScriptedEngine(counting, streams=2, window=4096))
    head = "h" * 300
    for pid in (1, 2):
        one = process(pid)
        await write(scheduler, one, head + str(pid) * 200)
        await scheduler.gone(one)
        one.settle(State.DONE)
    await asyncio.gather(*(write(scheduler, process(i), f"{i} " * 200) for i in range(3, 7)))
    assert (await write(scheduler, process(9), head + "9" * 200)).reused == 300


async def test_options_are_scored_by_likelihood(serve):
    engine = ScriptedEngine(lambda p: "yes, surely")
    scheduler = serve(engine)
    prompt = engine.tokenize("<|im_start|>assistant\n", markup=True)
    scores = await scheduler.score(process(), prompt, [engine.tokenize(t) for t in ("yes", "no")])
    assert sum(scores[0]) > sum(scores[1])
    assert [len(s) for s in scores] == [3, 2]


async def test_interactive_work_overtakes_batch(serve):
    scheduler = serve(ScriptedEngine(counting, streams=1, delay=0.001))
    order = []

    async def one(name, who, prompt):
        await write(scheduler, who, prompt)
        order.append(name)

    slow = asyncio.create_task(one("batch", process(1, priority=Priority.BATCH), "b" * 2000))
    await asyncio.sleep(0.01)
    await one("interactive", process(2, priority=Priority.INTERACTIVE), "hi")
    await slow
    assert order == ["interactive", "batch"]


async def test_a_stopped_process_computes_nothing_and_goes_on_where_it_was(serve):
    engine = ScriptedEngine(counting, delay=0.001)
    scheduler, who, pieces = serve(engine), process(), []
    task = asyncio.create_task(write(scheduler, who, "hello " * 10, on_text=pieces.append))
    while len(pieces) < 3:
        await asyncio.sleep(0.001)
    deliver(who, Signal.STOP, scheduler)
    await asyncio.sleep(0.005)
    steps = len(engine.steps)
    await asyncio.sleep(0.02)
    assert (len(engine.steps), who.state) == (steps, State.STOPPED)
    deliver(who, Signal.CONT, scheduler)
    assert (await task).text == counting("hello " * 10)[:60]


async def test_a_process_that_is_gone_leaves_its_stream_within_one_step(serve):
    engine = ScriptedEngine(lambda p: "x" * 500, delay=0.005)
    scheduler, who = serve(engine), process()
    task = asyncio.create_task(write(scheduler, who, "hello", most=400))
    await asyncio.sleep(0.03)
    steps = len(engine.steps)
    task.cancel()
    await scheduler.gone(who)
    assert len(engine.steps) - steps <= 1
    assert scheduler.streams.in_use() == 0
    assert sum(engine.held()) == 0


async def test_a_limit_of_tokens_ends_the_text_with_its_name(serve):
    scheduler = serve(ScriptedEngine(lambda p: "x" * 500))
    with pytest.raises(LimitExceeded) as caught:
        await write(scheduler, process(limits=Limits(tokens=30)), "hello", most=400)
    assert caught.value.details["limit"] == "tokens"


async def test_a_prompt_beyond_the_window_says_by_how_much(serve):
    scheduler = serve(ScriptedEngine(counting, window=256))
    with pytest.raises(LimitExceeded, match="at least 45 tokens"):
        await write(scheduler, process(), "x" * 300)


async def test_an_answer_is_cut_where_the_window_ends(serve):
    scheduler = serve(ScriptedEngine(lambda p: "y" * 1000, window=256))
    written = await write(scheduler, process(), "x" * 200, most=500)
    assert (len(written.text), written.finish) == (56, "length")


async def test_after_closing_nobody_waits_for_ever():
    scheduler = Scheduler(ScriptedEngine(lambda p: "x" * 5000, delay=0.002, window=8192))
    waiting = asyncio.create_task(write(scheduler, process(), "hello", most=4000))
    await asyncio.sleep(0.02)
    await scheduler.close()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await write(scheduler, process(), "again")


async def test_a_bug_in_a_step_reaches_everybody_who_waits():
    engine = ScriptedEngine(lambda p: 1 / 0)
    scheduler = Scheduler(engine)
    seen = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context["exception"]))
    with pytest.raises(Unavailable):
        await write(scheduler, process(), "hello")
    assert isinstance(seen[0], ZeroDivisionError)
    await scheduler.close()
