"""Attacks from inside the cage. Each prints "open" when it works; most are shown to work outside."""

import asyncio
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from signal import SIGSYS
from typing import Any

import llmos
import pytest
from llmos.kernel.sandbox import Sandbox, probe

pytestmark = [
    pytest.mark.programs,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
]

ROOT = os.geteuid() == 0
X86 = platform.machine() == "x86_64"
REFUSED = (
    rb"(?m)^(OSError|PermissionError|FileNotFoundError|ConnectionRefusedError|ProcessLookupError|subprocess\.Called)"
)
NUMBER = 0 if X86 else 1  # column of system call numbers below

# Values of `world` (see the fixture) stand ready as variables, and so do `call(number on x86_64, on aarch64, …)`
# and `missing(errno, numbers…)`, for calls that would fail anyway, but with another error.
PRELUDE = """
import ctypes, os, socket, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(x86, arm, *args):
    got = libc.syscall(*map(ctypes.c_long, ((x86, arm)[column], *args)))
    if got < 0: raise OSError(ctypes.get_errno(), "refused")
    return got
def missing(errno, *numbers):
    try: call(*numbers)
    except OSError as error: print("open" if error.errno != errno else "")
"""

# What the same attack does without the sandbox. It is not tried where it would change the machine.
ALWAYS, NEEDS_ROOT, PERHAPS, UNTRIED = "open", "open for root", "open on most machines", "not tried"
MACHINE_CODE = """
import mmap
code = mmap.mmap(-1, 4096, prot=7)
code.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid of the 32-bit table); int 0x80; ret
print("open" if ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(code)))() > 0 else "")
"""

