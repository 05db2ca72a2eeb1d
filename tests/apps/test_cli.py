"""The command line as a user meets it: what is printed where, exit codes, and one line for every error."""

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import termios
import time

import pytest
from llmos.apps.system.home import Home, HomeLock
from llmos.apps.system.main import run

pytestmark = pytest.mark.programs

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
        (["--way", "quick", "ps"], ["--way", "'exact', 'exact-q8', 'fast'"]),
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


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["app", "run", "nothing-like-it", "--json"], "not_found"),
        (["app", "run", "recommend", "--json", "--itmes", "x"], "bad_input"),
        (["app", "run", "recommend", "--items", "nowhere", "--ratings", "nowhere", "--json"], "not_found"),
        (["--model", "nope", "app", "run", "chat", "hi", "--json"], "not_found"),
        (["ps", "--json", "--al"], "bad_input"),
        (["model", "info", "nope", "--json"], "not_found"),
        (["exec", "--json", "--memory", "1", "--", "true"], "bad_input"),
        (["log", "99999999999999999999", "--json"], "not_found"),
    ],
)
def test_json_is_promised_for_errors_too(llmos, words, code):
    exit_code, out, err = llmos(*words)
    assert exit_code == 2
    told = json.loads(out)["error"]
    assert (told["code"], set(told)) == (code, {"code", "message", "hint", "details"})
    one_line(err, " ".join(told["message"].split()))


def test_json_of_the_program_in_the_sandbox_is_its_own(llmos):
    code, out, err = llmos("exec", "--file", "nope", "--", "tool", "--json")
    assert (code, out) == (2, "")
    one_line(err, "nope")


def test_a_held_home_is_an_object_too(llmos, count, home):
    with HomeLock(home):
        out = llmos("--model", "scripted", "app", "run", "count", "a.txt", "--json")[1]
    assert json.loads(out)["error"]["code"] == "home_held"


def test_what_asks_for_rights_cannot_write_over_the_question(llmos, count):
    summary = "see [/x] docs, [red]no rights[/red] at all"
    (count / "manifest.toml").write_text(MANIFEST.format(name="other").replace("count words", summary))
    code, out, _ = llmos("app", "install", "src")
    assert code == 77
    assert summary in out
    assert "files:read" in out
    assert llmos("app", "install", "src", "--yes")[0] == 0
    assert summary in llmos("app", "info", "other")[1]
    assert summary in llmos("app", "list")[1]
    assert summary in llmos("app", "run", "other", "--help")[1]


