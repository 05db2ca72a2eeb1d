"""The command line and the shell while another llmos holds the home: it does the work, and all looks the same."""

import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from llmos.apps.system import hosting
from llmos.apps.system.arguments import Given, parse
from llmos.apps.system.boot import boot
from llmos.apps.system.channel import AHEAD
from llmos.apps.system.control import serve
from llmos.apps.system.demo import Job, run_demo
from llmos.apps.system.describe import description_of
from llmos.apps.system.guest import Guest, guest
from llmos.apps.system.options import Options
from llmos.apps.system.output import AppOutput
from llmos.apps.system.registry import Registry
from llmos.apps.system.run import run_app
from llmos.apps.system.session import session
from llmos.apps.system.shell import Shell
from llmos.kernel.errors import BadInput, Denied, NotFound, Unavailable
from llmos.kernel.process import State
from llmos.models.scripted import ScriptedEngine


@pytest.fixture
def options(home, apps, monkeypatch):
    monkeypatch.setattr(Registry, "_found", (apps, {}))
    return Options(home_folder=home.root)


@pytest.fixture
async def holder(running):
    async with serve(running):
        yield running


@pytest.fixture
async def seat(options, holder):
    async with guest(options) as seat:
        yield seat


async def until(fits):
    async with asyncio.timeout(5):
        while not fits():
            await asyncio.sleep(0.001)


@pytest.fixture(params=["alone", "guest"])
async def ways(request, options, home):
    """The same options on a home that nobody holds, or that another llmos holds."""
    async with AsyncExitStack() as stack:
        if request.param == "guest":
            running = await stack.enter_async_context(boot(home, engine=ScriptedEngine()))
            await stack.enter_async_context(serve(running))
        else:
            options.model = "scripted"
        yield options


@pytest.fixture
def run(ways, apps, tmp_path, monkeypatch, capsys):
    """``await run("count", "a.txt")``: exit code, standard output, standard error."""
    (tmp_path / "a.txt").write_text("one two three")
    (tmp_path / "b.txt").write_text("four five")
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115

    async def called(name, *words):
        given = parse(description_of(apps[name]), words, program=name, folder=tmp_path)
        capsys.readouterr()
        code = await run_app(ways, apps[name], given)
        told = capsys.readouterr()
        return code, told.out, told.err

    return called


# -- the same as alone --


async def test_an_answer(run):
    assert await run("echo_", "hello", "--upper") == (0, "HELLO\n", "")


async def test_files_are_handed_in_and_the_app_shows_its_result(run):
    assert await run("count", "a.txt") == (0, "one: 3\n", "")


async def test_one_process_for_each_input(run):
    assert await run("count", "a.txt", "b.txt") == (0, "a.txt\none: 3\n\nb.txt\nfour: 2\n\n", "")


async def test_json(run):
    assert await run("count", "a.txt", "--json") == (0, '{"words": "one", "count": 3}\n', "")
    assert await run("echo_", "x", "--json") == (0, '{"result": "x"}\n', "")


