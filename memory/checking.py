"""Is what is remembered still what was stored? And making anew whatever can be made from the passages alone."""

import json
import sqlite3
from collections.abc import Iterator
from itertools import pairwise

from . import checks
from .database import Database
from .embedders import Known
from .faults import Damaged
from .keywords import Indexed
from .upkeep import Progress, Told
from .words import TOKENIZE

STEP = 1000  # passages looked at between two turns of others

_PASSAGE = "id, collection, turn, words, created, key, label, source, tags, meta, title, text"
_LINKED = "SELECT tag, passage FROM passage_tags WHERE passage > ? AND passage <= ?"
_SUMS = (  # a checksum of the words of each passage, whatever their order in the index
    "SELECT doc, sum(digest(term, times, places)) FROM (SELECT doc, term, count(*) AS times,"
    " sum(offset * 2 + (col = 'title')) AS places FROM {} WHERE term >= ? AND term < ? GROUP BY term, doc) GROUP BY doc"
)
_BOUNDS = ["", *"0123456789abcdefghijklmnopqrstuvwxyz", "{", chr(0x10FFFF)]  # ranges of terms that are read at once


def check(db: Database, active: Known, complete: bool, told: Told | None = None) -> list[str]:
    """What is wrong, a line each. Others may write meanwhile; what they write is not looked at."""
    wrong: list[str] = []
    newest = _newest(db)
    for table, columns in (
        ("collections", "id, owner, app, name, passages, words, turn"),
        ("embedders", "id, name, active"),
    ):
        rows = db.rows(f"SELECT id FROM {table} WHERE digest IS NOT digest({columns})")
        wrong += [f"{table} {row[0]} is damaged" for row in rows]
    wrong += [
        f"collection {name!r} says it has {count} passages of {words} words and has {real} of {sums}"
        for name, count, words, real, sums in db.rows(
            "SELECT c.name, c.passages, c.words, count(p.id) AS real, coalesce(sum(p.words), 0) AS sums"
            " FROM collections AS c LEFT JOIN passages AS p ON p.collection = c.id"
            " GROUP BY c.id HAVING c.passages != real OR c.words != sums"
        )
    ]
    sums = dict[int, int]()
    try:
        for _ in _words(db, sums):
            _tell(told, "reading the index of words", 0, newest)
    except Damaged as damage:
        wrong.append(f"the index of words cannot be read: {damage.message}")
    for start in range(0, newest, STEP):
        span = (start, min(start + STEP, newest))
        wrong += _wrong_rows(db, span, active.id if complete else None)
        wrong += _wrong_words(db, span, sums)
        _tell(told, "checking passages", span[1], newest)
    return wrong


def rebuild(db: Database, active: Known, told: Told | None = None) -> None:
    """Make words, tags and counts anew, and take the vectors away, so that they are made anew too.

    All in one transaction but the vectors: nobody searches half an index, and all others wait for its end.
    """
    db.run("UPDATE embedders SET active = 0 WHERE active")
    with db.transaction() as connection:
        made = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE name IN ('passage_words', 'passage_terms')"
        )
        for name, sql in sorted(made.fetchall(), reverse=True):  # the words first, and then what looks into them
            connection.execute(f"DROP TABLE {name}")
            connection.execute(sql)
        connection.execute("DELETE FROM passage_tags")
        newest = _newest(db)
        for start in range(0, newest, STEP):
            span = (start, start + STEP)
            connection.executemany("INSERT INTO passage_tags (tag, passage) VALUES (?, ?)", _tagged(db, span))
            rows = connection.execute(
                f"SELECT id, title, text FROM passages WHERE id > ? AND id <= ? AND {_SOUND}", span
            )
            for number, title, text in rows.fetchall():
                words = Indexed.of(title=title, text=text)
                values = (number, words.title, words.text)
                connection.execute("INSERT INTO passage_words (rowid, title, text) VALUES (?, ?, ?)", values)
            _tell(told, "making words anew", min(start + STEP, newest), newest)
        _count_anew(connection)
    for start in range(0, newest, STEP):
        db.run(
            "DELETE FROM vectors WHERE embedder = ? AND passage > ? AND passage <= ?", (active.id, start, start + STEP)
        )
        _tell(told, "taking vectors away", min(start + STEP, newest), newest)


