"""Checksums of rows: what was stored is told apart from what a disk has made of it.

A table that protects its rows has a column ``digest`` over all its other columns, in their order. SQLite computes it
with every INSERT and UPDATE, so that nobody can forget it, and never when it reads:

    digest INTEGER AS (digest(id, pid, text)) STORED

Who reads a row that matters selects ``digest`` too and calls `verify`; `Database.check` goes through all such tables.
"""

import math
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from .faults import DamagedRow
from .migrations import scripts

COLUMN = "digest"
_STORED = 3  # how SQLite marks a column that it computes and stores

Progress = Callable[[str, float], None]
"""Is told what is being done, and how far it is, from 0 to 1."""


def unwatched(what: str, share: float) -> None:
    """The `Progress` of those whom nobody watches."""


def digest(*values: Any) -> int:
    """CRC-32 of SQLite values; the same whether they come from Python or from a column that made 1.0 of a 1.

    It finds every flipped bit and every run of up to 32 bits; of other damage it misses one in 4,000 million.
    """
    return zlib.crc32(b"".join(map(_canonical, values)))


def _canonical(value: Any) -> bytes:
    """A value so that no two different rows become the same bytes."""
    if value is None or (isinstance(value, float) and math.isnan(value)):  # SQLite stores NaN as NULL
        return b"n;"
    if isinstance(value, str):
        data = value.encode(errors="surrogatepass")
        return b"s%d:%b" % (len(data), data)
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return b"i%d;" % value
    if isinstance(value, float):
        return b"f" + struct.pack("<d", value)
    return b"b%d:%b" % (len(value), value)


def verify(table: str, key: object, stored: int, *values: Any) -> None:
    """Raise `DamagedRow` unless ``stored`` is the digest of the row's other columns, given in their order."""
    if stored != digest(*values):
        raise DamagedRow(table, key)


def install(connection: sqlite3.Connection) -> None:
    """Make ``digest`` known to SQL; every connection that writes or checks needs it."""
    connection.create_function(COLUMN, -1, digest, deterministic=True)


def protected(connection: sqlite3.Connection) -> dict[str, tuple[str, list[str]]]:
    """The tables with digests: an expression that names a row, and the columns that its digest covers."""
    found = {}
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
        rows = connection.execute(f"SELECT name, pk, hidden FROM pragma_table_xinfo('{table}')").fetchall()
        keys = [name for name, pk, _ in sorted(rows, key=lambda row: row[1]) if pk]
        if any(name == COLUMN and hidden == _STORED for name, _, hidden in rows):
            columns = [name for name, _, _ in rows if name != COLUMN]
            found[table] = " || '/' || ".join(keys or ["rowid"]), columns
    return found


def damaged_rows(connection: sqlite3.Connection, table: str, key: str, columns: list[str]) -> Iterator[str]:
    """The keys of the rows whose digest is not theirs."""
    quoted = ", ".join(f'"{name}"' for name in columns)
    for (found,) in connection.execute(f"SELECT {key} FROM {table} WHERE {COLUMN} IS NOT {COLUMN}({quoted})"):
        yield str(found)


def examine(connection: sqlite3.Connection, progress: Progress = unwatched) -> Iterator[str]:
    """All that is wrong with a store: its structure, references to nothing, rows that changed, gaps in a journal.

    Raises `sqlite3.DatabaseError` where it is too far gone to be gone through.
    """
    try:
        yield from _examine(connection, progress)
    except sqlite3.OperationalError as problem:
        if getattr(problem, "sqlite_errorname", "") != "SQLITE_ERROR":
            raise
        yield f"it cannot be gone through: {problem}"  # a name in its schema has changed, say


def _examine(connection: sqlite3.Connection, progress: Progress) -> Iterator[str]:
    progress("structure", 0.0)
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
    yield from [] if found == ["ok"] else found
    yield from _definitions(connection)
    for table, row, other, _ in connection.execute("PRAGMA foreign_key_check").fetchall():
        yield f"{table} {row} refers to something in {other} that is not there"
    tables = protected(connection)
    for number, (table, (key, columns)) in enumerate(tables.items()):
        progress(table, (1 + number) / (1 + len(tables)))
        yield from (DamagedRow(table, row).message for row in damaged_rows(connection, table, key, columns))
    yield from _gaps(connection)
    progress("done", 1.0)


def _definitions(connection: sqlite3.Connection) -> Iterator[str]:
    """Tables, indexes and triggers that are not as the scripts have made them; FTS5's own aside."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not 0 < version <= len(scripts()):
        return
    sql = (
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'passage\\_words\\_%' ESCAPE '\\'"
    )
    with closing(sqlite3.connect(":memory:")) as fresh:
        install(fresh)
        for script in scripts()[:version]:
            fresh.executescript(script)
        right = dict(fresh.execute(sql).fetchall())
    found = dict(connection.execute(sql).fetchall())
    for name in sorted(right.keys() | found.keys()):
        if right.get(name) != found.get(name):
            yield f"{name} is not defined as it was made"


def _gaps(connection: sqlite3.Connection) -> Iterator[str]:
    """A process's entries count from 1 on, and may have lost their beginning, but nothing in between."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'journal'").fetchone():
        sql = "SELECT pid FROM journal GROUP BY pid HAVING count(*) <> max(n) - min(n) + 1"
        for (pid,) in connection.execute(sql).fetchall():
            yield f"the journal of process {pid} has a gap"
