"""One owner's files, or those below one folder of them, to be looked at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..faults import BadPath, Damaged, DamagedRow, Missing
from . import nodes
from .lines import Line, difference, find_lines, text_of
from .names import folder_of, names_of
from .nodes import Ask, Node, Version
from .store import FileStore

UNTRUSTED = "untrusted"  # as is all that nobody said otherwise of


@dataclass(frozen=True)
class Entry:
    """One file; ``size`` in bytes, ``modified`` in seconds since the epoch, ``version`` the number of the newest."""

    path: str
    size: int
    modified: float
    version: int = 1
    label: str = UNTRUSTED
    tags: tuple[str, ...] = ()
    stored: int = 0  # bytes with all versions, a piece that several share counted once
    deleted: bool = False
    damaged: bool = False  # what this row says may be wrong; reading the file raises


@dataclass(frozen=True)
class Revision:
    """One version of a file; ``size`` is None where the file was deleted, ``pid`` where the user made it."""

    number: int
    size: int | None
    made: float
    pid: int | None = None
    label: str = UNTRUSTED
    damaged: bool = False


class FileView:
    """The files below ``root``, a folder of the owner's tree; a process has the folder of its app as its root.

    Any thread. A path is relative to the root, see `names`; else `BadPath`. There are no links, and folders are
    there as long as files are.
    """

    def __init__(self, store: FileStore, owner: str, root: str = "") -> None:
        self.store = store
        self.owner = owner
        self.root = folder_of(root)
        self._ask: Ask = store.database.rows

    def read(self, path: str, version: int | None = None) -> bytes:
        """The whole file, as it is or was."""
        return b"".join(self.blocks(path, version))

    def blocks(self, path: str, version: int | None = None) -> Iterator[bytes]:
        """The file block by block, each checked: the first `Damaged` ends it."""
        return self._blocks(path, self._version(path, version))

    def _blocks(self, path: str, found: Version) -> Iterator[bytes]:
        try:
            yield from self.store.chunks.read(found.pieces, f"version {found.number} of {path}")
        except Damaged:
            if not self._ask("SELECT 1 FROM versions WHERE id = ?", (found.id,)):
                raise Missing(f"{path} was removed while it was read", hint="read it again") from None
            raise

    def read_text(self, path: str, version: int | None = None) -> str:
        """The whole file as UTF-8, without a byte order mark; `NotText` names the first byte that is not."""
        return self.labelled(path, version)[0]

    def labelled(self, path: str, version: int | None = None) -> tuple[str, str]:
        """The text of a file, and its label."""
        found = self._version(path, version)
        return text_of(path, b"".join(self._blocks(path, found))), found.label

    def entries(self, folder: str = "", *, deleted: bool = False) -> list[Entry]:
        """All files below a folder, by path, or those that were deleted; an empty list where there is none."""
        names = folder_of(folder, len(self.root))
        top = nodes.walk(self._ask, self.owner, (*self.root, *names)) if self.root or names else None
        if top is not None and not top.folder:
            raise BadPath(f"{folder} is a file", hint="name a folder")
        if top is None and (names or self.root) and not deleted:
            return []
        within = "/".join((*self.root, *names, "")) if deleted else ""
        found = []
        for path, node in nodes.below(self._ask, self.owner, 0 if deleted or top is None else top.id):
            if path.startswith(within) and (node is None or (not node.folder and node.gone == deleted)):
                found.append(self._entry("/".join((*names, path.removeprefix(within))), node))
        return sorted(found, key=lambda e: e.path)

    def _entry(self, path: str, node: Node | None) -> Entry:
        if node is None:
            return Entry(path, 0, 0.0, damaged=True)
        try:
            last = nodes.version(self._ask, node, node.current)
        except Damaged:
            return Entry(path, 0, 0.0, node.current, UNTRUSTED, node.tags, node.stored, node.gone, damaged=True)
        return Entry(path, last.size or 0, last.made, last.number, last.label, node.tags, node.stored, node.gone)

    def search(self, text: str, folder: str = "", *, regex: bool = False, limit: int = 100) -> list[Line]:
        """Lines that contain the text, case ignored, or match the pattern; files that are no text are passed over."""
        return find_lines([e.path for e in self.entries(folder)], self.read_text, text, regex=regex, limit=limit)

    def versions(self, path: str) -> list[Revision]:
        """The versions of a file, oldest first, also of one that was deleted."""
        return [_revision(found) for found in nodes.history(self._ask, self._past(path))]

    def diff(self, path: str, before: int, after: int) -> str:
        """What differs between two versions, as `diff -u` writes it; of one where the file was deleted, all."""
        texts = [
            "" if self._version(path, number, past=True).size is None else self.read_text(path, number)
            for number in (before, after)
        ]
        return difference(texts[0], texts[1], f"{path} (version {before})", f"{path} (version {after})")

    # -- inside --

    def _names(self, path: str) -> tuple[str, ...]:
        """The names of a path from the owner's root."""
        return (*self.root, *names_of(path, len(self.root)))

    def _living(self, ask: Ask, names: Sequence[str], path: str) -> Node:
        try:
            node = nodes.walk(ask, self.owner, names)
        except DamagedRow as damage:
            raise Damaged(f"the entry of {path} is damaged", hint=damage.hint) from None
        if node is None:
            raise missing(path)
        if node.folder:
            raise BadPath(f"{path} is a folder", hint="name a file")
        return node

    def _past(self, path: str, ask: Ask | None = None) -> Node:
        """The file of a path, or the last that was deleted there."""
        ask, names = ask or self._ask, self._names(path)
        try:
            node = nodes.walk(ask, self.owner, names)
        except BadPath:  # a file stands now where its folder was
            node = None
        found = node if node is not None and not node.folder else nodes.past(ask, self.owner, names)
        if found is None:
            raise missing(path)
        return found

    def _version(self, path: str, version: int | None, *, past: bool = False) -> Version:
        old = version is not None
        node = self._past(path) if old or past else self._living(self._ask, self._names(path), path)
        found = nodes.version(self._ask, node, node.current if version is None else version, path)
        if found.size is None and not past:
            raise Missing(f"{path} was deleted in version {found.number}", hint="name another version")
        return found


def _revision(found: Version | int) -> Revision:
    if isinstance(found, int):
        return Revision(found, None, 0.0, damaged=True)
    return Revision(found.number, found.size, found.made, found.pid, found.label)


def missing(path: str) -> Missing:
    """The fault for a path without a file."""
    return Missing(f"no file {path}", hint="list the files to see what there is")
