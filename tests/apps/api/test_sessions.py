"""Which process a request is a turn of."""

import asyncio

from llmos.models.scripted import echo


def pids(served):
    return [process.pid for process in served.processes() if process.alive]


async def test_messages_that_go_on_are_turns_of_one_process(served):
    begin = "one " * 100
    first = await served.text(begin)
    second = await served.text(begin, first, "two")
    await served.text(begin, f" {first}\n", "two", second, "three")  # a client may trim what it got
    assert len(pids(served)) == 1
    assert served.processes()[0].counts["generate"] == 3
    reused = (await served.chat(begin, first, "two", second, "three", "three", "four")).json()
    assert len(pids(served)) == 1
    assert reused["usage"]["prompt_tokens_details"]["cached_tokens"] > 0


async def test_another_conversation_is_another_process(served):
    first = await served.text("one")
    await served.text("two")
    await served.text("one", "something else was said", "two")
    await served.text("one", first, "two", user="somebody")
    assert len(pids(served)) == 4


async def test_two_that_said_the_same_do_not_share_a_process(served):
    await asyncio.gather(served.text("one"), served.text("one"))
    await asyncio.gather(served.text("one", "one", "two"), served.text("one", "one", "two"))
    assert [process.counts["generate"] for process in served.processes()] == [2, 2]


async def test_a_session_by_its_name(served):
    name = {"X-LLMOS-Session": "mine"}
    await served.text("one", headers=name)
    await served.text("something else", headers=name)
    await served.text("something else", headers={"X-LLMOS-Session": "yours"})
    assert [process.counts["generate"] for process in served.processes()] == [2, 1]
    assert served.processes()[0].args == {"session": "mine"}


async def test_two_calls_of_a_session_at_a_time_are_two_processes(serve):
    served = await serve(delay=0.01)
    name = {"X-LLMOS-Session": "mine"}
    await asyncio.gather(served.text("one", headers=name), served.text("two", headers=name))
    assert [process.counts["generate"] for process in served.processes()] == [1, 1]


async def test_a_user_without_a_session_goes_on_with_the_last_idle_process(served):
    await served.text("one", user="ada")
    await served.text("the history was rewritten", user="ada")
    assert [process.counts["generate"] for process in served.processes()] == [2]


async def test_idle_conversations_end(serve):
    served = await serve(place={"idle": 0.2 / 60})
    await served.text("one")
    (process,) = served.processes()
    await asyncio.wait_for(process.ended.wait(), 5)
    assert process.exit_code == 0
    await served.text("one", "one", "two")
    assert len(served.processes()) == 2


async def test_the_one_that_waited_longest_makes_room(serve):
    from llmos.apps.system.api.sessions import Sessions

    served = await serve()
    sessions = Sessions(served.bench.running, idle=600, most=2)
    for name in "abc":
        with sessions.turn(name=name) as conversation:
            await conversation.turn(lambda sys: sys.count("x"))
    first = served.processes()[0]
    await asyncio.wait_for(first.ended.wait(), 5)
    assert sessions.idle == 2
    await sessions.close()


async def test_a_request_that_failed_leaves_no_process(served):
    assert (await served.chat("x" * 5000)).status_code == 400
    await asyncio.sleep(0.05)
    assert pids(served) == []


async def test_what_a_dead_server_left_alive_has_ended(serve, home):
    from llmos.apps.system.api.conversation import Conversation
    from llmos.apps.system.boot import boot
    from llmos.models.scripted import ScriptedEngine

    async with boot(home, engine=ScriptedEngine(echo)) as running:
        conversation = Conversation.begin(running, {})
        await conversation.turn(lambda sys: sys.count("x"))
        await running.machine.suspend(conversation.process)  # as after a crash: its record says that it lives
    served = await serve()
    assert served.bench.machine.parts.records.alive() == []
