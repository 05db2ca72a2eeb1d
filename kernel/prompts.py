"""From messages to the very tokens that the engine gets: template markup as control tokens, contents as plain text."""

from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol

from ..models.chat import ChatTemplate

Messages = Sequence[tuple[str, str]]

CACHED = 2048  # texts whose tokens are kept: of some thirty full windows


class Encode(Protocol):
    """A tokenizer; with ``markup`` control tokens are recognised."""

    def __call__(self, text: str, *, markup: bool = False) -> list[int]:
        """Tokens of the text."""


class Prompts:
    """Renders and tokenises prompts; counts are exact because the very same tokens go to the engine."""

    def __init__(self, template: ChatTemplate, encode: Encode) -> None:
        self.template = template
        self.encode = encode
        # As numbers of four bytes: a page of a window that changes slowly is asked for again with every prompt.
        self._cached: Callable[[str, bool], array[int]] = lru_cache(CACHED)(
            lambda text, markup: array("i", encode(text, markup=markup))
        )

    def tokens(self, messages: Messages, begin: str = "") -> list[int]:
        """The prompt up to where the answer goes on; ``begin`` is the answer's given beginning."""
        found: list[int] = []
        for part in self.template.render(messages):
            found += self._cached(part.text, part.markup)
        return found + self.encode(begin) if begin else found

    def measure(self, messages: Messages) -> int:
        """Tokens of the whole prompt."""
        return len(self.tokens(messages))

    def count(self, text: str) -> int:
        """Tokens of a text by itself."""
        return len(self.encode(text))
