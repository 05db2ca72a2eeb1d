"""What counts as memory of a cage, and what must not count twice."""

import os
import shutil
from itertools import cycle
from pathlib import Path

import pytest
from llmos.kernel import holding
from llmos.kernel.sandbox import Cage, Outcome, Sandbox

pytestmark = pytest.mark.programs

bubblewrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")

MIB = 1024 * 1024


async def python(code: str, limits: Cage) -> Outcome:
    return await Sandbox().run(["python3", "-c", code], limits=limits, collect=())


FULL = {  # each piece is allowed by itself, all together are too much
    "processes": (200, "import os\nfor _ in range(3): os.fork()\nx = bytearray(b'1') * 30_000_000\nwhile True: pass"),
    "shared memory": (200, "import mmap\nm = mmap.mmap(-1, 400 << 20)\nwhile True: m.write(b'1' * (1 << 20))"),
    "scratch": (
        200,
        "import time\nfor n in range(13):\n"
        "  for place in '/tmp', '/dev/shm': open(f'{place}/{n}', 'wb').write(bytes(9 << 20))\n"
        "time.sleep(60)",
    ),
    "empty files": (30, "n = 0\nwhile True: open(f'/work/{n}', 'w').close(); n += 1"),
    "page tables": (
        30,
        "import mmap, time\nm = mmap.mmap(-1, 64 << 30, flags=mmap.MAP_PRIVATE | 0x4000, prot=mmap.PROT_READ)\n"
        "m.madvise(15)\n"  # MAP_NORESERVE, MADV_NOHUGEPAGE: a page of tables for each 2 MiB that is read
        "for n in range(0, len(m), 2 << 20): m[n]\n"
        "time.sleep(60)",
    ),
    "sockets": (
        30,
        "import socket, time\nkept = [end for _ in range(100) for end in socket.socketpair()]\n"
        "for end in kept:\n"
        "  end.setblocking(False)\n"
        "  try:\n"
        "    while True: end.send(bytes(9999))\n"
        "  except BlockingIOError: pass\n"
        "time.sleep(60)",
    ),
}


@bubblewrap
@pytest.mark.parametrize("what", FULL)
async def test_all_memory_of_a_cage_counts(what: str) -> None:
    mib, code = FULL[what]
    outcome = await python(code, Cage(memory=mib * MIB, seconds=8))
    assert (outcome.killed_by, outcome.exit_code) == ("memory", None), outcome


ONCE = {
    "pages shared after a fork": (
        "import os, time\nx = bytearray(b'1') * 60_000_000\n"
        "for _ in range(5):\n  if not os.fork(): time.sleep(.3); os._exit(0)\n"
        "for _ in range(5): os.wait()"
    ),
    "files mapped from a scratch folder": (
        "import mmap, time\nkept = []\n"
        "for place in '/dev/shm/a', '/tmp/b', '/tmp/c':\n"
        "  file = open(place, 'w+b'); file.truncate(40 << 20); kept.append(mmap.mmap(file.fileno(), 0))\n"
        "  for n in range(0, 40 << 20, 4096): kept[-1][n] = 1\n"
        "time.sleep(.2)"
    ),
    "idle socket pairs": "import socket, time\nkept = [socket.socketpair() for _ in range(100)]\ntime.sleep(.2)",
}


@bubblewrap
@pytest.mark.parametrize("what", ONCE)
async def test_nothing_counts_twice(what: str) -> None:
    outcome = await python(ONCE[what], Cage(memory=200_000_000))
    assert (outcome.exit_code, outcome.killed_by) == (0, None), outcome


