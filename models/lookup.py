"""Guessing what an answer copies from its prompt: prompt lookup (Saxena 2023), with an index that grows with the text.

The last few tokens are looked up among all before them; what followed there is the guess. A guess costs a wider step,
so its width follows how well the last ones went.
"""

from __future__ import annotations

from collections.abc import Sequence

GRAM = 3
"""Tokens that must be the same before a guess."""

WIDEST = 16
_LEAST = 2
_FORGET = 0.7  # weight of the past against one more guess


class Lookup:
    """Guesses for one text. ``tokens`` begins as the prompt and grows by what is drawn."""

    def __init__(self, prompt: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._seen: dict[tuple[int, ...], int] = {}  # the last tokens: where the text went on after them
        self._went = 1.0  # share of the last guesses that was right
        self._idle = 0  # tokens until the next try, after guesses that went wrong
        for token in prompt:
            self.add(token)

    def add(self, token: int) -> None:
        """One more token of the text."""
        tokens = self._tokens
        if len(tokens) >= GRAM:
            self._seen[tuple(tokens[-GRAM:])] = len(tokens)
        tokens.append(token)
        self._idle = max(self._idle - 1, 0)

    def guess(self, most: int) -> Sequence[int]:
        """What may follow, at most so many tokens; nothing where that would not pay."""
        at = self._seen.get(tuple(self._tokens[-GRAM:]))
        if at is None or self._idle:
            return ()
        width = min(max(int(WIDEST * self._went), _LEAST), most)
        return self._tokens[at : at + width] if width > 0 else ()

    def judge(self, guessed: int, right: int) -> None:
        """How many of the guessed tokens were drawn."""
        if not guessed:
            return
        self._went = _FORGET * self._went + (1 - _FORGET) * right / guessed
        if self._went < 0.2:
            self._idle, self._went = WIDEST, 0.5
