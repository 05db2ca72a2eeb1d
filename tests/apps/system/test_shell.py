import asyncio

import pytest
from llmos.apps.system.shell import Shell
from llmos.kernel.process import Signal, State


@pytest.fixture
async def shell(running, tmp_path, monkeypatch):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "a.txt").write_text("one two three")
    (folder / "b.txt").write_text("four five")
    monkeypatch.chdir(folder)
    yield Shell(running)
    for process in running.machine.table.living():  # the conversation waits for the next line
        await running.machine.signal(process.pid, Signal.KILL)


@pytest.fixture
def say(shell, capsys):
    async def said(*lines):
        capsys.readouterr()
        for line in lines:
            await shell.line(line)
        told = capsys.readouterr()
        return told.out, told.err

    return said


async def until(fits):
    async with asyncio.timeout(5):
        while not fits():
            await asyncio.sleep(0)


async def test_apps_and_commands_in_one_pipeline(say):
    assert await say("cat a.txt | echo_ --upper | cat") == ("ONE TWO THREE\n", "")


async def test_files_are_read_and_written(say, tmp_path):
    assert await say("echo_ < a.txt > out.txt", "cat b.txt >> out.txt", "cat out.txt") == (
        "one two three\nfour five", "",
    )  # fmt: skip


async def test_a_failed_line_leaves_its_exit_code(say, shell):
    out, err = await say("cat nowhere", "echo $?", "echo $?")
    assert out == "2\n0\n"
    assert err.count("\n") == 1
    assert "no file 'nowhere'" in err


async def test_a_failing_stage_ends_the_line(say, shell, tmp_path):
    out, err = await say("broken | cat > out.txt")
    assert shell.jobs.status == 70
    assert (out, err.count("\n")) == ("", 1)
    assert "no luck at all" in err
    assert not (tmp_path / "work" / "out.txt").exists()


async def test_one_process_for_each_input(say, running):
    assert await say("count *.txt") == ("one: 3\nfour: 2\n", "")
    assert [process.args for process in running.machine.table] == [
        {"files": ["in/a.txt"]}, {"files": ["in/b.txt"]},
    ]  # fmt: skip


async def test_json_is_one_object_a_line(say):
    assert await say("count --json a.txt b.txt") == (
        '{"words": "one", "count": 3}\n{"words": "four", "count": 2}\n', "",
    )  # fmt: skip


async def test_plain_language_goes_to_the_model(say, shell):
    assert await say("what isn't a dog?") == ("1 what isn't a dog?\n", "")
    assert await say("? echo is a nymph") == ("2 echo is a nymph\n", "")
    assert await say("it remembers", "and begins anew") == ("3 it remembers\n1 and begins anew\n", "")


async def test_the_conversation_asks_back(shell, say):
    async def human(question, choices):
        assert (question, choices) == ("Allow?", ["yes", "no"])
        return "yes"

    shell.ask = human
    assert await say("may I?") == ("1 yes\n", "")
    assert await say("ask me", "a mouse") == ("What is it?\n2 a mouse\n", "")


async def test_a_stopped_conversation_says_so(shell, say, running):
    await say("hello there")
    [process] = running.machine.table
    await say(f"kill -STOP {process.pid}")
    out, err = await say("are you there?")
    assert out == ""
    assert "the conversation is stopped" in err


async def test_a_slip_of_the_pen_does_not_go_to_the_model(say):
    out, err = await say("cuont a.txt")
    assert out == ""
    assert "did you mean count?" in err


async def test_arguments_are_checked_in_one_line(say, shell):
    _, err = await say("count --lines a.txt")
    assert "--lines" in err
    assert err.count("\n") == 1
    assert shell.jobs.status == 2


async def test_interrupting_the_foreground(shell, running, capsys):
    line = asyncio.ensure_future(shell.line("slow"))
    await until(lambda: running.machine.table.living() and shell._front)
    await until(lambda: "begun" in shell._front.output.text)
    shell._to_front(shell.jobs.interrupt)
    await line
    assert shell.jobs.status == 130
    assert not running.machine.table.living()
    assert capsys.readouterr().err == "interrupted\n"


async def test_stopping_and_going_on(shell, running, capsys):
    line = asyncio.ensure_future(shell.line("slow"))
    await until(lambda: shell._front and "begun" in shell._front.output.text)
    shell._to_front(shell.jobs.stop)
    await line
    [process] = running.machine.table
    assert process.state is State.STOPPED
    assert "[1] stopped  slow" in capsys.readouterr().out
    await shell.line("jobs")
    assert "stopped  slow" in capsys.readouterr().out
    line = asyncio.ensure_future(shell.line("fg"))
    await until(lambda: process.state is not State.STOPPED and shell._front and shell._front.processes)
    shell._to_front(shell.jobs.interrupt)
    await line
    assert not process.alive
    assert not shell.jobs.listed()


