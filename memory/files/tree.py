"""One owner's files, or those below one folder of them, to be changed: written, named anew, and brought back."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..faults import BadPath, Damaged
from . import chunks, nodes
from .chunks import Content
from .names import DEEPEST
from .nodes import Node, Version, asking
from .store import FileStore
from .view import UNTRUSTED, FileView, missing

Write = Callable[[sqlite3.Connection], Any]
"""A change that was prepared: made within a transaction, whole or, with a `MemoryFault`, not at all."""

_SHORT_PIECES = 16  # at the end of a file, from appending; with more, they are joined


class FileTree(FileView):
    """Adds changing. Methods named ...ing prepare a change, which may take long, and return what makes it."""

    def __init__(self, store: FileStore, owner: str, root: str = "", pid: int | None = None) -> None:
        """``pid`` is the process that makes the changes; None: the user."""
        super().__init__(store, owner, root)
        self._pid = pid

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
                raise missing(path)
            if names == new:
                return
            if new[: len(names)] == names:
                raise BadPath(f"{to} is within {path}", hint="choose another place")
            if nodes.walk(ask, self.owner, new) is not None:
                raise BadPath(f"{to} is there already", hint="delete it first, or choose another name")
            deep = nodes.depth(ask, node)
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
        self,
        connection: sqlite3.Connection,
        node: Node,
        size: int | None,
        label: str,
        pieces: bytes,
        kept: Version | None,
    ) -> None:
        version = Version(0, node.id, node.current + 1, size, label, self.store.clock(), self._pid, pieces)
        self.store.add(connection, node, version, kept)


def _with_short_tail_joined(connection: sqlite3.Connection, pieces: bytes, path: str) -> bytes:
    long, short = chunks.small_tail(pieces)
    return long + chunks.joined(connection, short, path) if chunks.count(short) > _SHORT_PIECES else pieces