async def test_an_app_that_fails(run):
    code, out, err = await run("broken")
    assert (code, out) == (70, "")
    assert "no luck at all" in err
    code, out, _ = await run("broken", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (70, "app_failed")


async def test_a_question_that_nobody_is_there_to_answer(run):
    code, _, err = await run("curious")
    assert code == 77
    assert "nobody is there to answer 'well?'" in err


async def test_ctrl_c_is_int(run, apps, monkeypatch):
    begun, seats = asyncio.Event(), []

    @asynccontextmanager
    async def noted(options):
        async with session(options) as seat:
            seats.append(seat)
            yield seat

    async def main(self, sys, args):
        await sys.print("begun")
        begun.set()
        while True:
            await sys.generate("a" * 200, max_tokens=200)

    monkeypatch.setattr(sys.modules[f"{apps['slow'].package}.app"].App, "main", main)
    monkeypatch.setattr("llmos.apps.system.run.session", noted)
    running = asyncio.ensure_future(run("slow"))
    await begun.wait()
    await until(lambda: seats[0].living())
    os.kill(os.getpid(), signal.SIGINT)
    code, out, err = await running
    assert (code, out.splitlines()) == (130, ["begun"])
    assert "interrupted" in err


async def test_what_is_piped_in(run, apps, monkeypatch, tmp_path):
    long = "word " * 30_000
    (tmp_path / "in.txt").write_text(long)
    monkeypatch.setattr(sys, "stdin", (tmp_path / "in.txt").open())
    code, out, _ = await run("input_")
    assert (code, out) == (0, f"{len(long)}\n")


async def test_owner_and_priority(run, ways):
    await run("echo_", "x", "--owner", "bob", "--priority", "batch")
    async with session(ways) as seat:
        process = await seat.start("slow", Given(owner="bob", priority="batch"), AppOutput())
        [row] = [row for row in await seat.rows() if row["pid"] == process.pid]
        assert (row["owner"], row["priority"]) == ("bob", "batch")
        await seat.signal(process.pid, "KILL")


async def test_the_demo(ways, apps, monkeypatch, capsys, tmp_path):
    (tmp_path / "shop" / "articles").mkdir(parents=True)
    (tmp_path / "a.txt").write_text("one two three")
    monkeypatch.setattr(
        "llmos.apps.system.demo.jobs",
        lambda: [Job("echo_", ("hello",), "ann", "a greeting"), Job("count", ("a.txt",), "bob", "a count")],
    )
    assert await run_demo(ways, tmp_path) == 0
    told = capsys.readouterr().out
    assert "echo_ a greeting\nhello\n" in told
    assert "count a count\none: 3\n" in told
    table = told[told.index("pid ") :].splitlines()
    assert [row.split()[1:4] for row in table[1:3]] == [["echo_", "ann", "done"], ["count", "bob", "done"]]


@pytest.fixture
async def say(ways, tmp_path, monkeypatch, capsys):
    """``await say("cat a.txt | echo_")`` in a shell: standard output, standard error."""
    (tmp_path / "a.txt").write_text("one two three")
    monkeypatch.chdir(tmp_path)
    async with session(ways) as seat:
        shell = Shell(seat)

        async def said(*lines):
            capsys.readouterr()
            for line in lines:
                await shell.line(line)
            told = capsys.readouterr()
            return told.out, told.err

        said.shell = shell
        yield said
        await shell.jobs.talk.end()


async def test_a_shell(say):
    assert await say("cat a.txt | echo_ --upper | cat") == ("ONE TWO THREE\n", "")
    assert await say("count a.txt") == ("one: 3\n", "")
    assert await say("what isn't a dog?") == ("1 what isn't a dog?\n", "")
    assert await say("? and then") == ("2 and then\n", "")
    out, _ = await say("ps -a")
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["echo_", "count", "chat"]
    out, _ = await say(f"log {out.splitlines()[1].split()[0]}")
    assert "generate" in out
    assert "no process 77" in (await say("kill 77"))[1]


async def test_jobs_of_a_shell(say):
    await say("slow &")
    shell = say.shell
    await until(lambda: shell.jobs.listed()[0].processes)
    assert "slow" in (await say("jobs"))[0]
    await say("kill %1")
    await until(lambda: not shell.jobs.listed())


# -- what only a guest has --


async def test_words_come_while_the_process_works(seat, holder):
    output = AppOutput()
    process = await seat.start("slow", Given(), output)
    await until(lambda: "begun" in output.text)
    assert process.alive
    await seat.signal(process.pid, "KILL")
    await process.ended.wait()
    assert (process.exit_code, process.error.code) == (137, "terminated")


async def test_progress_comes(seat):
    told = []
    output = AppOutput(on_progress=lambda share, what: told.append((share, what)))
    process = await seat.start("working", Given(), output)
    await until(lambda: told)
    assert told == [(0.5, "halfway")]
    await seat.signal(process.pid, "KILL")


async def test_questions_are_asked_where_the_process_was_started(seat):
    async def ask(question, choices):
        return choices[1]

    process = await seat.start("curious", Given(), AppOutput(ask))
    await process.ended.wait()
    assert process.result == "you said no"


async def test_a_question_that_is_refused(seat):
    async def ask(question, choices):
        raise Denied("not today")

    process = await seat.start("curious", Given(), AppOutput(ask))
    await process.ended.wait()
    assert (process.exit_code, process.error.message) == (77, "not today")


async def test_a_process_ends_when_its_terminal_goes(options, holder):
    async with guest(options) as seat:
        await seat.start("slow", Given(), AppOutput())
        [process] = holder.machine.table.living()
    await until(lambda: not process.alive)
    assert process.exit_code == 137


async def test_one_that_is_detached_goes_on_and_can_be_listened_to(options, holder):
    async with guest(options) as seat:
        started = await seat.start("curious", Given(), AppOutput(), detach=True)
        assert not started.alive
    [process] = holder.machine.table.living()
    await until(lambda: process.state is State.WAITING)
    async with guest(options) as seat:

        async def ask(question, choices):
            return "yes"

        there = await seat.attach(process.pid, AppOutput(ask))
        await there.ended.wait()
    assert (there.exit_code, there.result) == (0, "you said yes")


async def test_listening_begins_with_what_was_written(seat, holder, options):
    first, second = AppOutput(), AppOutput()
    process = await seat.start("slow", Given(), first)
    await until(lambda: "begun" in first.text)
    async with guest(options) as other:
        there = await other.attach(process.pid, second)
        await until(lambda: "begun" in second.text)
    assert process.alive  # whoever only listens may go
    await seat.signal(process.pid, "KILL")
    await there.ended.wait()
    with pytest.raises(BadInput, match="has ended"):
        await seat.attach(process.pid, AppOutput())
    with pytest.raises(NotFound):
        await seat.attach(9999, AppOutput())


async def test_arguments_that_do_not_fit_and_apps_that_are_not_there(seat):
    with pytest.raises(BadInput, match="text"):
        await seat.start("echo_", Given({"text": 1}), AppOutput())
    with pytest.raises(NotFound, match="no app 'nothing'"):
        await seat.start("nothing", Given(), AppOutput())
    process = await seat.start("echo_", Given({"text": "still here"}), AppOutput())
    await process.ended.wait()
    assert process.result == "still here"


async def test_the_holder_ends(options, home, running):
    async with serve(running):
        terminal = guest(options)
        seat = await terminal.__aenter__()
        process = await seat.start("slow", Given(), AppOutput())
    await process.ended.wait()
    assert (process.exit_code, process.error.code) == (69, "unavailable")
    assert "has ended" in process.error.message
    with pytest.raises(Unavailable):
        await seat.start("echo_", Given(), AppOutput())
    await terminal.__aexit__(None, None, None)


async def test_a_terminal_that_does_not_read_holds_up_its_process_and_nobody_else(holder, options):
    reader, writer = await asyncio.open_unix_connection(str(holder.home.run / "control"), limit=1024)
    writer.write(b'{"id": 1, "call": "run", "app": "chatty", "args": {}, "owner": "ann"}\n{"id": 1, "stdin": ""}\n')
    await reader.readline()
    [process] = holder.machine.table.living()
    channel = process.output
    await until(lambda: channel.gone + len(channel.kept) > AHEAD)
    written = channel.gone + len(channel.kept)
    async with guest(options) as seat:  # others are served meanwhile
        other = await seat.start("echo_", Given({"text": "hello"}), AppOutput())
        await other.ended.wait()
        assert other.result == "hello"
    assert process.alive
    assert channel.gone + len(channel.kept) <= written + 2 * AHEAD
    writer.close()
    await until(lambda: not process.alive)


async def test_what_a_slow_listener_misses_is_said(seat, holder, monkeypatch):
    monkeypatch.setattr("llmos.apps.system.channel.KEPT", 10)
    process = holder.launcher.launch("slow", {}, owner="ann", output=AppOutput())
    process.output.write("0123456789" * 3)
    output = AppOutput()
    await seat.attach(process.pid, output)
    await until(lambda: output.text)
    assert output.text.startswith("\n[20 characters are not shown]\n0123456789")
    await seat.signal(process.pid, "KILL")


async def test_more_than_is_taken_is_refused(seat, monkeypatch):
    monkeypatch.setattr(hosting, "MOST", 100)
    with pytest.raises(Exception, match="piped in"):
        await seat.start("echo_", Given(), AppOutput(), stdin="x" * 101)


async def test_ctrl_c_at_the_holder_leaves_the_guests_alone(holder, seat):
    mine = await holder.start("slow", Given(), AppOutput())
    theirs = await seat.start("slow", Given(), AppOutput())
    assert [process.pid for process in holder.living()] == [mine.pid]
    assert [process.pid for process in seat.living()] == [theirs.pid]
    await holder.signal(mine.pid, "KILL")
    await seat.signal(theirs.pid, "KILL")


@pytest.mark.parametrize(
    ("field", "value"), [("model", "smollm2-135m"), ("window", 512), ("streams", 3), ("way", "fast")]
)
async def test_another_model_than_the_one_that_runs(options, holder, field, value):
    setattr(options, field, value)
    with pytest.raises(Unavailable, match=f"--{field}.*runs with"):
        async with session(options):
            pass


async def test_the_same_model_by_name(options, holder):
    options.model, options.streams = "scripted", 4
    async with session(options) as seat:
        assert isinstance(seat, Guest)


async def test_a_holder_waits_for_its_guests(options, capsys):
    options.model = "scripted"
    async with session(options):
        terminal = guest(options)
        seat = await terminal.__aenter__()
        process = await seat.start("echo_", Given({"text": "a" * 300}), AppOutput())
        assert process.alive
    assert (process.exit_code, process.result) == (0, "a" * 300)
    assert "processes of other terminals" in capsys.readouterr().err
    await terminal.__aexit__(None, None, None)


async def test_two_that_begin_at_the_same_moment(options):
    """One becomes the holder, whichever that is; the other its guest."""
    options.model = "scripted"
    seats, both = [], asyncio.Event()

    async def begin():
        async with session(options) as seat:
            seats.append(seat)
            process = await seat.start("echo_", Given({"text": "hi"}), AppOutput())
            await process.ended.wait()
            if len(seats) == 2:
                both.set()
            await both.wait()

    async with asyncio.timeout(20):
        await asyncio.gather(begin(), begin())
    assert sorted(type(seat).__name__ for seat in seats) == ["Guest", "Running"]


async def never(question, choices):
    await asyncio.Event().wait()


async def test_suspended_processes_go_on_for_a_guest(seat, holder):
    async def ask(question, choices):
        return "yes"

    process = holder.launcher.launch("curious", {}, owner="ann", output=AppOutput(never))
    await until(lambda: process.calls)
    await holder.machine.suspend(process)
    assert [record.pid for record in await seat.suspended()] == [process.pid]
    with pytest.raises(NotFound, match="not suspended"):
        await seat.resume(lambda _: AppOutput(), [77])
    [back] = await seat.resume(lambda _: AppOutput(ask))
    await back.ended.wait()
    assert (back.pid, back.result) == (process.pid, "you said yes")


async def test_it_is_suspended_again_when_its_terminal_goes(options, holder):
    process = holder.launcher.launch("curious", {}, owner="ann", output=AppOutput(never))
    await until(lambda: process.calls)
    await holder.machine.suspend(process)
    async with guest(options) as seat:
        await seat.resume(lambda _: AppOutput(never))
        assert [one.pid for one in holder.machine.table.living()] == [process.pid]
    await until(lambda: not holder.machine.table.living())
    assert [record.pid for record in await holder.suspended()] == [process.pid]