PROBES: dict[str, tuple[str, str]] = {
    # the network
    "tcp to this machine": (ALWAYS, "socket.create_connection(('127.0.0.1', port), 1); print('open')"),
    "abstract socket": (ALWAYS, "socket.socket(socket.AF_UNIX).connect(chr(0) + abstract); print('open')"),
    "socket file": (ALWAYS, "socket.socket(socket.AF_UNIX).connect(folder + '/socket'); print('open')"),
    "internet sockets": (ALWAYS, "socket.socket(socket.AF_INET); print('open')"),
    "IPv6 sockets": (ALWAYS, "socket.socket(socket.AF_INET6); print('open')"),
    "netlink sockets": (ALWAYS, "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW); print('open')"),
    "socket pairs of other families": (
        PERHAPS,
        "for family in range(64):\n if family != 1:\n  try: call(53, 199, family, 1, 0, 0)\n"
        "  except OSError as e: print('open' if e.errno != 97 else '')",
    ),
    "every other family": (
        ALWAYS,
        "for family in range(64):\n if family != 1:\n  try: call(41, 198, family, 2, 0); print('open')\n"
        "  except OSError as e: print('open' if e.errno != 97 else '')",
    ),
    "vsock": (PERHAPS, "socket.socket(40, socket.SOCK_STREAM); print('open')"),
    # files and environment
    "a file of the user": (ALWAYS, "open(folder + '/secret').read(); print('open')"),
    "a file through init's root": (PERHAPS, "open('/proc/1/root' + folder + '/secret'); print('open')"),
    "listing a user's folder": (ALWAYS, "os.listdir(folder); print('open')"),
    "password hashes": (NEEDS_ROOT, "open('/etc/shadow').read(); print('open')"),
    "names of users": (ALWAYS, "print('open' if 'root:' in open('/etc/passwd').read() else '')"),
    "the environment": (ALWAYS, "print('open' if os.environ.get('LLMOS_TEST_SECRET') else '')"),
    "environment of init": (PERHAPS, "print('open' if 'SECRET' in open('/proc/1/environ').read() else '')"),
    "inherited descriptors": (ALWAYS, "print('open' if max(map(int, os.listdir('/proc/self/fd'))) > 3 else '')"),
    "writing beside": (ALWAYS, "open(folder + '/written', 'w').write('x'); print('open')"),
    "writing anywhere else": (
        UNTRIED,
        "for place in '/', '/usr', '/etc', '/in', '/run', '/dev', '/proc', '/bin', '/proc/1':\n"
        " try: open(place + '/llmos', 'w'); print('open')\n except OSError: pass",
    ),
    "changing what was handed in": (
        UNTRIED,
        "write, change, remove = (lambda n: open(n, 'w')), (lambda n: os.chmod(n, 511)), os.remove\n"
        "for act, name in (write, '/work/given'), (change, '/in/given'), (remove, '/in/given'):\n"
        " try: act(name); print('open')\n except OSError: pass",
    ),
    "devices": (NEEDS_ROOT, "print('open' if {'kmsg', 'mem', 'loop-control'} & set(os.listdir('/dev')) else '')"),
    "making a device": (UNTRIED, "os.mknod('/work/disk', 0o60600, os.makedev(8, 0)); print('open')"),
    "kernel settings": (UNTRIED, "open('/proc/sys/kernel/hostname', 'w').write('x'); print('open')"),
    # other processes
    "seeing a process": (ALWAYS, "open(f'/proc/{victim}/cmdline').read(); print('open')"),
    "signalling a process": (ALWAYS, "os.kill(victim, 0); print('open')"),
    "counting processes": (ALWAYS, "print('open' if sum(n.isdigit() for n in os.listdir('/proc')) > 3 else '')"),
    "ptrace": (ALWAYS, "call(101, 117, 0, 0, 0, 0); print('open')"),
    "reading a process's memory": (ALWAYS, "call(310, 270, os.getpid(), 0, 0, 0, 0, 0); print('open')"),
    "a descriptor of a process": (ALWAYS, "call(438, 438, os.pidfd_open(os.getpid()), 0, 0); print('open')"),
    # privileges and namespaces
    "becoming root": (NEEDS_ROOT, "os.setuid(0); print('open')"),
    "capabilities": (NEEDS_ROOT, "print('open' if 'Eff:\\t00000000' not in open('/proc/self/status').read() else '')"),
    "unshare": (ALWAYS, "call(272, 97, 0x10000000); print('open')"),
    "clone into a namespace": (
        ALWAYS,
        "pid = call(56, 220, 0x10000011, 0, 0, 0, 0)\nif not pid: os._exit(0)\nprint('open')",
    ),
    "clone3": (PERHAPS, "missing(38, 435, 435, 0, 0)"),
    "entering a namespace": (NEEDS_ROOT, "call(308, 268, os.open('/proc/self/ns/net', 0), 0); print('open')"),
    "chroot": (NEEDS_ROOT, "os.chroot('/'); print('open')"),
    "mount": (UNTRIED, "call(165, 40, 0, 0, 0, 0, 0); print('open')"),
    "the new mount calls": (NEEDS_ROOT,
        "root = ctypes.create_string_buffer(b'/'); call(428, 428, -100, ctypes.addressof(root), 1); print('open')",
    ),
    "a sandbox in the sandbox": (
        ALWAYS,
        "subprocess.run(['bwrap', '--unshare-user', '--ro-bind', '/', '/', 'true'], check=True); print('open')",
    ),
    # parts of the kernel without a namespace
    "io_uring": (PERHAPS, "missing(38, 425, 425, 1, 0)"),
    "kernel keys": (ALWAYS, "call(250, 219, 0, -3, 1, 0, 0); print('open')"),
    "userfaultfd": (NEEDS_ROOT, "call(323, 282, 1); print('open')"),
    "bpf": (PERHAPS, "missing(1, 321, 280, 99, 0, 0)"),
    "performance counters": (PERHAPS, "missing(1, 298, 241, 0, 0, -1, -1, 0)"),
    "memory without an owner": (ALWAYS, "os.memfd_create('x'); print('open')"),
    "shared memory of System V": (ALWAYS, "call(31, 195, call(29, 194, 0, 4096, 0o1600), 0, 0); print('open')"),
    "message queues": (PERHAPS, "missing(38, 240, 180, 0, 0, 0, 0)"),
    "calls of later kernels": (
        PERHAPS,
        "for number in range(450, 600):\n try: call(number, number, -1, -1, -1, -1, -1); print('open')\n"
        " except OSError as e: print('open' if e.errno != 38 else '')",
    ),
    "typing into a terminal": (
        PERHAPS,
        "import fcntl, pty, termios\n_, tty = pty.openpty()\n"
        "try: fcntl.ioctl(tty, termios.TIOCSTI, b'x')\nexcept OSError as e: print('open' if e.errno != 1 else '')",
    ),
    "memory layout": (ALWAYS, "call(135, 92, 0x0040000); print('open')"),
    "the 32-bit entry": (PERHAPS, MACHINE_CODE if X86 else ""),
    "calls of the x32 table": (PERHAPS, "call(0x40000000 + 39, 0x40000000 + 39); print('open')"),
}  # fmt: skip