async def test_a_job_in_the_background(shell, say, running, capsys):
    out, _ = await say("echo_ hello &", "jobs")
    assert "[1]" in out
    assert "running  echo_ hello" in out
    await until(lambda: not shell.jobs.listed())
    assert capsys.readouterr().out == "[1] done  echo_ hello\nhello\n"


async def test_killing_a_job(shell, say, running):
    await say("slow &")
    await until(lambda: running.machine.table.living())
    [job] = shell.jobs.listed()
    await say("kill -KILL %1")
    await until(lambda: not shell.jobs.listed())
    assert job.task.result() == 137
    assert shell.jobs.status == 0


async def test_killing_a_process_and_what_is_none(shell, say, running):
    await say("slow &")
    await until(lambda: running.machine.table.living())
    [process] = running.machine.table
    await say(f"kill {process.pid}")
    await until(lambda: not shell.jobs.listed())
    assert process.exit_code == 143
    _, err = await say(f"kill {process.pid}", "kill 999", "kill -STUN 1", "kill me", "fg 9")
    assert [line.split(" (")[0] for line in err.splitlines()] == [
        f"llmos: process {process.pid} has ended", "llmos: no process 999", "llmos: no signal 'STUN'",
        "llmos: a pid is wanted", "llmos: no job '9'",
    ]  # fmt: skip


async def test_questions_go_to_the_human(shell, say):
    async def human(question, choices):
        assert (question, choices) == ("well?", ["yes", "no"])
        return "no"

    _, err = await say("curious")
    assert "nobody is there" in err
    shell.ask = human
    assert await say("curious") == ("you said no\n", "")


async def test_a_question_from_the_background_waits_for_the_front(shell, say, running):
    asked = asyncio.Event()

    async def human(question, choices):
        asked.set()
        return "yes"

    shell.ask = human
    await say("curious &")
    await until(lambda: [p for p in running.machine.table if p.state is State.WAITING])
    assert not asked.is_set()
    await say("fg")
    assert asked.is_set()


async def test_help_teaches(say, shell):
    out, _ = await say("help")
    for part in ("echo_", "count", "jobs", "pipes", "fg"):
        assert part in out
    assert "Ctrl-Z stops it" in (await say("help jobs"))[0]
    assert "loudly" in (await say("help echo_"))[0]
    assert "did you mean help pipes" in (await say("help pipse"))[1]


async def test_looking_at_processes(say, shell):
    out, _ = await say("echo_ hi", "ps", "ps -a", "log 1")
    assert "generate" in out
    assert '"prompt": "hi"' in " ".join(out.split())


async def test_where_one_is(say, tmp_path):
    (tmp_path / "work" / "inner").mkdir()
    assert await say("ls", "cd inner", "pwd") == (f"a.txt\nb.txt\ninner/\n{tmp_path}/work/inner\n", "")
    assert "no folder 'nowhere'" in (await say("cd nowhere"))[1]
    assert "no file or folder 'x'" in (await say("ls x"))[1]


async def test_exit_ends(shell):
    assert await shell.line("exit") is False
    assert await shell.line("# nothing") is True


async def test_settling_ends_what_is_stopped(shell, running):
    line = asyncio.ensure_future(shell.line("slow"))
    await until(lambda: shell._front and "begun" in shell._front.output.text)
    shell._to_front(shell.jobs.stop)
    await line
    await shell.settle()
    await until(lambda: not running.machine.table.living())


async def test_what_a_line_is_turned_to_keeps_its_kind(say, tmp_path):
    (tmp_path / "link").symlink_to("work/a.txt")
    await say("echo new > ../link", "echo gone > /dev/null")
    assert (tmp_path / "link").is_symlink()
    assert await say("cat a.txt") == ("new\n", "")
    assert "(no/x.txt)" in (await say("echo x > no/x.txt"))[1]


async def test_an_answer_is_not_lost_to_a_second_line(shell, say, capsys):
    line = asyncio.ensure_future(shell.line("go slowly"))
    await until(lambda: shell._front and "slow" in shell._front.output.text)
    shell._to_front(shell.jobs.stop)
    await line
    assert "the conversation is stopped" in (await say("are you there?"))[1]
    assert await say("fg") == ("go slowly\n1 go slowly\n", "")


async def test_two_answers_do_not_mix(shell, say):
    line = asyncio.ensure_future(shell.line("go slowly"))
    await until(lambda: shell._front and "slow" in shell._front.output.text)
    shell._to_front(shell.jobs.stop)
    await line
    await say("bg")
    assert "still answering" in (await say("are you there?"))[1]
    await until(lambda: not shell.jobs.listed())


