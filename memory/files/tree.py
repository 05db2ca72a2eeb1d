"""One owner's files, or those below one folder of them: read, written, named anew, and brought back."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ..faults import BadPath, Damaged, DamagedRow, Missing
from . import chunks, nodes
from .chunks import Content
from .lines import Line, difference, find_lines, text_of
from .names import DEEPEST, folder_of, names_of
from .nodes import Ask, Node, Version, asking
from .store import FileStore

Write = Callable[[sqlite3.Connection], Any]
"""A change that was prepared: made within a transaction, whole or, with a `MemoryFault`, not at all."""

_SHORT_PIECES = 16  # at the end of a file, from appending; with more, they are joined
TRUSTED, UNTRUSTED = "trusted", "untrusted"


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


class FileTree:
    """The files below ``root``, a folder of the owner's tree; a process has the folder of its app as its root.

    Any thread. A path is relative to the root, see `names`; else `BadPath`. There are no links, and folders are
    there as long as files are. Methods named ...ing prepare a change, which may take long, and return the `Write`
    that makes it; ``pid`` is who made it.
    """

    def __init__(self, store: FileStore, owner: str, root: str = "", pid: int | None = None) -> None:
        self.store = store
        self.owner = owner
        self.root = folder_of(root)
        self._pid = pid
        self._ask: Ask = store.database.rows

    # -- reading --

    def read(self, path: str, version: int | None = None) -> bytes:
        """The whole file, as it is or was."""
        return b"".join(self.blocks(path, version))

    def blocks(self, path: str, version: int | None = None) -> Iterator[bytes]:
        """The file block by block, each checked: the first `Damaged` ends it."""
        node, found = self._version(path, version)
        try:
            yield from self.store.chunks.read(found.pieces, f"version {found.number} of {path}")
        except Damaged:
            if not self._ask("SELECT 1 FROM versions WHERE id = ?", (found.id,)):
                raise Missing(f"{path} was removed while it was read", hint="read it again") from None
            raise

    def label(self, path: str, version: int | None = None) -> str:
        """Whether the file can be trusted."""
        return self._version(path, version)[1].label

    def read_text(self, path: str, version: int | None = None) -> str:
        """The whole file as UTF-8, without a byte order mark; `NotText` names the first byte that is not."""
        return text_of(path, self.read(path, version))

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
        return [
            Revision(v, None, 0.0, damaged=True) if isinstance(v, int) else Revision(v.number, v.size, v.made, v.pid, v.label)
            for v in nodes.history(self._ask, self._past(path))
        ]  # fmt: skip

    def diff(self, path: str, before: int, after: int) -> str:
        """What differs between two versions, as `diff -u` writes it; of one where the file was deleted, all."""
        texts = [
            "" if self._version(path, number, past=True)[1].size is None else self.read_text(path, number)
            for number in (before, after)
        ]
        return difference(texts[0], texts[1], f"{path} (version {before})", f"{path} (version {after})")

    # -- changing --

    def writing(self, path: str, data: bytes | Iterable[bytes], label: str = UNTRUSTED) -> Write:
        """Put a whole file in place. The same content again makes no version. Raises `Full` before all is read."""
        names = self._names(path)
        content = self._content(names, data)

        def write(connection: sqlite3.Connection) -> None:
            node = self._place(connection, names)
            last = self._last(connection, node)
            if last is not None and (last.pieces, last.size, last.label) == (content.pieces, content.size, label):
                return
            chunks.store(connection, content)
            self._add(connection, node, content.size, label, content.pieces, last)

        return write

    def appending(self, path: str, data: bytes, label: str = UNTRUSTED) -> Write:
        """Add to a file, or begin it; what was there is not written again. It is trusted if both parts are."""
        names = self._names(path)
        content = self._content(names, data)

        def write(connection: sqlite3.Connection) -> None:
            node = self._place(connection, names)
            last = nodes.version(asking(connection), node, node.current, path) if node.current else None
            chunks.store(connection, content)
            if last is None or last.size is None:
                self._add(connection, node, content.size, label, content.pieces, None)
            elif content.size:
                pieces = _with_short_tail_joined(connection, last.pieces + content.pieces, path)
                both = label if label == last.label else UNTRUSTED
                self._add(connection, node, last.size + content.size, both, pieces, last)

        return write

    def deleting(self, path: str) -> Write:
        """Remove a file; its versions can be brought back by `rolling_back`."""
        names = self._names(path)

        def write(connection: sqlite3.Connection) -> None:
            node = self._living(asking(connection), names, path)
            self._add(connection, replace(node, gone=True), None, UNTRUSTED, b"", None)
            nodes.bury(connection, node.parent)

        return write

    def renaming(self, path: str, to: str) -> Write:
        """Give a file or a folder another path; nothing may stand there. One row, and those of folders on the way."""
        names, new = self._names(path), self._names(to)

        def write(connection: sqlite3.Connection) -> None:
            ask = asking(connection)
            node = nodes.walk(ask, self.owner, names)
            if node is None:
                raise _missing(path)
            if names == new:
                return
            if new[: len(names)] == names:
                raise BadPath(f"{to} is within {path}", hint="choose another place")
            if nodes.walk(ask, self.owner, new) is not None:
                raise BadPath(f"{to} is there already", hint="delete it first, or choose another name")
            deep = max((p.count("/") + 1 for p, _ in nodes.below(ask, self.owner, node.id)), default=0)
            if len(new) + deep > DEEPEST:
                raise BadPath(f"{to} would be {len(new) + deep} names deep", hint=f"at most {DEEPEST}")
            parent = nodes.folder(connection, self.owner, new[:-1], self.store.clock())
            nodes.save(connection, replace(node, parent=parent, name=new[-1]))
            nodes.bury(connection, node.parent)

        return write

    def rolling_back(self, path: str, version: int) -> Write:
        """Make a version that a file had its newest, as a new one; also of a file that was deleted."""
        names = self._names(path)

        def write(connection: sqlite3.Connection) -> None:
            ask = asking(connection)
            found = self._past(path, ask)
            old = nodes.version(ask, found, version, path)
            if old.size is None:
                raise BadPath(f"{path} was deleted in version {version}", hint="llmos fs rm deletes it")
            node = self._place(connection, names)
            assert node.id == found.id
            self._add(connection, node, old.size, old.label, old.pieces, old)

        return write

    def tagging(self, path: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Write:
        """Give a file tags and take some; no version."""
        names, more, less = self._names(path), set(add), set(remove)

        def write(connection: sqlite3.Connection) -> None:
            node = self._living(asking(connection), names, path)
            nodes.save(connection, replace(node, tags=tuple(sorted((set(node.tags) | more) - less))))

        return write

    def write(self, path: str, data: bytes | Iterable[bytes], label: str = UNTRUSTED) -> None:
        """`writing`, on disk when it returns; so are those below."""
        self.make(self.writing(path, data, label))

    def append(self, path: str, data: bytes, label: str = UNTRUSTED) -> None:
        """See `appending`."""
        self.make(self.appending(path, data, label))

    def delete(self, path: str) -> None:
        """See `deleting`."""
        self.make(self.deleting(path))

    def rename(self, path: str, to: str) -> None:
        """See `renaming`."""
        self.make(self.renaming(path, to))

    def rollback(self, path: str, version: int) -> None:
        """See `rolling_back`."""
        self.make(self.rolling_back(path, version))

    def tag(self, path: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """See `tagging`."""
        self.make(self.tagging(path, add, remove))

    def make(self, *writes: Write) -> None:
        """Make changes in one transaction."""
        with self.store.database.transaction() as connection:
            for write in writes:
                write(connection)

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
            raise _missing(path)
        if node.folder:
            raise BadPath(f"{path} is a folder", hint="name a file")
        return node

    def _past(self, path: str, ask: Ask | None = None) -> Node:
        """The file of a path, or the last that was deleted there."""
        ask, names = ask or self._ask, self._names(path)
        node = nodes.walk(ask, self.owner, names)
        found = node if node is not None and not node.folder else nodes.past(ask, self.owner, names)
        if found is None:
            raise _missing(path)
        return found

    def _version(self, path: str, version: int | None, *, past: bool = False) -> tuple[Node, Version]:
        old = version is not None
        node = self._past(path) if old or past else self._living(self._ask, self._names(path), path)
        found = nodes.version(self._ask, node, node.current if version is None else version, path)
        if found.size is None and not past:
            raise Missing(f"{path} was deleted in version {found.number}", hint="name another version")
        return node, found

    def _content(self, names: Sequence[str], data: bytes | Iterable[bytes]) -> Content:
        self.store.tidy()
        node = nodes.walk(self._ask, self.owner, names)
        blocks = (data,) if isinstance(data, bytes) else data
        return self.store.chunks.content(blocks, self.store.most(self.owner, node), names[-1])

    def _place(self, connection: sqlite3.Connection, names: Sequence[str]) -> Node:
        """The node to write a path's next version to: there already, or deleted before, or a new one."""
        ask, path = asking(connection), "/".join(names[len(self.root) :])
        parent = nodes.folder(connection, self.owner, names[:-1], self.store.clock())
        node = nodes.walk(ask, self.owner, names)
        if node is not None and node.folder:
            raise BadPath(f"{path} is a folder", hint="name a file")
        node = node or nodes.past(ask, self.owner, names)
        if node is None:
            return Node(0, self.owner, parent, names[-1], False, False, 0, 0, (), self.store.clock())
        return replace(node, parent=parent, gone=False)

    @staticmethod
    def _last(connection: sqlite3.Connection, node: Node) -> Version | None:
        """The newest version; None where there is none, or it is damaged: writing a file anew mends it."""
        with suppress(Damaged):
            return nodes.version(asking(connection), node, node.current) if node.current else None
        return None

    def _add(
        self, connection: sqlite3.Connection, node: Node, size: int | None, label: str, pieces: bytes, kept: Version | None
    ) -> None:
        version = Version(0, node.id, node.current + 1, size, label, self.store.clock(), self._pid, pieces)
        self.store.add(connection, node, version, kept)


def _with_short_tail_joined(connection: sqlite3.Connection, pieces: bytes, path: str) -> bytes:
    long, short = chunks.small_tail(pieces)
    return long + chunks.joined(connection, short, path) if chunks.count(short) > _SHORT_PIECES else pieces


def _missing(path: str) -> Missing:
    return Missing(f"no file {path}", hint="list the files to see what there is")
