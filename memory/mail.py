"""Messages that wait in mailboxes, as they last: put in with the outcome of the send, out with that of the receive."""

import json
import sqlite3
from typing import Any

from .checks import verify
from .database import Database

Letter = tuple[int, int, Any]
"""Its number, who sent it, and what it says (plain JSON values)."""


_PUT_BACK = "INSERT OR IGNORE INTO mail (id, pid, sender, message) VALUES (?, ?, ?, ?)"


def put(connection: sqlite3.Connection, pid: int, sender: int, message: Any) -> int:
    """Enter a message for a process; its number, which ascends."""
    values = (pid, sender, json.dumps(message))
    return int(connection.execute("INSERT INTO mail (pid, sender, message) VALUES (?, ?, ?)", values).lastrowid or 0)


def put_back(connection: sqlite3.Connection, pid: int, letter: Letter) -> None:
    """Enter a message that was taken out, under its own number."""
    number, sender, message = letter
    connection.execute(_PUT_BACK, (number, pid, sender, json.dumps(message)))


def take(connection: sqlite3.Connection, number: int) -> None:
    """Take a message out."""
    connection.execute("DELETE FROM mail WHERE id = ?", (number,))


def waiting(database: Database, pid: int) -> list[Letter]:
    """What waits for a process, oldest first."""
    rows = database.rows("SELECT id, pid, sender, message, digest FROM mail WHERE pid = ? ORDER BY id", (pid,))
    for *values, digest in rows:
        verify("mail", values[0], digest, *values)
    return [(number, sender, json.loads(message)) for number, _, sender, message, _ in rows]