@bubblewrap
async def test_one_look_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum is no snapshot: the program ends only when two looks in a row find too much."""
    answers = cycle([True, False])
    monkeypatch.setattr("llmos.kernel.warden.over", lambda *_: next(answers))
    assert (await python("import time; time.sleep(.3)", Cage())).killed_by is None
    looks: list[int] = []
    monkeypatch.setattr("llmos.kernel.warden.over", lambda *_: looks.append(1) or True)
    assert (await python("import time; time.sleep(60)", Cage())).killed_by == "memory"
    assert len(looks) == 2


@bubblewrap
async def test_no_socket_holds_more_than_it_counts_for() -> None:
    code = (
        "import socket\na, b = socket.socketpair(); a.setblocking(False); before = a.getsockopt(1, 7)\n"
        "a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30); held = 0\n"
        "try:\n  while True: held += a.send(bytes(9999))\n"
        "except BlockingIOError: print(before == a.getsockopt(1, 7), held < 2 * before)"
    )
    assert (await python(code, Cage())).stdout == b"True True\n"


# The count itself, over a /proc made up of texts

STATUS = "Name:\tx\nVmRSS:\t    1000 kB\nVmPTE:\t      10 kB\n"
ROLLUP = "00400000-7ffc [rollup]\nRss: 1000 kB\nPss_Anon: 300 kB\nPss_File: 9 kB\nPss_Shmem: 200 kB\n"


def smaps(device: str) -> str:
    """A shared mapping, and a private one of whose 90 kB the process has copied 40."""
    shared = f"7f00-7f10 rw-s 00000000 {device} 2   /dev/shm/a\nPss: 100 kB\nAnonymous: 0 kB\nVmFlags: rd wr\n"
    private = f"7f20-7f30 rw-p 00000000 {device} 3   /tmp/a b\nPss: 90 kB\nAnonymous: 40 kB\nVmFlags: rd wr\n"
    return f"{shared}7f11-7f12 rw-p 00000000 00:00 0\nPss: 7 kB\nAnonymous: 7 kB\nVmFlags: rd\n{private}"


class Proc:
    """Stands for a cage whose folders are empty; says how many kilobytes it holds."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: dict[str, str] = {}
        self._folder = folder
        self._monkeypatch = monkeypatch

    def kilobytes(self) -> int:
        for name, text in self.files.items():
            (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self._folder / name).write_text(text)
        fd = os.open(self._folder, os.O_RDONLY)
        try:
            self._monkeypatch.setattr(holding, "_in_folders", lambda _: 0)
            folders = dict.fromkeys(("proc", "work", "tmp", "dev/shm"), fd)
            return next(kb for kb in range(100_000) if not holding.over(folders, kb * 1024))
        finally:
            os.close(fd)


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proc:
    return Proc(tmp_path, monkeypatch)


def test_a_process_counts_with_its_share_and_its_page_tables(proc: Proc) -> None:
    proc.files = {"2/status": STATUS, "2/smaps_rollup": ROLLUP, "2/smaps": smaps("ff:ff")}
    assert proc.kilobytes() == 300 + 200 + 10


def test_a_process_that_has_ended_counts_nothing(proc: Proc) -> None:
    proc.files = {"2/status": "Name:\tx\nState:\tZ (zombie)\n", "3/status": STATUS, "4/other": ""}
    assert proc.kilobytes() == 10  # it ended between the two looks


def test_a_process_that_hides_counts_with_all_it_may_have(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    read = holding._proc

    def shut(folder: int, pid: str, name: str) -> str:
        if name.startswith("smaps"):
            raise PermissionError
        return read(folder, pid, name)

    monkeypatch.setattr(holding, "_proc", shut)
    proc.files = {"2/status": STATUS}
    assert proc.kilobytes() == 1000 + 10


def test_what_is_mapped_from_a_folder_of_the_cage_counts_there(proc: Proc, tmp_path: Path) -> None:
    device = os.stat(tmp_path).st_dev
    here = f"{os.major(device):02x}:{os.minor(device):02x}"
    proc.files = {"2/status": STATUS, "2/smaps_rollup": ROLLUP, "2/smaps": smaps(here)}
    assert proc.kilobytes() == 300 + 200 - 100 - (90 - 40) + 10


def test_a_socket_counts_with_the_most_it_can_hold(proc: Proc) -> None:
    proc.files = {"1/net/sockstat": "sockets: used 3\nTCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0\n"}
    assert proc.kilobytes() * 1024 >= 3 * 2 * holding._send_buffer()
