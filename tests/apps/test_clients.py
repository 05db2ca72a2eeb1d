"""Several llmos on one home, each a program of its own: who holds it, who is a guest, and what becomes of whom."""

import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest
from llmos.apps.system.client import NotRunning, ask
from llmos.apps.system.home import Home
from llmos.apps.system.look import processes
from llmos.apps.system.main import run

pytestmark = pytest.mark.programs

MANIFEST = 'name = "clock"\nversion = "1"\nsummary = "tick"\nrights = ["human:ask"]\n'
APP = """
from typing import Annotated

from pydantic import BaseModel

from llmos.syscalls.api import App, Positional


class Clock(App):
    class Args(BaseModel):
        ticks: Annotated[int, Positional] = 3
        ask: bool = False

    async def main(self, sys, args) -> str:
        for tick in range(args.ticks):
            await sys.print(f"tick {tick}")
            await sys.sleep(0.05)
        if args.ask:
            return "you said " + await sys.ask("well?", choices=["yes", "no"])
        return "done"
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with an app that ticks."""
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "src" / "llmos_clock"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "app.py").write_text(APP)
    (folder / "manifest.toml").write_text(MANIFEST)
    assert run(["app", "install", "src", "--yes"]) == 0
    return Home(tmp_path / "home")


@pytest.fixture
def llmos(home):
    """Start a program; whatever is left of them after the test is killed."""
    begun = []

    def start(*words, **options):
        line = [sys.executable, "-m", "llmos.apps.system.main", *map(str, words)]
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        begun.append(subprocess.Popen(line, text=True, **options))
        return begun[-1]

    yield start
    for program in begun:
        program.kill()
        program.communicate()


def until(fits, seconds=30):
    limit = time.monotonic() + seconds
    while not (found := fits()):
        assert time.monotonic() < limit, "nothing happens"
        time.sleep(0.02)
    return found


def answers(home):
    try:
        return ask(home, "ping")
    except NotRunning:
        return None


@pytest.fixture
def holder(home, llmos):
    """A llmos that holds the home."""
    program = llmos("--model", "scripted", "serve")
    until(lambda: answers(home))
    return program


def living(home):
    return [row for row in processes(home) if row["state"] not in ("done", "suspended")]


def test_a_guest_works_in_the_holder(home, llmos, holder):
    guest = llmos("app", "run", "clock")
    out, err = guest.communicate(timeout=30)
    assert (guest.returncode, out, err) == (0, "tick 0\ntick 1\ntick 2\ndone\n", "")
    [row] = processes(home, everything=True)
    assert (row["app"], row["exit_code"]) == ("clock", 0)
    holder.send_signal(signal.SIGINT)
    assert holder.wait(30) == 130


@pytest.mark.parametrize("way", ["alone", "guest"])
def test_a_reader_that_goes_away(home, llmos, request, way):
    if way == "guest":
        request.getfixturevalue("holder")
    line = f"({sys.executable} -m llmos.apps.system.main --model scripted app run clock 10000; echo $? >&2) | head -1"
    ended = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.stdout, ended.stderr) == ("tick 0\n", "141\n")
    assert not living(home)


def test_a_guest_that_is_killed_takes_its_process_with_it(home, llmos, holder):
    guest = llmos("app", "run", "clock", 10_000)
    until(lambda: living(home))
    guest.kill()
    until(lambda: not living(home))
    [row] = processes(home, everything=True)
    assert row["exit_code"] == 137


@pytest.mark.parametrize(("signals", "code"), [((signal.SIGINT,), 130), ((signal.SIGTERM,), 143)])
def test_signals_at_a_guest(home, llmos, holder, signals, code):
    guest = llmos("app", "run", "clock", 10_000)
    until(lambda: living(home))
    assert guest.stdout.readline() == "tick 0\n"
    for number in signals:
        guest.send_signal(number)
    assert guest.wait(30) == code
    until(lambda: not living(home))


def test_a_holder_that_is_killed_and_a_guest_that_takes_over(home, llmos, holder):
    guest = llmos("app", "run", "clock", 10_000)
    assert guest.stdout.readline() == "tick 0\n"
    [row] = until(lambda: living(home))
    holder.kill()
    assert guest.wait(30) == 69
    assert "has ended" in guest.stderr.read()
    assert [left["state"] for left in processes(home)] == ["suspended"]
    after = llmos("--model", "scripted", "app", "run", "clock", 1)
    out, err = after.communicate(timeout=30)
    assert (after.returncode, out, err) == (0, "tick 0\ndone\n", "")
    assert home.holder() is None
    told = llmos("log", row["pid"], "--output").communicate(timeout=30)[0]
    assert told.startswith("tick 0\n")


