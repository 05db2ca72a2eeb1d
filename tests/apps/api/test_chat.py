"""Chats over HTTP: whole, streamed, several choices, and what the process table says of them."""

import asyncio
import json

import pytest


async def test_an_answer(served):
    answer = await served.chat("Hello there")
    body = answer.json()
    assert answer.status_code == 200
    assert body["object"] == "chat.completion"
    assert body["model"] == "scripted"
    assert body["choices"] == [
        {
            "index": 0, "finish_reason": "stop", "logprobs": None,
            "message": {"role": "assistant", "content": "Hello there", "refusal": None},
        }
    ]  # fmt: skip
    usage = body["usage"]
    assert usage["completion_tokens"] == len("Hello there")
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    (process,) = served.processes()
    assert (process.usage.tokens_in, process.usage.tokens_out) == (usage["prompt_tokens"], usage["completion_tokens"])


async def test_a_stream_says_the_same(served):
    answer = await served.chat("Grüße, 世界", stream=True, stream_options={"include_usage": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = served.events(answer.text)
    deltas = [event["choices"][0]["delta"] for event in told[:-1]]
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    assert "".join(delta.get("content", "") for delta in deltas) == "Grüße, 世界"
    assert [event["choices"][0]["finish_reason"] for event in told[:-1]][-1] == "stop"
    assert told[-1]["choices"] == []
    assert told[-1]["usage"]["completion_tokens"] == len("Grüße, 世界".encode())
    assert len({event["id"] for event in told}) == 1


async def test_counts_come_only_when_they_are_asked_for(served):
    told = served.events((await served.chat("x", stream=True)).text)
    assert all(event["choices"] and "usage" not in event for event in told)


async def test_where_an_answer_ends(served):
    body = (await served.chat("one two three", stop="two")).json()
    assert (body["choices"][0]["message"]["content"], body["choices"][0]["finish_reason"]) == ("one ", "stop")
    body = (await served.chat("one two three", max_completion_tokens=5)).json()
    assert (body["choices"][0]["message"]["content"], body["choices"][0]["finish_reason"]) == ("one t", "length")


async def test_contents_in_parts(served):
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert await served.text({"role": "user", "content": parts}) == "one\ntwo"


async def test_choices_are_processes_of_their_own(served):
    body = (await served.chat("x", n=3)).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert body["usage"]["completion_tokens"] == 3
    assert len(served.processes()) == 3
    told = served.events((await served.chat("abc", n=2, stream=True)).text)
    texts = ["", ""]
    for event in told:
        choice = event["choices"][0]
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == ["abc", "abc"]


async def test_choices_have_seeds_of_their_own_and_a_seed_gives_them_again(serve):
    served = await serve()
    sampler, seeds = served.bench.engine.sampler, []

    def noted(sampling, constraint=None):
        seeds.append(sampling.seed)
        return sampler(sampling, constraint)

    served.bench.engine.sampler = noted
    await served.chat("x", n=2, seed=5, temperature=1)
    await served.chat("x", n=2, seed=5, temperature=1)
    await served.chat("x", n=2, temperature=1)
    assert sorted(seeds[:2]) == sorted(seeds[2:4]) == [5, 6]
    assert len(set(seeds)) == 4


@pytest.mark.parametrize(("said", "priority"), [("interactive", 0), ("normal", 1), ("batch", 2), (None, 1)])
async def test_priority(served, said, priority):
    await served.chat("x", **({"priority": said} if said else {}))
    (process,) = served.processes()
    assert process.priority == priority


async def test_it_stands_in_the_process_table_and_in_the_journal(serve):
    served = await serve(delay=0.02)
    answer = asyncio.ensure_future(served.chat("a longer answer, so that there is time to look"))
    await asyncio.sleep(0.2)
    (row,) = served.bench.machine.snapshot()
    assert (row["app"], row["state"]) == ("api", "running")
    await answer
    (row,) = served.bench.machine.snapshot()
    assert row["state"] == "waiting"
    (calls,) = served.bench.machine.parts.database.one("SELECT count(*) FROM journal WHERE call = 'generate'")
    assert calls == 1


async def test_a_process_that_is_killed_answers_so(serve):
    from llmos.kernel.process import Signal

    served = await serve(delay=0.02)
    answer = asyncio.ensure_future(served.chat("a longer answer, so that there is time to kill it"))
    await asyncio.sleep(0.2)
    await served.bench.machine.signal(served.processes()[0].pid, Signal.KILL)
    said = await answer
    assert said.status_code == 503
    assert said.json()["error"]["code"] == "terminated"


async def test_what_fails_in_a_stream_is_an_event(serve):
    from llmos.kernel.process import Signal

    served = await serve(delay=0.02)
    answer = asyncio.ensure_future(served.chat("a longer answer, so that there is time to kill it", stream=True))
    await asyncio.sleep(0.3)
    await served.bench.machine.signal(served.processes()[0].pid, Signal.KILL)
    said = await answer
    assert said.status_code == 200
    last = json.loads(said.text.splitlines()[-2].removeprefix("data: "))
    assert last["error"]["code"] == "terminated"


async def test_a_bug_is_no_news_for_the_client(served, caplog):
    def broken(*_, **__):
        raise RuntimeError("the inside")

    served.bench.engine.sampler = broken
    answer = await served.chat("x")
    assert answer.status_code == 500
    assert "inside" not in answer.text
    assert "the inside" in caplog.text
