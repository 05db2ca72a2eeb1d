"""How long finished processes are kept, and what is freed when they go: records, journals, room in the file.

A process goes with all its descendants, and only once the whole tree has ended: what a living process started stays.
So does the tree of the highest pid, which tells what the next one may be.
"""

import sqlite3
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from .database import Database

_ENTRIES = 2000  # of a journal that one transaction removes; others write in between
_CUT = "DELETE FROM journal WHERE pid = ? AND n > (SELECT max(n) FROM journal WHERE pid = ?) - ?"  # its end
_AT_A_TIME = 100  # processes whose size one transaction counts
_PAGES = 1000  # of the file that one transaction gives back

_ROOTS = """
SELECT pid, finished FROM processes AS root WHERE finished IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM processes WHERE pid = root.parent) ORDER BY finished DESC, pid DESC
"""
_TREE = """
WITH RECURSIVE tree (pid) AS (SELECT ? UNION SELECT p.pid FROM processes AS p JOIN tree ON p.parent = tree.pid)
SELECT pid, finished, entries, bytes FROM tree JOIN processes USING (pid) LEFT JOIN process_sizes USING (pid)
ORDER BY pid DESC
"""
_COUNT = """
INSERT INTO process_sizes (pid, entries, bytes)
SELECT p.pid, count(j.id), length(p.args) + length(p.stdin) + coalesce(length(p.result), 0) + 512
    + coalesce(sum(length(j.call) + length(j.args) + coalesce(length(j.reply), 0) + 64), 0)
FROM processes AS p LEFT JOIN journal AS j ON j.pid = p.pid
WHERE p.pid IN (
    SELECT pid FROM processes WHERE finished IS NOT NULL AND pid NOT IN (SELECT pid FROM process_sizes) LIMIT ?
) GROUP BY p.pid
"""


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
    _count(database)
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


def _count(database: Database) -> None:
    """Count the sizes that were not counted yet."""
    counted = 1
    while counted:
        with database.transaction() as connection:
            counted = connection.execute(_COUNT, (_AT_A_TIME,)).rowcount


def _tree(database: Database, root: int) -> Tree | None:
    """None where not all of it has ended."""
    rows = database.rows(_TREE, (root,))
    if any(finished is None or entries is None for _, finished, entries, _ in rows):
        return None
    pids = tuple(pid for pid, *_ in rows)
    return Tree(pids, sum(entries for _, _, entries, _ in rows), sum(size for *_, size in rows))


def remove(database: Database, trees: Sequence[Tree]) -> Generator[int, None, None]:
    """Remove them for good; yields how many entries and records are gone, in between transactions.

    What was begun and broken off is a process with a shorter journal, until it is removed another time.
    """
    waiting = deque(pid for tree in trees for pid in tree.pids)
    while waiting:
        gone = 0
        with database.transaction() as connection:
            while waiting and gone < _ENTRIES:
                most = _ENTRIES - gone
                cut = connection.execute(_CUT, (waiting[0], waiting[0], most)).rowcount
                gone += cut
                if cut < most:
                    pid = waiting.popleft()
                    gone += 1
                    for table in ("contexts", "mail", "usages", "conditions", "process_sizes", "processes"):
                        connection.execute(f"DELETE FROM {table} WHERE pid = ?", (pid,))
        yield gone


def history(database: Database, days: float | None, now: float | None = None) -> int:
    """Entries of living processes that came before their saved states, and are older than ``days``."""
    return sum(count for (count,) in database.rows(f"SELECT count(*) {_HISTORY}", (_before(days, now),)))


def forget_history(database: Database, days: float | None, now: float | None = None) -> Generator[int, None, None]:
    """Remove that `history`; yields how many entries are gone, in between transactions.

    None of it is needed to come back, see `Records.life`; what is left begins later, and has no gap.
    """
    before, gone = _before(days, now), _ENTRIES
    while gone == _ENTRIES:
        with database.transaction() as connection:
            sql = f"DELETE FROM journal WHERE id IN (SELECT j.id {_HISTORY} ORDER BY j.n LIMIT ?)"
            gone = connection.execute(sql, (before, _ENTRIES)).rowcount
        yield gone


# An entry goes together with all before it, so that there is no gap: times need not ascend.
_HISTORY = """
FROM processes AS p JOIN journal AS j ON j.pid = p.pid AND j.n < p.saved_n AND j.n < (
    SELECT coalesce(min(n), p.saved_n) FROM journal WHERE pid = p.pid AND asked >= ?
) WHERE p.finished IS NULL AND p.saved_n > 0
"""


def _before(days: float | None, now: float | None) -> float:
    """The time from which on entries stay; with no limit all stay."""
    return float("-inf") if days is None else (time.time() if now is None else now) - days * 86_400


def shrink(database: Database) -> Generator[int, None, None]:
    """Give the free pages of the file back to the disk; yields how many are left, in between transactions."""
    left = _free(database)
    while left:
        with database.transaction() as connection:
            for _ in range(min(left, _PAGES)):  # one page each: Python takes one step of it, whatever number is named
                connection.execute("PRAGMA incremental_vacuum(1)")
        before, left = left, _free(database)
        yield left
        if left >= before:  # a store that cannot shrink
            break
    # A connection of its own: the checkpoint may stand in no transaction, and waits for nobody who reads.
    with closing(sqlite3.connect(database.path, timeout=1.0)) as own:
        own.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _free(database: Database) -> int:
    return int(database.rows("PRAGMA freelist_count")[0][0])
