"""From start to end of a process, when something goes wrong on the way: it ends all the same, and alone."""

import asyncio

import pytest
from llmos.kernel.errors import LimitExceeded, Storage, Unavailable
from llmos.kernel.limits import Limits
from llmos.kernel.process import Priority, Signal, State
from llmos.memory.faults import Full
from llmos.models.faults import EngineFault


async def ended(process):
    await asyncio.wait_for(process.ended.wait(), 10)
    return process


async def writing(bench, **more):
    """A process in the midst of a long answer."""

    async def main(sys):
        await sys.generate("write " + "x" * 400, max_tokens=2000)

    process = bench.start(main, **more)
    while process.usage.first_token is None:
        await asyncio.sleep(0.001)
    return process


@pytest.mark.parametrize("second", [Signal.TERM, Signal.KILL, Signal.INT, Signal.STOP])
@pytest.mark.parametrize("first", [Signal.TERM, Signal.KILL])
async def test_a_second_signal_while_it_tidies_up_keeps_nobody_from_ending(boot_with, first, second):
    bench = await boot_with(lambda prompt: "y" * 1000, delay=0.02)
    process = await writing(bench)
    sending = asyncio.ensure_future(bench.machine.signal(process.pid, first))
    while not process.ending:  # its own code is over, the step under way is waited for
        await asyncio.sleep(0)
    assert process.alive
    await bench.machine.signal(process.pid, second)
    assert (await ended(process)).state is State.DONE
    await sending


async def test_what_fails_where_text_is_shown_ends_that_process_alone(boot_with):
    bench = await boot_with(lambda prompt: "some words of an answer")

    async def breaks(sys):
        await sys.generate("a", on_text=lambda text: 1 / 0)

    async def goes_on(sys):
        return (await sys.generate("b")).text

    broken, sound = bench.start(breaks), bench.start(goes_on)
    assert "ZeroDivisionError" in (await ended(broken)).error.message
    assert (await ended(sound)).result == "some words of an answer"


async def test_a_bug_in_the_engine_leaves_nobody_waiting(boot_with):
    bench = await boot_with()
    loop = asyncio.get_running_loop()
    heard = []
    loop.set_exception_handler(lambda _, context: heard.append(context["message"]))
    bench.engine.step = lambda slices: 1 / 0

    async def main(sys):
        await sys.generate("a")

    processes = [bench.start(main) for _ in range(3)]
    for process in processes:
        assert isinstance((await ended(process)).error, Unavailable)
    assert "the scheduler failed" in heard


async def test_a_state_that_cannot_be_restored_fails_its_own_work_alone(boot_with):
    bench = await boot_with(lambda prompt: prompt[-60:], streams=1)
    bench.machine.scheduler._budget = type(bench.machine.scheduler._budget)(1, 128, 512, quantum=16)
    restore, once = bench.engine.restore, []

    def fails_once(stream, state):
        if not once:
            once.append(stream)
            raise EngineFault("the saved state does not fit")
        restore(stream, state)

    bench.engine.restore = fails_once

    async def main(sys):
        return (await sys.generate("z" * 100)).text

    processes = [await ended(p) for p in [bench.start(main) for _ in range(3)]]
    assert once
    assert [type(p.error) for p in processes].count(Unavailable) == 1
    assert [p.error for p in processes].count(None) == 2


async def test_a_disk_that_is_full_at_the_end_is_an_error_of_the_process(bench, monkeypatch):
    def full(pid, **columns):
        def write(connection):
            raise Full("no room", hint="free some")

        return write

    monkeypatch.setattr(bench.machine.parts.records, "finishing", full)

    async def main(sys):
        return "done"

    process = await ended(bench.start(main))
    assert isinstance(process.error, Storage)
    assert process.exit_code == 74


async def test_tokens_are_booked_also_when_they_are_too_many(bench):
    async def main(sys):
        for _ in range(20):
            with pytest.raises(LimitExceeded):
                await sys.generate("x" * 300)

    process = await ended(bench.start(main, limits=Limits(tokens=100)))
    assert process.error is None
    assert process.account.used["tokens"] == process.usage.computed > 1000


