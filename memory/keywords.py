"""Keyword search: BM25 within the collections that are searched, on an SQLite FTS5 index.

FTS5 stores, splits and stems the words. Its own ``bm25()`` counts over the whole table, so that what one owner stores
would move the ranking of another; here the same formula is computed from the counts of these collections alone.
"""

import json
import math
import re
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from .database import Database
from .faults import Damaged

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


@dataclass(frozen=True)
class Indexed:
    """What is indexed of a passage, and its length in words, for BM25."""

    title: str
    text: str
    length: int

    @classmethod
    def of(cls, *, title: str, text: str) -> "Indexed":
        """Takes some 50 µs: before a transaction rather than inside."""
        title, text = prepared(title), prepared(text)
        return cls(title, text, len(_WORD.findall(title)) + len(_WORD.findall(text)))


@dataclass(frozen=True)
class Matches:
    """BM25 by passage, for those that hold at least one term; ``most`` is what no passage could exceed."""

    scores: dict[int, float] = field(default_factory=dict)
    most: float = 0.0
    terms: dict[str, dict[int, float]] = field(default_factory=dict)  # what each term adds to a passage's score

    def ranked(self) -> list[int]:
        """All passages, best first, equal ones by number."""
        return sorted(self.scores, key=lambda passage: (-self.scores[passage], passage))

    def words(self, passage: int) -> tuple[str, ...]:
        """The terms that a passage holds."""
        return tuple(term for term, parts in self.terms.items() if passage in parts)


class Keywords:
    """Searches ``passage_words``; safe to call from any thread."""

    def __init__(self, db: Database) -> None:
        self._db = db
        # FTS5's tokenizer cannot be called from Python, so a query's words pass through a table of their own.
        self._splitter = sqlite3.connect(":memory:", check_same_thread=False)
        self._splitter.execute(f"CREATE VIRTUAL TABLE query USING fts5(words, tokenize='{TOKENIZE}')")
        self._splitter.execute("CREATE VIRTUAL TABLE terms USING fts5vocab(query, 'row')")
        self._lock = threading.Lock()  # of the splitter

    def terms(self, query: str) -> list[str]:
        """The stems of a query without stop words, sorted; with them when nothing else is there."""
        words = _WORD.findall(prepared(query).lower())
        telling = [word for word in words if word not in STOP_WORDS] or words
        with self._lock:
            self._splitter.execute("DELETE FROM query")
            self._splitter.execute("INSERT INTO query VALUES (?)", (" ".join(telling),))
            return [term for (term,) in self._splitter.execute("SELECT term FROM terms ORDER BY term")]

    def search(self, collections: Iterable[int], query: str, allowed: Sequence[int] | None = None) -> Matches:
        """BM25 of the passages of these collections that hold a term of the query, of the ``allowed`` ones where given.

        How rare a term is counts over the whole collections in either case. Raises `Damaged`.
        """
        listed, among = json.dumps(list(collections)), None if allowed is None else set(allowed)
        sums = "SELECT sum(passages), sum(words) FROM collections WHERE id IN (SELECT value FROM json_each(?))"
        ((count, words),) = self._db.rows(sums, (listed,))
        if not count:
            return Matches()
        found = Matches()
        most = 0.0
        for term in self.terms(query):
            rows = self._holding(term, listed)
            rarity = math.log(1 + (count - len(rows) + 0.5) / (len(rows) + 0.5))
            most += rarity * (K1 + 1)
            parts = found.terms[term] = {}
            for passage, size, times in rows:
                if among is None or passage in among:
                    part = rarity * times * (K1 + 1) / (times + K1 * (1 - B + B * size * count / words))
                    parts[passage] = part
                    found.scores[passage] = found.scores.get(passage, 0.0) + part
        return replace(found, most=most)

    def _holding(self, term: str, collections: str) -> list[tuple[int, int, float]]:
        """(passage, its length, how often it holds the term) of those that do."""
        try:
            return self._db.rows(
                "SELECT p.id, p.words, t.times FROM (SELECT doc, sum(CASE col WHEN 'title' THEN ? ELSE 1 END) AS times"
                " FROM passage_terms WHERE term = ? GROUP BY doc) AS t"
                " JOIN passages AS p INDEXED BY passages_by_collection ON p.id = t.doc"
                " WHERE p.collection IN (SELECT value FROM json_each(?))",
                (TITLE_WEIGHT, term, collections),
            )
        except Damaged as damage:
            raise Damaged(damage.message, hint="llmos memory rebuild makes the index of words anew") from damage

    def close(self) -> None:
        """Give back the private database."""
        self._splitter.close()
