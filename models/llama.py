"""The processor: one llama.cpp context, a stream for each sequence, through the low-level API.

llama.cpp asserts (and so ends the whole program) on a batch that is too large, a stream that does not exist or
a position that does not follow; everything is checked here first and raised as `EngineFault`.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read by the OpenMP runtime when llama.cpp loads it. Threads that wait spin only briefly, then sleep: without this
# any other busy program on the same cores makes each step many times slower (docs/decisions/0002-threads-that-wait.md).
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from .batch import Batch, outputs
from .chances import chance, loglikelihood
from .engine import CHUNK, Chance, Constraint, EngineInfo, Result, Sampling, Saved, Slice
from .faults import BadGrammar, EngineFault, Unsupported
from .graphs import bridges, graphs
from .sampling import LlamaSampler, Words

MARK = 8
"""Bytes in front of a saved state, with the number of its tokens."""


@dataclass(frozen=True)
class Way:
    """A way through llama.cpp's arithmetic, and what it promises."""

    name: str
    kv: int  # type of keys and values in the cache
    flash: bool
    exact: bool  # a stream's logits are the same bits whatever else is in the step
    grain: int = 1  # and however its tokens were cut into steps of at least so many


WAYS = {
    # Without flash attention neither the split-KV path nor the tiles are taken.
    "exact": Way("exact", llama_cpp.GGML_TYPE_F16, flash=False, exact=True, grain=2),
    # Exact however a prompt is cut, half the bytes, slower prefill.
    "exact-q8": Way("exact-q8", llama_cpp.GGML_TYPE_Q8_0, flash=True, exact=True),
    "fast": Way("fast", llama_cpp.GGML_TYPE_F16, flash=True, exact=False),
}


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _quiet(level: int, text: bytes, data: Any) -> None:
    """Loading prints hundreds of lines; faults come back as return codes."""


def load(path: Path) -> Any:
    """The weights of a file, to be given back with ``llama_model_free``."""
    llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    if not model:
        raise EngineFault(f"llama.cpp cannot load {path.name}")
    return model


