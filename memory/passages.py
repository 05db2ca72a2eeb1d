"""Passages as they come in and as they are found, and what a search may be narrowed down to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from .texts import sound

Row = tuple[str, ...]
"""A passage as SQLite takes it, see `Passage.row`."""


@dataclass(frozen=True)
class Passage:
    """A piece of text to remember, best a few hundred words long."""

    text: str
    key: str | None = None  # a second passage of the same key replaces the first; by default a hash of title and text
    source: str = ""
    title: str = ""
    tags: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)  # plain JSON values; "position" says where in the source
    label: str = "untrusted"

    def row(self) -> Row:
        """Key, text, title, source, tags, meta and label as SQLite takes them, the JSON in order."""
        key = self.key or blake2b(f"{self.title}\n{self.text}".encode(errors="replace"), digest_size=8).hexdigest()
        tags = json.dumps(sorted(set(self.tags)), ensure_ascii=False)
        meta = json.dumps(dict(self.meta), ensure_ascii=False, sort_keys=True)
        fields = (key, self.text, self.title, self.source, tags, meta, self.label)
        return tuple(sound(value) for value in fields)


@dataclass(frozen=True)
class Why:
    """Why a passage was found. Ranks count from 1; None where that ranking did not put the passage forward."""

    keyword: int | None = None
    vector: int | None = None
    similarity: float = 0.0  # cosine, -1 to 1
    coverage: float = 0.0  # BM25 as a share of the most that any passage could reach for this query, 0 to 1
    words: tuple[str, ...] = ()  # of the query, as stems, that the passage holds


@dataclass(frozen=True)
class Hit:
    """A passage as it is stored, and how well it fits a query."""

    handle: str  # "collection/key": stable, and valid for its owner and app
    collection: str
    key: str
    text: str
    title: str
    source: str
    tags: tuple[str, ...]
    meta: Mapping[str, Any]
    label: str
    created: float  # seconds since the epoch
    score: float = 0.0  # 0 to 1, comparable within one search only
    why: Why = Why()


@dataclass(frozen=True)
class Filter:
    """What a passage must be to take part in a search at all; an empty field asks for nothing."""

    tags: tuple[str, ...] = ()  # all of these
    any_tags: tuple[str, ...] = ()  # at least one of these
    labels: tuple[str, ...] = ()  # one of these
    source: str | None = None
    since: float | None = None  # remembered then or later, seconds since the epoch
    until: float | None = None  # remembered before then
    keys: tuple[str, ...] | None = None  # one of these

    def __bool__(self) -> bool:
        return self != EVERYTHING

    def condition(self) -> tuple[str, list[str | float]]:
        """As SQL over a row ``p`` of passages, and its values."""
        parts, values = ["1"], list[str | float]()
        for tag in self.tags:
            parts.append("EXISTS (SELECT 1 FROM passage_tags WHERE tag = ? AND passage = p.id)")
            values.append(sound(tag))
        for within, wanted in (
            ("EXISTS (SELECT 1 FROM passage_tags WHERE passage = p.id AND tag IN ({}))", self.any_tags),
            ("p.label IN ({})", self.labels),
        ):
            if wanted:
                parts.append(within.format(", ".join("?" * len(wanted))))
                values += [sound(one) for one in wanted]
        for part, value in (("p.created >= ?", self.since), ("p.created < ?", self.until)):
            if value is not None:
                parts.append(part)
                values.append(value)
        if self.source is not None:
            parts.append("p.source = ?")
            values.append(sound(self.source))
        if self.keys is not None:
            parts.append("p.key IN (SELECT value FROM json_each(?))")
            values.append(json.dumps([sound(key) for key in self.keys]))
        return " AND ".join(parts), values


EVERYTHING = Filter()
"""Lets all passages pass."""
