"""LLMOS_HOME: where everything lives that outlasts a run, and the lock that lets one llmos write it.

    HOME/llmos.db       processes, journal, memory, files   HOME/apps/NAME      apps installed from a folder
    HOME/models/        prepared and added models           HOME/site/          apps installed as packages
    HOME/history        lines typed in the shell            HOME/run/           what only a running llmos needs
    HOME/lock           held while a llmos runs           HOME/swap/          states of processes, while a llmos runs

All of it is this user's alone, mode 0700.
"""

import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ...kernel.errors import BadInput, HomeHeld, Storage

_PRIVATE = 0o700


def home_path() -> Path:
    """LLMOS_HOME where it is set, else the platform's place for a user's data."""
    named = os.environ.get("LLMOS_HOME", "").strip()
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("llmos")


@dataclass(frozen=True)
class Home:
    """The layout of one LLMOS_HOME."""

    root: Path

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.root / "llmos.db"

    @property
    def models(self) -> Path:
        """Model files and the catalog's list."""
        return self.root / "models"

    @property
    def apps(self) -> Path:
        """A folder for each app that was installed from a folder."""
        return self.root / "apps"

    @property
    def site(self) -> Path:
        """Packages that `llmos app install` brought."""
        return self.root / "site"

    @property
    def files(self) -> Path:
        """Where an older llmos had the apps' own files, by owner and app; they are taken into the database."""
        return self.root / "files"

    @property
    def run(self) -> Path:
        """The control socket and handed-in files of a running llmos."""
        return self.root / "run"

    @property
    def swap(self) -> Path:
        """States of processes that are in no stream; made by a llmos that runs, and removed at its end."""
        return self.root / "swap"

    @property
    def history(self) -> Path:
        """Lines typed in the shell."""
        return self.root / "history"

    @property
    def lock(self) -> Path:
        """The file that a running llmos holds."""
        return self.root / "lock"

    def create(self) -> "Home":
        """Make what is missing, readable by this user alone; raises `Storage` or `BadInput` in words for a user."""
        if self.root.exists() and not self.root.is_dir():
            raise BadInput(f"{self.root} is a file", hint="name a folder in LLMOS_HOME or with --home")
        try:
            self.root.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            for folder in (self.models, self.apps, self.site, self.run):
                folder.mkdir(mode=_PRIVATE, exist_ok=True)
            self._try_to_write()
        except OSError as problem:
            raise Storage(
                f"{self.root} cannot be written: {problem.strerror}",
                hint="free some room, check its permissions, or name another folder with --home",
            ) from problem
        return self

    def sweep(self) -> None:
        """Remove what a llmos that died left in ``run``; only for whoever holds the lock."""
        for left in self.run.iterdir() if self.run.is_dir() else ():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)

    def _try_to_write(self) -> None:
        """A full or read-only disk shows here, not in the middle of somebody's work."""
        probe = self.run / f".probe-{os.getpid()}"
        try:
            probe.write_bytes(b"\0" * 4096)
        finally:
            probe.unlink(missing_ok=True)

    def holder(self) -> int | None:
        """The pid of the llmos that holds this home, None when nobody does; looks without touching the lock."""
        try:
            inode = self.lock.stat().st_ino
            pid = _holder_in(self.lock.read_text())[0]
            held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        except (OSError, ValueError):
            return None
        return pid if any("FLOCK" in row and row[-3].endswith(f":{inode}") for row in held) else None


class HomeLock:
    """Held by the one llmos that may write a home. The kernel drops it with its holder, however that dies.

    The file stays when the lock is given back: removing it would let two holders lock two files of one name.
    """

    def __init__(self, home: Home, *, serves: bool = False) -> None:
        """``serves``: the holder is going to answer at the control socket, so others may wait for that."""
        self._home = home
        self._serves = serves
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock, or raise `HomeHeld` with the holder's ``pid`` and whether it ``serves``."""
        try:
            handle = os.open(self._home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as problem:
            raise Storage(
                f"{self._home.lock}: {problem.strerror}", hint="name another folder in LLMOS_HOME"
            ) from problem
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, serves = _holder_in(os.pread(handle, 32, 0).decode(errors="replace"))
            os.close(handle)
            who = f"process {pid}" if pid else "another process"
            raise HomeHeld(
                f"{self._home.root} is held by another llmos ({who})",
                hint="use that one, end it, or name another folder with --home",
                pid=pid, serves=serves, home=str(self._home.root),
            ) from None  # fmt: skip
        self._home.sweep()
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}{' serves' * self._serves}\n".encode(), 0)
        self._handle = handle

    def release(self) -> None:
        """Give it back; safe to call twice."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> "HomeLock":
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _holder_in(text: str) -> tuple[int, bool]:
    """What the holder wrote into the lock: its pid, and whether it serves; 0 in the moment before it did."""
    words = text.split()
    return (int(words[0]) if words and words[0].isdigit() else 0), "serves" in words[1:]
