"""The life of a sandboxed run: what goes in, what comes out, every limit, and that nothing is left."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from llmos.kernel.errors import BadInput, NotFound
from llmos.kernel.sandbox import Cage, Outcome, Sandbox, named_files

pytestmark = [
    pytest.mark.programs,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
]

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """After every test: no child process, and no descriptor more than before."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert "bwrap" not in _children(os.getpid())
    assert len(os.listdir("/proc/self/fd")) <= len(before)


def _children(pid: int) -> list[str]:
    named = (Path(f"/proc/{pid}/task/{task}/children").read_text() for task in os.listdir(f"/proc/{pid}/task"))
    return [Path(f"/proc/{child}/comm").read_text().strip() for child in " ".join(named).split()]


def _alive(marker: str) -> list[str]:
    """Processes of this machine that carry ``marker`` on their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if marker.encode() in line and int(pid) != os.getpid():
            found.append(pid)
    return found


async def python(code: str, *words: str, **given: object) -> Outcome:
    return await Sandbox().run(["python3", "-c", code, *words], **given)  # type: ignore[arg-type]


# What goes in and out


async def test_a_script_finds_what_it_is_given_and_hands_back_what_it_makes(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import sys, helper\n"
        "text = open('data/text').read() + sys.stdin.read() + sys.argv[1] + helper.WORD\n"
        "open('made', 'w').write(text.upper()); print(text); print('hm', file=sys.stderr)\n"
    )
    outcome = await Sandbox().run(
        ["python3", "script.py", "c"], stdin=b"b",
        files={"script.py": tmp_path / "script.py", "helper.py": b"WORD = 'd'", "data/text": b"a"},
    )  # fmt: skip
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (0, b"abcd\n", b"hm\n")
    assert outcome.files == {"made": b"ABCD"}
    assert outcome.left_out == ()
    assert outcome.killed_by is None
    assert 0 < outcome.seconds < 5
    assert {"bubblewrap", "seccomp", "namespaces", "limits"} <= set(outcome.layers)


async def test_an_executable_that_is_handed_in_runs(tmp_path: Path) -> None:
    program = tmp_path / "go.sh"
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o700)
    outcome = await Sandbox().run(["./go.sh"], files={"go.sh": program})
    assert outcome.exit_code == 7


async def test_a_signal_is_told_apart_from_an_exit_code() -> None:
    outcome = await python("import os; os.kill(os.getpid(), 11)")
    assert (outcome.exit_code, outcome.signal, outcome.stderr) == (None, signal.SIGSEGV, b"")
    assert (await python("raise SystemExit(250)")).exit_code == 250


async def test_a_program_that_is_not_there_ends_as_in_a_shell() -> None:
    outcome = await Sandbox().run(["no-such-program"])
    assert outcome.exit_code == 127
    assert b"not found" in outcome.stderr


async def test_only_the_files_asked_for_come_back() -> None:
    code = "for n in 'a', 'b': open(n, 'w').write(n)"
    outcome = await python(code, collect=["b", "c"])
    assert outcome.files == {"b": b"b"}
    assert outcome.left_out == ("c (not there)",)


HOSTILE_TREE = r"""
import os
os.symlink("/etc/passwd", "link"); os.symlink("/proc/self/root", "root"); os.symlink("/", "folder")
os.mkfifo("pipe"); open("odd\nname", "w"); open(b"bad\xff", "w"); open("plain", "w").write("x")
os.makedirs("/".join("d" * 20)); os.link("plain", "again"); os.truncate(os.open("sparse", 65), 50_000_000)
deep = "/".join("d" * 20); open(deep + "/f", "w")
os.unlink("given"); os.symlink("/etc/shadow", "given")
"""


async def test_nothing_that_is_handed_back_is_followed() -> None:
    outcome = await python(HOSTILE_TREE, files={"given": b"x"}, limits=Cage(file_bytes=50 * MIB))
    assert outcome.exit_code == 0, outcome.stderr
    sparse = outcome.files.pop("sparse")
    assert len(sparse) == 50_000_000
    assert outcome.files == {"plain": b"x", "again": b"x"}
    assert set(outcome.left_out) == {
        r"'bad\udcff' (odd name)", r"'odd\nname' (odd name)", "d/" * 16 + "d (too deep)",
        "folder (not a plain file)", "link (not a plain file)", "pipe (not a plain file)", "root (not a plain file)",
    }  # fmt: skip


async def test_a_file_that_is_handed_in_comes_back_once_it_was_changed() -> None:
    given = dict.fromkeys(("one", "two", "in/three"), b"old\n")
    outcome = await Sandbox().run(["sed", "-i", "s/old/new/", "one", "in/three"], files=given)
    assert outcome.exit_code == 0, outcome.stderr
    assert (outcome.files, outcome.left_out) == ({"one": b"new\n", "in/three": b"new\n"}, ())


async def test_files_come_back_only_as_far_as_there_is_room() -> None:
    code = "import os\nfor n in 'ab': os.truncate(os.open(n, 65), 700_000)"
    outcome = await python(code, limits=Cage(file_bytes=MIB))
    assert list(outcome.files) == ["a"]
    assert outcome.left_out == ("b (too large)",)


@pytest.mark.parametrize("make", ["os.mkdir(str(n))", "open(str(n), 'w').close()", "os.makedirs(f'a/{n}')"])
async def test_a_tree_of_any_width_is_handed_back_in_part(make: str) -> None:
    outcome = await python(f"import os\nfor n in range(6000): {make}")
    assert outcome.left_out == ("… (more than 4096 files and folders)",)
    assert len(outcome.files) == (4096 if "open" in make else 0)


@pytest.mark.parametrize("name", ["", ".", "/a", "../a", "a/../b", "a//b", "./a", "a\nb", "a\0", "a/", "x" * 256])
async def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        await Sandbox().run(["true"], files={name: b""})


async def test_what_cannot_be_handed_in_is_said(tmp_path: Path) -> None:
    for argv, files, error in (
        (["true"], {"a": tmp_path / "none"}, NotFound), (["true"], {"a": tmp_path}, BadInput),
        (["true"], {"a": b"", "a/b": b""}, BadInput), (["true"], {"a": Path("/dev/zero")}, BadInput),
        (["true"], {"a": bytes(11)}, BadInput), ([], {}, BadInput), (["true", "\0"], {}, BadInput),
        (["true", "x" * 200_000], {}, BadInput), (["true", "\ud800"], {}, BadInput), (["-x"], {}, BadInput),
        (["true"], {f"{n}": b"" for n in range(201)}, BadInput),
    ):  # fmt: skip
        with pytest.raises(error):
            await Sandbox().run(argv, files=files, limits=Cage(input_bytes=10))


async def test_input_counts_as_handed_in() -> None:
    with pytest.raises(BadInput, match="1 bytes too many"):
        await Sandbox().run(["true"], stdin=bytes(11), limits=Cage(input_bytes=10))


@pytest.mark.parametrize(
    "limit",
    [
        {"seconds": float("nan")}, {"seconds": 1e30}, {"seconds": 0}, {"memory": 1024}, {"memory": 2**60},
        {"processes": 0}, {"processes": 2**40}, {"output": 0}, {"file_bytes": 2**60}, {"input_bytes": -1},
    ],
    ids=str,
)  # fmt: skip
def test_limits_have_bounds(limit: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=f"limit {next(iter(limit))} is") as caught:
        Cage(**limit)  # type: ignore[arg-type]
    assert caught.value.hint.startswith("give ")


@pytest.mark.parametrize(
    "limit",
    [{"seconds": 1e7}, {"memory": 16 * MIB}, {"memory": 2**50}, {"processes": 2**22}, {"file_bytes": 2**50}],
    ids=str,
)
async def test_a_limit_within_its_bounds_makes_a_cage(limit: dict[str, float]) -> None:
    outcome = await python("print(1)", limits=Cage(**limit))  # type: ignore[arg-type]
    assert (outcome.exit_code, outcome.stdout) == (0, b"1\n"), outcome


@pytest.mark.parametrize("word", ["x" * 300, "x" * 5000, "none/" + "é" * 200, "a\0b"])
def test_a_word_that_is_no_file_name_is_passed_on(word: str) -> None:
    assert named_files(["python3", "-c", word]) == (["python3", "-c", word], {})


def test_a_word_below_a_shut_folder_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def shut(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", shut)
    assert named_files(["cat", "/root/x"]) == (["cat", "/root/x"], {})


def test_files_named_on_a_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("run.sh", "data/a.csv", "other/a.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    words, files = named_files(["python3", "data/a.csv", "-k", "nothing"], [tmp_path / "run.sh"])
    assert words == ["python3", "data/a.csv", "-k", "nothing"]
    assert files == {"data/a.csv": Path("data/a.csv"), "run.sh": tmp_path / "run.sh"}
    words, files = named_files(["./run.sh", f"{tmp_path}/data/a.csv"])
    assert words == ["./run.sh", "a.csv"]
    with pytest.raises(BadInput, match="two files"):
        named_files(["cat", f"{tmp_path}/data/a.csv", f"{tmp_path}/other/a.csv"])


# Limits


async def test_time_ends_the_whole_tree() -> None:
    marker = f"orphan-{os.getpid()}-{time.monotonic_ns()}"
    code = (
        "import os, signal, sys, time\n"
        "for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)\n"
        "for _ in range(3):\n"
        " if not os.fork(): os.setsid(); os.fork(); time.sleep(60)\n"
        "print('up', flush=True); open('left', 'w').write('x'); time.sleep(60)"
    )
    began = time.monotonic()
    outcome = await python(code, marker, limits=Cage(seconds=0.3))
    assert time.monotonic() - began < 1.3
    assert (outcome.timed_out, outcome.killed_by, outcome.exit_code, outcome.signal) == (True, "time", None, 9)
    assert (outcome.stdout, outcome.files) == (b"up\n", {"left": b"x"})
    assert _alive(marker) == []


async def test_orphans_end_with_the_program() -> None:
    marker = f"orphan-{os.getpid()}-{time.monotonic_ns()}"
    code = "import os, time\nif not os.fork(): os.setsid(); print('up', flush=True); time.sleep(60)\ntime.sleep(.05)"
    outcome = await python(code, marker)
    assert (outcome.exit_code, outcome.stdout) == (0, b"up\n")
    assert outcome.seconds < 2
    assert _alive(marker) == []


BOMB = """
import os, time
def alive(): return sum(name.isdigit() for name in os.listdir("/proc")) - 1  # without the cage's own init
first, refused = os.getpid(), 0
while os.getpid() != first or alive() < 20 or refused < 100:
  try: os.fork()
  except OSError: refused += 1; time.sleep(.001)