def test_a_folder_where_a_file_is_wanted(llmos, count, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("a")
    code, _, err = llmos("--model", "scripted", "app", "run", "count", "docs")
    assert code == 2
    one_line(err, "docs is a folder")
    assert "in/" not in err


def test_tables_are_whole_where_nobody_looks(llmos, count, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    for words in (["app", "list"], ["ps", "--all"], ["model", "list"]):
        lines = llmos(*words)[1].splitlines()
        assert not any("…" in line for line in lines)
    rows = [line.split() for line in llmos("app", "list")[1].splitlines()]
    assert ["count", "1", "folder", "count", "words"] in rows


@pytest.fixture
def pipe(monkeypatch):
    """Standard input as a pipe that stays open; what is written into it."""
    read, write = os.pipe()
    with os.fdopen(read) as ours:
        monkeypatch.setattr(sys, "stdin", ours)
        yield write
    os.close(write)


def test_a_pipe_is_left_alone_by_an_app_that_takes_no_text(llmos, count, pipe):
    """It would wait for ever: nobody closes the other end."""
    assert llmos("--model", "scripted", "app", "run", "count", "a.txt")[:2] == (0, "3 words\n")


def test_exec_does_not_wait_for_ever(llmos, pipe):
    code, _, err = llmos("exec", "--timeout", "0.01", "--", "true")
    assert code == 75
    one_line(err, "standard input", "< /dev/null")


def test_a_model_file_that_is_a_pipe(llmos, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    code, _, err = llmos("model", "add", "fifo")
    assert code == 2
    one_line(err, "no regular file")


def program(*words, **options):
    """The program itself, in a process of its own."""
    line = [sys.executable, "-m", "llmos.apps.system.main", *words]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_not_there(home, tmp_path, closed):
    (tmp_path / "a.txt").write_text("hello")
    line = f"{sys.executable} -m llmos.apps.system.main --model scripted app run summarize a.txt {closed}"
    ended = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ("" if ">&-" in closed.split() else "hello\n")
    assert ended.stderr == ""


def test_letters_that_the_terminal_lacks_are_escaped(home, tmp_path):
    (tmp_path / "a.txt").write_text("it costs 5 €")
    ended = subprocess.run(
        [sys.executable, "-m", "llmos.apps.system.main", "--model", "scripted", "app", "run", "summarize", "a.txt"],
        capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (0, b"it costs 5 \\u20ac\n")


def test_a_reader_that_went_away_is_141(home):
    for words in ("app list", "--help"):
        line = f"({sys.executable} -m llmos.apps.system.main {words}; echo $? >&2) | true"
        ended = subprocess.run(["sh", "-c", f"exec 3>&1; {line}"], capture_output=True, text=True, check=False)
        assert ended.stderr == "141\n"


def test_a_full_disk_is_one_line(home):
    with open("/dev/full", "w") as full:
        line = [sys.executable, "-m", "llmos.apps.system.main", "app", "list", "--json"]
        ended = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 74
    one_line(ended.stderr, "No space left")


def test_ctrl_c_while_the_program_is_being_imported(home, tmp_path):
    """A module of ours stands in for a slow import."""
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    ended = program("ps", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    out, err = ended.communicate()
    assert (ended.returncode, out, err) == (130, b"", b"")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_blocks_before_anything_runs_is_broken_off(home, number, code):
    """Here it waits for what is piped in."""
    waiting = program("--model", "scripted", "app", "run", "summarize", stdin=subprocess.PIPE)
    waiting.stdin.write(b"some words")
    waiting.stdin.flush()
    while fcntl.ioctl(waiting.stdin, termios.FIONREAD, bytes(4)) != bytes(4):  # not read yet
        time.sleep(0.01)
    waiting.send_signal(number)
    assert waiting.wait(10) == code
    with waiting.stdin, waiting.stdout, waiting.stderr as err:
        assert b"Traceback" not in err.read()


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


def test_replay_says_whether_a_process_comes_to_the_same(llmos, tmp_path):
    (tmp_path / "a.txt").write_text("The sea is green. The boats come back at noon. Nobody goes out in winter.")
    assert llmos("--model", "scripted", "app", "run", "summarize", "a.txt")[0] == 0
    code, out, err = llmos("--model", "scripted", "replay", "1")
    assert (code, err) == (0, "")
    assert out.startswith("identical: ")
    told = json.loads(llmos("--model", "scripted", "replay", "1", "--json")[1])
    assert (told["pid"], told["identical"], told["difference"]) == (1, True, None)
    code, _, err = llmos("--model", "scripted", "--window", "2048", "replay", "1")
    assert code == 69
    assert "window 4096, here 2048" in err
    code, _, err = llmos("--model", "scripted", "replay", "77")
    assert code != 0
    assert "no process 77" in err


def test_an_adapter_that_is_none_is_refused_and_an_app_cannot_run_with_one_that_is_not_there(llmos, tmp_path):
    (tmp_path / "a.txt").write_text("Some words.")
    (tmp_path / "a.gguf").write_text("no GGUF")
    code, _, err = llmos("model", "adapter", "add", "polite", "a.gguf")
    assert code != 0
    assert "a.gguf" in err
    assert llmos("model", "adapter", "list", "--json") == (0, "", "")
    code, _, err = llmos("--model", "scripted", "app", "run", "summarize", "a.txt", "--adapter", "polite")
    assert code == 69
    assert "takes no adapters" in err
