"""Finished processes run again from their journals, and every token is compared."""

import asyncio
import json

import pytest
from llmos.apps.system.boot import boot
from llmos.apps.system.launch import LocalPort
from llmos.apps.system.replaying import Silent, replay
from llmos.kernel.adapters import Adapter
from llmos.kernel.errors import AppFailed, BadInput, Diverged, NotFound, Unavailable
from llmos.kernel.limits import Limits
from llmos.kernel.process import Priority, Signal
from llmos.syscalls import calls as c
from llmos.syscalls.api import Sys
from llmos.syscalls.rights import RIGHTS


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
    monkeypatch.setitem(bench.machine.cores.local.identity, "llama_cpp", "another")
    with pytest.raises(Unavailable, match="llama_cpp None, here 'another'"):
        await verify()


async def test_an_app_that_failed_fails_the_same_way(again):
    async def main(sys):
        await sys.generate("words", max_tokens=20)
        raise AppFailed("no more")

    _, process, verify = await again(main)
    await process.ended.wait()
    assert (await verify())["identical"]


async def test_one_that_came_back_after_a_crash_is_replayed_as_one_life(boot_with, home, monkeypatch):
    """It went on where its journal ended, and its replay runs through both lives."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def main(sys):
        one = await sys.generate("first", keep=True, max_tokens=20)
        await sys.save({"said": one.text})
        reached.set()
        await go_on.wait()
        return (await sys.generate("second", max_tokens=20)).text

    bench = await boot_with(say)
    use(bench, main, monkeypatch)
    process = bench.start(main)
    await reached.wait()
    await bench.machine.suspend(process)
    go_on.set()

    async def loads(sys):
        if await sys.load() is None:
            await main(sys)
        return (await sys.generate("second", max_tokens=20)).text

    use(bench, loads, monkeypatch)
    again = bench.launcher.revive(bench.machine.parts.records.get(process.pid), process.output)
    await again.ended.wait()
    use(bench, main, monkeypatch)
    told = await replay(bench.running, process.pid, lambda share: None)
    assert told["identical"], told["difference"]
    assert told["calls"] == 3


async def test_a_child_is_replayed_by_itself_and_its_parent_without_it(boot_with, monkeypatch):
    bench = await boot_with(say)

    async def child(sys):
        return (await sys.generate("a child's words", max_tokens=20)).text

    async def parent(sys):
        pid = await sys.spawn("test", {"child": True})
        return (await sys.generate((await sys.wait(pid)).result, max_tokens=20)).text

    started = []

    async def spawn(process, name, args, rights, spawned):
        started.append(bench.start(child, parent=process, spawned=spawned, args=args))
        return started[-1]

    monkeypatch.setattr(bench.gate, "spawn", spawn)
    process = bench.start(parent)
    await process.ended.wait()
    for main, pid in ((parent, process.pid), (child, started[0].pid)):
        use(bench, main, monkeypatch)
        told = await replay(bench.running, pid, lambda share: None)
        assert told["identical"], told["difference"]
    assert len(started) == 1


async def test_the_adapter_of_a_process_goes_where_it_goes(boot_with, monkeypatch, tmp_path):
    bench = await boot_with(say)
    with pytest.raises(Unavailable, match="takes no adapters"):
        bench.start(talks, adapter="polite")
    monkeypatch.setattr(bench.engine, "adapt", lambda *how: (), raising=False)
    with pytest.raises(NotFound, match="no adapter 'polite'"):
        bench.start(talks, adapter="polite")
    bench.machine.cores.local.adapters["polite"] = Adapter(tmp_path / "polite.gguf", 1.0, "sum")
    use(bench, talks, monkeypatch)
    process = bench.start(talks, adapter="polite@0.5")
    await process.ended.wait()
    conditions = bench.machine.parts.records.conditions(process.pid)
    assert (conditions["adapter"], conditions["adapter_scale"]) == ("polite@0.5", 0.5)
    told = await replay(bench.running, process.pid, lambda share: None)
    assert told["identical"], told["difference"]
    assert bench.machine.table.get(told["replay"]).adapter == "polite@0.5"
    bench.machine.cores.local.adapters["polite"] = Adapter(tmp_path / "polite.gguf", 1.0, "another sum")
    with pytest.raises(Unavailable, match="adapter_sha256"):
        await replay(bench.running, process.pid, lambda share: None)


class Real:
    """What `use` and `tampered` need of a bench, on the real engine."""

    def __init__(self, running):
        self.running, self.machine, self.launcher, self.gate = (
            running, running.machine, running.launcher, running.gate,
        )  # fmt: skip

    def start(self, main):
        async def body(process):
            return await main(Sys(LocalPort(self.gate, process)))

        return self.machine.start(
            body, app="test", owner="me", rights=frozenset(RIGHTS), limits=Limits(), priority=Priority.NORMAL,
            output=Silent(),
        )  # fmt: skip


@pytest.mark.model
async def test_the_real_model_writes_the_same_tokens_again(home, load_engine, monkeypatch):
    async def main(sys):
        await sys.add("You answer in one sentence.", kind="system")
        one, two = await asyncio.gather(
            sys.generate("What is the sea?", max_tokens=40, keep=True),
            sys.generate("Name a colour.", max_tokens=40, temperature=0.8, use_context=False),
        )
        chosen = await sys.choose([" yes", " no"], one.text)
        return [two.text, chosen.option, (await sys.run("say hello", max_steps=2)).finish]

    engine = load_engine(streams=4)
    async with boot(home, engine=engine) as running:
        bench = Real(running)
        use(bench, main, monkeypatch)
        process = bench.start(main)
        await process.ended.wait()
        assert process.error is None
        told = await replay(running, process.pid, lambda share: None)
        assert told["identical"], told["difference"]
        assert told["tokens"] > 40
        assert told["scores"] == 2

        def other(reply):
            reply["scores"][0] *= 1 + 1e-15

        tampered(bench, process.pid, "choose", other)
        assert (await replay(running, process.pid, lambda share: None))["difference"]["call"] == "choose"
