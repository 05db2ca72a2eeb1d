"""A process and its children in one file, to go on from in another home: a zip of what the store has of them.

manifest.json   format, version of the store, model, pids, and the SHA-256 of every other member
state.json      rows by table, as lists in the order of ``columns``
in/NUMBER       what was handed in to them
"""

import hashlib
import json
import sqlite3
import zipfile
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checks import COLUMN
from .database import Database
from .faults import DamagedFile, Missing, MissingFile
from .migrations import scripts
from .whole import whole

FORMAT = 1
TABLES = {
    "processes": "SELECT * FROM processes WHERE pid = ?",
    "journal": (
        "SELECT * FROM journal WHERE pid = ? AND n >= (SELECT saved_n FROM processes WHERE pid = journal.pid)"
        " ORDER BY n"
    ),
    "usages": "SELECT * FROM usages WHERE pid = ?",
    "conditions": "SELECT * FROM conditions WHERE pid = ?",
    "contexts": "SELECT * FROM contexts WHERE pid = ?",
    "pages": "SELECT * FROM pages WHERE pid = ? ORDER BY id",
    "mail": "SELECT * FROM mail WHERE pid = ? ORDER BY id",
}
"""All that a process has in the store, by table; what came before its last saved state is history and stays behind."""

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Checkpoint:
    """What was read of a file, checked."""

    path: Path
    model: str
    tables: dict[str, Rows]
    handed: list[str]  # members of the file that hold what was handed in

    @property
    def root(self) -> int:
        """The pid of the process that it was made of."""
        return int(self.tables["processes"][0]["pid"])


def write(database: Database, pid: int, path: Path) -> list[int]:
    """Write a process that has not ended, and its children, as they are at this moment; their pids.

    The process may be running. Raises `Missing` where no such process lives.
    """
    with database.transaction() as connection:
        pids = _tree(connection, pid)
        tables = {name: _rows(connection, sql, pids) for name, sql in TABLES.items()}
    handed = _handed(tables["processes"])
    state = json.dumps(tables, default=_encoded).encode()
    members = {"state.json": state, **{name: file.read_bytes() for name, file in handed.items()}}
    manifest = {
        "format": FORMAT, "store": len(scripts()), "model": tables["processes"][0]["model"], "pids": pids,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in members.items()},
    }  # fmt: skip
    with whole(path) as raw, zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("manifest.json", json.dumps(manifest, indent=1))
        for name, data in members.items():
            file.writestr(name, data)
    return pids


def read(path: Path) -> Checkpoint:
    """A checkpoint. Raises `MissingFile`, or `DamagedFile` for what is none, is damaged or of another version."""
    try:
        with zipfile.ZipFile(path) as file:
            manifest = json.loads(file.read("manifest.json"))
            sums = dict(manifest["sha256"])
            wrong = [name for name, told in sums.items() if hashlib.sha256(file.read(name)).hexdigest() != told]
            tables = json.loads(file.read("state.json"), object_hook=_decoded)
            store, model = int(manifest["store"]), str(manifest["model"])
    except FileNotFoundError:
        raise MissingFile(path, "no such file", hint="llmos checkpoint writes one") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        KeyError,
        ValueError,
        TypeError,
        EOFError,
        RuntimeError,
        OSError,
    ) as bad:
        raise DamagedFile(path, f"no sound checkpoint: {bad}", hint="write it again where it came from") from None
    if wrong:
        raise DamagedFile(path, f"{', '.join(wrong)} is damaged", hint="write it again where it came from")
    if store != len(scripts()):
        raise DamagedFile(
            path, f"made with a store of version {store}, this llmos has {len(scripts())}",
            hint="use the same version of llmos on both machines",
        )  # fmt: skip
    return Checkpoint(path, model, tables, sorted(name for name in sums if name.startswith("in/")))


def restore(
    connection: sqlite3.Connection, checkpoint: Checkpoint, new_pid: Callable[[], int], folder: Path
) -> dict[int, int]:
    """Enter the processes of a checkpoint, suspended: the pid of each there, and here.

    What was handed in is unpacked into ``folder``, made if needed. Processes go on knowing each other by the pids
    that they had (`Life.aliases`).
    """
    pids = {int(row["pid"]): new_pid() for row in checkpoint.tables["processes"]}
    moved = {str(old): new for old, new in pids.items() if old != new}
    files = _unpacked(checkpoint, folder)
    for row in checkpoint.tables["processes"]:
        parent = row["parent"]
        handed = {name: str(files.get(member, member)) for name, member in json.loads(row["handed"]).items()}
        aliases = {**{k: pids.get(v, v) for k, v in json.loads(row["aliases"]).items()}, **moved}
        values = {"pid": pids[row["pid"]], "parent": pids.get(parent), "handed": json.dumps(handed), "stopped": 0}
        if parent not in pids:
            values["spawned"] = None
        _insert(connection, "processes", {**row, **values, "aliases": json.dumps(aliases)})
    entries: dict[int, int] = {}
    for row in checkpoint.tables["journal"]:
        values = {"pid": pids[row["pid"]], "within": entries.get(row["within"], row["within"]), "id": None}
        entries[row["id"]] = _insert(connection, "journal", {**row, **values})
    for table in ("usages", "conditions", "contexts", "pages", "mail"):
        for row in checkpoint.tables[table]:
            fresh = {"id": None} if "id" in row else {}
            _insert(connection, table, {**row, **fresh, "pid": pids[row["pid"]]})
    return pids


def _tree(connection: sqlite3.Connection, pid: int) -> list[int]:
    row = connection.execute("SELECT finished FROM processes WHERE pid = ?", (pid,)).fetchone()
    if row is None or row[0] is not None:
        raise Missing(f"process {pid} does not live", hint="llmos ps lists those that do")
    pids = [pid]
    for one in pids:
        sql = "SELECT pid FROM processes WHERE parent = ? ORDER BY pid"
        pids += [child for (child,) in connection.execute(sql, (one,))]
    return pids


def _rows(connection: sqlite3.Connection, sql: str, pids: Sequence[int]) -> Rows:
    found: Rows = []
    for pid in pids:
        cursor = connection.execute(sql, (pid,))
        names = [column[0] for column in cursor.description]
        found += [dict(zip(names, row, strict=True)) for row in cursor]
    for row in found:
        row.pop(COLUMN, None)  # SQLite computes it anew
    return found


def _handed(processes: Rows) -> dict[str, Path]:
    """Files that were handed in by the member that holds each; the rows name the members from now on."""
    members: dict[str, Path] = {}
    for row in processes:
        named = {}
        for name, file in json.loads(row["handed"]).items():
            if Path(file).is_file():
                member = f"in/{len(members)}"
                members[member] = Path(file)
                named[name] = member
        row["handed"] = json.dumps(named)
    return members


def _unpacked(checkpoint: Checkpoint, folder: Path) -> dict[str, Path]:
    if not checkpoint.handed:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    with zipfile.ZipFile(checkpoint.path) as file:
        for member in checkpoint.handed:
            data = file.read(member)
            found[member] = folder / hashlib.sha256(data).hexdigest()[:16]
            found[member].write_bytes(data)
    return found


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    sql = f"INSERT INTO {table} ({columns}) VALUES ({marks})"
    return int(connection.execute(sql, tuple(row.values())).lastrowid or 0)


def _encoded(value: Any) -> Any:
    return {"base64": b64encode(value).decode()}


def _decoded(value: dict[str, Any]) -> Any:
    return b64decode(value["base64"]) if value.keys() == {"base64"} else value
