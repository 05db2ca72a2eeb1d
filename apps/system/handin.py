"""Files of the user's that a process gets: named on a command line, copied in by the kernel, read-only there."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from ...kernel.errors import BadInput, NotFound

MOST_FILES = 10_000  # of one folder; more is a mistake (somebody named their home)


def expanded(path: Path) -> Path:
    """``~`` as the user's home folder, ``~name`` as another's; raises `BadInput` where there is none."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise BadInput(f"{path}: there is no such home folder", hint="for a name that begins so, write ./~") from None


def there(path: Path) -> bool:
    """Whether something has this name; a name that no file can have is one of nothing."""
    try:
        return path.exists()
    except OSError as problem:
        if problem.errno == errno.ENAMETOOLONG:
            return False
        raise


class Basket:
    """What one command line hands in. ``folder`` is where relative paths begin."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sources: dict[str, Path] = {}
        self.groups: dict[str, dict[str, Path]] = {}  # for each path handed out: file in the process, on the host

    def take(self, option: str, word: str) -> str:
        """The path that the process knows a file or folder by. Raises `NotFound` or `BadInput`, naming the option."""
        source = self._folder / expanded(Path(word))
        if not there(source):
            raise NotFound(f"{option}: no file or folder {word!r}", hint="check the spelling and where you are")
        source = source.resolve()
        for path, taken in self._sources.items():
            if taken == source:
                return path
        name = _text(_name(word, source))
        path = f"in/{name}"
        if path in self._sources:  # another file of the same name: this one lies a folder deeper
            path = f"in/{len(self._sources) + 1}/{name}"
        self._sources[path] = source
        self.groups[path] = _files(option, word, source, path)
        return path


def _name(word: str, source: Path) -> str:
    """A relative path keeps its shape; any other is known by its last part."""
    path = Path(word)
    if path.parts and not path.is_absolute() and not {"..", "~"} & set(path.parts):
        return path.as_posix()
    return source.name or "root"


def _text(name: str) -> str:
    """A file's name as text: bytes in it that are none are spelt out, as in ``\\xff.txt``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _files(option: str, word: str, source: Path, path: str) -> dict[str, Path]:
    files = {path: source}
    if source.is_dir():
        files = {f"{path}/{_text(inner.relative_to(source).as_posix())}": inner for inner in _below(source)}
        if not files:
            raise BadInput(f"{option}: the folder {word!r} holds no files", hint="name one that does")
    for file in files.values():
        if not file.is_file():
            raise BadInput(f"{option}: {file} is no regular file", hint="name a file or a folder of files")
        if not os.access(file, os.R_OK):
            raise BadInput(f"{option}: {file} may not be read", hint="check its permissions")
    return files


def _below(folder: Path) -> Iterator[Path]:
    """Regular files below a folder in the order of their paths; hidden ones and links stay outside."""
    count = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(place, name)
            if name.startswith(".") or file.is_symlink() or not file.is_file():
                continue
            count += 1
            if count > MOST_FILES:
                raise BadInput(f"{folder} holds more than {MOST_FILES} files", hint="name a smaller folder")
            yield file
