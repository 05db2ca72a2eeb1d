"""A store that is damaged: all that is wrong with it, and what can be done without a backup."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from . import checks, seal, wal
from .database import Database, quoted, reading
from .faults import MemoryFault
from .recall import Recall
from .upkeep import Told


def flaws(path: Path, progress: checks.Progress = checks.unwatched) -> list[str]:
    """All that is wrong with a store of whatever version that no llmos has open; it is only read."""
    try:
        with reading(path), closing(sqlite3.connect(f"file:{quoted(path)}?mode=ro", uri=True)) as connection:
            if wal.left_open(path) and (lost := wal.forgotten(path)):
                return [f"{wal.beside(path)} is damaged: {lost}"]
            checks.install(connection)
            return list(checks.examine(connection, progress))
    except MemoryFault as fault:
        return [fault.message]


def salvage(path: Path, progress: checks.Progress = checks.unwatched) -> list[str]:
    """Make a store usable again as far as that is possible, in words what was done; nobody may have it open.

    A damaged log is cut, and kept beside it; indexes are made anew from their tables. `flaws` says what is left.
    """
    done = []
    if wal.left_open(path) and (lost := wal.forgotten(path)):
        done.append(f"{lost}: what was written after that is lost, and kept in {wal.salvage(path)}")
    if flaws(path, progress):
        with suppress(MemoryFault), reading(path), closing(sqlite3.connect(path, isolation_level=None)) as connection:
            checks.install(connection)
            connection.execute("REINDEX")
            seal.take_off(path)
            done.append("the indexes were made anew")
    return done


def mend(database: Database, recall: Recall, told: Told | None = None) -> list[str]:
    """Make anew what bears no checksum of its own, indexes that is, where it is not as stored; what was wrong.

    For a store that is `Database.suspect`.
    """
    for table in ("page_terms", "page_vectors"):  # made when a query first asks for them
        database.run(f"DELETE FROM {table}")
    wrong = recall.check(told)
    if wrong:
        recall.rebuild(told)
    return wrong
