from pathlib import Path

import pytest
from llmos.apps.system.prompt import ask, interact
from llmos.apps.system.shell import Shell
from llmos.kernel.errors import Interrupted
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

CTRL_C, CTRL_D, TAB = "\x03", "\x04", "\t"


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
