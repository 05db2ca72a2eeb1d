"""What an earlier llmos left alive, as users meet it: the shell goes on with it, so does `resume`, and checkpoints."""

import json
import os
import subprocess
import sys
import time

import pytest
from llmos.apps.system.look import processes

pytestmark = pytest.mark.programs

LLMOS = [sys.executable, "-m", "llmos.apps.system.main", "--model", "scripted"]


@pytest.fixture
def environment(home):
    return {**os.environ, "LLMOS_HOME": str(home.root)}


@pytest.fixture
def llmos(environment):
    """``llmos("ps")``: a command line carried out; its standard output. ``code`` is what it must end with."""

    def carried_out(*words, code=0, **more):
        done = subprocess.run(
            [*LLMOS, *words], env=environment, capture_output=True, text=True, timeout=60, check=False, **more
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return carried_out


@pytest.fixture
def killed(environment, home):
    """A home on which a shell was killed while its conversation waited for the next line."""
    shell = subprocess.Popen(LLMOS, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        shell.stdin.write("I am told that larks sing\n")
        shell.stdin.flush()
        assert "larks sing" in shell.stdout.readline()
        limit = time.monotonic() + 20
        while [row["state"] for row in processes(home)] != ["waiting"] and time.monotonic() < limit:
            time.sleep(0.05)
    finally:
        shell.kill()
        shell.wait()
        shell.stdin.close()
        shell.stdout.close()
    return home


def test_the_shell_goes_on_with_the_conversation(killed, llmos):
    (row,) = [json.loads(line) for line in llmos("ps", "--json").splitlines()]
    assert (row["pid"], row["app"], row["state"]) == (1, "chat", "suspended")
    assert row["tokens_out"] > 0
    assert "and owls fly" in llmos(input="and owls fly at night\n")
    entries = [json.loads(line) for line in llmos("log", "1", "--json").splitlines()]
    assert [e["reply"]["answer"] for e in entries if e["call"] == "ask" and e["ok"]] == [
        "I am told that larks sing", "and owls fly at night",
    ]  # fmt: skip
    assert llmos("ps", "--json") == ""  # it ended with the shell


def test_a_suspended_process_can_be_ended(killed, llmos, capfd, monkeypatch):
    assert "llmos resume" in llmos("kill", "1", "-s", "STOP", code=69)
    llmos("kill", "1")
    assert llmos("ps", "--json") == ""
    assert [json.loads(line)["exit_code"] for line in llmos("ps", "-a", "--json").splitlines()] == [143]
    assert "has ended" in llmos("kill", "1", code=2)


def test_a_checkpoint_goes_on_in_another_home(killed, llmos, tmp_path):
    file = tmp_path / "talk.llmos"
    llmos("app", "run", "chat", "somebody else's process")  # so that pid 2 is taken there
    told = json.loads(llmos("checkpoint", "1", str(file), "--end", "--json"))
    assert told["pids"] == [1]
    assert llmos("ps", "--json") == ""
    assert "is there already" in llmos("checkpoint", "1", str(file), code=2)
    other = ["--home", str(tmp_path / "other")]
    llmos(*other, "app", "run", "chat", "hello")
    there = json.loads(llmos(*other, "restore", str(file), "--json"))
    assert there == {"pid": 2, "pids": {"1": 2}}
    assert "one more line" in llmos(*other, input="one more line\n")
    entries = [json.loads(line) for line in llmos(*other, "log", "2", "--json").splitlines()]
    assert sum(e["call"] == "ask" and bool(e["ok"]) for e in entries) == 2


def test_what_cannot_be_restored(llmos, tmp_path, home):
    assert "no such file" in llmos("restore", str(tmp_path / "none"), code=2)
    (tmp_path / "text").write_text("no checkpoint")
    assert "no sound checkpoint" in llmos("restore", str(tmp_path / "text"), code=74)
    assert "does not live" in llmos("checkpoint", "7", str(tmp_path / "c"), code=2)
    assert "7 is not suspended" in llmos("resume", "7", code=2)


def test_resume_waits_for_what_goes_on(environment, home, llmos, tmp_path):
    folder = tmp_path / "patient"
    folder.mkdir()
    (folder / "manifest.toml").write_text('name = "patient"\nversion = "1"\nsummary = "wait"\nrights = []\n')
    (folder / "app.py").write_text(
        "from llmos.syscalls.api import App\n\n\nclass Patient(App):\n    async def main(self, sys, args):\n"
        "        await sys.print('before')\n        await sys.sleep(3)\n        return 'after'\n"
    )
    llmos("app", "install", "--link", "--yes", str(folder))
    working = subprocess.Popen([*LLMOS, "app", "run", "patient"], env=environment, stdout=subprocess.PIPE, text=True)
    assert working.stdout.readline() == "before\n"
    working.kill()
    working.wait()
    working.stdout.close()
    assert "1 patient" in llmos("resume")
    (row,) = [json.loads(line) for line in llmos("ps", "-a", "--json").splitlines()]
    assert row["exit_code"] == 0
    entries = [json.loads(line)["call"] for line in llmos("log", "1", "--json").splitlines()]
    assert [call for call in entries if not call.startswith("!")] == ["print", "sleep"]
