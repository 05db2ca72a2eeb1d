"""From messages to the very tokens that the engine gets: template markup as control tokens, contents as plain text."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol

from ..models.chat import ChatTemplate

Messages = Sequence[tuple[str, str]]


class Encode(Protocol):
    """A tokenizer; with ``markup`` control tokens are recognised."""

    def __call__(self, text: str, *, markup: bool = False) -> list[int]:
        """Tokens of the text."""


class Prompts:
    """Renders and tokenises prompts; counts are exact because the very same tokens go to the engine."""

    def __init__(self, template: ChatTemplate, encode: Encode) -> None:
        self.template = template
        self.encode = encode
        self._cached: Callable[[str, bool], tuple[int, ...]] = lru_cache(4096)(
            lambda text, markup: tuple(encode(text, markup=markup))
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
