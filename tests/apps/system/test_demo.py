import pytest
from llmos.apps.system import demo
from llmos.apps.system.demo import Job, jobs, run_demo
from llmos.apps.system.options import Options
from llmos.apps.system.registry import Registry
from llmos.kernel.errors import NotFound


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


async def test_without_examples(options, tmp_path):
    with pytest.raises(NotFound, match="no examples"):
        await run_demo(options, tmp_path)
