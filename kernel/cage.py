"""What a sandboxed program sees and how much of it: limits, files handed in, the command that builds the cage.

Inside the cage::

    /usr /bin /lib…   the machine's programs and libraries, read-only; of /etc only what these need
    /in               the files handed in, read-only
    /work             working directory and HOME: a tmpfs of its own with a link to each file of /in,
                      so that a program finds `script.py` by that name; what it leaves here is handed back
    /tmp /dev/shm     scratch space, gone afterwards
    /proc /dev        of the cage alone

Nothing here starts a process; `warden` does.
"""

import math
import os
import resource
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from stat import S_ISREG, S_IXUSR

from .errors import BadInput, NotFound

MIB = 1024 * 1024
UID = 1000  # the id a program sees as its own; outside, the cage has another one
STDIN = "/run/stdin"
_OPEN_FILES = 256
_FILES = 200  # handed in; each takes a descriptor until the cage stands
_PASSWD = f"cage:x:{UID}:{UID}:cage:/work:/bin/sh\n".encode()
_GROUP = f"cage:x:{UID}:\n".encode()
# The least and the most that a limit can be: below, no cage can be built; above, some part of it overflows.
_ANY_SIZE: tuple[float, float] = (1, 2**50)
_BOUNDS = {"seconds": (0.001, 10.0**7), "memory": (16 * MIB, 2**50), "processes": (1, 2**22)}
_ETC = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")

# The first process in the cage. It says "r" and waits, with the limits already on it, until the warden has
# taken hold of the cage; then it starts the program and hands on its exit code. Its own messages ("Killed")
# go nowhere, the program's error output goes where it should.
_INIT = 'printf r; read -r go || exit 1; exec 5>&2 2>/dev/null; (exec "$@" <{stdin} 2>&5 5>&-); exit $?'


@dataclass(frozen=True)
class Cage:
    """Limits of one sandboxed run: seconds of wall-clock time, sizes in bytes.

    A socket counts as memory with the most its buffer can hold. Raises `BadInput` for a limit out of bounds.
    """

    seconds: float = 5.0
    memory: int = 256 * MIB  # all processes with /tmp, /dev/shm and sockets; also each one's data segment
    processes: int = 32  # threads count as processes
    output: int = MIB  # of standard output, and of standard error
    file_bytes: int = 64 * MIB  # size of /work, and of any single file
    input_bytes: int = 64 * MIB  # handed in, in all

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            least, most = _BOUNDS.get(limit.name, _ANY_SIZE)
            if not least <= value <= most:  # nor is it "not a number"
                raise BadInput(f"limit {limit.name} is {value:.16g}", hint=f"give {least:.16g} to {most:.16g}")


@dataclass(frozen=True)
class Outcome:
    """How a sandboxed run ended and what it left."""

    exit_code: int | None  # None when a signal ended it
    signal: int | None  # also set for exit codes 129 to 192, by which a shell reports signals
    stdout: bytes
    stderr: bytes
    truncated: bool  # a stream went over its limit and was cut there
    timed_out: bool
    killed_by: str | None  # "time", "memory" or "output": the limit for which the cage was ended
    seconds: float  # wall-clock time of the program, without the start of the cage
    files: dict[str, bytes]  # plain files left in /work, by their path in it
    left_out: tuple[str, ...]  # "name (why)" of what could not be handed back
    layers: tuple[str, ...]  # what stood between the program and the machine
    uid: int  # the user id it ran under, as the machine sees it


@dataclass(frozen=True)
class Tools:
    """Programs of this machine that build the cage, as absolute paths."""

    bwrap: str
    prlimit: str
    shell: str
    setpriv: str | None = None  # None where the cage keeps its caller's user id


@dataclass(frozen=True)
class Python:
    """The interpreter that `python3` names inside."""

    path: str
    version: str
    packages: tuple[str, ...] = ()  # which of the common data packages it has
    prefix: str | None = None  # bound read-only as well, where it does not lie under /usr


@dataclass
class Inputs:
    """Descriptors of everything handed in; closed when the block ends."""

    links: list[str] = field(default_factory=list)  # names of files, as found in /work and in /in
    stdin: str = "/dev/null"
    _files: list[tuple[int, str, str]] = field(default_factory=list)  # descriptor, place, mode
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "Inputs":
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    @property
    def descriptors(self) -> list[int]:
        """All descriptors the cage's builder has to inherit."""
        return [fd for fd, _, _ in self._files]

    def hand_in(self, files: Mapping[str, bytes | Path], stdin: bytes, room: int) -> None:
        """Open or copy what the program gets; raises `BadInput` for bad names, odd files and over ``room`` bytes.

        The caller's own rights decide which files can be opened; the cage gets copies, never the files.
        """
        self._add(in_memory(_PASSWD), "/etc/passwd")
        self._add(in_memory(_GROUP), "/etc/group")
        if stdin:
            self.stdin = STDIN
            self._add(in_memory(stdin), STDIN)
        if len(files) > _FILES:
            raise BadInput(f"{len(files)} files handed in, {_FILES} can be", hint="hand in an archive")
        room -= len(stdin)
        for name, source in files.items():
            place = f"/in/{checked_name(name)}"
            if any(str(folder) in files for folder in PurePosixPath(name).parents):
                raise BadInput(f"{name!r} lies below another file", hint="hand it in under another name")
            fd = in_memory(source) if isinstance(source, bytes) else _opened(source)
            status = os.fstat(fd)
            self._add(fd, place, "0555" if status.st_mode & S_IXUSR else "0444")
            self.links.append(name)
            room -= status.st_size
        if room < 0:
            raise BadInput(f"{-room} bytes too many handed in", hint="hand in less, or raise input_bytes")

    def _add(self, fd: int, place: str, mode: str = "0444") -> None:
        self._open.callback(os.close, fd)
        self._files.append((fd, place, mode))

    def options(self) -> list[str]:
        """bubblewrap options that copy the files in and link them into /work."""
        args: list[str] = []
        for fd, place, mode in self._files:
            args += ["--perms", mode, "--file", str(fd), place]
        for name in self.links:
            args += ["--symlink", f"/in/{name}", f"/work/{name}"]
        return args


