"""Disks that fail, under the real code: a VFS of SQLite writes down all that is done to files, and fails when told.

`Disk.connect` takes the place of `sqlite3.connect`. The files are real ones in a folder; a flush costs nothing, since
what it would have kept is known from the log: `Log.after_power_loss` makes the files as a machine might find them that
lost power at any moment of the run, so one run serves for all its crashes.
"""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512  # bytes that a disk writes whole or not at all
FULL, WRITE, SYNC = apsw.SQLITE_FULL, apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_FSYNC


@dataclass
class Step:
    """One thing that was done to a file; or ``told``: that something was acknowledged, and the index as it was then."""

    what: str  # write, truncate, sync, delete, told
    name: str = ""
    at: int = 0  # of a write: where; of truncate: the new size
    data: bytes = b""


@dataclass
class _Image:
    """One file as the disk holds it: what was flushed, and what was not yet."""

    kept: bytearray = field(default_factory=bytearray)
    there: bool = False
    loose: list[Step] = field(default_factory=list)

    def take(self, step: Step) -> None:
        if step.what == "sync":
            for one in self.loose:
                _apply(self.kept, one)
            self.loose.clear()
            self.there = True
        elif step.what == "delete":
            self.kept, self.there = bytearray(), False
            self.loose.clear()
        else:
            self.loose.append(step)

    def survives(self, dice: random.Random, share: float) -> bytes | None:
        """What is found after a loss of power: any of what was not flushed may be there, also parts of it."""
        found = bytearray(self.kept)
        for step in self.loose:
            if dice.random() < share:
                _apply(found, step)
            elif step.what == "write" and dice.random() < 0.3:  # torn
                for start in range(0, len(step.data), SECTOR):
                    if dice.random() < 0.5:
                        _apply(found, Step("write", step.name, step.at + start, step.data[start : start + SECTOR]))
        return bytes(found) if self.there or (self.loose and dice.random() < share) else None


def _apply(data: bytearray, step: Step) -> None:
    if step.what == "truncate":
        del data[step.at :]
        data.extend(bytes(step.at - len(data)))
    else:
        data.extend(bytes(max(0, step.at - len(data))))
        data[step.at : step.at + len(step.data)] = step.data


class Log(list[Step]):
    """All that was done, in order."""

    def told(self, at: int) -> int:
        """How many acknowledgements there were before a moment."""
        return sum(step.what == "told" for step in self[:at])

    def after_power_loss(self, moments: list[int], seed: int) -> Iterator[tuple[int, dict[str, bytes]]]:
        """For each of the ascending moments, the files that are found when the power goes there."""
        dice = random.Random(seed)
        disk: dict[str, _Image] = {}
        done = 0
        for moment in moments:
            for step in self[done:moment]:
                if step.what != "told":
                    disk.setdefault(step.name, _Image()).take(step)
            done = moment
            share = dice.choice((0.0, 0.5, 0.9, 1.0))
            found = {name: image.survives(dice, share) for name, image in disk.items()}
            # The index beside the log is never flushed: it may be there, as it was at any earlier time, or not.
            shared = [step for step in self[:moment] if step.what == "told"]
            if shared and dice.random() < 0.7:
                step = shared[-1] if dice.random() < 0.7 else dice.choice(shared)
                found[step.name] = step.data
            yield moment, {name: data for name, data in found.items() if data is not None}


@dataclass
class Trouble:
    """Fails the changes from the ``first`` on, counted from 1, ``lasting`` of them, with a code of SQLite."""

    first: int
    code: int
    lasting: int = 1
    among: tuple[str, ...] = ("write", "truncate", "sync")
    seen: int = 0

    def strikes(self, what: str) -> bool:
        if what not in self.among:
            return False
        self.seen += 1
        return self.first <= self.seen < self.first + self.lasting