async def test_pages_of_a_child_that_has_ended_are_free_again(bench):
    async def main(sys):
        await sys.add("one")
        await sys.add("two")

    parent = bench.start(lambda sys: sys.sleep(30), limits=Limits(pages=3))
    for _ in range(3):
        child = await ended(bench.start(main, parent=parent, limits=Limits()))
        assert child.error is None
    assert parent.account.used["pages"] == 0
    await bench.machine.signal(parent.pid, Signal.KILL)


async def test_the_children_of_a_tree_are_limited_together_and_end_with_it(bench):
    async def sleeps(sys):
        await sys.sleep(30)

    parent = bench.start(sleeps, limits=Limits(children=2))
    child = bench.start(sleeps, parent=parent)
    grandchild = bench.start(sleeps, parent=child)
    with pytest.raises(LimitExceeded, match="2 children"):
        bench.start(sleeps, parent=grandchild)
    await bench.machine.signal(parent.pid, Signal.TERM)
    await ended(parent)
    assert [p.state for p in (child, grandchild)] == [State.DONE, State.DONE]


async def test_tokens_of_a_tree_are_limited_together(bench):
    def writes(letter):
        async def main(sys):
            await sys.generate(letter * 300, max_tokens=20)

        return main

    parent = bench.start(lambda sys: sys.sleep(30), limits=Limits(tokens=800))
    codes = [(await ended(bench.start(writes(x), parent=parent, limits=Limits()))).exit_code for x in "abc"]
    assert codes == [0, 0, LimitExceeded.exit_code]
    await bench.machine.signal(parent.pid, Signal.KILL)


async def test_a_signal_before_its_first_instruction_ends_it_too(bench):
    async def main(sys):
        raise AssertionError("it must not run")

    process = bench.start(main)
    await bench.machine.signal(process.pid, Signal.KILL)
    assert (await ended(process)).exit_code == 137


@pytest.mark.parametrize(("signal", "code"), [(Signal.INT, 130), (Signal.TERM, 143), (Signal.KILL, 137)])
async def test_signals_that_end_it_land_in_the_midst_of_an_answer_within_a_step(boot_with, signal, code):
    bench = await boot_with(lambda prompt: "y" * 1000)
    process = await writing(bench)
    before = bench.machine.scheduler.steps
    await bench.machine.signal(process.pid, signal)
    assert (await ended(process)).exit_code == code
    assert bench.machine.scheduler.steps <= before + 2  # the one under way, and at most one that was decided on


async def test_a_tree_of_long_standing_is_served_beside_fresh_ones(boot_with):
    bench = await boot_with(lambda prompt: "y" * 40, streams=1)
    order = []

    def named(name):
        async def main(sys):
            await sys.generate(f"{name} " + "x" * 200)
            order.append(name)

        return main

    parent = bench.start(lambda sys: sys.sleep(30))
    parent.account.service = 50_000
    everyone = [bench.start(named("veteran"), parent=parent), *(bench.start(named("fresh")) for _ in range(12))]
    for process in everyone:
        await ended(process)
    assert order.index("veteran") < 6
    await bench.machine.signal(parent.pid, Signal.KILL)


async def test_batch_work_goes_on_under_a_load_of_interactive_work(boot_with):
    bench = await boot_with(lambda prompt: "y" * 30, streams=1)
    over = asyncio.Event()

    async def batch(sys):
        await sys.generate("b" * 10, max_tokens=4)
        over.set()

    async def interactive(sys):
        while not over.is_set():
            await sys.generate("i" * 50)

    people = [bench.start(interactive, priority=Priority.INTERACTIVE, limits=Limits(tokens=None)) for _ in range(2)]
    worker = bench.start(batch, priority=Priority.BATCH)
    await asyncio.wait_for(worker.ended.wait(), 30)
    for process in people:
        await ended(process)
