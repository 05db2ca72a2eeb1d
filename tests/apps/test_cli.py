"""The command line as a user meets it: what is printed where, exit codes, and one line for every error."""

import json
import os
import resource
import subprocess
import sys

import pytest
from llmos.apps.system.home import Home, HomeLock
from llmos.apps.system.main import run

MANIFEST = 'name = "{name}"\nversion = "1"\nsummary = "count words"\nrights = ["files:read"]\neach = "files"\n'
APP = """
from typing import Annotated

from pydantic import BaseModel, Field

from llmos.syscalls.api import App, BadInput, HandedIn, Positional


class Result(BaseModel):
    file: str
    words: int


class Count(App):
    class Args(BaseModel):
        files: Annotated[list[HandedIn], Positional] = Field(min_length=1, description="texts to count")
        most: int = Field(100, ge=1, json_schema_extra={"short": "m"})

    async def main(self, sys, args) -> Result:
        [file] = args.files
        if file.endswith("bad.txt"):
            raise BadInput("no good")
        return Result(file=file, words=min(len((await sys.read(file)).split()), args.most))

    def show(self, result):
        return f"{result.words} words"
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115
    return Home(tmp_path / "home")


@pytest.fixture
def llmos(home, capfd):
    """Run a command line in this program: (exit code, standard output, standard error)."""

    def call(*words):
        capfd.readouterr()
        code = run([str(word) for word in words])
        told = capfd.readouterr()
        return code, told.out, told.err

    return call


@pytest.fixture
def count(llmos, tmp_path):
    """An installed app that comes from outside, and two files."""
    folder = tmp_path / "src" / "llmos_count"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "app.py").write_text(APP)
    (folder / "manifest.toml").write_text(MANIFEST.format(name="count"))
    assert llmos("app", "install", "src", "--yes")[0] == 0
    (tmp_path / "a.txt").write_text("one two three")
    (tmp_path / "b.txt").write_text("four five")
    return folder


def one_line(err, *parts):
    assert err.startswith("llmos: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    for part in parts:
        assert part in err


def test_help_comes_at_once():
    """Within 0.3 s of computing; what it waits for while others compute here does not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, "-m", "llmos.apps.system.main", "--help"], capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "Exit codes" in ended.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3


def test_nothing_heavy_is_imported_for_help():
    code = (
        "import sys; sys.argv = ['llmos', '--help']\n"
        "from llmos.apps.system.main import run; run(['--help'])\n"
        "heavy = {'numpy', 'llama_cpp', 'chromadb', 'tiktoken', 'httpx', 'prompt_toolkit', 'pydantic', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"


def test_versions(llmos):
    from llmos import __version__

    assert llmos("--version")[:2] == (0, f"llmos {__version__}\n")
    assert llmos("version")[:2] == (0, f"llmos {__version__}\n")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["fly"], ["No such command 'fly'"]),
        (["--fly"], ["No such option: --fly"]),
        (["ps", "--al"], ["--al", "llmos ps --help"]),
        (["--way", "quick", "ps"], ["--way", "'exact', 'fast'"]),
        (["app", "run", "suport"], ["no app 'suport'"]),
        (["app", "info", "nothing-like-it"], ["no app", "llmos app list"]),
        (["app", "new", "Shout!"], ["'Shout!' is no name"]),
        (["app", "remove", "recommend"], ["app of llmos itself"]),
        (["log", "5"], ["no process 5"]),
        (["kill", "5"], ["no process 5"]),
        (["log", "five"], ["pid", "valid integer"]),
        (["model", "info", "nope"], ["no model 'nope'"]),
        (["model", "add", "nope.gguf"], ["nope.gguf"]),
        (["exec", "--memory", "much", "--", "true"], ["--memory: 'much' is no size"]),
        (["exec", "--file", "nope", "--", "true"], ["--file: no file 'nope'"]),
        (["exec", "--timeout", "-1", "--", "true"], ["--timeout"]),
        (["--home", "file", "app", "run", "count", "x"], []),
        (["demo", "--examples", "nowhere"], ["no examples in nowhere"]),
    ],
)
def test_what_cannot_be_used_is_one_line(llmos, words, parts, tmp_path):
    (tmp_path / "file").touch()
    code, out, err = llmos(*words)
    assert code == (77 if "remove" in words else 2)
    assert out == ""
    one_line(err, *parts)


def test_an_app_from_outside(llmos, count):
    code, out, err = llmos("--model", "scripted", "app", "run", "count", "a.txt", "b.txt")
    assert (code, out, err) == (0, "a.txt\n3 words\n\nb.txt\n2 words\n\n", "")
    code, out, _ = llmos("--model", "scripted", "app", "run", "count", "a.txt", "b.txt", "-m", "2", "--json")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"file": "in/a.txt", "words": 2}, {"file": "in/b.txt", "words": 2},
    ]  # fmt: skip
    code, out, _ = llmos("ps", "--all", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["app"], row["state"], row["exit_code"]) for row in rows] == [("count", "done", 0)] * 4
    code, out, _ = llmos("log", rows[0]["pid"], "--json")
    assert [json.loads(line)["call"] for line in out.splitlines()] == ["file.read"]
    one_line(llmos("kill", rows[0]["pid"])[2], "has ended")


