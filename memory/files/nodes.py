"""Rows of the tree: nodes, which are files and folders, and the versions of files.

A folder is there as long as a file below it is; a deleted file stays as a node that is gone, with its versions. Many
gone nodes may share a name, of those that are there no two do. So a rename is one row, of a folder too.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..checks import verify
from ..faults import BadPath, Damaged, DamagedRow, Missing

Ask = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""All rows of a query, from `Database.rows` or, within a transaction, `asking`."""

_NODE = "id, owner, parent, name, folder, gone, current, stored, tags, created"
_VERSION = "id, node, number, size, label, made, pid, pieces"
_BELOW = f"""
WITH RECURSIVE below (path, {_NODE}, digest) AS (
    SELECT name, {_NODE}, digest FROM nodes WHERE owner = ? AND parent = ?
    UNION ALL
    SELECT b.path || '/' || n.name, {", ".join(f"n.{column.strip()}" for column in _NODE.split(","))}, n.digest
    FROM nodes AS n JOIN below AS b ON n.owner = b.owner AND n.parent = b.id WHERE b.folder = 1
) SELECT * FROM below"""


@dataclass(frozen=True)
class Node:
    """A file or a folder; ``stored`` is bytes of all versions' content, a piece that several share counted once."""

    id: int
    owner: str
    parent: int
    name: str
    folder: bool
    gone: bool
    current: int
    stored: int
    tags: tuple[str, ...]
    created: float


@dataclass(frozen=True)
class Version:
    """One version of a file; ``size`` is None where it is that the file was deleted."""

    id: int
    node: int
    number: int
    size: int | None
    label: str
    made: float
    pid: int | None
    pieces: bytes


def asking(connection: sqlite3.Connection) -> Ask:
    """Queries on a connection that is in a transaction."""
    return lambda sql, values: connection.execute(sql, values).fetchall()


def walk(ask: Ask, owner: str, names: Sequence[str]) -> Node | None:
    """The node that is there at a path; raises `BadPath` where the path leads through a file."""
    node, parent = None, 0
    for place, name in enumerate(names):
        if node is not None and not node.folder:
            raise BadPath(f"{'/'.join(names[:place])} is a file, not a folder", hint="choose another name")
        sql = f"SELECT {_NODE}, digest FROM nodes WHERE owner = ? AND parent = ? AND name = ? AND gone = 0"
        rows = ask(sql, (owner, parent, name))
        if not rows:
            return None
        node = _node(rows[0])
        parent = node.id
    return node


def past(ask: Ask, owner: str, names: Sequence[str]) -> Node | None:
    """The deleted file of a path, the last one of several; its folders may be gone or not."""
    parents: list[int] = [0]
    found: list[Node] = []
    sql = (
        f"SELECT {_NODE}, digest FROM nodes WHERE owner = ? AND name = ? AND parent IN (SELECT value FROM json_each(?))"
        " ORDER BY (SELECT max(v.id) FROM versions AS v WHERE v.node = nodes.id) DESC"
    )
    for name in names:
        found = [_node(row) for row in ask(sql, (owner, name, json.dumps(parents)))]
        parents = [node.id for node in found if node.folder]
    return next((node for node in found if node.gone and not node.folder), None)


def below(ask: Ask, owner: str, parent: int) -> Iterator[tuple[str, Node | None]]:
    """Path from the parent, and node, of every file and folder below it, gone or not; None for a damaged row."""
    for path, *row in ask(_BELOW, (owner, parent)):
        try:
            yield path, _node(tuple(row))
        except DamagedRow:
            yield path, None


def depth(ask: Ask, node: Node) -> int:
    """Names on the longest path below a folder, gone nodes too; 0 for a file."""
    sql = (
        "WITH RECURSIVE below (id, deep) AS (SELECT ?2, 0 UNION ALL SELECT n.id, b.deep + 1 FROM nodes AS n"
        " JOIN below AS b ON n.owner = ?1 AND n.parent = b.id) SELECT max(deep) FROM below"
    )
    return int(ask(sql, (node.owner, node.id))[0][0])


