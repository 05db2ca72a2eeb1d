"""From what a user names to the files that are meant."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .blocks import Refused, of_the_system


@dataclass(frozen=True)
class Found:
    """A regular file, as it was when it was found."""

    path: str
    name: str  # the path as text: bytes that are none are spelt out
    size: int
    mtime_ns: int
    named: bool  # by the user, and not met in a folder


@dataclass
class Walk:
    """Goes through files and folders once; afterwards says what was left out and where it could not look."""

    refused: list[tuple[str, Refused, bool]] = field(default_factory=list)  # name, why, whether the user named it
    roots: list[str] = field(default_factory=list)  # folders that were gone through
    unseen: list[str] = field(default_factory=list)  # paths below which there may be files all the same
    hidden: int = 0  # files and folders whose names begin with a dot
    _seen: set[str] = field(default_factory=set)

    def files(self, paths: Iterable[str]) -> Iterator[Found | None]:
        """Every file, each once, in the order of names; None now and then, when there is none for a while."""
        for given in paths:
            try:
                path = os.path.realpath(given, strict=True)
                found = os.stat(path)
            except (OSError, ValueError) as problem:
                self._unreachable(given, problem, named=True)
                continue
            if stat.S_ISDIR(found.st_mode):
                self.roots.append(as_text(path))
                yield from self._below(path)
            else:
                yield self._file(path, found, named=True)

    def _below(self, root: str) -> Iterator[Found | None]:
        folders = [root]
        while folders:
            folder = folders.pop()
            yield None
            try:
                with os.scandir(folder) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except OSError as problem:
                self._unreachable(folder, problem)
                continue
            inner = []
            for entry in listed:
                if entry.name.startswith("."):
                    self.hidden += 1
                elif entry.is_dir(follow_symlinks=False):
                    inner.append(entry.path)
                else:
                    yield self._entry(entry)
            folders += reversed(inner)

    def _entry(self, entry: os.DirEntry[str]) -> Found | None:
        try:
            return self._file(entry.path, entry.stat(follow_symlinks=False), named=False)
        except OSError as problem:
            self._unreachable(entry.path, problem)
            return None

    def _file(self, path: str, found: os.stat_result, *, named: bool) -> Found | None:
        if path in self._seen:
            return None
        self._seen.add(path)
        if stat.S_ISLNK(found.st_mode):
            self._refuse(path, of_the_system(OSError(errno.ELOOP, "")), named=named)
        elif not stat.S_ISREG(found.st_mode):
            self._refuse(path, Refused("special", "is no regular file"), named=named)
        else:
            return Found(path, as_text(path), found.st_size, found.st_mtime_ns, named)
        return None

    def _refuse(self, path: str, why: Refused, *, named: bool = False) -> None:
        self.refused.append((as_text(path), why, named))

    def _unreachable(self, path: str, problem: OSError | ValueError, *, named: bool = False) -> None:
        self.unseen.append(as_text(path))
        why = of_the_system(problem) if isinstance(problem, OSError) else Refused("name", f"is no path: {problem}")
        self._refuse(path, why, named=named)


def as_text(path: str) -> str:
    """A path as text: bytes in it that are none are spelt out, as in ``\\xff.txt``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def below(name: str, folder: str) -> bool:
    """Whether a path is this one or lies below it."""
    return name == folder or name.startswith(folder if folder.endswith("/") else folder + "/")
