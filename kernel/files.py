"""What a process sees as its files: its app's own tree, and what was handed in, read-only, under ``in/``."""

from collections.abc import Mapping
from pathlib import Path

from ..memory.faults import BadPath, Missing
from ..memory.files import Entry, FileTree, Line, find_lines, text_of

HANDED = "in"


class ProcessFiles:
    """Two trees behind one face. What is handed in is not copied: it is read where the user has it."""

    def __init__(self, own: FileTree, handed: Mapping[str, Path]) -> None:
        """``handed``: path in the process's tree (below ``in/``) -> file on the host."""
        self._own = own
        self._handed: dict[str, Path] = {}
        for path, source in sorted(handed.items()):
            self.hand_in(path, source)

    def hand_in(self, path: str, source: Path) -> None:
        """Hand in a file of the host; one of the same path before it is no longer seen."""
        if not _is_handed(path):
            raise BadPath(f"{path}: what is handed in stands below {HANDED}/")
        self._handed[path] = source

    def read(self, path: str) -> str:
        """Text of a file, UTF-8."""
        if not _is_handed(path):
            return self._own.read_text(path)
        source = self._handed.get(path.strip("/"))
        if source is None or not source.is_file():
            raise Missing(f"no file {path}", hint="list the files to see what there is")
        return text_of(path, source.read_bytes())

    def write(self, path: str, text: str, *, append: bool = False) -> None:
        """Write a whole file, or append."""
        _own_only(path)
        (self._own.append if append else self._own.write)(path, text.encode("utf-8", "replace"))

    def delete(self, path: str) -> None:
        """Remove a file."""
        _own_only(path)
        self._own.delete(path)

    def listing(self, folder: str = "") -> list[Entry]:
        """Files below a folder, by path: the app's own, then what was handed in."""
        own = [] if _is_handed(folder) else self._own.entries(folder)
        return own + [self._entry(path) for path in self._below(folder)]

    def search(self, text: str, folder: str = "", *, regex: bool = False, limit: int = 100) -> list[Line]:
        """Lines that contain the text."""
        found = [] if _is_handed(folder) else self._own.search(text, folder, regex=regex, limit=limit)
        handed = find_lines(self._below(folder), self.read, text, regex=regex, limit=limit)
        return (found + handed)[:limit]

    def _below(self, folder: str) -> list[str]:
        start = folder.strip("/")
        handed = sorted(self._handed.items())
        return [p for p, source in handed if source.is_file() and (not start or p.startswith(start + "/"))]

    def _entry(self, path: str) -> Entry:
        info = self._handed[path].stat()
        return Entry(path, info.st_size, info.st_mtime)


def _is_handed(path: str) -> bool:
    return path.strip("/").split("/")[0] == HANDED


def _own_only(path: str) -> None:
    if _is_handed(path):
        raise BadPath(f"{path}: what was handed in can only be read", hint="write under another name")