class Disk(apsw.VFS):
    """Writes down what SQLite does to files; ``trouble`` makes it fail. A ``careless`` one is never told to flush."""

    _count = 0

    def __init__(self, *, careless: bool = False) -> None:
        Disk._count += 1
        self.careless = careless
        self.name = f"disk-{Disk._count}"
        self.log = Log()
        self.trouble: Trouble | None = None
        super().__init__(self.name, base="")

    def xOpen(self, name: Any, flags: list[int]) -> "_File":
        return _File(self, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:
        super().xDelete(name, sync)
        self.log.append(Step("delete", Path(name).name))

    def tell(self, store: Path) -> None:
        """Somebody was told that a thing is done."""
        index = store.with_name(store.name + "-shm")
        self.log.append(Step("told", index.name, data=index.read_bytes()))

    def connect(self, name: str, *, timeout: float, **_: Any) -> "Connection":
        return Connection(self, name, timeout)

    def about_to(self, step: Step) -> None:
        """Fail if that is due."""
        if self.trouble and self.trouble.strikes(step.what):
            raise apsw.exception_for(self.trouble.code)
        self.log.append(step)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._name = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "temporary").name
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, at: int) -> None:
        try:
            self._disk.about_to(Step("write", self._name, at, bytes(data)))
        except apsw.Error:
            half = bytes(data[: len(data) // 2])  # a disk that fails has often begun
            self._disk.log.append(Step("write", self._name, at, half))
            super().xWrite(half, at)
            raise
        super().xWrite(data, at)

    def xTruncate(self, size: int) -> None:
        self._disk.about_to(Step("truncate", self._name, size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        self._disk.about_to(Step("sync", self._name))


class Connection:
    """apsw's connection with the face of sqlite3's, as far as `Database` and all above it use it."""

    def __init__(self, disk: Disk, uri: str, timeout: float) -> None:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        with _as_sqlite3():
            self._apsw = apsw.Connection(uri, flags=flags, vfs=disk.name)
            self._apsw.set_busy_timeout(int(timeout * 1000))
        self._careless = disk.careless

    @property
    def in_transaction(self) -> bool:
        return self._apsw.in_transaction

    def execute(self, sql: str, values: Any = ()) -> "Cursor":
        if self._careless:
            sql = sql.replace("synchronous = FULL", "synchronous = OFF")
        with _as_sqlite3():
            return Cursor(self._apsw, sql, tuple(values))

    def executemany(self, sql: str, values: Any) -> None:
        with _as_sqlite3():
            self._apsw.executemany(sql, values)

    def executescript(self, sql: str) -> None:
        with _as_sqlite3():
            self._apsw.execute(sql)

    def create_function(self, name: str, narg: int, function: Any, *, deterministic: bool = False) -> None:
        self._apsw.create_scalar_function(name, function, narg, deterministic=deterministic)

    def close(self) -> None:
        with suppress(apsw.Error):  # SQLite closes whatever happens; only apsw tells what its VFS has raised
            self._apsw.close()


class Cursor:
    """apsw's cursor with the face of sqlite3's."""

    def __init__(self, connection: apsw.Connection, sql: str, values: tuple[Any, ...]) -> None:
        names: list[str] = []

        def describe(cursor: apsw.Cursor, _sql: str, _values: Any) -> bool:
            names[:] = [name for name, _ in cursor.get_description()]
            return True

        self._cursor = connection.cursor()
        self._cursor.exec_trace = describe  # afterwards it is not told of a query that found nothing
        self._cursor.execute(sql, values)
        self.description = [(name,) for name in names] or None
        self.lastrowid = connection.last_insert_rowid()
        self.rowcount = connection.changes()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        with _as_sqlite3():
            yield from self._cursor

    def fetchone(self) -> tuple[Any, ...] | None:
        with _as_sqlite3():
            return next(self._cursor, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        with _as_sqlite3():
            return self._cursor.fetchall()


@contextmanager
def _as_sqlite3() -> Iterator[None]:
    try:
        yield
    except apsw.Error as problem:
        names = apsw.mapping_extended_result_codes | apsw.mapping_result_codes
        kind = sqlite3.IntegrityError if isinstance(problem, apsw.ConstraintError) else sqlite3.OperationalError
        found = kind(str(problem))
        found.sqlite_errorcode = problem.extendedresult  # type: ignore[misc]
        found.sqlite_errorname = names[problem.extendedresult]  # type: ignore[misc]
        raise found from problem
