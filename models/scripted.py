"""An engine that follows a script: the same face as the real one, for tests of llmos and of plugin apps.

Its tokens are bytes, so a test can count them by eye. The script is a function from the whole prompt (markup
included) to the answer; the engine gives it out a byte at a time. Streams, copies, saved states and positions
are kept as strictly as llama.cpp keeps them: a caller that gets them wrong fails here too.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .engine import CHUNK, Constraint, EngineInfo, Result, Sampling, Saved, Slice
from .faults import EngineFault

MARKUP = ("<|im_start|>", "<|im_end|>", "<|end|>")
END = 258
WIDTH = 16

Script = Callable[[str], str]


def echo(prompt: str) -> str:
    """The default script: say the last message back."""
    last = prompt.split("<|im_start|>")[-2] if prompt.count("<|im_start|>") > 1 else prompt
    return last.split("\n", 1)[-1].replace("<|im_end|>", "").strip()


@dataclass
class ScriptedSampler:
    """Where one answer stands in its script."""

    sampling: Sampling
    constraint: Constraint | None
    answer: list[int] | None = None
    place: int = 0
    closed: bool = False

    def close(self) -> None:
        """Mark it closed; drawing from a closed sampler fails."""
        self.closed = True


class ScriptedEngine:
    """``script(prompt) -> answer``; ``delay`` seconds a step; ``steps`` keeps what every step was asked."""

    def __init__(
        self,
        script: Script = echo,
        *,
        streams: int = 4,
        window: int = 4096,
        delay: float = 0.0,
        batch: int = 512,
        name: str = "scripted",
    ) -> None:
        self.info = EngineInfo(
            name,
            "script",
            "exact",
            streams,
            window,
            CHUNK,
            batch,
            END + 1,
            window,
            END,
            2,
            {"delay": str(delay)},
        )
        self.script = script
        self.delay = delay
        self.steps: list[list[tuple[int, int]]] = []  # for each step: (stream, tokens) of every slice
        self._streams: list[list[int]] = [[] for _ in range(streams)]

    def tokenize(self, text: str, *, markup: bool = False) -> list[int]:
        """One token a byte; the control strings are one token each when ``markup`` is set."""
        if not markup:
            return list(text.encode())
        for place, control in enumerate(MARKUP):
            text = text.replace(control, chr(0xE000 + place))
        tokens: list[int] = []
        for letter in text:
            place = ord(letter) - 0xE000
            tokens += [256 + place] if 0 <= place < len(MARKUP) else letter.encode()
        return tokens

    def piece(self, token: int) -> bytes:
        """The byte; nothing for a control token."""
        return bytes([token]) if token < 256 else b""

    def ends(self, token: int) -> bool:
        """Whether it is the end token."""
        return token >= 257

    def sampler(self, sampling: Sampling, constraint: Constraint | None = None) -> ScriptedSampler:
        """A place in the script, not yet begun."""
        return ScriptedSampler(sampling, constraint)

    def step(self, slices: Sequence[Slice]) -> list[Result]:
        """Append the tokens and give each sampler's next byte."""
        if self.delay:
            time.sleep(self.delay)
        if sum(len(s.tokens) for s in slices) > self.info.batch:
            raise EngineFault("a step holds more tokens than the batch")
        if len({s.stream for s in slices}) != len(slices):
            raise EngineFault("a stream stands twice in one step")
        self.steps.append([(s.stream, len(s.tokens)) for s in slices])
        return [self._one(s) for s in slices]

    def _one(self, part: Slice) -> Result:
        held = self._streams[part.stream]
        if part.position != len(held):
            raise EngineFault(f"position {part.position} does not follow {len(held)} tokens")
        if len(held) + len(part.tokens) > self.info.window:
            raise EngineFault("the stream is full")
        before = len(held)
        held += part.tokens
        drawn = (self._draw(part.sampler, held),) if isinstance(part.sampler, ScriptedSampler) else ()
        if part.targets is None:
            return Result(drawn)
        first = before + len(part.tokens) - len(part.targets) + 1
        return Result(drawn, logprobs=[self._likelihood(held[: first + i], t) for i, t in enumerate(part.targets)])

    def _draw(self, sampler: ScriptedSampler, held: list[int]) -> int:
        if sampler.closed:
            raise EngineFault("the sampler is closed")
        if sampler.answer is None:
            sampler.answer = [*self.script(self._text(held)).encode(), END]
        sampler.place += 1
        return sampler.answer[sampler.place - 1]

    def _likelihood(self, held: list[int], target: int) -> float:
        """Likely when it is what the script would say next, unlikely else."""
        text = self._text(held)
        start = text.rfind("<|im_start|>assistant\n")
        said = text[start + len("<|im_start|>assistant\n") :] if start >= 0 else ""
        answer = self.script(text[: len(text) - len(said)]).encode()
        place = len(said.encode())
        return -0.1 if answer[: place + 1] == said.encode() + bytes([target % 256]) else -5.0

    def _text(self, held: list[int]) -> str:
        return b"".join(bytes([t]) if t < 256 else MARKUP[t - 256].encode() for t in held).decode(errors="replace")

    def trim(self, stream: int, length: int) -> None:
        """Keep the first ``length`` tokens."""
        del self._streams[stream][length:]

    def save(self, stream: int) -> Saved:
        """The tokens, as JSON."""
        return json.dumps(self._streams[stream]).encode()

    def restore(self, stream: int, state: Saved) -> None:
        """Take the tokens back."""
        self._streams[stream] = json.loads(bytes(state))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Counts of letters, folded to 16 places, at unit length."""
        rows = np.zeros((len(texts), WIDTH), np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[0] = 1e-3
            for byte in text.encode():
                row[byte % WIDTH] += 1
        unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return unit

    def close(self) -> None:
        """Empty all streams."""
        self._streams = [[] for _ in self._streams]

    def held(self) -> list[int]:
        """Tokens in each stream: what a test looks at."""
        return [len(s) for s in self._streams]
