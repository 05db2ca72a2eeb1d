import asyncio
import io
import os
import signal
import threading

import pytest
from llmos.apps.system import demo
from llmos.apps.system.demo import Job, jobs, run_demo, tail
from llmos.apps.system.options import Options
from llmos.apps.system.registry import Registry
from llmos.kernel.errors import NotFound
from rich.console import Console
from rich.live import Live


@pytest.fixture
def options(home):
    return Options(home_folder=home.root, model="scripted")


@pytest.fixture
def examples(tmp_path, apps, monkeypatch):
    monkeypatch.setattr(Registry, "_found", (apps, {}))
    (tmp_path / "examples" / "shop" / "articles").mkdir(parents=True)
    (tmp_path / "examples" / "a.txt").write_text("one two three")
    return tmp_path / "examples"


def ask(monkeypatch, *wanted):
    monkeypatch.setattr(demo, "jobs", lambda: list(wanted))


def test_the_job_is_three_apps_at_once():
    assert {job.app for job in jobs()} == {"support", "summarize", "recommend"}


async def test_answers_and_the_table(options, examples, monkeypatch, capsys):
    ask(monkeypatch, Job("echo_", ("hello",), "ann", "a greeting"), Job("count", ("a.txt",), "bob", "a count"))
    assert await run_demo(options, examples) == 0
    told = capsys.readouterr().out
    assert "1 echo_ a greeting\nhello\n" in told
    assert "2 count a count\none: 3\n" in told
    table = told[told.index("pid ") :].splitlines()
    assert [" ".join(row.split()[:4]) for row in table[1:3]] == ["1 echo_ ann done", "2 count bob done"]
    assert "2 processes" in told
    assert "s in all" in told


async def test_a_job_that_fails_is_told_and_counts(options, examples, monkeypatch, capsys):
    ask(monkeypatch, Job("broken", (), "ann", "a failure"))
    assert await run_demo(options, examples) == 1
    assert "no luck" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "width", "end"),
    [
        ("one two three", 20, "one two three"),
        ("one two\nthree four", 12, "three four"),
        ("one two three four", 4, "four"),
        ("日本 語語", 5, "語語"),
        ("x" * 50, 10, "x" * 5),
        ("", 10, ""),
        ("a\x1b[2Kb c", 20, "a[2Kb c"),
    ],
)
def test_an_answer_under_way_begins_at_a_word_and_fits(text, width, end):
    assert tail(text, width) == end


async def test_one_thread_paints(options, examples, monkeypatch):
    ask(monkeypatch, Job("echo_", ("hello",), "ann", "a greeting"))
    screen = Console(file=io.StringIO(), force_terminal=True, width=100)
    painters = set()
    refresh = Live.refresh
    monkeypatch.setattr(Live, "refresh", lambda live: painters.add(threading.current_thread()) or refresh(live))
    monkeypatch.setattr(demo, "out", lambda: screen)
    assert await run_demo(options, examples) == 0
    assert painters == {threading.main_thread()}
    assert "a greeting" in screen.file.getvalue()


async def test_ctrl_c_ends_all_and_says_so(options, examples, monkeypatch, capsys):
    ask(monkeypatch, Job("slow", (), "ann", "for ever"), Job("slow", (), "bob", "for ever too"))
    running = asyncio.ensure_future(run_demo(options, examples))
    asyncio.get_running_loop().call_later(0.2, os.kill, os.getpid(), signal.SIGINT)
    assert await running == 130
    assert capsys.readouterr().out.count("exit 130") == 2


async def test_without_examples(options, tmp_path):
    with pytest.raises(NotFound, match="no examples"):
        await run_demo(options, tmp_path)
