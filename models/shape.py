"""What an answer must look like, as it is asked for: each kind of model makes it its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sentences:
    """From ``least`` to ``most`` of these texts, in this order, none twice, a space between them."""

    texts: tuple[str, ...]
    least: int = 1
    most: int = 1


@dataclass(frozen=True)
class Shape:
    """At most one of these; none is free text."""

    grammar: str | None = None  # GBNF, rule ``root``
    schema: dict[str, Any] | None = None  # of JSON
    sentences: Sentences | None = None