def test_one_bad_input_among_many(llmos, count, tmp_path):
    (tmp_path / "bad.txt").touch()
    code, out, err = llmos("--model", "scripted", "app", "run", "count", "a.txt", "bad.txt")
    assert code == 2
    assert "a.txt\n3 words\n" in out
    one_line(err, "count bad.txt: no good")
    code, out, err = llmos("--model", "scripted", "app", "run", "count", "a.txt", "bad.txt", "--json")
    good, bad = (json.loads(line) for line in out.splitlines())
    assert good == {"file": "in/a.txt", "words": 3}
    assert (bad["input"], bad["error"]["code"]) == ("bad.txt", "bad_input")


def test_arguments_are_checked_before_anything_starts(llmos, count, home):
    one_line(llmos("app", "run", "count", "nowhere.txt")[2], "FILES: no file or folder 'nowhere.txt'")
    one_line(llmos("app", "run", "count", "a.txt", "--most", "x")[2], "--most")
    one_line(llmos("app", "run", "count", "a.txt", "--mots", "1")[2], "--mots", "llmos app run count --help")
    assert not home.database.exists()
    code, out, _ = llmos("app", "run", "count", "--help")
    assert code == 0
    for part in ("count words", "texts to count", "--most", "-m", "--json"):
        assert part in out


def test_a_held_home_names_its_holder(llmos, count, home):
    with HomeLock(home):
        code, _, err = llmos("--model", "scripted", "app", "run", "count", "a.txt")
    assert code == 69
    one_line(err, f"process {os.getpid()}", "--home")


def test_installing_shows_the_rights_and_wants_a_yes(llmos, count, home):
    (count / "manifest.toml").write_text(MANIFEST.format(name="other"))
    code, out, err = llmos("app", "install", "src")
    assert code == 77
    assert "files:read" in out
    one_line(err, "--yes")
    assert not (home.apps / "other").exists()


def test_removing(llmos, count, home):
    assert llmos("app", "remove", "count")[0] == 0
    assert not (home.apps / "count").exists()
    one_line(llmos("app", "remove", "count")[2], "no app 'count'")


def test_listing_and_describing(llmos, count):
    rows = [json.loads(line) for line in llmos("app", "list", "--json")[1].splitlines()]
    assert {"name": "count", "version": "1", "summary": "count words", "origin": "folder", "granted": True} in rows
    found = json.loads(llmos("app", "info", "count", "--json")[1])
    assert (found["rights"], found["isolated"], found["takes"][0]["name"]) == (["files:read"], True, "files")
    told = llmos("app", "info", "count")[1]
    assert "read files in its own tree" in told
    assert "--most" in told


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise RuntimeError('boom')", "boom"),
        ("import os; os._exit(3)", "exit code 3"),
        ("x = 1", "holds 0 apps"),
        ("syntax error", "SyntaxError"),
    ],
)
def test_a_broken_app_takes_nothing_with_it(llmos, count, home, code, says):
    (home.apps / "count" / "llmos_count" / "app.py").write_text(code)
    exit_code, _, err = llmos("app", "run", "count", "a.txt")
    assert exit_code == 70
    one_line(err, says)


def test_no_permission_is_one_line(llmos, count):
    code, _, err = llmos("--home", "/sys/llmos", "--model", "scripted", "app", "run", "recommend")
    assert code in (2, 74)
    one_line(err)


def test_models(llmos):
    code, out, _ = llmos("model", "list", "--json")
    assert code == 0
    assert any(json.loads(line)["default"] for line in out.splitlines())


def test_a_bug_is_one_line_too_unless_debugging(llmos, monkeypatch):
    def bug(*_, **__):
        raise KeyError("oops")

    monkeypatch.setattr("llmos.apps.system.look.processes", bug)
    code, _, err = llmos("ps")
    assert code == 70
    one_line(err, "bug of llmos", "--debug")
    assert "Traceback" in llmos("--debug", "ps")[2]


def test_ctrl_c_and_a_reader_that_went_away(llmos, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("llmos.apps.system.look.processes", interrupted)
    code, _, err = llmos("ps")
    assert code == 130
    one_line(err, "interrupted")


def test_a_closed_pipe_makes_no_noise(home):
    command = f"{sys.executable} -m llmos.apps.system.main app list --json | true"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert ended.stderr == ""


def test_the_shell_reads_lines_from_a_pipe(home):
    ended = subprocess.run(
        [sys.executable, "-m", "llmos.apps.system.main", "--model", "scripted"],
        input="echo hello | cat\ncat nowhere\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (2, "hello\n")
    one_line(ended.stderr, "nowhere")
