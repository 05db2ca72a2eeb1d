"""The processor's face: what turns tokens into tokens, one step at a time.

An engine holds a fixed number of *streams*, each the place of one sequence in the key-value cache.
The caller (the kernel's scheduler) decides what every step computes; the engine decides nothing.
Everything but `tokenize`, `piece` and `ends` belongs to one thread: the one that calls `step`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .faults import ModelFault
from .spans import Spans

Constraint = str | Spans
"""What an answer must look like: a grammar in GBNF (rule ``root``), or spans of given texts."""

Saved = bytes | bytearray | memoryview
"""The state of a stream as bytes."""

CHUNK = 128
"""Prompts are cut at multiples of this many tokens, wherever they stand: a cut must never depend on neighbours."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. The default is greedy: the same prompt gives the same text."""

    temperature: float = 0.0  # 0 takes the likeliest token; above, logits are divided by it
    top_k: int = 40  # 0 keeps all
    top_p: float = 0.95
    min_p: float = 0.0
    repeat_penalty: float = 1.0  # 1 is off; divides the logits of tokens among the last 64 drawn
    seed: int = 0  # the only source of randomness of a sequence
    ends: bool = True  # false: tokens that end an answer are never drawn


@dataclass(frozen=True)
class EngineInfo:
    """What an engine is; fixed while it lives."""

    name: str
    architecture: str
    way: str  # "exact" or "fast"
    streams: int
    window: int  # tokens that one stream holds, prompt and answer together
    chunk: int  # tokens of one prefill cut
    batch: int  # most tokens in one step
    vocabulary: int
    trained_window: int
    end: int  # the token that ends an answer
    grain: int = 1  # cuts of at least this many tokens give the same bits; shorter ones take another path
    details: dict[str, str] = field(default_factory=dict)

    @property
    def any_cut(self) -> bool:
        """Whether decoded and prefilled tokens are the same bits, so that any prefix may be shared."""
        return self.grain == 1


class Sampler(Protocol):
    """Draws tokens for one sequence; holds its random state and its grammar's state, and outlives a swap."""

    def close(self) -> None:
        """Free what it holds in the engine; further use is a bug."""


@dataclass(frozen=True)
class Slice:
    """The part that one stream takes in a step: ``tokens`` go to positions ``position`` onwards.

    With a ``sampler`` the step draws the token that follows the last one. With ``targets`` (at most as many as
    ``tokens``) it gives, for each of the last positions, the log-likelihood of that target as the next token.

    The last ``guess`` of the tokens may be a guess at what the sampler will draw: it draws after each of them as long
    as it drew what was guessed, and the stream keeps only what it drew. ``top`` asks for `Result.chances`.
    """

    stream: int
    tokens: Sequence[int]
    position: int
    sampler: Sampler | None = None
    targets: Sequence[int] | None = None
    guess: int = 0
    top: int | None = None


@dataclass(frozen=True)
class Chance:
    """How likely a drawn token was, and the likeliest in its place, as logarithms: before sampling and constraint."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()  # token and its logarithm, the likeliest first


@dataclass(frozen=True)
class Result:
    """What a step gave for one slice, in the order of the slices."""

    tokens: tuple[int, ...] = ()  # drawn: one, or with a guess up to one more than were guessed
    forced: tuple[int, ...] = ()  # what the constraint leaves no choice about next: to be fed, it is drawn already
    chances: tuple[Chance, ...] = ()  # one for each of ``tokens`` and ``forced``, where they were asked for
    logprobs: list[float] | None = None  # natural logarithms, one for each target
    fault: ModelFault | None = None  # why no token could be drawn (a grammar that allows none)


@runtime_checkable
class Engine(Protocol):
    """The whole face of a processor."""

    info: EngineInfo

    def tokenize(self, text: str, *, markup: bool = False) -> list[int]:
        """Tokens of ``text``; control tokens are recognised only with ``markup``. Any thread."""

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; control tokens stand for none. Any thread."""

    def ends(self, token: int) -> bool:
        """Whether the token ends an answer. Any thread."""

    def sampler(self, sampling: Sampling, constraint: Constraint | None = None) -> Sampler:
        """A new sampler; raises `BadGrammar` for a grammar that cannot be read."""

    def adapt(self, name: str, file: Path, scale: float = 1.0) -> tuple[int, ...]:
        """Load a LoRA adapter, to be used under ``name``; its invocation tokens, or () where it has none.

        One of the same name is replaced; "" is the base model. Raises `Damaged` or `Unsupported`. What a stream holds
        belongs to the adapter that it was computed under: never go on from it, nor share it, under another, but for
        the tokens before the invocation (`lora.activation`), which are to be computed under "".
        """

    def step(self, slices: Sequence[Slice], adapter: str = "") -> list[Result]:
        """Compute all slices in one batch; every stream at most once, at most ``info.batch`` tokens in all.

        All are computed under one adapter; `EngineFault` for a name that was not loaded. A change costs milliseconds.
        """

    def trim(self, stream: int, length: int) -> None:
        """Keep the first ``length`` tokens of a stream; 0 empties it."""

    def save(self, stream: int) -> Saved:
        """The stream's whole state; the stream keeps it. To copy a stream, save it and restore that elsewhere."""

    def restore(self, stream: int, state: Saved) -> None:
        """Put a saved state into a stream, bit for bit, whatever it held."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Shape (texts, width), rows of unit length: the mean of the last layer's states."""

    def close(self) -> None:
        """Free the model; safe to call twice."""
