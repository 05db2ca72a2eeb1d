"""Answers made of given texts only: which tokens may come next.

Where the grammar carries the truth, the alternatives are known texts (options, sentences of a passage). An
automaton over their tokens is exact and costs nothing beside a grammar over the whole vocabulary, and only the
ordinary tokenisation of each text is allowed.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Spans:
    """From ``least`` to ``most`` of the texts, in their order, none twice.

    ``first[i]`` are the tokens of text i at the start of the answer, ``later[i]`` those after another text
    (the separator included). No text is empty.
    """

    first: tuple[tuple[int, ...], ...]
    later: tuple[tuple[int, ...], ...]
    end: int  # token that ends the answer
    least: int = 1
    most: int = 1

    def __post_init__(self) -> None:
        if not self.first or not all(self.first) or len(self.first) != len(self.later):
            raise ValueError("spans need at least one text, and no text may be empty")
        if not 1 <= self.least <= self.most or self.least > len(self.first):
            raise ValueError(f"cannot take {self.least} to {self.most} of {len(self.first)} texts")


@dataclass(frozen=True)
class _Place:
    text: int  # index of the text being written
    at: int  # tokens of it already written
    count: int  # texts finished before it


class SpanWalk:
    """One answer on its way through `Spans`; several texts may share a beginning, so it holds all places."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self._places = self._begin(after=-1, count=0)
        self._over = False

    def _begin(self, after: int, count: int) -> set[_Place]:
        spans = self._spans
        if count >= spans.most:
            return set()
        # A text is a possible start only while enough texts are left after it to reach `least`.
        last = len(spans.first) - max(spans.least - count, 1) + 1
        return {_Place(i, 0, count) for i in range(after + 1, last)}

    def _tokens(self, place: _Place) -> tuple[int, ...]:
        return (self._spans.first if place.count == 0 else self._spans.later)[place.text]

    def _moves(self) -> dict[int, set[_Place]]:
        """For each allowed token, the places after it; the end token leads to none."""
        moves: dict[int, set[_Place]] = {}
        for place in self._open():
            tokens = self._tokens(place)
            moves.setdefault(tokens[place.at], set()).add(_Place(place.text, place.at + 1, place.count))
        if any(self._finished(p) and p.count + 1 >= self._spans.least for p in self._places):
            moves.setdefault(self._spans.end, set())
        return moves

    def _finished(self, place: _Place) -> bool:
        return place.at == len(self._tokens(place))

    def _open(self) -> set[_Place]:
        going = {p for p in self._places if not self._finished(p)}
        for place in self._places - going:
            going |= self._begin(place.text, place.count + 1)
        return going

    def allowed(self) -> list[int]:
        """The tokens that may come next, in ascending order; only the end token once the answer is over."""
        return [self._spans.end] if self._over else sorted(self._moves())

    def advance(self, token: int) -> None:
        """Write one token; a token that is not allowed is a bug of the caller."""
        if self._over:
            raise ValueError("the answer is over")
        moves = self._moves()
        if token not in moves:
            raise ValueError(f"token {token} is not allowed here")
        self._places = moves[token]
        self._over = token == self._spans.end and not self._places
