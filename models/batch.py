"""The arguments of one llama_decode, in NumPy memory: filled by slices, read by C without a copy."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import accumulate

import llama_cpp
import numpy as np

from .engine import Slice


class Batch:
    """Room for ``size`` tokens, each of one sequence. Owned by the engine's thread."""

    def __init__(self, size: int) -> None:
        self._tokens = np.zeros(size, np.int32)
        self._positions = np.zeros(size, np.int32)
        self._counts = np.ones(size, np.int32)  # of sequences of each token
        self._streams = np.zeros(size, np.int32)
        self._pointers = (self._streams.ctypes.data + 4 * np.arange(size)).astype(np.uint64)
        self._outputs = np.zeros(size, np.int8)
        self._range = np.arange(size, dtype=np.int32)
        self.c = llama_cpp.llama_batch()
        self.c.token = self._tokens.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token))
        self.c.pos = self._positions.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_pos))
        self.c.n_seq_id = self._counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        self.c.seq_id = self._pointers.ctypes.data_as(ctypes.POINTER(ctypes.POINTER(llama_cpp.llama_seq_id)))
        self.c.logits = self._outputs.ctypes.data_as(ctypes.POINTER(ctypes.c_int8))

    def fill(self, slices: Sequence[Slice]) -> list[int]:
        """Write the slices one behind the other; for each, the row of its first output among all outputs."""
        if all(len(part.tokens) == 1 for part in slices):
            return self._fill_single(slices)
        at, row, rows = 0, 0, []
        for part in slices:
            end = at + len(part.tokens)
            self._tokens[at:end] = part.tokens
            self._positions[at:end] = self._range[: end - at] + part.position
            self._streams[at:end] = part.stream
            self._outputs[at:end] = 0
            wanted = outputs(part)
            if wanted:
                self._outputs[end - wanted : end] = 1
            rows.append(row)
            row += wanted
            at = end
        self.c.n_tokens = at
        return rows

    def _fill_single(self, slices: Sequence[Slice]) -> list[int]:
        count = len(slices)
        self._tokens[:count] = [part.tokens[0] for part in slices]
        self._positions[:count] = [part.position for part in slices]
        self._streams[:count] = [part.stream for part in slices]
        wanted = [outputs(part) for part in slices]
        self._outputs[:count] = wanted
        self.c.n_tokens = count
        return list(accumulate(wanted, initial=0))[:count]


def outputs(part: Slice) -> int:
    """How many of the slice's last tokens need logits."""
    return max(len(part.targets or ()), 1 + part.guess if part.sampler is not None else 0)
