"""Drawing tokens: llama.cpp's sampler chain, with grammars by reject-then-mask.

A grammar over the whole vocabulary costs many times the decoding step, so one token is drawn first and only
that token is tested; when it is refused, the likeliest few are tested, and the whole vocabulary only when none
of them fits. Where the constraint leaves no choice, nothing is drawn: what must follow is *forced*.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cached_property
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from .candidates import Candidates
from .engine import Constraint, Sampling
from .faults import BadGrammar
from .forcing import forced_by_grammar
from .spans import Spans, SpanWalk

SHORTLIST = 64


class Words:
    """What samplers know of a vocabulary."""

    def __init__(
        self, vocab: Any, size: int, ends: frozenset[int], piece: Callable[[int], bytes],
        tokenize: Callable[[str], list[int]],
    ) -> None:  # fmt: skip
        self.vocab, self.size, self.ends, self.tokenize = vocab, size, ends, tokenize
        self.ids = np.arange(size, dtype=np.int32)
        self._piece = piece

    @cached_property
    def bytes(self) -> NDArray[np.int32] | None:
        """The token of each byte; None where not every byte has one."""
        single = {piece: t for t in range(self.size - 1, -1, -1) if len(piece := self._piece(t)) == 1}
        return np.array([single[bytes([b])] for b in range(256)], np.int32) if len(single) == 256 else None

    @cached_property
    def all(self) -> Candidates:
        """Room for the whole vocabulary, used anew for every draw."""
        return Candidates(self.size)


class LlamaSampler:
    """The state of one sequence's drawing: random numbers, penalties, place in the grammar or the spans.

    Owned by the engine's thread. ``close`` frees the C objects; it may be called twice.
    """

    def __init__(self, words: Words, sampling: Sampling, constraint: Constraint | None) -> None:
        self._words = words
        self._ids = words.ids
        self._endless = np.array(sorted(words.ends), np.int32) if not sampling.ends else None
        self._greedy = sampling.temperature <= 0 and sampling.repeat_penalty == 1
        self._walk = SpanWalk(constraint) if isinstance(constraint, Spans) else None
        self._grammar: Any = None
        self._chain: Any = None
        if isinstance(constraint, str):
            self._grammar = llama_cpp.llama_sampler_init_grammar(words.vocab, constraint.encode(), b"root")
            if not self._grammar:
                raise BadGrammar("the grammar cannot be read", hint="check it against GBNF; its first rule is root")
        if not self._greedy:
            self._chain = _chain(words.size, sampling)

    def forced(self) -> tuple[int, ...]:
        """The tokens that must follow what was drawn; they count as drawn. Empty where there is a choice."""
        found: list[int] = []
        if self._walk is not None:
            while len(allowed := self._walk.allowed()) == 1 and not self._over(found):
                found.append(allowed[0])
                self._walk.advance(allowed[0])
        elif self._grammar:
            found = forced_by_grammar(self._grammar, self._words.bytes, self._words.ends, self._words.tokenize)
        if self._chain:
            for token in found:
                llama_cpp.llama_sampler_accept(self._chain, token)
        return tuple(found)

    def _over(self, found: list[int]) -> bool:
        return bool(found) and found[-1] in self._words.ends

    def draw(self, logits: NDArray[np.float32]) -> int:
        """The next token, given the logits (shape: vocabulary), which may be changed; accepts it."""
        if self._endless is not None:
            logits[self._endless] = -np.inf
        if self._walk is not None:
            allowed = np.array(self._walk.allowed(), np.int32)
            token = self._pick(logits[allowed], allowed)
            self._walk.advance(token)
        else:
            token = self._pick(logits, self._ids)
            if self._grammar and not self._fits(token):
                token = self._masked(logits)
            if self._grammar:
                llama_cpp.llama_sampler_accept(self._grammar, token)
        if self._chain:
            llama_cpp.llama_sampler_accept(self._chain, token)
        return token

    def _pick(self, logits: NDArray[np.float32], ids: NDArray[np.int32]) -> int:
        if self._greedy or len(ids) == 1:
            return int(ids[int(np.argmax(logits))])
        return self._apply(self._chain, logits, ids).chosen()

    def _fits(self, token: int) -> bool:
        one = np.array([token], np.int32)
        return bool(np.isfinite(self._apply(self._grammar, np.zeros(1, np.float32), one).logits()[0]))

    def _masked(self, logits: NDArray[np.float32]) -> int:
        if self._greedy:
            few = np.argpartition(logits, -SHORTLIST)[-SHORTLIST:].astype(np.int32)
            kept = self._apply(self._grammar, logits[few], few).logits()
            if np.isfinite(kept).any():
                return int(few[int(np.argmax(kept))])
        kept = self._apply(self._grammar, logits, self._ids).logits()
        allowed = np.flatnonzero(np.isfinite(kept)).astype(np.int32)
        if not len(allowed):
            raise BadGrammar("the grammar allows no token here", hint="make sure that it can be completed")
        return self._pick(logits[allowed], allowed)

    def _apply(self, sampler: Any, logits: NDArray[np.float32], ids: NDArray[np.int32]) -> Candidates:
        candidates = self._words.all if len(ids) == self._words.size else Candidates(len(ids))
        candidates.fill(logits, ids)
        llama_cpp.llama_sampler_apply(sampler, ctypes.byref(candidates.array))
        return candidates

    def close(self) -> None:
        """Free the C samplers."""
        for sampler in (self._chain, self._grammar):
            if sampler:
                llama_cpp.llama_sampler_free(sampler)
        self._chain = self._grammar = None


def _chain(size: int, sampling: Sampling) -> Any:
    """Penalties, top-k, top-p, min-p, temperature, draw: the order llama.cpp's own tools use."""
    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    parts = []
    if sampling.repeat_penalty != 1:
        parts.append(llama_cpp.llama_sampler_init_penalties(size, 64, sampling.repeat_penalty, 0.0, 0.0))
    if sampling.temperature <= 0:
        parts.append(llama_cpp.llama_sampler_init_greedy())
    else:
        if sampling.top_k:
            parts.append(llama_cpp.llama_sampler_init_top_k(sampling.top_k))
        parts += [
            llama_cpp.llama_sampler_init_top_p(sampling.top_p, 1),
            llama_cpp.llama_sampler_init_min_p(sampling.min_p, 1),
            llama_cpp.llama_sampler_init_temp(sampling.temperature),
            llama_cpp.llama_sampler_init_dist(sampling.seed & 0xFFFFFFFF),
        ]
    for part in parts:
        llama_cpp.llama_sampler_chain_add(chain, part)
    return chain