def version(ask: Ask, node: Node, number: int, path: str = "") -> Version:
    """A version of a file; raises `Damaged`, naming both, or `Missing` for one that there is not."""
    what = f"version {number} of {path or node.name}"
    rows = ask(f"SELECT {_VERSION}, digest FROM versions WHERE node = ? AND number = ?", (node.id, number))
    if not rows and number != node.current:
        raise Missing(f"there is no {what}", hint="llmos fs log shows the versions there are")
    try:
        return _version(rows[0])
    except (DamagedRow, IndexError):
        raise Damaged(f"{what} is damaged", hint="llmos fs rollback brings back an older one") from None


def history(ask: Ask, node: Node) -> list[Version | int]:
    """The versions of a file, oldest first; of a damaged one its number."""
    rows = ask(f"SELECT {_VERSION}, digest FROM versions WHERE node = ? ORDER BY number", (node.id,))
    found: list[Version | int] = []
    for row in rows:
        try:
            found.append(_version(row))
        except DamagedRow:
            found.append(int(row[2]))
    return found


def folder(connection: sqlite3.Connection, owner: str, names: Sequence[str], now: float) -> int:
    """The number of a folder, made or brought back where it is missing; raises `BadPath` where a file stands there."""
    ask, parent = asking(connection), 0
    for place, name in enumerate(names):
        node = walk(ask, owner, names[: place + 1])
        if node is None:
            sql = f"SELECT {_NODE}, digest FROM nodes WHERE owner = ? AND parent = ? AND name = ? AND folder = 1"
            rows = ask(sql, (owner, parent, name))
            old = Node(0, owner, parent, name, True, True, 0, 0, (), now)
            node = save(connection, replace(_node(rows[0]) if rows else old, gone=False))
        elif not node.folder:
            raise BadPath(f"{'/'.join(names[: place + 1])} is a file, not a folder", hint="choose another name")
        parent = node.id
    return parent


def bury(connection: sqlite3.Connection, number: int) -> None:
    """Mark a folder as gone if nothing is there below it, and so on upwards."""
    ask = asking(connection)
    while number and not ask("SELECT 1 FROM nodes WHERE parent = ? AND gone = 0", (number,)):
        node = by_id(ask, number)
        save(connection, replace(node, gone=True))
        number = node.parent


def by_id(ask: Ask, number: int) -> Node:
    """The node of a number; raises `Damaged` where it is lost."""
    rows = ask(f"SELECT {_NODE}, digest FROM nodes WHERE id = ?", (number,))
    if not rows:
        raise DamagedRow("nodes", number)
    return _node(rows[0])


def save(connection: sqlite3.Connection, node: Node) -> Node:
    """Write a node, a new one if its number is 0; as it stands there."""
    values = _row(node)[1:]
    if node.id:
        names = ", ".join(f"{column.strip()} = ?" for column in _NODE.split(",")[1:])
        connection.execute(f"UPDATE nodes SET {names} WHERE id = ?", (*values, node.id))
        return node
    columns = _NODE.partition(", ")[2]
    cursor = connection.execute(f"INSERT INTO nodes ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    return replace(node, id=int(cursor.lastrowid or 0))


def add(connection: sqlite3.Connection, version: Version) -> None:
    """Write a new version, whatever its ``id``."""
    values = (version.node, version.number, version.size, version.label, version.made, version.pid, version.pieces)
    connection.execute(f"INSERT INTO versions ({_VERSION.partition(', ')[2]}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)


def _row(node: Node) -> tuple[Any, ...]:
    tags = json.dumps(node.tags, ensure_ascii=False)
    return (
        node.id, node.owner, node.parent, node.name, int(node.folder), int(node.gone), node.current, node.stored,
        tags, node.created,
    )  # fmt: skip


def _node(row: tuple[Any, ...]) -> Node:
    *values, stored = row
    verify("nodes", values[0], stored, *values)
    number, owner, parent, name, is_folder, gone, current, size, tags, created = values
    return Node(
        number, owner, parent, name, bool(is_folder), bool(gone), current, size, tuple(json.loads(tags)), created
    )


def _version(row: tuple[Any, ...]) -> Version:
    *values, stored = row
    verify("versions", values[0], stored, *values)
    return Version(*values)
