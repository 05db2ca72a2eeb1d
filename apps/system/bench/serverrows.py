"""Rows that go through HTTP: servers side by side, llmos in each of its ways."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from .agents import Load, run
from .cases import CASES, text
from .client import Answer, Target, chat
from .figures import Figure, Goal
from .numbers import Figures, median, medians, ratio
from .peers import Peer, Room
from .setting import Setting

AGENTS = Load(priority=True)
GOALS: Mapping[str, Mapping[str, tuple[float, float]]] = {  # of ratios: (exact, fast)
    "agents": {"seconds": (0.75, 0.6), "interactive_worst": (0.05, 0.05), "longest_gap": (0.2, 0.2)},
    "agents-prefix": {"seconds": (0.5, 0.4), "interactive_worst": (0.05, 0.05), "longest_gap": (0.2, 0.2)},
    "agents-64": {
        "seconds": (0.75, 0.6), "resumed_p95": (0.1, 0.1), "interactive_worst": (0.05, 0.05), "longest_gap": (0.2, 0.2),
    },
}  # fmt: skip
SHOWN = {
    "seconds": "s", "tokens_per_second": "/s", "first_p95": "s", "resumed_p95": "s", "interactive_median": "s",
    "interactive_worst": "s", "longest_gap": "s", "prefilled_tokens": "", "errors": "", "own_seconds": "s",
}  # fmt: skip
DECODING, ARRIVING = 8, 4000
"""Answers under way, and tokens of the prompt that arrives then."""
STEPS = 3.0
"""The most decoding steps that an answer may stand still when a long prompt arrives."""
_BEFORE = 24  # tokens of each answer before the long prompt is sent


async def agents(setting: Setting) -> list[Figure]:
    """16 agents on 16 streams."""
    return await _load(setting, "agents", AGENTS)


async def agents_prefix(setting: Setting) -> list[Figure]:
    """The same with a system prompt of some 1,200 tokens."""
    return await _load(setting, "agents-prefix", replace(AGENTS, prefix=16))


async def agents_64(setting: Setting) -> list[Figure]:
    """64 agents on 16 streams."""
    return await _load(setting, "agents-64", replace(AGENTS, agents=64))


async def _load(setting: Setting, row: str, load: Load) -> list[Figure]:
    if setting.quick:
        load = replace(load, agents=load.agents // 4, turns=2, tokens=8, interactive=2, every=0.5)
    failed: list[str] = []

    async def job(target: Target) -> Figures:
        measured = await run(target, load)
        failed.extend(measured.errors)
        return measured.figures()

    found = await setting.compare(row, _entrants(setting, 16, 2048), job)
    setting.raw[f"{row}: what failed"] = failed
    return figures(setting, row, found, SHOWN, GOALS[row], {"errors": Goal(0)})


def figures(
    setting: Setting,
    row: str,
    found: Mapping[str, Sequence[Figures]],
    shown: Mapping[str, str],
    goals: Mapping[str, tuple[float, float]],
    bounds: Mapping[str, Goal],
) -> list[Figure]:
    """What is ``shown`` (name to unit) of each of our ways beside each peer, or alone where there is none."""
    told = []
    names: list[str] = [peer.name for peer in setting.others() if peer.name in found]
    for ours in setting.ours():
        runs = found[ours.name]
        for name, unit in shown.items():
            goal = Goal(goals[name][ours.way == "fast"], of="ratio") if name in goals else bounds.get(name)
            for place, peer in enumerate(names or [""]):
                told.append(
                    Figure(
                        row, name.replace("_", " "), unit, medians(runs)[name], ours.way, peer,
                        median([run[name] for run in found[peer]]) if peer else None,
                        ratio([run[name] for run in runs], [run[name] for run in found[peer]]) if peer else None,
                        goal if place == 0 else None,
                    )
                )  # fmt: skip
    return told


def _entrants(setting: Setting, streams: int, window: int) -> list[tuple[Peer, Room]]:
    """Peers first, all with the same room."""
    room = Room(setting.model, streams, window)
    return [(peer, room) for peer in (*setting.others(), *setting.ours())]


async def arriving(setting: Setting) -> list[Figure]:
    """A prompt of 4,000 tokens comes while 8 answers are written: how long does one of them stand still?"""
    tokens = ARRIVING // 10 if setting.quick else ARRIVING

    async def job(target: Target) -> Figures:
        return await standing_still(target, tokens)

    found = await setting.compare("arriving", _entrants(setting, DECODING + 1, 5120), job)
    shown = {"worst_gap": "s", "step": "s", "worst_gap_in_steps": "steps", "prompt_seconds": "s"}
    return figures(setting, "arriving", found, shown, {}, {"worst_gap_in_steps": Goal(STEPS)})


async def standing_still(target: Target, tokens: int) -> Figures:
    """The longest gap in any of the answers while the prompt is computed, against the usual one before."""
    ready = asyncio.Event()
    most = _BEFORE * 2 + tokens // 16  # enough to last until the prompt is done
    under_way: set[int] = set()

    def on_piece(answer: Answer) -> None:
        if len(answer.times) >= _BEFORE:
            under_way.add(id(answer))
            if len(under_way) == DECODING:
                ready.set()

    asked = [[{"role": "user", "content": f"Tell story number {n}. {text(40, n)}"}] for n in range(DECODING)]
    answers = asyncio.gather(*(chat(target, messages, most, on_piece=on_piece) for messages in asked))
    waiting = asyncio.ensure_future(ready.wait())
    await asyncio.wait([answers, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    long = await chat(target, [{"role": "user", "content": text(tokens - 60, 99)}], 1)
    return gaps(await answers, long.begun, long.begun + (long.first or long.seconds))


def gaps(answers: Sequence[Answer], begin: float, end: float) -> Figures:
    """The worst gap that reaches into the time from ``begin`` to ``end``, and the median of those before."""
    before, within = list[float](), list[float]()
    for answer in answers:
        moments = [answer.begun + at for at in answer.times]
        for a, b in zip(moments, moments[1:], strict=False):
            if b <= begin:
                before.append(b - a)
            elif a < end:
                within.append(b - a)
    step, worst = median(before), max(within, default=None)
    steps = worst / step if worst is not None and step else None
    return {"worst_gap": worst, "step": step, "worst_gap_in_steps": steps, "prompt_seconds": end - begin}


async def cases(setting: Setting) -> list[Figure]:
    """The situations that people report, see `cases`."""
    told: list[Figure] = []
    shown = {"answers": "", "errors": "", "prefilled_tokens": "", "again_tokens": "", "seconds": "s"}
    for case in CASES:
        entrants = case.entrants(setting.model, setting.llama_server, setting.ours())
        row = f"case {case.name}"
        found = await setting.compare(row, entrants, case.measure)
        told += figures(setting, row, found, shown, {}, {"errors": Goal(0)})
    return told
