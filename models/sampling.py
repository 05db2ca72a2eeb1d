"""Drawing tokens: llama.cpp's sampler chain, with grammars by reject-then-mask.

A grammar over the whole vocabulary costs many times the decoding step, so one token is drawn first and only
that token is tested; when it is refused, the likeliest few are tested, and the whole vocabulary only when none
of them fits.
"""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from .engine import Constraint, Sampling
from .faults import BadGrammar
from .spans import Spans, SpanWalk

SHORTLIST = 64
_CANDIDATE = np.dtype([("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])  # layout of llama_token_data


class LlamaSampler:
    """The state of one sequence's drawing: random numbers, penalties, place in the grammar or the spans.

    Owned by the engine's thread. ``close`` frees the C objects; it may be called twice.
    """

    def __init__(self, vocab: Any, size: int, sampling: Sampling, constraint: Constraint | None) -> None:
        self._size = size
        self._ids = np.arange(size, dtype=np.int32)
        self._greedy = sampling.temperature <= 0 and sampling.repeat_penalty == 1
        self._walk = SpanWalk(constraint) if isinstance(constraint, Spans) else None
        self._grammar: Any = None
        self._chain: Any = None
        if isinstance(constraint, str):
            self._grammar = llama_cpp.llama_sampler_init_grammar(vocab, constraint.encode(), b"root")
            if not self._grammar:
                raise BadGrammar("the grammar cannot be read", hint="check it against GBNF; its first rule is root")
        if not self._greedy:
            self._chain = _chain(size, sampling)

    def draw(self, logits: NDArray[np.float32]) -> int:
        """The next token, given the logits (shape: vocabulary); accepts it."""
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

    def _apply(self, sampler: Any, logits: NDArray[np.float32], ids: NDArray[np.int32]) -> _Candidates:
        candidates = _Candidates(logits, ids)
        llama_cpp.llama_sampler_apply(sampler, ctypes.byref(candidates.array))
        return candidates

    def close(self) -> None:
        """Free the C samplers."""
        for sampler in (self._chain, self._grammar):
            if sampler:
                llama_cpp.llama_sampler_free(sampler)
        self._chain = self._grammar = None


class _Candidates:
    """A llama_token_data_array over NumPy memory."""

    def __init__(self, logits: NDArray[np.float32], ids: NDArray[np.int32]) -> None:
        self._table = np.zeros(len(ids), _CANDIDATE)
        self._table["id"] = ids
        self._table["logit"] = logits
        data = self._table.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token_data))
        self.array = llama_cpp.llama_token_data_array(data, len(ids), -1, False)

    def logits(self) -> NDArray[np.float32]:
        """Logits after the sampler, in the order given (for samplers that do not reorder)."""
        return np.asarray(self._table["logit"])

    def chosen(self) -> int:
        """Token that the chain's last sampler selected."""
        return int(self.array.data[self.array.selected].id)


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
