"""Keyword search: BM25 within the collections that are searched, on an SQLite FTS5 index.

FTS5 stores, splits and stems the words. Its own ``bm25()`` counts over the whole table, so that what one owner stores
would move the ranking of another; here the same formula (`words`) is computed from the counts of these collections.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from .database import Database
from .faults import Damaged
from .texts import in_pairs
from .words import K1, Stems, rarity, telling, weight, words_of

TITLE_WEIGHT = 2.0  # times that a word of the title counts: measured


@dataclass(frozen=True)
class Indexed:
    """What is indexed of a passage, and its length in words, for BM25.

    Contentless FTS5 wants the same words on deletion as on insertion: changing `texts.in_pairs` needs a migration that
    fills ``passage_words`` anew.
    """

    title: str
    text: str
    length: int

    @classmethod
    def of(cls, *, title: str, text: str) -> "Indexed":
        """Takes some 50 µs: before a transaction rather than inside."""
        title, text = in_pairs(title), in_pairs(text)
        return cls(title, text, len(words_of(title)) + len(words_of(text)))


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
        self._stems = Stems()

    def terms(self, query: str) -> list[str]:
        """The stems of a query without stop words, sorted; with them when nothing else is there."""
        some, words = telling(query)
        return sorted(stem for _, stem, _ in self._stems.of({0: some or words}))

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
            worth = rarity(count, len(rows))
            most += worth * (K1 + 1)
            parts = found.terms[term] = {}
            for passage, size, times in rows:
                if among is None or passage in among:
                    part = worth * weight(times, size * count / words)
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
        self._stems.close()
