"""How long finished processes are kept, and what is freed when they go: records, journals, room in the file.

A process goes with all its descendants, and only once the whole tree has ended: what a living process started stays.
So does the tree of the highest pid, which tells what the next one may be.
"""

import sqlite3
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from .database import Database

_ENTRIES = 2000  # of a journal that one transaction removes; others write in between
_PAGES = 1000  # of the file that one transaction gives back

_ROOTS = """
SELECT pid, finished FROM processes AS root WHERE finished IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM processes WHERE pid = root.parent) ORDER BY finished DESC, pid DESC
"""
_TREE = """
WITH RECURSIVE tree (pid) AS (SELECT ? UNION SELECT p.pid FROM processes AS p JOIN tree ON p.parent = tree.pid)
SELECT p.pid, p.finished FROM tree JOIN processes AS p USING (pid) ORDER BY p.pid DESC
"""
_JOURNAL = """
SELECT count(*), coalesce(sum(length(call) + length(args) + coalesce(length(reply), 0) + 64), 0)
FROM journal WHERE pid = ?
"""
_RECORD = "SELECT length(args) + length(stdin) + coalesce(length(result), 0) + 512 FROM processes WHERE pid = ?"


@dataclass(frozen=True)
class Keep:
    """What stays of finished processes; None: no such limit. A process stays if all limits let it."""

    days: float | None = None  # since the end of its tree
    processes: int | None = None  # the newest so many
    size: int | None = None  # bytes of records and journals, the newest first


@dataclass(frozen=True)
class Tree:
    """A process that has ended, with its descendants."""

    pids: tuple[int, ...]  # children before their parents
    entries: int  # of their journals
    size: int  # bytes of their records and journals


def outlived(database: Database, keep: Keep, now: float | None = None) -> list[Tree]:
    """The trees that are not to be kept, oldest first; ``now`` in seconds since the epoch."""
    now = time.time() if now is None else now
    [(highest,)] = database.rows("SELECT max(pid) FROM processes")
    found: list[Tree] = []
    processes = size = 0
    for root, finished in database.rows(_ROOTS):
        tree = _tree(database, root)
        if tree is None or highest in tree.pids:
            continue
        processes, size = processes + len(tree.pids), size + tree.size
        too_old = keep.days is not None and now - finished > keep.days * 86_400
        too_many = keep.processes is not None and processes > keep.processes
        if too_old or too_many or (keep.size is not None and size > keep.size):
            found.append(tree)
    return found[::-1]


def _tree(database: Database, root: int) -> Tree | None:
    """None where not all of it has ended."""
    rows = database.rows(_TREE, (root,))
    if any(finished is None for _, finished in rows):
        return None
    sizes = [_size(database, pid) for pid, _ in rows]
    return Tree(tuple(pid for pid, _ in rows), sum(n for n, _ in sizes), sum(size for _, size in sizes))


def _size(database: Database, pid: int) -> tuple[int, int]:
    """Entries and bytes of a finished process."""
    row = database.one("SELECT entries, bytes FROM process_sizes WHERE pid = ?", (pid,))
    if row is None:
        [(entries, journal)], [(record,)] = database.rows(_JOURNAL, (pid,)), database.rows(_RECORD, (pid,))
        row = entries, journal + record
        database.run("INSERT OR REPLACE INTO process_sizes VALUES (?, ?, ?)", (pid, *row))
    return int(row[0]), int(row[1])


def remove(database: Database, trees: Sequence[Tree]) -> Generator[int, None, None]:
    """Remove them for good; yields the entries and records that are gone, in between transactions.

    What was begun and broken off is a process with a shorter journal, until it is removed another time.
    """
    for tree in trees:
        for pid in tree.pids:
            while gone := _cut(database, pid):
                yield gone
            with database.transaction() as connection:
                for table in ("contexts", "mail", "usages", "process_sizes", "processes"):
                    connection.execute(f"DELETE FROM {table} WHERE pid = ?", (pid,))
            yield 1


def _cut(database: Database, pid: int) -> int:
    """The last entries of a journal go; how many."""
    with database.transaction() as connection:
        sql = "DELETE FROM journal WHERE pid = ? AND n > (SELECT max(n) FROM journal WHERE pid = ?) - ?"
        return connection.execute(sql, (pid, pid, _ENTRIES)).rowcount


def shrink(database: Database) -> Generator[int, None, None]:
    """Give the free pages of the file back to the disk; yields how many are left, in between transactions."""
    left = _free(database)
    while left:
        with database.transaction() as connection:
            connection.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
        before, left = left, _free(database)
        yield left
        if left >= before:  # a store that cannot shrink
            break
    # A connection of its own: the checkpoint may stand in no transaction, and waits for nobody who reads.
    with closing(sqlite3.connect(database.path, timeout=1.0)) as own:
        own.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _free(database: Database) -> int:
    return int(database.rows("PRAGMA freelist_count")[0][0])