@pytest.fixture(scope="module")
def world() -> Iterator[dict[str, Any]]:
    """Things of this machine that a cage must not reach, readable by every user."""
    folder = Path(tempfile.mkdtemp(prefix="llmos-world-"))
    folder.chmod(0o777)
    (folder / "secret").write_text("kept")
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as file, \
            socket.socket(socket.AF_UNIX) as abstract:  # fmt: skip
        name = f"llmos-test-{os.getpid()}"
        abstract.bind("\0" + name)
        file.bind(str(folder / "socket"))
        (folder / "socket").chmod(0o777)
        for server in (tcp, file, abstract):
            server.listen(64)
        yield {
            "port": tcp.getsockname()[1], "abstract": name, "folder": str(folder), "victim": victim.pid,
            "column": NUMBER,
        }  # fmt: skip
    victim.kill()
    victim.wait()
    shutil.rmtree(folder)


def script(code: str, world: dict[str, Any]) -> str:
    return "\n".join(f"{name} = {value!r}" for name, value in world.items()) + PRELUDE + code


@pytest.mark.parametrize("name", PROBES)
async def test_closed_inside(name: str, world: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_TEST_SECRET", "kept")
    files = {"probe.py": script(PROBES[name][1], world).encode(), "given": b"given"}
    outcome = await Sandbox().run(["python3", "probe.py"], files=files)
    assert b"open" not in outcome.stdout, outcome.stderr.decode()
    # It failed for the right reason: refused, or ended by the filter, and not by a mistake in the probe.
    assert not outcome.killed_by
    assert outcome.exit_code == 0 or outcome.signal == SIGSYS or re.search(REFUSED, outcome.stderr), outcome


@pytest.mark.parametrize("name", [name for name, (outside, _) in PROBES.items() if outside != UNTRIED])
def test_open_outside(name: str, world: dict[str, Any]) -> None:
    """The control: the same attack works without the sandbox, so its failure inside says something."""
    with open(os.devnull) as spare:
        done = subprocess.run(
            [sys.executable, "-c", script(PROBES[name][1], world)], capture_output=True, check=False, timeout=20,
            env={**os.environ, "LLMOS_TEST_SECRET": "kept"}, pass_fds=[spare.fileno()],
        )  # fmt: skip
    outside = PROBES[name][0]
    if b"open" not in done.stdout and (outside == PERHAPS or (outside == NEEDS_ROOT and not ROOT)):
        pytest.skip("this machine refuses it even without a sandbox")
    assert b"open" in done.stdout, done.stderr.decode()


# One cage, a child for each probe; says which of them printed "open".
IN_TURN = """
import ctypes, io, json, os, socket, subprocess, sys
opened, run = [], 0
for name, code in json.load(open("probes")).items():
    pid = os.fork()
    if not pid:
        sys.stdout = io.StringIO()
        try: exec(code, {})
        except Exception: pass
        os._exit(42 if "open" in sys.stdout.getvalue() else 0)
    status, run = os.waitpid(pid, 0)[1], run + 1
    if os.WIFEXITED(status) and os.WEXITSTATUS(status): opened.append(name)
print(json.dumps({"opened": opened, "run": run, "uid": os.getuid()}))
os.mkdir("shut"); open("shut/file", "w").close()
for name in "shut/file", "shut", ".": os.chmod(name, 0)
"""
OUTER = """
import asyncio, json, os, sys
from llmos.kernel.sandbox import Cage, Sandbox
files = {"given": b"given", "probes": sys.stdin.buffer.read()}
done = asyncio.run(Sandbox().run(["python3", "-c", sys.argv[1]], files=files, limits=Cage(seconds=20)))
inside = json.loads(done.stdout)
print(json.dumps({"uid": os.getuid(), "ran as": done.uid, "files": list(done.files), "inside": inside}))
"""


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
async def test_closed_for_an_ordinary_user_too(world: dict[str, Any]) -> None:
    python = (await probe()).python
    assert python is not None
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)
        rooms = Path(home, "llmos", "kernel")
        rooms.mkdir(parents=True)
        assert llmos.__file__
        for room in Path(llmos.__file__).parent.glob("kernel/*.py"):
            shutil.copy(room, rooms)
        (rooms.parent / "__init__.py").touch()
        done = await asyncio.to_thread(
            subprocess.run,
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", python.path, "-c", OUTER, IN_TURN],
            input=json.dumps({name: script(code, world) for name, (_, code) in PROBES.items()}), text=True,
            capture_output=True, check=False, cwd="/",
            env={"PYTHONPATH": home, "PYTHONDONTWRITEBYTECODE": "1", "LLMOS_TEST_SECRET": "kept"},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    inside = {"opened": [], "run": len(PROBES), "uid": 1000}
    assert json.loads(done.stdout) == {"uid": 65534, "ran as": 65534, "files": ["shut/file"], "inside": inside}
