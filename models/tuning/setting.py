"""What can be set, what is measured of it, and what "fast" means."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

Aim = Literal["agents", "latency", "throughput"]
AT_ONCE: dict[Aim, int] = {"latency": 1, "agents": 8, "throughput": 16}
"""How many processes decode together, for each aim."""

TURN_IN, TURN_OUT = 200, 64
"""Tokens of an agent's usual turn: what is new to read, and the answer."""


class Setting(BaseModel):
    """How a model is computed."""

    model_config = ConfigDict(frozen=True)

    format: str
    way: str
    threads: int  # for a step of one token
    threads_batch: int  # for all other steps
    batch: int  # most tokens in a step
    ubatch: int  # of them, how many llama.cpp computes at once

    def but(self, **changes: str | int) -> Self:
        """The same with these changes."""
        return self.model_copy(update=changes)


class Speed(BaseModel):
    """Tokens a second, as measured in one round."""

    model_config = ConfigDict(frozen=True)

    prefill: float
    decode: dict[int, float]  # by the number of streams; of all of them together

    def turn(self, aim: Aim) -> float:
        """Seconds a turn, where as many processes as the aim says take theirs together."""
        return TURN_IN / self.prefill + TURN_OUT / self.decode[AT_ONCE[aim]]


class Proof(BaseModel):
    """What was seen of a way's promise, in one format on this processor."""

    model_config = ConfigDict(frozen=True)

    neighbours: bool  # a stream's bits are the same alone and beside others
    cuts: dict[int, bool]  # prompt cut into so many tokens: the same bits as the whole
    promised: int  # the grain that the engine counts on

    @property
    def grain(self) -> int:
        """Cuts of so many tokens and more gave the same bits, as far as was tried; 0: not even the largest."""
        grain = 0
        for size in sorted(self.cuts, reverse=True):
            if not self.cuts[size]:
                break
            grain = size
        return grain

    @property
    def holds(self) -> bool:
        """Whether the engine may count on the way."""
        return self.neighbours and 0 < self.grain <= self.promised


class Row(BaseModel):
    """What was measured of one setting."""

    setting: Setting
    speed: Speed | None = None  # medians
    relative: float | None = None  # seconds a turn, as a share of those of the present setting in the same rounds
    perplexity: float | None = None
    loss: float | None = None  # of perplexity, against the file as it was brought; 0.02 is 2 % worse
    loss_error: float | None = None
    proof: Proof | None = None  # of the ways that promise something
    failed: str = ""  # why there is nothing above
