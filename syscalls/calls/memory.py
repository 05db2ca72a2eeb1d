"""Memory: remember, recall, forget."""

from typing import Any

from pydantic import BaseModel, Field

from .base import Label, Reply, Request


class Passage(BaseModel):
    """A text to remember. The same ``key`` in the same collection is the same passage."""

    text: str = Field(min_length=1)
    key: str | None = Field(None, description="none: a hash of the text")
    title: str = ""
    source: str = ""
    tags: list[str] = []
    meta: dict[str, Any] = {}
    label: Label = "untrusted"


PORTION = 1000
"""Most passages of one call: they are written in one transaction, and nobody else writes meanwhile."""


class Remember(Request):
    """Store passages, all or none, in a collection of this owner and app; storing what is there changes nothing."""

    passages: list[Passage] = Field(max_length=PORTION)
    collection: str = "default"


class Remembered(Reply):
    """A handle for each passage, in order."""

    handles: list[str]


class Recall(Request):
    """The passages that fit a query best, by keywords and meaning together."""

    query: str
    collection: str | None = Field("default", description="none: all collections")
    k: int = Field(5, ge=1, le=1000)
    tags: list[str] = Field([], description="only passages that carry all of these")
    any_tags: list[str] = Field([], description="only passages that carry at least one of these")
    labels: list[Label] = Field([], description="only passages that carry one of these")
    source: str | None = Field(None, description="only passages of this source")
    since: float | None = Field(None, description="only passages remembered then or later, seconds since the epoch")
    until: float | None = Field(None, description="only passages remembered before then")
    diversity: float | None = Field(
        None, ge=0, le=1, description="how much a passage gives way for repeating what is above it; none: a little"
    )


class Hit(BaseModel):
    """A passage that was found, and why."""

    handle: str
    collection: str = "default"
    key: str
    text: str
    title: str
    source: str
    score: float
    why: dict[str, float | int | None] = Field(description="ranks by words and by meaning, and the scores of both")
    words: list[str] = Field([], description="stems of the query that the passage holds")
    tags: list[str]
    meta: dict[str, Any]
    label: Label
    created: float = Field(0, description="seconds since the epoch")


class Recalled(Reply):
    """Hits, best first."""

    hits: list[Hit]


class Forget(Request):
    """Remove passages by handle, or a whole collection when no handle is named."""

    handles: list[str] = Field([], description="none: the whole collection")
    collection: str = "default"


class Forgotten(Reply):
    """How many passages are gone."""

    count: int