def checked_name(name: str) -> str:
    """``name`` itself when it is a plain relative path inside the work directory, else `BadInput`."""
    path = PurePosixPath(name)
    plain = str(path) == name and name != "." and name.isprintable()
    if not plain or path.is_absolute() or ".." in path.parts or any(len(p.encode()) > 255 for p in path.parts):
        raise BadInput(f"bad file name {name!r}", hint="give a relative path without '..'")
    return name


def in_memory(data: bytes) -> int:
    """A descriptor, placed at the start, of an unnamed file in memory that holds ``data``."""
    fd = os.memfd_create("llmos-cage")
    os.fchmod(fd, 0o400)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _opened(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"no such file: {path}", path=str(path)) from None
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}", path=str(path)) from error
    if not S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise BadInput(f"not a plain file: {path}", hint="hand in files one by one", path=str(path))
    return fd


def command(
    argv: Iterable[str],
    *,
    tools: Tools,
    python: Python | None,
    uid: int | None,
    limits: Cage,
    inputs: Inputs,
    seccomp_fd: int,
    info_fd: int,
) -> list[str]:
    """The whole command line: drop to ``uid``, build the cage, set limits, wait, run ``argv``."""
    drop = [str(tools.setpriv), f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"] if uid else []
    interpreter = ["--ro-bind", python.prefix, python.prefix] if python and python.prefix else []
    init = [tools.shell, "-c", _INIT.format(stdin=inputs.stdin), "sandbox", *argv]
    return [
        *drop, tools.bwrap,
        "--unshare-all", "--unshare-user", "--disable-userns", "--assert-userns-disabled",
        "--uid", str(UID), "--gid", str(UID), "--hostname", "cage",
        "--cap-drop", "ALL", "--new-session", "--die-with-parent", "--as-pid-1",
        "--seccomp", str(seccomp_fd), "--info-fd", str(info_fd),
        *_environment(python), *_system(),
        "--proc", "/proc", "--dev", "/dev",
        "--size", str(limits.memory), "--perms", "1777", "--tmpfs", "/dev/shm", "--remount-ro", "/dev",
        "--size", str(limits.memory), "--perms", "1777", "--tmpfs", "/tmp",
        "--size", str(limits.file_bytes), "--tmpfs", "/work", *interpreter,
        "--dir", "/in", *inputs.options(),
        "--remount-ro", "/", "--chdir", "/work", "--",
        tools.prlimit, *(f"--{name}={value}" for name, value in rlimits(limits).items()), "--", *init,
    ]  # fmt: skip


def _environment(python: Python | None) -> list[str]:
    first = [f"{python.prefix}/bin"] if python and python.prefix else []
    values = {
        "PATH": ":".join([*first, "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": "/work",
        "TMPDIR": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",  # no __pycache__ among the files handed back
    }
    args = ["--clearenv"]
    for name, value in values.items():
        args += ["--setenv", name, value]
    return args


def _system() -> list[str]:
    args = ["--ro-bind", "/usr", "/usr"]
    for place in ("/bin", "/sbin", "/lib", "/lib64", "/lib32"):
        if os.path.islink(place):
            args += ["--symlink", os.readlink(place), place]
        else:
            args += ["--ro-bind-try", place, place]
    for place in _ETC:
        args += ["--ro-bind-try", place, place]
    return args


def rlimits(limits: Cage) -> dict[str, int]:
    """Limits of each process by prlimit(1) name, none above what this process may give."""
    cores = os.cpu_count() or 1
    wanted = {
        "data": (resource.RLIMIT_DATA, limits.memory),
        "nproc": (resource.RLIMIT_NPROC, limits.processes + 1),  # one more: the cage's own first process
        "fsize": (resource.RLIMIT_FSIZE, limits.file_bytes),
        "nofile": (resource.RLIMIT_NOFILE, _OPEN_FILES),
        "cpu": (resource.RLIMIT_CPU, math.ceil(limits.seconds * cores) + 1),
        "msgqueue": (resource.RLIMIT_MSGQUEUE, 0),
        "core": (resource.RLIMIT_CORE, 0),
    }
    hard = {name: resource.getrlimit(kind)[1] for name, (kind, _) in wanted.items()}
    return {
        name: value if hard[name] == resource.RLIM_INFINITY else min(value, hard[name])
        for name, (_, value) in wanted.items()
    }
