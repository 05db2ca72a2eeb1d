"""What a grammar leaves no choice about: found by asking it for every byte, and fed without computing a draw.

While just one byte may follow, it is taken; the text that comes out is cut into tokens in the ordinary way. Its last
token is left to be drawn, for what follows might be a part of it, unless the text ends there.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from .candidates import Candidates

LONGEST = 200
"""Bytes looked ahead at once."""


def forced_by_grammar(
    grammar: Any, byte_tokens: NDArray[np.int32] | None, ends: frozenset[int], tokenize: Callable[[str], list[int]]
) -> list[int]:
    """The tokens that must follow, which the grammar has then accepted; the last one may be an end."""
    if byte_tokens is None or not ends:
        return []
    end = min(ends)
    asked = np.append(byte_tokens, np.int32(end))
    text, ended = bytearray(), False
    if (first := _only(grammar, asked)) is None:
        return []
    walk = llama_cpp.llama_sampler_clone(grammar)
    try:
        only: int | None = first
        while only is not None and only < 128 and len(text) < LONGEST:
            text.append(only)
            llama_cpp.llama_sampler_accept(walk, int(byte_tokens[only]))
            only = _only(walk, asked)
        ended = only == len(byte_tokens)
    finally:
        llama_cpp.llama_sampler_free(walk)
    tokens = tokenize(text.decode()) if text else []
    tokens = [*tokens, end] if ended else tokens[:-1]
    for token in tokens:
        llama_cpp.llama_sampler_accept(grammar, token)
    return tokens


def _only(grammar: Any, asked: NDArray[np.int32]) -> int | None:
    """Which of the candidates is the only one that may follow, by its place; None where several may, or none."""
    candidates = Candidates(len(asked))
    candidates.fill(np.zeros(len(asked), np.float32), asked)
    llama_cpp.llama_sampler_apply(grammar, ctypes.byref(candidates.array))
    fitting: Sequence[int] = np.flatnonzero(np.isfinite(candidates.logits())).tolist()
    return fitting[0] if len(fitting) == 1 else None