def test_two_that_start_at_the_same_moment(home, llmos):
    both = [llmos("--model", "scripted", "app", "run", "clock", 5) for _ in range(3)]
    for program in both:
        out, err = program.communicate(timeout=60)
        assert (program.returncode, out.splitlines()[-1]) == (0, "done"), err
    rows = processes(home, everything=True)
    assert [row["exit_code"] for row in rows] == [0, 0, 0]
    assert len({row["pid"] for row in rows}) == 3


def test_detached_with_nobody_there(home, llmos):
    """A llmos begins in the background; questions wait for a terminal; it ends when nothing is left."""
    begun = llmos("--model", "scripted", "app", "run", "clock", 2, "--ask", "--detach", "--json")
    out, err = begun.communicate(timeout=60)
    pid = json.loads(out)["pid"]
    assert err == ""
    server = answers(home)["pid"]
    until(lambda: [row for row in living(home) if row["state"] == "waiting"])
    ours, theirs = pty.openpty()
    attached = llmos("attach", pid, stdin=theirs)
    os.close(theirs)
    os.write(ours, b"yes\n")
    out, err = attached.communicate(timeout=30)
    os.close(ours)
    assert (attached.returncode, out) == (0, "tick 0\ntick 1\nyou said yes\n")
    assert "well? [yes/no]" in err
    assert home.holder() == server
    until(lambda: home.holder() is None)
    out, _ = llmos("log", pid, "--output").communicate(timeout=30)
    assert out == "tick 0\ntick 1\nyou said yes\n"
    told = json.loads(llmos("log", pid, "--output", "--json").communicate(timeout=30)[0])
    assert told == {"output": "tick 0\ntick 1\n", "result": "you said yes", "error": None, "exit_code": 0}


def test_ctrl_c_leaves_what_one_only_looks_at(home, llmos, holder):
    guest = llmos("app", "run", "clock", 10_000, "--detach", "--json")
    pid = json.loads(guest.communicate(timeout=30)[0])["pid"]
    attached = llmos("attach", pid)
    assert attached.stdout.readline() == "tick 0\n"
    attached.send_signal(signal.SIGINT)
    assert attached.wait(30) == 0
    assert "goes on" in attached.stderr.read()
    assert [row["pid"] for row in living(home)] == [pid]
    holder.send_signal(signal.SIGTERM)
    assert holder.wait(30) == 143
    assert [row["state"] for row in processes(home)] == ["suspended"]  # what nobody waits for goes on another time


def test_what_an_ended_process_wrote(home, llmos):
    llmos("--model", "scripted", "app", "run", "clock", 1).communicate(timeout=30)
    [row] = processes(home, everything=True)
    for words in (("attach", row["pid"]), ("log", row["pid"], "--output")):
        ended = llmos(*words)
        assert ended.communicate(timeout=30) == ("tick 0\ndone\n", "")
        assert ended.returncode == 0
    assert llmos("attach", 77).communicate(timeout=30)[1].count("no process 77") == 1


def test_a_guest_shell(home, llmos, holder):
    shell = llmos(stdin=subprocess.PIPE)
    out, err = shell.communicate("clock 1 | cat\nps\nclock 1 &\nkill 99\necho $?\n", timeout=60)
    assert err.count("\n") == 1
    assert "no process 99" in err
    assert out.splitlines()[:2] == ["tick 0", "done"]
    assert out.count("tick 0") == 2
    assert shell.returncode == 0
    assert holder.poll() is None


def test_a_second_server_is_refused(home, llmos, holder):
    second = llmos("serve")
    assert second.wait(30) == 69
    assert f"process {holder.pid}" in second.stderr.read()


def test_another_model_is_refused(home, llmos, holder):
    guest = llmos("--model", "smollm2-135m", "app", "run", "clock")
    assert guest.wait(30) == 69
    told = guest.stderr.read()
    assert "--model smollm2-135m" in told
    assert "runs with scripted" in told


def test_an_app_that_is_installed_while_the_holder_runs(home, llmos, holder, tmp_path):
    llmos("app", "run", "clock", 1).communicate(timeout=30)  # the holder has looked
    text = (tmp_path / "src" / "llmos_clock" / "manifest.toml").read_text()
    (tmp_path / "src" / "llmos_clock" / "manifest.toml").write_text(text.replace('"clock"', '"watch"'))
    assert run(["app", "install", "src", "--yes"]) == 0
    assert llmos("app", "run", "watch", 1).communicate(timeout=30) == ("tick 0\ndone\n", "")
