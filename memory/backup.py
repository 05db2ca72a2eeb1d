"""A copy of the store as it is at one moment, taken while it is written."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from . import checks
from .faults import Damaged, Full

OnProgress = Callable[[float], None]
"""Told how far the work is, 0 to 1."""

_PAGES = 256  # copied at a time: others write in between


def snapshot(path: Path, copy: Path, on_progress: OnProgress | None = None) -> None:
    """Copy the store to a file that is not there yet: all that was committed before this was called, and nothing half.

    A store of any version. Raises `Full` where the copy finds no room, `Damaged` for a store that cannot be read.
    """
    told = on_progress or (lambda share: None)
    with _translated(path, copy), closing(_opened(path)) as source, closing(sqlite3.connect(copy)) as target:
        # What is read stays as it is now, whoever writes meanwhile; else every write would begin the copy anew.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchall()
        source.backup(target, pages=_PAGES, progress=lambda _, left, total: told(1 - left / max(total, 1)), sleep=0.01)
        target.execute("PRAGMA journal_mode = DELETE").fetchall()  # one file, with nothing beside it


def checked(copy: Path, progress: checks.Progress = checks.unwatched) -> dict[str, int]:
    """The rows of each table of a copy, once all of it is gone through; raises `Damaged`."""
    with _translated(copy, copy), closing(_opened(copy)) as database:
        checks.install(database)
        if wrong := next(checks.examine(database, progress), ""):
            raise Damaged(f"{copy.name} is damaged: {wrong}", hint="llmos doctor says what is wrong")
        names = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
        ).fetchall()
        return {name: int(database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]) for (name,) in names}


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5.0)


@contextmanager
def _translated(path: Path, copy: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as problem:
        if problem.sqlite_errorname.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise Damaged(f"{path} is damaged: {problem}", hint="llmos doctor says what is wrong") from problem
        raise Full(f"{copy} cannot be written: {problem}", hint="free some room, or name another disk") from problem
