"""Embedding models as GGUF files (the BERT family and its like), through llama.cpp.

A `GGUFEmbedder` keeps the promises of `memory.embedder.Embedder`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import gguf
from .faults import EngineFault, Unsupported

from .llama import load  # isort: skip - it prepares how llama.cpp's threads wait, before llama.cpp is imported

import llama_cpp  # isort: skip

# A text is embedded by its beginning, as long as the model was trained for, but no longer than this: attention
# needs room by the square of the length.
LONGEST = 2048
_LETTERS = 64  # characters read for each token that fits: more than any text of words has

_MEAN, _RANK = llama_cpp.LLAMA_POOLING_TYPE_MEAN, llama_cpp.LLAMA_POOLING_TYPE_RANK


class GGUFEmbedder:
    """The model of one file; several threads may use it, and take turns."""

    def __init__(self, path: Path, *, name: str = "", threads: int = 0, together: int = 1) -> None:
        """Load a file that was loaded on trial before (`prepare.probe_load`).

        ``name`` is that of its vectors. One text is computed at a time: beside others its vector would differ in
        the last bits. More ``together`` is up to three times faster for short texts, for who can do without that
        promise. Raises `Unsupported` for a model that is no embedder, `EngineFault` where it cannot be loaded.
        """
        file = gguf.check(path)
        pooling = file.number(f"{file.architecture}.pooling_type")
        if file.generates or pooling == _RANK:
            what = "writes text" if file.generates else "ranks pairs of texts"
            raise Unsupported(
                f"{file.name} ({file.architecture}) {what} and is no embedder",
                hint="choose an embedding model of the BERT family, such as all-MiniLM, bge, e5 or nomic-embed",
            )
        self.name = name or file.name
        self.room = min(file.context_length, LONGEST)  # tokens of a text that are read, its frame included
        self._together = together
        self._lock = threading.RLock()  # owns all below
        self._model = load(path)
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self.dim = int(llama_cpp.llama_model_n_embd_out(self._model))
        self._most = max(self.room, 32 * together)  # tokens of one batch
        self._context = self._open(pooling, threads or len(os.sched_getaffinity(0)))
        self._batch = llama_cpp.llama_batch_init(self._most, 0, 1)
        self._frame = len(self.tokens(""))  # tokens that stand around every text
        ends = llama_cpp.llama_vocab_get_add_sep(self._vocab) or llama_cpp.llama_vocab_get_add_eos(self._vocab)
        self._tail = 1 if ends or file.text("tokenizer.ggml.model") == "bert" else 0

    def _open(self, pooling: int, threads: int) -> Any:
        p = llama_cpp.llama_context_default_params()
        p.n_ctx = self.room * self._together
        p.n_batch = p.n_ubatch = p.n_outputs_max = p.n_outputs_max_per_seq = self._most
        p.n_seq_max = self._together
        p.n_threads = p.n_threads_batch = threads
        p.embeddings = True
        p.pooling_type = pooling if pooling > 0 else _MEAN
        p.no_perf = True
        context = llama_cpp.llama_init_from_model(self._model, p)
        if not context:
            llama_cpp.llama_model_free(self._model)
            raise EngineFault(f"no room for {self._together} texts of {self.room} tokens", hint="free some memory")
        return context

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `memory.embedder.Embedder.embed`."""
        return self.embed_tokens([self._cut(self.tokens(text)) for text in texts])

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text with those that the model wants around it."""
        data = text[: self.room * _LETTERS].encode("utf-8", "replace")
        room = len(data) + 8
        buffer = (llama_cpp.llama_token * room)()
        with self._open_model():
            count = llama_cpp.llama_tokenize(self._vocab, data, len(data), buffer, room, True, False)
        if count < 0:
            raise EngineFault(f"the text needs {-count} tokens where {room} were expected")
        return list(buffer[:count])

    def embed_tokens(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Shape (len(rows), dim), each row of length 1; zeros for one that is no longer than the frame of a text."""
        vectors = np.zeros((len(rows), self.dim), np.float32)
        with self._open_model():
            for group in self._groups(rows):
                self._encode([rows[row] for row in group])
                for place, row in enumerate(group):
                    pointer = llama_cpp.llama_get_embeddings_seq(self._context, place)
                    vectors[row] = np.ctypeslib.as_array(pointer, shape=(self.dim,))
        length = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
        length[length == 0] = 1
        vectors /= length
        return vectors

    def close(self) -> None:
        """Free context and model; safe to call twice."""
        with self._lock:
            if self._model is not None:
                llama_cpp.llama_batch_free(self._batch)
                llama_cpp.llama_free(self._context)
                llama_cpp.llama_model_free(self._model)
                self._model = self._context = None

    @contextmanager
    def _open_model(self) -> Iterator[None]:
        with self._lock:
            if self._model is None:
                raise EngineFault(f"{self.name} is closed", hint="open it anew")
            yield

    def _cut(self, tokens: list[int]) -> list[int]:
        """The beginning of a text that is too long, its end token kept."""
        if len(tokens) <= self.room:
            return tokens
        return tokens[: self.room - self._tail] + tokens[len(tokens) - self._tail :]

    def _groups(self, rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Numbers of the rows that are computed in one go."""
        group: list[int] = []
        size = 0
        for number, row in enumerate(rows):
            if len(row) <= self._frame:
                continue
            if len(row) > self._most:
                raise EngineFault(f"{len(row)} tokens where {self._most} fit")
            if group and (len(group) == self._together or size + len(row) > self._most):
                yield group
                group, size = [], 0
            group.append(number)
            size += len(row)
        if group:
            yield group

    def _encode(self, rows: Sequence[Sequence[int]]) -> None:
        batch, at = self._batch, 0
        for place, row in enumerate(rows):
            for position, token in enumerate(row):
                batch.token[at], batch.pos[at] = token, position
                batch.n_seq_id[at], batch.seq_id[at][0], batch.logits[at] = 1, place, 1
                at += 1
        batch.n_tokens = at
        if llama_cpp.llama_encode(self._context, batch) != 0:
            raise EngineFault("the text could not be embedded", hint="try again; if it stays, choose another embedder")
