"""Messages that wait in mailboxes, as they last: put in with the outcome of the send, out with that of the receive."""

import json
import sqlite3
from typing import Any

from .database import Database

Letter = tuple[int, int, Any]
"""Its number, who sent it, and what it says (plain JSON values)."""


def put(connection: sqlite3.Connection, pid: int, sender: int, message: Any) -> int:
    """Enter a message for a process; its number, which ascends."""
    values = (pid, sender, json.dumps(message))
    return int(connection.execute("INSERT INTO mail (pid, sender, message) VALUES (?, ?, ?)", values).lastrowid or 0)


def put_back(connection: sqlite3.Connection, pid: int, letter: Letter) -> None:
    """Enter a message that was taken out, under its own number."""
    number, sender, message = letter
    connection.execute("INSERT OR IGNORE INTO mail VALUES (?, ?, ?, ?)", (number, pid, sender, json.dumps(message)))


def take(connection: sqlite3.Connection, number: int) -> None:
    """Take a message out."""
    connection.execute("DELETE FROM mail WHERE id = ?", (number,))


def waiting(database: Database, pid: int) -> list[Letter]:
    """What waits for a process, oldest first."""
    rows = database.rows("SELECT id, sender, message FROM mail WHERE pid = ? ORDER BY id", (pid,))
    return [(number, sender, json.loads(message)) for number, sender, message in rows]
