"""The measurements themselves, carried out in a child of `trial`: requests and answers are plain values."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from ..engine import CHUNK, Sampling, Slice
from ..gguf import vocabulary
from ..llama import WAYS, LlamaEngine
from ..perplexity import surprises
from .setting import TURN_IN, TURN_OUT

CELLS = 700  # tokens before the one that is decoded
PREFILL = 512
_STEPS, _STEP_TIME = 24, 0.5  # of one size of batch, in a round: at most so many, or so many seconds
_TIME = 120.0  # seconds after which no further round begins
_CLEARLY = 1.15  # so much slower in the median, and no more rounds are needed

TAIL = 65
"""Tokens at the end of a prompt whose bits are compared: each tells how likely the next one is."""
CUTS = (1, 2, 3, 5, 8, 21, 31, 32)


def speeds(
    subjects: Sequence[dict[str, Any]], text: str, sizes: Sequence[int], rounds: int, aim_size: int
) -> list[list[dict[str, Any]]]:
    """For each subject a `Speed` of each round. All are loaded at once and take turns, so noise meets them alike.

    A subject is ``file`` and what the engine takes; the first is what the others are compared with.
    """
    with ExitStack() as opened:
        courses = [opened.enter_context(_course(subject, text, sizes)) for subject in subjects]
        found: list[list[dict[str, Any]]] = [[] for _ in courses]
        began = time.monotonic()
        for number in range(rounds):
            for course, rows in zip(courses, found, strict=True):
                rows.append(course())
            late = time.monotonic() - began > _TIME
            if late or (number > 0 and _beaten(found, aim_size)):
                break
        return found


def _beaten(found: Sequence[Sequence[dict[str, Any]]], size: int) -> bool:
    """Whether all but the first are clearly slower."""
    first, *others = ([TURN_IN / r["prefill"] + TURN_OUT / r["decode"][size] for r in rows] for rows in found)
    return bool(others) and all(median(b / a for a, b in zip(first, other, strict=True)) > _CLEARLY for other in others)


@contextmanager
def _course(subject: dict[str, Any], text: str, sizes: Sequence[int]) -> Iterator[Callable[[], dict[str, Any]]]:
    """One round for a subject, whenever it is called."""
    streams = max(sizes) + 1
    with closing(_engine(subject, streams, CELLS + _STEPS + 4)) as engine:
        cells = min(CELLS, engine.info.window - _STEPS - 1)
        tokens = _enough(engine.tokenize(text), max(cells, PREFILL))
        prompt = tokens[: min(PREFILL, engine.info.window)]
        _feed(engine, 0, tokens[:cells])
        state = engine.save(0)
        for stream in range(1, max(sizes)):
            engine.restore(stream, state)

        def course() -> dict[str, Any]:
            engine.trim(streams - 1, 0)
            began = time.perf_counter()
            _feed(engine, streams - 1, prompt)
            prefill = len(prompt) / (time.perf_counter() - began)
            return {"prefill": prefill, "decode": {size: _decode(engine, size, cells) for size in sizes}}

        yield course


def _decode(engine: LlamaEngine, size: int, cells: int) -> float:
    """Tokens a second of greedy decoding with so many streams; afterwards they hold what they held."""
    samplers = [engine.sampler(Sampling()) for _ in range(size)]
    drawn, spent = [1] * size, []
    for at in range(cells, cells + _STEPS):
        began = time.perf_counter()
        results = engine.step([Slice(s, (drawn[s],), at, samplers[s]) for s in range(size)])
        spent.append(time.perf_counter() - began)
        drawn = [result.tokens[-1] for result in results]
        if sum(spent) > _STEP_TIME and len(spent) > 3:
            break
    for stream, sampler in enumerate(samplers):
        sampler.close()
        engine.trim(stream, cells)
    return size * (len(spent) - 1) / sum(spent[1:])  # the first reserves what later ones find


def scores(subject: dict[str, Any], text: str, most: int) -> list[float]:
    """`perplexity.surprises` of the first ``most`` tokens of the text."""
    words = vocabulary(Path(subject["file"]))
    with closing(_engine(subject, 1, 1024)) as engine:
        tokens = engine.tokenize(text)[:most]
        return surprises(engine, tokens, begin=words.bos if words.add_bos else None)


def prove(subject: dict[str, Any], text: str) -> dict[str, Any]:
    """A `Proof`: a prompt's last `TAIL` tokens, computed again and again, alone and beside others, whole and cut.

    Compared are the likelihoods of the tokens to come, over the whole vocabulary and in double precision, and all
    keys and values.
    """
    with closing(_engine(subject, 4, CELLS)) as engine:
        cells = engine.info.window
        tokens = _enough(engine.tokenize(text), cells + 400)
        prompt = tokens[:cells]
        _feed(engine, 1, prompt[:-TAIL], CHUNK)
        head = bytes(engine.save(1))
        whole = _bits(engine, prompt, TAIL, head)
        cuts = {cut: _bits(engine, prompt, cut, head) == whole for cut in CUTS}
        cuts |= {cut: _bits(engine, prompt, TAIL, cut) == whole for cut in (64, 256)}
        grain = WAYS[subject["way"]].grain
        neighbours = all(
            _bits(engine, prompt, cut, head, beside=tokens[offset:]) == alone
            for cut, alone in {cut: _bits(engine, prompt, cut, head) for cut in (1, 2, 32, TAIL)}.items()
            for offset in (7, 300)
        )
        return {"neighbours": neighbours, "cuts": cuts, "promised": grain}


def _bits(
    engine: LlamaEngine, prompt: Sequence[int], cut: int, head: bytes | int, *, beside: Sequence[int] = ()
) -> str:
    """A digest of what stream 1 computes over the end of a prompt in cuts of so many tokens; the last takes the rest.

    ``head`` is the state before it, or in which cuts to compute that. With ``beside``, streams 0 and 2 compute as
    many tokens of something else in the same steps, and stream 3 three.
    """
    for stream in range(4):
        engine.trim(stream, 0)
    before = len(prompt) - TAIL
    if isinstance(head, int):
        _feed(engine, 1, prompt[:before], head)
    else:
        engine.restore(1, head)
    found: list[float] = []
    inputs, targets = prompt[before:-1], prompt[before + 1 :]
    at = step = 0
    while at < len(inputs):
        end = at + cut if len(inputs) - at >= 2 * cut else len(inputs)
        slices = [Slice(1, inputs[at:end], before + at, targets=targets[at:end])]
        if beside:
            slices += [Slice(stream, beside[at:end], at) for stream in (0, 2)]
            if 3 * step + 3 <= engine.info.window:
                slices.append(Slice(3, beside[step : step + 3], 3 * step))
        found += engine.step(slices)[0].logprobs or []
        at, step = end, step + 1
    digest = hashlib.sha256(repr(found).encode())
    digest.update(engine.save(1))
    return digest.hexdigest()


def _engine(subject: dict[str, Any], streams: int, window: int) -> LlamaEngine:
    options = {name: value for name, value in subject.items() if name != "file"}
    return LlamaEngine(Path(subject["file"]), streams=streams, window=window, **options)


def _feed(engine: LlamaEngine, stream: int, tokens: Sequence[int], cut: int = 0) -> None:
    """The tokens of an empty stream, in steps as large as the engine takes."""
    size = cut or engine.info.batch
    for at in range(0, len(tokens), size):
        engine.step([Slice(stream, tokens[at : at + size], at)])


def _enough(tokens: list[int], count: int) -> list[int]:
    return (tokens * (count // len(tokens) + 1))[:count]


WORK: dict[str, Callable[..., Any]] = {"speeds": speeds, "scores": scores, "prove": prove}
