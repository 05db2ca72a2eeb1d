"""Words and what they count: stems by SQLite's FTS5, and BM25 by its formula.

FTS5's own ``bm25()`` counts over its whole table. Who ranks within a part of it, or without a table of it, computes the
same from counts of their own.
"""

import math
import re
import sqlite3
import threading
from collections.abc import Mapping
from typing import Any

from .texts import in_pairs

TOKENIZE = "porter unicode61 remove_diacritics 2"

# k1 and b are FTS5's own (https://www.sqlite.org/fts5.html, "The bm25() function").
K1 = 1.2
B = 0.75

# Words that carry no topic, left out of a query unless it has no others.
_STOP_WORDS = """
a an and are as at be but by can could did do does for from had has have he her his how i if in is it its my not of on
or she should so that the their them then there these they this to was we were what when where which who why will with
would you your
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """All words of a text in which runs without spaces are in pairs already."""
    return _WORD.findall(text)


def telling(text: str) -> tuple[list[str], list[str]]:
    """The words of a text in small letters: those that carry a topic, and all."""
    words = words_of(in_pairs(text).lower())
    return [word for word in words if word not in STOP_WORDS], words


def rarity(count: int, holding: int) -> float:
    """What a term is worth that so many of ``count`` texts hold."""
    return math.log(1 + (count - holding + 0.5) / (holding + 0.5))


def weight(times: Any, relative: Any) -> Any:
    """What a term counts in a text that holds it so often, apart from its rarity; at most K1 + 1. Arrays, too.

    ``relative`` is the length of the text as a multiple of the mean.
    """
    return times * (K1 + 1) / (times + K1 * (1 - B + B * relative))


class Stems:
    """Stems of words. FTS5's tokenizer cannot be called from Python, so they pass through a table. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # of all below
        self._table = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._table.execute(f"CREATE VIRTUAL TABLE texts USING fts5(words, content='', tokenize='{TOKENIZE}')")
        self._table.execute("CREATE VIRTUAL TABLE terms USING fts5vocab(texts, 'instance')")

    def of(self, texts: Mapping[int, list[str]]) -> list[tuple[int, str, int]]:
        """(number of a text, stem, times) of the words of texts."""
        rows = [(number, " ".join(words)) for number, words in texts.items()]
        with self._lock:
            self._table.execute("INSERT INTO texts (texts) VALUES ('delete-all')")
            self._table.execute("BEGIN")
            self._table.executemany("INSERT INTO texts (rowid, words) VALUES (?, ?)", rows)
            self._table.execute("COMMIT")
            return self._table.execute("SELECT doc, term, count(*) FROM terms GROUP BY doc, term").fetchall()

    def close(self) -> None:
        """Give back the table."""
        self._table.close()
