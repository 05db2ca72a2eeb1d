"""What a process sees as its files: its app's own tree, and what was handed in, read-only, under ``in/``."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from ..memory.faults import BadPath, Missing
from ..memory.files import UNTRUSTED, Entry, FileTree, Found, Line, Revision, Write, find, find_lines, text_of
from ..memory.recall import Recall

HANDED = "in"


class ProcessFiles:
    """Two trees behind one face. What is handed in is not copied: it is read where the user has it, untrusted.

    Methods named ...ing prepare a change; the `Write` that they return makes it.
    """

    def __init__(self, own: FileTree, recall: Recall, handed: Mapping[str, Path]) -> None:
        """``handed``: path in the process's tree (below ``in/``) -> file on the host."""
        self._own = own
        self._recall = recall
        self._handed: dict[str, Path] = {}
        for path, source in sorted(handed.items()):
            self.hand_in(path, source)

    def hand_in(self, path: str, source: Path) -> None:
        """Hand in a file of the host; one of the same path before it is no longer seen."""
        if not _is_handed(path):
            raise BadPath(f"{path}: what is handed in stands below {HANDED}/")
        self._handed[path] = source

    def handed(self) -> dict[str, str]:
        """What was handed in, in plain values: path in the process's tree, file on the host."""
        return {path: str(source) for path, source in self._handed.items()}

    # -- reading --

    def read(self, path: str) -> str:
        """Text of a file, UTF-8."""
        return self.labelled(path)[0]

    def labelled(self, path: str, version: int | None = None) -> tuple[str, str]:
        """Text of a file and its label; of what was handed in there is one version only."""
        if not _is_handed(path):
            return self._own.labelled(path, version)
        source = self._handed.get(path.strip("/"))
        if source is None or version is not None or not source.is_file():
            raise Missing(f"no file {path}", hint="list the files to see what there is")
        return text_of(path, source.read_bytes()), UNTRUSTED

    def listing(self, folder: str = "") -> list[Entry]:
        """Files below a folder, by path: the app's own, then what was handed in."""
        own = [] if _is_handed(folder) else self._own.entries(folder)
        return own + [self._entry(path) for path in self._below(folder)]

    def search(self, text: str, folder: str = "", *, regex: bool = False, limit: int = 100) -> list[Line]:
        """Lines that contain the text."""
        found = [] if _is_handed(folder) else self._own.search(text, folder, regex=regex, limit=limit)
        handed = find_lines(self._below(folder), self.read, text, regex=regex, limit=limit)
        return (found + handed)[:limit]

    def find(self, query: str, folder: str = "", *, tags: Iterable[str] = (), k: int = 10) -> list[Found]:
        """The app's own files that fit a query best, by name, tags, words and meaning."""
        return find(self._own, self._recall, query, folder=folder, tags=tags, k=k)

    def versions(self, path: str) -> list[Revision]:
        """The versions of a file, oldest first, also of one that was deleted."""
        _own_only(path)
        return self._own.versions(path)

    # -- changing --

    def writing(self, path: str, text: str, label: str = UNTRUSTED, *, append: bool = False) -> Write:
        """Write a whole file, or append."""
        _own_only(path)
        return (self._own.appending if append else self._own.writing)(path, text.encode("utf-8", "replace"), label)

    def deleting(self, path: str) -> Write:
        """Remove a file."""
        _own_only(path)
        return self._own.deleting(path)

    def renaming(self, path: str, to: str) -> Write:
        """Give a file or folder another path."""
        _own_only(path)
        _own_only(to)
        return self._own.renaming(path, to)

    def rolling_back(self, path: str, version: int) -> Write:
        """Bring back a version of a file."""
        _own_only(path)
        return self._own.rolling_back(path, version)

    def tagging(self, path: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Write:
        """Give a file tags and take some."""
        _own_only(path)
        return self._own.tagging(path, add, remove)

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