class LlamaEngine:
    """``path`` is a GGUF file that was checked before (see `gguf.check` and `prepare`)."""

    def __init__(
        self,
        path: Path,
        *,
        name: str = "",
        streams: int = 16,
        window: int = 4096,
        threads: int = 0,
        threads_batch: int = 0,
        way: str = "exact",
        batch: int = 512,
        ubatch: int = 0,
    ) -> None:
        """0 threads are as many as there are cores, 0 threads for batches as many as for one token.

        ``ubatch`` is how many tokens llama.cpp computes at once (0: a whole step). Where it would cut a step into
        parts that are too short for the way's grain, it is a whole step whatever was asked for.
        """
        self._model = load(path)
        self._threads = threads or len(os.sched_getaffinity(0))
        self._threads_batch = threads_batch or self._threads
        self._ubatch = ubatch if WAYS[way].grain == 1 else 0
        if llama_cpp.llama_model_is_recurrent(self._model) or llama_cpp.llama_model_is_hybrid(self._model):
            llama_cpp.llama_model_free(self._model)
            raise Unsupported(
                f"{path.name} keeps its memory in a state that cannot be cut back to a prefix",
                hint="choose a model of a plain transformer architecture",
            )
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        size = llama_cpp.llama_vocab_n_tokens(self._vocab)
        trained = llama_cpp.llama_model_n_ctx_train(self._model)
        window = min(window, trained)
        self._outputs = max(streams, CHUNK)  # rows of logits that one llama_decode may give
        self._context = self._open(WAYS[way], streams, window, batch)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = Batch(batch)
        self._lengths = [0] * streams  # tokens in each stream; owned by the engine's thread
        self._pieces: dict[int, bytes] = {}
        self._ends = frozenset(t for t in range(size) if llama_cpp.llama_vocab_is_eog(self._vocab, t))
        self._words = Words(self._vocab, size, self._ends, self.piece, self.tokenize)
        self._embedder: Any = None
        architecture = ctypes.create_string_buffer(128)
        llama_cpp.llama_model_meta_val_str(self._model, b"general.architecture", architecture, 128)
        self.info = EngineInfo(
            name or path.stem, architecture.value.decode(), way, streams, window, CHUNK, batch, size, trained,
            self._end_token(), WAYS[way].grain, {"threads": str(self._threads), "file": path.name},
        )  # fmt: skip

    def _open(self, way: Way, streams: int, window: int, batch: int, *, pooled: bool = False) -> Any:
        p = llama_cpp.llama_context_default_params()
        p.n_ctx = streams * window
        p.n_batch = batch
        p.n_ubatch = min(self._ubatch or batch, batch)
        p.n_seq_max = streams
        p.n_outputs_max = self._outputs
        p.n_outputs_max_per_seq = CHUNK
        p.n_threads, p.n_threads_batch = self._threads, self._threads_batch
        p.type_k = p.type_v = way.kv
        p.flash_attn_type = int(way.flash)
        p.kv_unified = False
        p.offload_kqv = False
        p.no_perf = True
        if pooled:
            p.embeddings = True
            p.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_MEAN
            p.n_ubatch = batch  # the mean is of what is computed at once
            p.n_outputs_max = p.n_outputs_max_per_seq = batch
        context = llama_cpp.llama_init_from_model(self._model, p)
        if not context:
            raise EngineFault(
                f"no room for {streams} streams of {window} tokens", hint="ask for fewer streams or a smaller context"
            )
        return context

    def _end_token(self) -> int:
        """End of turn where the vocabulary has one, else end of text."""
        turn = int(llama_cpp.llama_vocab_eot(self._vocab))
        return turn if turn >= 0 else int(llama_cpp.llama_vocab_eos(self._vocab))

    # -- text and tokens (any thread) --

    def tokenize(self, text: str, *, markup: bool = False) -> list[int]:
        """Tokens of ``text``, no beginning or end token added."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        buffer = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self._vocab, data, len(data), buffer, room, False, markup)
        if count < 0:
            raise EngineFault(f"the text needs {-count} tokens where {room} were expected")
        return list(buffer[:count])

    def piece(self, token: int) -> bytes:
        """The bytes of a token; b"" for control tokens."""
        known = self._pieces.get(token)
        if known is None:
            buffer = ctypes.create_string_buffer(256)
            length = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, 256, 0, False)
            known = self._pieces[token] = buffer.raw[: max(length, 0)]
        return known

    def ends(self, token: int) -> bool:
        """Whether the vocabulary says that the token ends a generation."""
        return token in self._ends

    def sampler(self, sampling: Sampling, constraint: Constraint | None = None) -> LlamaSampler:
        """A new sampler for one sequence."""
        return LlamaSampler(self._words, sampling, constraint)

    # -- steps (the engine's thread) --

    def step(self, slices: Sequence[Slice]) -> list[Result]:
        """One llama_decode for each graph of the step, see `graphs`. A step that fails leaves all as it was."""
        self._check(slices)
        fillers = [Slice(s, (0,), self._lengths[s]) for s in bridges(slices) if self._lengths[s] < self.info.window]
        results: dict[int, Result] = {}  # by stream
        try:
            for parts in graphs([*slices, *fillers]):
                results |= self._decode(parts)
        except EngineFault:
            for part in slices:
                self.trim(part.stream, part.position)
            raise
        finally:
            for part in fillers:
                self.trim(part.stream, part.position)
        return [results[part.stream] for part in slices]

    def _decode(self, parts: list[Slice]) -> dict[int, Result]:
        """One graph; results by stream."""
        rows = self._batch.fill(parts)
        code = llama_cpp.llama_decode(self._context, self._batch.c)
        if code != 0:
            raise EngineFault(f"llama_decode returned {code}")
        for part in parts:
            self._lengths[part.stream] = part.position + len(part.tokens)
        count = rows[-1] + outputs(parts[-1])
        logits = self._logits(count) if count else None
        return {part.stream: self._result(part, logits, row) for part, row in zip(parts, rows, strict=True)}

    def _check(self, slices: Sequence[Slice]) -> None:
        if not 0 < sum(len(s.tokens) for s in slices) <= self.info.batch:
            raise EngineFault(f"a step takes 1 to {self.info.batch} tokens")
        if len({s.stream for s in slices}) != len(slices):
            raise EngineFault("a stream stands twice in one step")
        for part in slices:
            if not 0 <= part.stream < self.info.streams or part.position != self._lengths[part.stream]:
                raise EngineFault(f"stream {part.stream} cannot go on at position {part.position}")
            if part.position + len(part.tokens) > self.info.window:
                raise EngineFault(f"stream {part.stream} is full")
            if outputs(part) > min(CHUNK, len(part.tokens)):
                raise EngineFault(f"at most {CHUNK} of the tokens can be scored in a step")
        if sum(map(outputs, slices)) > self._outputs:
            raise EngineFault(f"a step gives at most {self._outputs} rows of logits")

    def _result(self, part: Slice, logits: NDArray[np.float32] | None, row: int) -> Result:
        """What one slice gets; its outputs begin at ``row`` of the logits."""
        if logits is None or not outputs(part):
            return Result()
        scores = None
        if part.targets is not None:
            scores = [loglikelihood(logits[row + i], t) for i, t in enumerate(part.targets)]
        if part.sampler is None:
            return Result(logprobs=scores)
        assert isinstance(part.sampler, LlamaSampler)
        first = row + outputs(part) - 1 - part.guess
        try:
            return self._drawn(part, part.sampler, logits, first, scores)
        except BadGrammar as fault:
            return Result(logprobs=scores, fault=fault)

    def _drawn(
        self, part: Slice, sampler: LlamaSampler, logits: NDArray[np.float32], first: int, scores: list[float] | None
    ) -> Result:
        """Draw after the last token; with a guess, after each of its tokens as long as they are what is drawn."""
        tokens, drawn, chances = part.tokens, list[int](), list[Chance]()
        for i in range(part.guess + 1):
            drawn.append(sampler.draw(logits[first + i]))
            if part.top is not None:
                chances.append(chance(logits[first + i], drawn[-1], part.top))
            if i == part.guess or tokens[len(tokens) - part.guess + i] != drawn[-1]:
                break
        if len(drawn) <= part.guess:
            self.trim(part.stream, part.position + len(tokens) - part.guess + len(drawn) - 1)
        forced = sampler.forced() if part.top is None else ()
        return Result(tuple(drawn), forced, tuple(chances), scores)

    def _logits(self, count: int) -> NDArray[np.float32]:
        """The logits of all outputs of the last decode, in their order. Shape: count, vocabulary."""
        pointer = llama_cpp.llama_get_logits(self._context)
        return np.ctypeslib.as_array(pointer, shape=(count, self.info.vocabulary))

    # -- streams (the engine's thread) --

    def trim(self, stream: int, length: int) -> None:
        """Remove everything from position ``length`` on."""
        if not llama_cpp.llama_memory_seq_rm(self._memory, stream, length, -1):
            raise EngineFault(f"{self.info.architecture} models cannot give up a part of a stream")
        self._lengths[stream] = min(self._lengths[stream], length)

    def save(self, stream: int) -> Saved:
        """The stream's keys and values behind a mark of its length (`MARK` bytes)."""
        size = llama_cpp.llama_state_seq_get_size(self._context, stream)
        state = np.empty(MARK + size, np.uint8)
        data = ctypes.cast(state.ctypes.data + MARK, ctypes.POINTER(ctypes.c_uint8))
        if llama_cpp.llama_state_seq_get_data(self._context, data, size, stream) != size:
            raise EngineFault(f"stream {stream} could not be saved")
        state[:MARK] = np.frombuffer(self._lengths[stream].to_bytes(MARK, "little"), np.uint8)
        return state.data

    def restore(self, stream: int, state: Saved) -> None:
        """Inverse of `save`, into any stream of an engine of the same model and way.

        Also how a stream is copied: ``llama_memory_seq_cp`` between streams only notes that something is to be copied,
        does it at the next decode, whatever the source holds by then, and copies the room of the whole window.
        """
        self.trim(stream, 0)
        held = np.frombuffer(state, np.uint8)
        data, size = ctypes.cast(held.ctypes.data + MARK, ctypes.POINTER(ctypes.c_uint8)), len(held) - MARK
        if llama_cpp.llama_state_seq_set_data(self._context, data, size, stream) != size:
            raise EngineFault(f"the saved state does not fit stream {stream}")
        self._lengths[stream] = int.from_bytes(held[:MARK].tobytes(), "little")

    # -- embeddings --

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Mean of the last layer's states, one text at a time, in a context of its own."""
        room = min(self.info.batch, self.info.window)
        if self._embedder is None:
            self._embedder = self._open(WAYS["fast"], 1, room, room, pooled=True)
        width = llama_cpp.llama_model_n_embd(self._model)
        rows = np.zeros((len(texts), width), np.float32)
        for row, text in zip(rows, texts, strict=True):
            tokens = self.tokenize(text)[:room] or self.tokenize(" ")
            llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._embedder), True)
            array = (llama_cpp.llama_token * len(tokens))(*tokens)
            if llama_cpp.llama_decode(self._embedder, llama_cpp.llama_batch_get_one(array, len(tokens))) != 0:
                raise EngineFault("the text could not be embedded")
            row[:] = np.ctypeslib.as_array(llama_cpp.llama_get_embeddings_seq(self._embedder, 0), shape=(width,))
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: NDArray[np.float32] = (rows / np.maximum(norms, 1e-12)).astype(np.float32)
        return unit

    def close(self) -> None:
        """Free the contexts and the model."""
        if self._model:
            for context in (self._embedder, self._context):
                if context:
                    llama_cpp.llama_free(context)
            llama_cpp.llama_model_free(self._model)
            self._model = self._context = self._embedder = None
