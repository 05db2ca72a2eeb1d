"""All owners' files in one database: quotas, how long versions are kept, what is freed, what is damaged."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..database import Database
from ..faults import Damaged, Full, Missing
from ..turns import TURN, in_steps
from . import chunks, nodes
from .chunks import Chunks
from .nodes import Node, Version, asking

OnProgress = Callable[[float], None]
"""Told how far the work is, 0 to 1."""

STEP = 200  # rows changed in one transaction: some milliseconds, in which all others wait
_SLACK = 0.1  # share of the quota that is freed at once when it is reached, so that not every write has to free


@dataclass(frozen=True)
class Retention:
    """All versions are kept for ``days``, then the ``newest`` of each file; a deleted file is kept for ``days``."""

    days: float = 30.0
    newest: int = 10


@dataclass(frozen=True)
class Swept:
    """What was freed, or would be; ``bytes`` as they lay in the store."""

    versions: int
    files: int  # that had been deleted, and are now gone for good
    chunks: int
    bytes: int


class FileStore:
    """Files of all owners; safe to call from any thread, one object a database.

    ``quota`` is in bytes, for each owner: the content of all files with their versions, as much as they differ, before
    it is compressed. What is there comes first: older versions give way to it, the oldest first.
    """

    def __init__(
        self,
        database: Database,
        quota: int | None = None,
        retention: Retention | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database = database
        self.chunks = Chunks(database)
        self.clock = clock
        self.quota = quota
        self.retention = retention or Retention()
        self.indexing = threading.Lock()  # held by the search that brings the index of meanings up to date
        self._loose = 0  # bytes of versions that had to give way since chunks were last freed

    # -- used by the trees --

    def tidy(self) -> None:
        """Free what gave way to new versions, once it is worth the trouble; not within a transaction."""
        if self.quota is not None and self._loose > self.quota * _SLACK:
            self._loose = 0
            list(self._free(set(), None, dry_run=False))

    def most(self, owner: str, node: Node | None) -> int | None:
        """The largest a file may become beside what is there of the others."""
        if self.quota is None:
            return None
        sql = (
            "SELECT coalesce(sum(v.size), 0) FROM nodes AS n JOIN versions AS v ON v.node = n.id"
            " AND v.number = n.current WHERE n.owner = ? AND n.gone = 0 AND n.id <> ?"
        )
        ((used,),) = self.database.rows(sql, (owner, node.id if node else 0))
        return max(self.quota - int(used), 0)

    def add(self, connection: sqlite3.Connection, node: Node, version: Version, kept: Version | None) -> None:
        """Make a version the node's newest, within the caller's transaction; ``kept`` is one it has content from."""
        known = dict(chunks.split(kept.pieces)) if kept else {}
        new = chunks.bytes_of(piece for piece in chunks.split(version.pieces) if piece[0] not in known)
        node = nodes.save(connection, replace(node, current=version.number, stored=node.stored + new))
        nodes.add(connection, replace(version, node=node.id))
        if new and self.quota is not None:
            self._make_room(connection, node, self.quota)

    def _make_room(self, connection: sqlite3.Connection, node: Node, quota: int) -> None:
        """Drop versions until the owner is within the quota; raises `Full` when there is nothing left to drop."""
        ask, sql = asking(connection), "SELECT total(stored) FROM nodes WHERE owner = ?"
        goal = quota
        while (used := int(ask(sql, (node.owner,))[0][0])) > goal:
            goal = quota - int(quota * _SLACK)
            oldest = ask(
                "SELECT v.id, v.node FROM versions AS v JOIN nodes AS n ON n.id = v.node"
                " WHERE n.owner = ? AND (v.number < n.current) ORDER BY v.id LIMIT ?", (node.owner, STEP // 10),
            )  # fmt: skip
            if not oldest and used > quota:
                raise Full(f"{node.name}: {used} bytes where {quota} fit", hint="delete files first")
            if not oldest:
                return
            drop(connection, oldest)
            self._loose += used - int(ask(sql, (node.owner,))[0][0])

    # -- freeing --

    def sweep(
        self, retention: Retention | None = None, on_progress: OnProgress | None = None, *, dry_run: bool = False
    ) -> Swept:
        """Drop versions that need not be kept longer, then free the content that nobody has any more.

        In small transactions: others go on, and after a crash the next sweep does the rest.
        """
        old = self._outlived(retention or self.retention)
        files = self._emptied(old)
        for part in in_steps([] if dry_run else old, STEP):
            with self.database.transaction() as connection:
                drop(connection, part)
        freed = list(self._free({number for number, _ in old} if dry_run else set(), on_progress, dry_run=dry_run))
        return Swept(len(old), files, len(freed), sum(freed))

    def _outlived(self, retention: Retention) -> list[tuple[int, int]]:
        """(version, node) of what is kept no longer."""
        sql = """
            SELECT v.id, v.node FROM versions AS v JOIN nodes AS n ON n.id = v.node
            JOIN versions AS c ON c.node = n.id AND c.number = n.current
            WHERE v.made < ?1 AND v.number <= n.current - ?2 AND v.number < n.current
            OR n.gone = 1 AND c.made < ?1 ORDER BY v.id"""
        before = self.clock() - retention.days * 86400
        return [(version, node) for version, node in self.database.rows(sql, (before, retention.newest))]

    def _emptied(self, old: Sequence[tuple[int, int]]) -> int:
        """How many deleted files lose their last version with these."""
        sql = "SELECT v.id FROM versions AS v JOIN nodes AS n ON n.id = v.node AND n.current = v.number WHERE n.gone"
        return len({number for (number,) in self.database.rows(sql)} & {number for number, _ in old})

    def _free(self, dropped: set[int], on_progress: OnProgress | None, *, dry_run: bool) -> Iterator[int]:
        """Free what no version but the ``dropped`` ones refers to; bytes of each chunk."""
        needed: set[bytes] = set()
        last, at = self._need(self.database.rows, needed, 0, dropped), b""
        sql = "SELECT hash, length(data) FROM chunks WHERE hash > ? ORDER BY hash LIMIT ?"
        while rows := self.database.rows(sql, (at, STEP)):
            at = rows[-1][0]
            spare = [row for row in rows if row[0] not in needed]
            if spare:
                with self.chunks.lock, self.database.transaction() as connection:
                    last = self._need(asking(connection), needed, last, dropped)  # what was added meanwhile
                    kept = needed | self.chunks.held()
                    spare = [row for row in spare if row[0] not in kept]
                    if not dry_run:
                        connection.executemany("DELETE FROM chunks WHERE hash = ?", [(key,) for key, _ in spare])
                yield from (size for _, size in spare)
                time.sleep(TURN)
            if on_progress is not None:
                on_progress(at[0] / 256)  # hashes are spread evenly

    @staticmethod
    def _need(ask: nodes.Ask, needed: set[bytes], last: int, dropped: set[int]) -> int:
        """Add the chunks of all versions after the number ``last``; the number of the last one."""
        while rows := ask("SELECT id, pieces FROM versions WHERE id > ? ORDER BY id LIMIT ?", (last, STEP // 10)):
            last = rows[-1][0]
            needed.update(key for number, pieces in rows if number not in dropped for key, _ in chunks.split(pieces))
        return last

    # -- checking --

    def owners(self) -> list[str]:
        """All who have files, or had."""
        return [row[0] for row in self.database.rows("SELECT DISTINCT owner FROM nodes ORDER BY owner")]

    def check(self, on_progress: OnProgress | None = None) -> list[str]:
        """What is damaged, each in a line that names file and version; reads all there is."""
        found: list[str] = []
        files = [(path, n) for owner in self.owners() for path, n in nodes.below(self.database.rows, owner, 0)]
        for done, (path, node) in enumerate(files):
            if node is None:
                found.append(f"{path}: its entry is damaged")
            elif not node.folder:
                found += self._check_file(path, node)
            if on_progress is not None:
                on_progress(done / len(files))
        return found

    def _check_file(self, path: str, node: Node) -> Iterator[str]:
        for version in nodes.history(self.database.rows, node):
            number = version if isinstance(version, int) else version.number
            try:
                if isinstance(version, int):
                    raise Damaged(f"version {number} of {path} is damaged")
                for _ in self.chunks.read(version.pieces, f"version {number} of {path}"):
                    pass
            except (Damaged, Missing) as damage:
                yield damage.message


def drop(connection: sqlite3.Connection, versions: Sequence[tuple[int, int]]) -> None:
    """Remove (version, node) rows within the caller's transaction, and deleted files that this leaves no content."""
    ask = asking(connection)
    connection.executemany("DELETE FROM versions WHERE id = ?", [(number,) for number, _ in versions])
    for number in dict.fromkeys(node for _, node in versions):
        if not ask("SELECT 1 FROM nodes WHERE id = ?", (number,)):  # went with the last of its content
            continue
        node = nodes.by_id(ask, number)
        left = nodes.history(ask, node)
        pieces = [piece for v in left if isinstance(v, Version) for piece in chunks.split(v.pieces)]
        if pieces or not node.gone:
            nodes.save(connection, replace(node, stored=chunks.bytes_of(pieces)))
        else:
            _remove(connection, node)


def _remove(connection: sqlite3.Connection, node: Node) -> None:
    """Remove a deleted file, and the folders that nothing is left in."""
    connection.execute("DELETE FROM versions WHERE node = ?", (node.id,))
    connection.execute("DELETE FROM nodes WHERE id = ?", (node.id,))
    ask = asking(connection)
    while node.parent and not ask("SELECT 1 FROM nodes WHERE parent = ?", (node.parent,)):
        node = nodes.by_id(ask, node.parent)
        connection.execute("DELETE FROM nodes WHERE id = ?", (node.id,))
