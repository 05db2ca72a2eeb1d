"""Finished processes run again from their journals, and every token is compared."""

import asyncio
import json

import pytest
from llmos.apps.system.launch import LocalPort
from llmos.apps.system.replaying import replay
from llmos.kernel.errors import AppFailed, BadInput, Diverged, Unavailable
from llmos.kernel.process import Signal
from llmos.syscalls import calls as c
from llmos.syscalls.api import Sys


def say(prompt: str) -> str:
    """What the scripted model says: as many words as the prompt has letters, in a way."""
    return f"heard {len(prompt)} letters"


async def talks(sys):
    """An app's code that asks for a bit of everything."""
    await sys.add("You are careful.", kind="system")
    await sys.remember([c.Passage(text="the sea is green")])
    hits = await sys.recall("sea")
    await sys.write("notes.txt", hits[0].text)
    one, two = await asyncio.gather(
        sys.generate("first", keep=True, max_tokens=40), sys.generate("second", max_tokens=40, temperature=0.7)
    )
    await sys.print(one.text)
    chosen = await sys.choose([" yes", " no"], "Is it so?")
    drawn = await sys.random()
    last = await sys.generate(f"{two.text} {chosen.option} {drawn}", max_tokens=40)
    return [last.text, drawn, (await sys.count(last.text)).tokens]


@pytest.fixture
async def again(boot_with, monkeypatch):
    """``await again(main)``: run it, then replay it; the bench, the process and the verdict, a function of the pid."""

    async def make(main, script=say):
        bench = await boot_with(script)
        use(bench, main, monkeypatch)
        process = bench.start(main)
        return bench, process, lambda pid=process.pid: replay(bench.running, pid, lambda share: None)

    return make


def use(bench, main, monkeypatch):
    """Let the launcher find this code as the app ``test``."""

    def body(gate, info, args):
        async def run(process):
            return await main(Sys(LocalPort(gate, process)))

        return run

    monkeypatch.setattr(bench.launcher, "_body", body)
    monkeypatch.setattr(bench.launcher.registry, "get", lambda name: None)


async def test_a_process_comes_to_the_same_and_nothing_reaches_the_world(again, home):
    bench, process, verify = await again(talks)
    await process.ended.wait()
    database = bench.machine.parts.database
    before = [database.one(f"SELECT count(*) FROM {table}") for table in ("passages", "journal", "pages")]
    told = await verify()
    assert told["identical"], told["difference"]
    assert told["tokens"] == sum(
        len(e.reply["tokens"]) for e in bench.machine.parts.journal.entries(process.pid) if e.call == "generate"
    )
    assert (told["scores"], told["calls"]) == (2, 10)
    assert [database.one(f"SELECT count(*) FROM {table}") for table in ("passages", "journal", "pages")] == before
    assert bench.machine.table.get(told["replay"]).row()["app"] == f"test (replay of {process.pid})"


def tampered(bench, pid, call, change):
    """Change the reply of the last such call in the journal, as a sound row."""
    entry = [e for e in bench.machine.parts.journal.entries(pid) if e.call == call][-1]
    change(entry.reply)
    bench.machine.parts.database.run(
        "UPDATE journal SET reply = ? WHERE id = ?", (json.dumps(entry.reply), entry.id)
    )  # fmt: skip


async def test_a_token_that_was_changed_in_the_journal_is_found(again):
    bench, process, verify = await again(talks)
    await process.ended.wait()

    def other(reply):
        reply["tokens"][3] += 1

    tampered(bench, process.pid, "generate", other)
    told = await verify()
    assert not told["identical"]
    found = told["difference"]
    assert (found["call"], found["field"], found["position"]) == ("generate", "tokens", 3)
    assert found["recorded"] != found["computed"]


async def test_a_score_that_was_changed_in_the_last_bit_is_found(again):
    bench, process, verify = await again(talks)
    await process.ended.wait()

    def other(reply):
        reply["scores"][1] -= 1e-12

    tampered(bench, process.pid, "choose", other)
    found = (await verify())["difference"]
    assert (found["call"], found["field"], found["position"]) == ("choose", "scores", 1)


async def test_what_the_model_chose_itself_is_computed_again_too(again):
    answers = iter(['{"call":"now","args":{}}', '{"call":"answer","args":{"text":"done"}}'] * 2)
    script = {}

    def choose(prompt):
        return script.setdefault(prompt, next(answers, ""))

    async def main(sys):
        return (await sys.run("tell me the time")).answer

    _, process, verify = await again(main, choose)
    await process.ended.wait()
    told = await verify()
    assert told["identical"], told["difference"]
    assert told["calls"] == 4  # run, and in its course: generate, now, generate
    assert told["tokens"] > 0


async def test_one_that_was_killed_is_replayed_to_where_it_was(again):
    async def main(sys):
        await sys.generate("words", max_tokens=20)
        await sys.receive()

    bench, process, verify = await again(main)
    while process.state.value != "waiting" or not process.usage.tokens_out:
        await asyncio.sleep(0.001)
    with pytest.raises(BadInput, match="has not ended"):
        await verify()
    await bench.machine.signal(process.pid, Signal.KILL)
    told = await verify()
    assert told["identical"], told["difference"]
    assert told["calls"] == 1


async def test_an_app_that_changed_and_a_replay_of_a_replay_are_refused(again, monkeypatch):
    monkeypatch.setattr("llmos.apps.system.replaying.PATIENCE", 0.1)
    bench, process, verify = await again(talks)
    await process.ended.wait()
    told = await verify()
    with pytest.raises(BadInput, match="is a replay itself"):
        await replay(bench.running, told["replay"], lambda share: None)

    async def other(sys):
        await sys.print("something else")

    use(bench, other, monkeypatch)
    with pytest.raises(Diverged):
        await verify()


async def test_another_way_than_recorded_is_told(again, monkeypatch):
    bench, process, verify = await again(talks)
    await process.ended.wait()
    monkeypatch.setitem(bench.machine.parts.identity, "llama_cpp", "another")
    with pytest.raises(Unavailable, match="llama_cpp None, here 'another'"):
        await verify()


async def test_an_app_that_failed_fails_the_same_way(again):
    async def main(sys):
        await sys.generate("words", max_tokens=20)
        raise AppFailed("no more")

    _, process, verify = await again(main)
    await process.ended.wait()
    assert (await verify())["identical"]
