"""Are the notes which file gave which passage still what was stored? And what cannot be trusted is read again."""

import sqlite3

from ..database import Database
from .sources import WHOLE, WHOLE_NOTE

_DAMAGED = f"SELECT s.id, s.name FROM sources AS s WHERE NOT {WHOLE}"
_DAMAGED_NOTES = f"SELECT p.source, count(*) FROM source_passages AS p WHERE NOT {WHOLE_NOTE} GROUP BY p.source"
_MISSING = (
    "SELECT s.id, s.name, count(*) FROM sources AS s JOIN source_passages AS p ON p.source = s.id"
    " AND p.reading = s.reading WHERE NOT EXISTS"
    " (SELECT 1 FROM passages WHERE collection = s.collection AND key = p.key) GROUP BY s.id"
)


def check(database: Database) -> list[str]:
    """What is wrong, a line each."""
    wrong = [f"the row of source {number} ({name}) is damaged" for number, name in database.rows(_DAMAGED)]
    wrong += [f"{count} notes of source {number} are damaged" for number, count in database.rows(_DAMAGED_NOTES)]
    return wrong + [f"{count} passages of {name} are not there" for _, name, count in database.rows(_MISSING)]


def mend(database: Database) -> list[str]:
    """Drop what is damaged, and have files that it concerns read again at the next add; their names."""
    with database.transaction() as db:
        damaged = db.execute(_DAMAGED).fetchall()
        for number, _ in damaged:
            db.execute("DELETE FROM source_passages WHERE source = ?", (number,))
            db.execute("DELETE FROM sources WHERE id = ?", (number,))
        concerned = {number for number, _ in db.execute(_DAMAGED_NOTES)}
        db.execute(f"DELETE FROM source_passages AS p WHERE NOT {WHOLE_NOTE}")
        concerned |= {number for number, _, _ in db.execute(_MISSING)}
        return sorted([name for _, name in damaged] + [_to_be_read(db, number) for number in concerned])


def _to_be_read(db: sqlite3.Connection, source: int) -> str:
    """Its content is that of no file from now on, and it holds no passage that is not there; its name."""
    db.execute(
        "DELETE FROM source_passages WHERE source = ?1 AND key NOT IN (SELECT key FROM passages"
        " WHERE collection = (SELECT collection FROM sources WHERE id = ?1))", (source,),
    )  # fmt: skip
    sql = "UPDATE sources SET content = '' WHERE id = ? RETURNING name"
    return str(db.execute(sql, (source,)).fetchone()[0])