print(alive())
"""
ONE_FOR_ALL = """
import os, signal
made = 1
while True:
  try: child = os.fork()
  except OSError: break
  if not child: signal.pause()
  made += 1
print(made)
"""


@pytest.mark.parametrize("code", [BOMB, ONE_FOR_ALL], ids=["all fork", "one forks"])
async def test_a_fork_bomb_stays_small(code: str) -> None:
    """None of them ends before the first, so what it counts is alive at one time."""
    outcome = await python(code, limits=Cage(processes=20, seconds=20))
    assert (outcome.exit_code, outcome.stdout) == (0, b"20\n"), outcome


async def test_threads_count_as_processes() -> None:
    code = (
        "import threading, time\n"
        "try:\n  for n in range(50): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
        "except RuntimeError: print(n)"
    )
    outcome = await python(code, limits=Cage(processes=10))
    assert int(outcome.stdout) <= 10


async def test_one_process_cannot_take_more_memory_than_allowed() -> None:
    outcome = await python("x = bytearray(200_000_000)", limits=Cage(memory=100_000_000))
    assert outcome.exit_code == 1
    assert b"MemoryError" in outcome.stderr
    assert (await python("x = bytearray(50_000_000)", limits=Cage(memory=100_000_000))).exit_code == 0


async def test_the_disk_is_bounded() -> None:
    one = await python("open('a', 'wb').write(bytes(3_000_000))", limits=Cage(file_bytes=2_000_000))
    assert b"File too large" in one.stderr
    code = "for n in range(9): open(f'{n}', 'wb').write(bytes(1_000_000))"
    many = await python(code, limits=Cage(file_bytes=2_000_000))
    assert b"No space left" in many.stderr


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_a_flood_is_cut(stream: str) -> None:
    outcome = await python(f"import sys\nwhile True: sys.{stream}.write('x' * 9999)", limits=Cage(output=100_000))
    assert (outcome.killed_by, outcome.truncated, outcome.timed_out) == ("output", True, False)
    assert len(getattr(outcome, stream)) == 100_000


# Side by side, and the end


async def test_many_side_by_side_know_nothing_of_each_other() -> None:
    sandbox = Sandbox(at_once=4)
    code = (
        "import os, sys; open('n', 'w').write(sys.argv[1]); print(len([p for p in os.listdir('/proc') if p.isdigit()]))"
    )
    outcomes = await asyncio.gather(*(sandbox.run(["python3", "-c", code, str(n)]) for n in range(12)))
    assert [outcome.files for outcome in outcomes] == [{"n": str(n).encode()} for n in range(12)]
    assert {outcome.stdout for outcome in outcomes} == {b"2\n"}
    if os.geteuid() == 0:
        assert len({outcome.uid for outcome in outcomes}) > 1
        assert 0 not in {outcome.uid for outcome in outcomes}


@pytest.mark.parametrize("after", [0.0, 0.002, 0.006, 0.02, 0.1])
async def test_cancelling_ends_the_cage(after: float) -> None:
    marker = f"cancelled-{os.getpid()}-{time.monotonic_ns()}"
    task = asyncio.create_task(python("import time; time.sleep(60)", marker))
    await asyncio.sleep(after)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _alive(marker) == []


async def test_no_thread_is_started() -> None:
    await Sandbox().run(["true"])
    tasks = os.listdir("/proc/self/task")
    await Sandbox().run(["true"])
    assert os.listdir("/proc/self/task") == tasks


VICTIM = """
import asyncio, sys
from llmos.kernel.sandbox import Sandbox
asyncio.run(Sandbox().run(["sh", "-c", "sleep 60", sys.argv[1]]))
"""


def test_the_cage_dies_with_llmos() -> None:
    marker = f"killed-{os.getpid()}-{time.monotonic_ns()}"
    llmos = subprocess.Popen([sys.executable, "-c", VICTIM, marker])
    _until(lambda: len(_alive(marker)) >= 4)  # ours, bubblewrap, the cage's first process, the program
    llmos.kill()
    llmos.wait()
    _until(lambda: not _alive(marker))


def _until(condition: object) -> None:
    end = time.monotonic() + 5
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.005)
