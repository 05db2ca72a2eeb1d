"""What llama.cpp's samplers work on: tokens with their logits."""

from __future__ import annotations

import ctypes

import llama_cpp
import numpy as np
from numpy.typing import NDArray

_CANDIDATE = np.dtype([("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])  # layout of llama_token_data


class Candidates:
    """A llama_token_data_array over NumPy memory."""

    def __init__(self, count: int) -> None:
        self._table = np.zeros(count, _CANDIDATE)
        data = self._table.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token_data))
        self.array = llama_cpp.llama_token_data_array(data, count, -1, False)

    def fill(self, logits: NDArray[np.float32], ids: NDArray[np.int32]) -> None:
        """Begin anew with these tokens."""
        self._table["id"] = ids
        self._table["logit"] = logits
        self.array.size, self.array.selected, self.array.sorted = len(ids), -1, False

    def logits(self) -> NDArray[np.float32]:
        """Logits after the sampler, in the order given (for samplers that do not reorder)."""
        return np.asarray(self._table["logit"])

    def chosen(self) -> int:
        """Token that the chain's last sampler selected."""
        return int(self.array.data[self.array.selected].id)
