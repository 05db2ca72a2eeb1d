from pathlib import Path

import pytest
from llmos.apps.system.prompt import ask, interact
from llmos.apps.system.shell import Shell
from llmos.kernel.errors import Interrupted
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

CTRL_C, CTRL_D, CTRL_Z, TAB = "\x03", "\x04", "\x1a", "\t"


@pytest.fixture
def keys():
    with create_pipe_input() as typed, create_app_session(input=typed, output=DummyOutput()):
        yield typed


async def test_lines_history_and_leaving(keys, running, capsys):
    keys.send_text("echo hello\rcat nowhere\rexit\r")
    assert await interact(Shell(running)) == 2
    told = capsys.readouterr()
    assert "hello\n" in told.out
    assert "no file 'nowhere'" in told.err
    assert "+echo hello" in running.home.history.read_text()


async def test_ctrl_c_drops_the_line_and_ctrl_d_leaves(keys, running, capsys):
    keys.send_text(f"echo never{CTRL_C}echo once\r{CTRL_D}")
    await interact(Shell(running))
    told = capsys.readouterr().out
    assert "once" in told
    assert "never" not in told


async def test_tab_completes(keys, running, capsys):
    keys.send_text(f"ec{TAB} so\rpw{TAB}\rexit\r")
    await interact(Shell(running))
    told = capsys.readouterr().out
    assert "so\n" in told
    assert f"{Path.cwd()}\n" in told


async def test_jobs_under_way_are_ended_at_the_second_exit(keys, running, capsys):
    keys.send_text("slow &\rexit\recho still here\rexit\rexit\r")
    await interact(Shell(running))
    told = capsys.readouterr().out
    assert told.count("1 jobs are not done") == 2
    assert "still here" in told


async def test_questions(keys):
    keys.send_text("perhaps\ryes\r")
    assert await ask("well?", ["yes", "no"]) == "yes"
    keys.send_text("free words\r")
    assert await ask("and?", []) == "free words"
    for key in (CTRL_C, CTRL_D):
        keys.send_text(key)
        with pytest.raises(Interrupted):
            await ask("well?", [])


async def test_ctrl_z_at_the_prompt_does_nothing(keys, running, capsys):
    keys.send_text(f"echo a{CTRL_Z}b\rexit\r")
    await interact(Shell(running))
    assert "ab\n" in capsys.readouterr().out


async def test_what_is_pasted_runs_line_by_line(keys, running, capsys):
    keys.send_text("\x1b[200~echo one\necho 'two\nthree'\nexit 4\necho never\x1b[201~\r")
    assert await interact(Shell(running)) == 4
    told = capsys.readouterr().out
    assert "one\ntwo\nthree\n" in told
    assert "never" not in told


async def test_history_is_shown(keys, running, capsys):
    keys.send_text("echo one\recho two\rhistory 2\rexit\r")
    await interact(Shell(running))
    assert "echo two\nhistory 2\n" in capsys.readouterr().out
