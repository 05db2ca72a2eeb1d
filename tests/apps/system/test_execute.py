import json
import sys
from pathlib import Path

import pytest
from llmos.apps.system import execute
from llmos.apps.system.execute import run_caged, size
from llmos.kernel.errors import BadInput, LimitExceeded
from llmos.kernel.sandbox import Outcome


@pytest.mark.parametrize(
    ("text", "count"), [("256M", 256 * 2**20), ("1g", 2**30), ("64KiB", 65536), ("100", 100), ("5MB", 5 * 2**20)]
)
def test_sizes(text, count):
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "M", "-1M", "1.5G", "0", "12Q", "much"])
def test_what_is_no_size(text):
    with pytest.raises(BadInput, match="--memory"):
        size(text)


@pytest.mark.parametrize("memory", ["1", "1023K", "1025G", "99999999999999G", "9" * 5000])
async def test_memory_that_no_program_can_have(caged, memory):
    with pytest.raises(BadInput, match=r"--memory: .* is too (little|much)"):
        await run_caged(["true"], (), 1.0, memory, None, as_json=False)


@pytest.mark.parametrize("seconds", [1e300, float("nan"), float("inf"), 0.0])
async def test_a_time_that_is_none(caged, seconds):
    with pytest.raises(BadInput, match="--timeout"):
        await run_caged(["true"], (), seconds, "64M", None, as_json=False)


def outcome(**changes):
    ended = {
        "exit_code": 0, "signal": None, "stdout": b"out\xff", "stderr": b"err", "truncated": False, "timed_out": False,
        "killed_by": None, "seconds": 0.01, "files": {"made/x.txt": b"x"}, "left_out": (), "layers": ("a",), "uid": 1,
    }  # fmt: skip
    return Outcome(**{**ended, **changes})


@pytest.fixture
def caged(monkeypatch, tmp_path):
    """Stand in for the sandbox; what it was asked, and what it is to answer."""
    seen = {"outcome": outcome()}

    class Pretend:
        async def run(self, words, **options):
            seen.update(words=words, **options)
            return seen["outcome"]

    monkeypatch.setattr(execute, "Sandbox", Pretend)
    monkeypatch.setattr(execute, "_piped_in", lambda seconds, most: b"in\xff")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.py").write_text("1")
    (tmp_path / "data.csv").write_text("2")
    return seen


async def run(*command, file=(), keep=None, as_json=False):
    return await run_caged(command, file, 2.0, "64M", keep, as_json=as_json)


async def test_files_named_are_handed_in(caged, tmp_path, capfdbinary):
    assert await run("python3", "s.py", file=[tmp_path / "data.csv"]) == 0
    assert caged["words"] == ["python3", "s.py"]
    assert set(caged["files"]) == {"s.py", "data.csv"}
    assert (caged["limits"].seconds, caged["limits"].memory, caged["stdin"]) == (2.0, 64 * 2**20, b"in\xff")
    assert capfdbinary.readouterr() == (b"out\xff", b"err")


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"exit_code": 3}, 3, ""),
        ({"exit_code": None, "signal": 11}, 139, ""),
        ({"exit_code": None, "signal": 9, "killed_by": "time"}, 75, "time of 2 s"),
        ({"exit_code": None, "signal": 9, "killed_by": "memory"}, 75, "memory of 64 MiB"),
        ({"truncated": True}, 0, "output was cut"),
    ],
)
async def test_exit_codes(caged, capfd, changes, code, says):
    caged["outcome"] = outcome(**changes)
    assert await run("true") == code
    assert says in capfd.readouterr().err


async def test_as_json(caged, capfd):
    assert await run("true", as_json=True) == 0
    told, err = capfd.readouterr()
    assert json.loads(told)["stdout"] == "out\ufffd"
    assert json.loads(told)["files"] == ["made/x.txt"]
    assert err == ""


async def test_what_it_leaves_is_kept(caged, tmp_path):
    await run("true", keep=tmp_path / "out")
    assert (tmp_path / "out" / "made" / "x.txt").read_bytes() == b"x"


def test_what_is_piped_in_are_bytes(monkeypatch, tmp_path):
    (tmp_path / "in").write_bytes(bytes(range(256)))
    with (tmp_path / "in").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert execute._piped_in(1.0, 1000) == bytes(range(256))
    with (tmp_path / "in").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        with pytest.raises(LimitExceeded):
            execute._piped_in(1.0, 255)


async def test_a_file_of_an_impossible_name(caged):
    with pytest.raises(BadInput, match="--file: no file"):
        await run("true", file=[Path("n" * 300)])


async def test_a_file_that_is_not_there(caged, tmp_path):
    with pytest.raises(BadInput, match="--file: no file"):
        await run("true", file=[tmp_path / "nope"])