_SOUND = f"digest IS digest({_PASSAGE})"


def _count_anew(connection: sqlite3.Connection) -> None:
    """Right the counts of collections, but where more than these is damaged: a checksum must not bless that."""
    counted = "SELECT count(*), coalesce(sum(words), 0) FROM passages WHERE collection = ?"
    for (number,) in connection.execute("SELECT id FROM collections").fetchall():
        count, words = connection.execute(counted, (number,)).fetchone()
        connection.execute(
            "UPDATE collections SET passages = ?1, words = ?2 WHERE id = ?3 AND digest IN"
            " (digest(id, owner, app, name, passages, words, turn), digest(id, owner, app, name, ?1, ?2, turn))",
            (count, words, number),
        )


def _wrong_rows(db: Database, span: tuple[int, int], embedder: int | None) -> list[str]:
    """Damaged passages and vectors, missing vectors, and tags that are not those of the passage."""
    within = "id > ? AND id <= ?"
    wrong = [
        f"passage {row[0]} is damaged"
        for row in db.rows(f"SELECT id FROM passages WHERE {within} AND NOT {_SOUND}", span)
    ]
    rows = db.rows(
        "SELECT passage, embedder FROM vectors WHERE passage > ? AND passage <= ?"
        " AND digest IS NOT digest(passage, embedder, vector)", span,
    )  # fmt: skip
    wrong += [f"the vector of passage {passage} by embedder {number} is damaged" for passage, number in rows]
    if embedder is not None:
        rows = db.rows(
            f"SELECT id FROM passages WHERE {within}"
            " AND NOT EXISTS (SELECT 1 FROM vectors WHERE passage = passages.id AND embedder = ?)", (*span, embedder),
        )  # fmt: skip
        wrong += [f"passage {row[0]} has no vector" for row in rows]
    tagged, linked = set(_tagged(db, span)), set(db.rows(_LINKED, span))
    return wrong + [f"the tag {tag!r} of passage {number} is not as stored" for tag, number in sorted(tagged ^ linked)]


def _tagged(db: Database, span: tuple[int, int]) -> list[tuple[str, int]]:
    rows = db.rows(f"SELECT id, tags FROM passages WHERE id > ? AND id <= ? AND {_SOUND}", span)
    return [(tag, number) for number, tags in rows for tag in json.loads(tags)]


def _words(db: Database, sums: dict[int, int]) -> Iterator[None]:
    """Add up a checksum of the words of each passage as the index has them."""
    for low, high in pairwise(_BOUNDS):
        for number, part in db.rows(_SUMS.format("passage_terms"), (low, high)):
            sums[number] = sums.get(number, 0) + part
        yield


def _wrong_words(db: Database, span: tuple[int, int], sums: dict[int, int]) -> list[str]:
    """Passages whose words in the index are others than those of their text."""
    rows = db.rows(f"SELECT id, title, text FROM passages WHERE id > ? AND id <= ? AND {_SOUND}", span)
    fresh = sqlite3.connect(":memory:")
    try:
        checks.install(fresh)
        fresh.execute(f"CREATE VIRTUAL TABLE words USING fts5(title, text, content='', tokenize='{TOKENIZE}')")
        fresh.execute("CREATE VIRTUAL TABLE terms USING fts5vocab(words, 'instance')")
        for number, title, text in rows:
            words = Indexed.of(title=title, text=text)
            fresh.execute("INSERT INTO words (rowid, title, text) VALUES (?, ?, ?)", (number, words.title, words.text))
        right = dict(fresh.execute(_SUMS.format("terms"), (_BOUNDS[0], _BOUNDS[-1])))
    finally:
        fresh.close()
    return [
        f"the words of passage {row[0]} are not as stored"
        for row in rows
        if right.get(row[0], 0) != sums.get(row[0], 0)
    ]


def _newest(db: Database) -> int:
    return int(db.rows("SELECT coalesce(max(id), 0) FROM passages")[0][0])


def _tell(told: Told | None, what: str, done: int, total: int) -> None:
    if told:
        told(Progress(what, done, total))