async def test_an_interrupted_answer_does_not_end_the_conversation(shell, say, running):
    line = asyncio.ensure_future(shell.line("go slowly"))
    await until(lambda: [process for process in running.machine.table if process.state is State.RUNNING])
    shell._to_front(shell.jobs.interrupt)
    await line
    assert shell.jobs.status == 130
    assert await say("and now?") == ("2 and now?\n", "")
    assert len(running.machine.table.living()) == 1


async def test_files_of_the_folder_that_a_line_names_are_handed_in(say, running):
    assert await say("what is in a.txt?") == ("1 what is in a.txt?\n", "")
    [process] = running.machine.table
    assert process.files.read("in/a.txt") == "one two three"
    await say("and what other files are there?")
    assert [entry.path for entry in process.files.listing()] == ["in/a.txt", "in/b.txt"]


async def test_a_new_conversation(shell, say, running):
    assert await say("new") == ("there was none yet\n", "")
    assert await say("hello", "new", "hello") == ("1 hello\na new conversation\n1 hello\n", "")
    assert "new takes nothing" in (await say("new ideas for dinner"))[1]


async def test_exit_with_a_code(shell, say):
    assert await shell.line("exit 3") is False
    assert shell.jobs.status == 3
    assert await shell.line("quit") is False
    assert "exit takes a number" in (await say("exit this way"))[1]


async def test_several_are_killed_at_once(shell, say, running):
    await say("slow &", "slow &", "slow &")
    await until(lambda: len(running.machine.table.living()) == 3)
    first, second, third = (process.pid for process in running.machine.table)
    _, err = await say(f"kill -9 {first} 999 {second} %3")
    assert err == "llmos: no process 999 (llmos ps --all lists them)\n"
    await until(lambda: not shell.jobs.listed())
    assert [process.exit_code for process in running.machine.table] == [137, 137, 137]
    assert third


async def test_how_a_job_in_the_background_ended(shell, say, capsys):
    told, _ = await say("slow &", "broken &")
    await until(lambda: len(shell.jobs.listed()) == 1)
    assert "[2] exit 70  broken\n" in capsys.readouterr().out
    await say("kill %1")
    await until(lambda: not shell.jobs.listed())
    told = capsys.readouterr()
    assert "[1] ended by TERM  slow\n" in told.out
    assert told.err == ""


async def test_a_job_that_asks_says_so(shell, say, running, capsys):
    async def human(question, choices):
        return "yes"

    shell.ask = human
    await say("curious &")
    [job] = shell.jobs.listed()
    await until(lambda: job.asks)
    assert "[1] asks you: fg 1  curious\n" in capsys.readouterr().out
    assert "asks you: fg 1" in (await say("jobs"))[0]
    assert await say("fg") == ("curious\nyou said yes\n", "")


async def test_no_line_steers_the_terminal(say, shell, capsys):
    await say("slow \x1b[31m &", "echo_ '\x1b[31m' &")
    await until(lambda: not shell.jobs.listed())
    assert "\x1b" not in capsys.readouterr().out.replace("\x1b[31m\n", "")  # what an app says into a pipe stays


async def test_progress_is_told_on_a_terminal(shell, monkeypatch):
    told = []
    monkeypatch.setattr(shell._screen, "tell", told.append)
    monkeypatch.setattr("llmos.apps.system.shell.TELL_EVERY", 0.001)
    line = asyncio.ensure_future(shell.line("working"))
    await until(lambda: [line for line in told if line.startswith("working · halfway 50% · ")])
    await shell.jobs.end(shell._front)
    await line


async def test_ls_tells_more_when_asked(say, tmp_path):
    (tmp_path / "work" / ".hidden").touch()
    assert await say("ls -a") == (".hidden\na.txt\nb.txt\n", "")
    out, _ = await say("ls -l a.txt")
    assert out.split()[0] == "13"
    assert out.endswith("  a.txt\n")
    assert "-l shows size" in (await say("ls -x"))[1]


async def test_files_that_are_none_hint_at_plain_language(say):
    assert "? before the line asks the model" in (await say("count a.txt for me please"))[1]
    assert "? before the line" not in (await say("count nowhere.txt"))[1]


async def test_a_program_in_the_sandbox(say, shell):
    out, err = await say("cat a.txt | exec -- cat | cat", "exec -- sh -c 'echo no >&2; exit 3'", "echo $?")
    assert (out, err) == ("one two three3\n", "no\n")
    assert "no program named" in (await say("exec"))[1]
    assert "exec takes no --net" in (await say("exec --net -- ls"))[1]
    assert "--timeout: 'x' is no time" in (await say("exec --timeout x -- ls"))[1]
    assert "--file: no file 'nowhere'" in (await say("exec --file=nowhere -- ls"))[1]


async def test_top_shows_a_table_where_no_terminal_is(say):
    assert "pid" in (await say("top"))[0]
