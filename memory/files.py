"""A tree of files that nothing leaves: every path is walked from an open folder, and no link is followed."""

import errno
import fcntl
import io
import os
import shutil
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .faults import BadPath, Full, Missing, NotText

LONGEST_NAME = 255  # bytes
DEEPEST = 32  # names in a path: walking, listing and removing hold a handle for each
LONGEST_LINE = 500  # characters of a line that a search shows
_PART = ".llmos-part"  # the file that is being written, in the root; no path may name it, no listing shows it
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Entry:
    """One file; ``size`` in bytes, ``modified`` in seconds since the epoch."""

    path: str
    size: int
    modified: float


@dataclass(frozen=True)
class Line:
    """One line of a file, counted from 1; ``text`` is its beginning."""

    path: str
    line: int
    text: str


class FileTree:
    """All files below ``root``; made with the first write. ``quota`` is in bytes.

    Any thread. Several trees may stand on one root: who changes it holds a lock on the root meanwhile.
    A path is relative, of names separated by "/", and normalised to NFC; else `BadPath`.
    """

    def __init__(self, root: Path, quota: int | None = None) -> None:
        self._root = root
        self._quota = quota

    # -- reading --

    def read(self, path: str) -> bytes:
        """The whole file."""
        *folders, name = _names(path)
        with self._open(path) as root, _walk(root, path, folders) as folder:
            handle = _opened(path, name, os.O_RDONLY, folder)
            try:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise BadPath(f"{path} is not a file", hint="name a file")
                with open(handle, "rb", closefd=False) as file:
                    return file.read()
            finally:
                os.close(handle)

    def read_text(self, path: str) -> str:
        """The whole file as UTF-8, without a byte order mark; `NotText` names the first byte that is not."""
        return text_of(path, self.read(path))

    def entries(self, folder: str = "") -> list[Entry]:
        """All files below a folder, by path; an empty list where there is none."""
        names = _names(folder) if folder.strip("/") else []
        found: list[Entry] = []
        with suppress(Missing), self._open(folder) as root, _walk(root, folder, names) as top:
            for at, _, files, handle in os.fwalk(".", dir_fd=top):
                for name in files:
                    with suppress(FileNotFoundError):  # deleted since the folder was read
                        info = os.stat(name, dir_fd=handle, follow_symlinks=False)
                        if stat.S_ISREG(info.st_mode) and name != _PART:
                            path = os.path.normpath(os.path.join(*names, at, name))
                            found.append(Entry(path, info.st_size, info.st_mtime))
        return sorted(found, key=lambda e: e.path)

    def search(self, text: str, folder: str = "", *, regex: bool = False, limit: int = 100) -> list[Line]:
        """Lines that contain the text, case ignored, or match the pattern; files that are no text are passed over."""
        return find_lines([e.path for e in self.entries(folder)], self.read_text, text, regex=regex, limit=limit)

    # -- changing --

    def write(self, path: str, data: bytes) -> None:
        """Put a whole file in place, on disk; until then the old one stays. Raises `Full`, then nothing changed."""
        with _room(path), self._open(path, alone=True) as root:
            self._put(root, path, data)

    def append(self, path: str, data: bytes) -> None:
        """Add to a file, or begin it; as whole as `write`, so it costs as much as writing it all."""
        with _room(path), self._open(path, alone=True) as root:
            try:
                before = self.read(path)
            except Missing:
                before = b""
            self._put(root, path, before + data)

    def delete(self, path: str) -> None:
        """Remove a file, and the folders that are empty without it."""
        *folders, name = _names(path)
        with _room(path), self._open(path, alone=True) as root:
            with _walk(root, path, folders) as folder:
                try:
                    os.unlink(name, dir_fd=folder)
                except FileNotFoundError:
                    raise _missing(path) from None
            with suppress(OSError):  # of the first that is not empty
                while folders:
                    *folders, name = folders
                    with _walk(root, path, folders) as folder:
                        os.rmdir(name, dir_fd=folder)

    def remove(self) -> None:
        """Remove the whole tree."""
        shutil.rmtree(self._root, ignore_errors=True)

    def _put(self, root: int, path: str, data: bytes) -> None:
        *folders, name = names = _names(path)
        self._within_quota("/".join(names), len(data))
        with _walk(root, path, folders, make=True) as folder:
            with suppress(FileNotFoundError):  # left by a writer that died: nobody else writes now
                os.unlink(_PART, dir_fd=root)
            handle = os.open(_PART, _NEW, 0o600, dir_fd=root)
            try:
                with open(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(handle)
                os.rename(_PART, name, src_dir_fd=root, dst_dir_fd=folder)
            except BaseException:
                os.unlink(_PART, dir_fd=root)
                raise
            os.fsync(folder)

    def _within_quota(self, path: str, size: int) -> None:
        if self._quota is None:
            return
        used = sum(e.size for e in self.entries() if e.path != path)
        if used + size > self._quota:
            raise Full(
                f"{path}: {size} bytes do not fit, {used} of {self._quota} bytes are used", hint="delete files first"
            )

    @contextmanager
    def _open(self, path: str, *, alone: bool = False) -> Iterator[int]:
        """The root's handle; ``alone``, to change something: made if missing, and locked against other writers."""
        if alone:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            handle = os.open(self._root, _FOLDER)
        except FileNotFoundError:
            raise _missing(path) from None
        try:
            if alone:
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        finally:
            os.close(handle)


def _names(path: str) -> list[str]:
    """The names in a path, checked."""
    if path.startswith("/") or "\\" in path or any(unicodedata.category(c) in ("Cc", "Cs") for c in path):
        raise BadPath(f"{path!r} is not a path within the tree", hint="give a relative path with /")
    names = [unicodedata.normalize("NFC", n) for n in path.split("/") if n not in ("", ".")]
    if not names or ".." in names:
        raise BadPath(f"{path!r} leaves the tree", hint="give a relative path without ..")
    if len(names) > DEEPEST:
        raise BadPath(f"{path[:40]!r}… is {len(names)} names deep", hint=f"at most {DEEPEST}")
    for name in names:
        if len(name.encode()) > LONGEST_NAME or name == _PART:
            raise BadPath(f"{name[:40]!r} cannot be a file name", hint=f"at most {LONGEST_NAME} bytes")
    return names


@contextmanager
def _walk(root: int, path: str, folders: Sequence[str], *, make: bool = False) -> Iterator[int]:
    """The handle of a folder, reached name by name from the root's; ``make`` makes what is missing."""
    at = os.dup(root)
    try:
        for folder in folders:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(folder, 0o700, dir_fd=at)
                    os.fsync(at)
            inner = _opened(path, folder, _FOLDER, at)
            os.close(at)
            at = inner
        yield at
    finally:
        os.close(at)


def _opened(path: str, name: str, flags: int, folder: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as problem:
        if problem.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            raise BadPath(f"{path}: {name} is a link or not a folder", hint="links are not followed") from None
        raise


def _pattern(text: str) -> Callable[[str], bool]:
    """Whether a line matches, in time linear in its length: ``re`` could hold the GIL for ever on a hostile pattern.

    This is Rust's regex, which also bounds the memory of a compiled pattern; pydantic brings it.
    """
    from pydantic_core import SchemaError, SchemaValidator, core_schema

    try:
        return SchemaValidator(core_schema.str_schema(pattern=f"(?i){text}")).isinstance_python
    except SchemaError as wrong:
        reason = str(wrong).splitlines()[-1].rpartition("rror: ")[2].strip()
        raise BadPath(
            f"the pattern {text[:60]!r} cannot be used: {reason}", hint="look-around and back-references are not known"
        ) from None


def _missing(path: str) -> Missing:
    return Missing(f"no file {path}", hint="list the files to see what there is")


@contextmanager
def _room(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
            raise Full(f"{path} cannot be written: {problem.strerror}", hint="free some room") from problem
        if problem.errno == errno.EISDIR:
            raise BadPath(f"{path} is a folder", hint="name a file") from None
        raise


def text_of(path: str, data: bytes) -> str:
    """A file's bytes as text, without a byte order mark; `NotText` names the first byte that is not UTF-8."""
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as wrong:
        raise NotText(
            f"{path} is not UTF-8 text (byte {wrong.start})", hint="convert it, for example with iconv"
        ) from None


def find_lines(
    paths: Iterable[str], read: Callable[[str], str], text: str, *, regex: bool = False, limit: int = 100
) -> list[Line]:
    """Lines of files that contain a text, case ignored, or match a pattern; what is no text is passed over."""
    wanted = text.casefold()
    matches = _pattern(text) if regex else (lambda line: wanted in line.casefold())
    found: list[Line] = []
    for path in paths:
        try:
            lines = io.StringIO(read(path), newline=None)
        except (NotText, Missing):  # no text, or deleted meanwhile
            continue
        for number, line in enumerate(lines, 1):
            if len(found) < limit and matches(line.removesuffix("\n")):
                found.append(Line(path, number, line.removesuffix("\n")[:LONGEST_LINE]))
    return found
