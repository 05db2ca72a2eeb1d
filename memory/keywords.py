"""Keyword search: BM25 within one collection, on an SQLite FTS5 index.

FTS5 stores, splits and stems the words. Its own ``bm25()`` counts over the whole table, so that what one owner stores
would move the ranking of another; here the same formula is computed from the counts of the collection alone.
"""

import math
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from .database import Database

TOKENIZE = "porter unicode61 remove_diacritics 2"

# k1 and b are FTS5's own (https://www.sqlite.org/fts5.html, "The bm25() function"). Titles count twice: measured.
K1 = 1.2
B = 0.75
TITLE_WEIGHT = 2.0

# Words that carry no topic, left out of a query unless it has no others.
_STOP_WORDS = """
a an and are as at be but by can could did do does for from had has have he her his how i if in is it its my not of on
or she should so that the their them then there these they this to was we were what when where which who why will with
would you your
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())

_WORD = re.compile(r"\w+")
_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+")


def prepared(text: str) -> str:
    """What is indexed of a text: runs of Chinese, Japanese and Korean become pairs of neighbouring characters.

    These are written without spaces (or, Korean, with endings that hide the stem), and unicode61 would take a whole
    run as one word. Contentless FTS5 wants the same words on deletion as on insertion: changing this function needs
    a migration that fills ``passage_words`` anew.
    """
    return _CJK.sub(_pairs, text)


def _pairs(match: re.Match[str]) -> str:
    run = match.group()
    return f" {' '.join(run[i : i + 2] for i in range(max(1, len(run) - 1)))} "


def length(text: str) -> int:
    """Number of words in a text, for BM25."""
    return len(_WORD.findall(prepared(text)))


@dataclass(frozen=True)
class Matches:
    """BM25 by passage, for those that hold at least one term; ``most`` is what no passage could exceed."""

    scores: dict[int, float]
    most: float

    def best(self, k: int) -> list[int]:
        """The ``k`` passages with the highest scores, best first, equal ones by number."""
        return sorted(self.scores, key=lambda passage: (-self.scores[passage], passage))[:k]


class Keywords:
    """Searches ``passage_words``. One thread at a time."""

    def __init__(self, db: Database) -> None:
        self._db = db
        # FTS5's tokenizer cannot be called from Python, so a query's words pass through a table of their own.
        self._splitter = sqlite3.connect(":memory:", check_same_thread=False)
        self._splitter.execute(f"CREATE VIRTUAL TABLE query USING fts5(words, tokenize='{TOKENIZE}')")
        self._splitter.execute("CREATE VIRTUAL TABLE terms USING fts5vocab(query, 'row')")

    def terms(self, query: str) -> list[str]:
        """The stems of a query without stop words, sorted; with them when nothing else is there."""
        words = _WORD.findall(prepared(query).lower())
        telling = [word for word in words if word not in STOP_WORDS] or words
        self._splitter.execute("DELETE FROM query")
        self._splitter.execute("INSERT INTO query VALUES (?)", (" ".join(telling),))
        return [term for (term,) in self._splitter.execute("SELECT term FROM terms ORDER BY term")]

    def search(self, collection: int, query: str, allowed: Sequence[int] | None = None) -> Matches:
        """BM25 of the passages of a collection that hold a term of the query, of the ``allowed`` ones where given.

        How rare a term is counts over the whole collection in either case.
        """
        among = None if allowed is None else set(allowed)
        ((count, words),) = self._db.rows("SELECT passages, words FROM collections WHERE id = ?", (collection,))
        scores: dict[int, float] = {}
        most = 0.0
        for term in self.terms(query):
            found = self._db.rows(
                "SELECT p.id, p.words, t.times FROM (SELECT doc, sum(CASE col WHEN 'title' THEN ? ELSE 1 END) AS times"
                " FROM passage_terms WHERE term = ? GROUP BY doc) AS t"
                " JOIN passages AS p INDEXED BY passages_by_collection ON p.id = t.doc WHERE p.collection = ?",
                (TITLE_WEIGHT, term, collection),
            )
            rarity = math.log(1 + (count - len(found) + 0.5) / (len(found) + 0.5))
            most += rarity * (K1 + 1)
            for passage, size, times in found:
                if among is not None and passage not in among:
                    continue
                part = rarity * times * (K1 + 1) / (times + K1 * (1 - B + B * size * count / words))
                scores[passage] = scores.get(passage, 0.0) + part
        return Matches(scores, most)

    def close(self) -> None:
        """Give back the private database."""
        self._splitter.close()
