"""The load of agents: many of them on one server, all with one system prompt, each with its own task, in turns.

Between turns an agent is away, as if it called a tool. Users arrive meanwhile with short questions of their own and
want a first word soon. All of it follows from `Load`, its ``seed`` included, so that every server gets the same.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .client import FAILS, Answer, Message, Target, chat
from .numbers import Figures, quantile

RULES = (
    "The library lends books for four weeks and films for one week. A loan can be extended twice unless somebody else "
    "has asked for the book. Late returns cost twenty cents a day for each item. A lost card is replaced for three "
    "euros. Rooms are booked for two hours at a time and up to a week ahead. Suggestions are answered within ten days. "
)
"""What the system prompt repeats: 77 tokens of the embedded model, of ordinary English."""
TASKS = (
    "a book that is lost", "an extension", "a room for six", "a fine", "a new card", "a film that does not play",
    "a suggestion", "a class visit", "a donation", "a reservation",
)  # fmt: skip
USER_TOKENS = 16
"""Tokens of the answer to a user."""
ARRIVAL = 1.0
"""Seconds after the begin when the first user arrives."""


@dataclass(frozen=True)
class Load:
    """How much of everything; times in seconds."""

    agents: int = 16
    turns: int = 3
    tokens: int = 32  # of each answer
    prefix: int = 6  # how many times `RULES` stands in the system prompt
    pause: float = 0.5  # the mean time away between two turns
    interactive: int = 4  # users that arrive
    every: float = 2.0  # seconds between their arrivals
    priority: bool = False  # say in their requests that they are interactive
    seed: int = 7

    @property
    def system(self) -> str:
        """The prompt that all agents begin with."""
        return "You work at the desk of a library and answer briefly. " + RULES * self.prefix

    @property
    def asked(self) -> int:
        """Tokens of all answers."""
        return self.agents * self.turns * self.tokens + self.interactive * USER_TOKENS

    def plan(self) -> list[tuple[str, list[float]]]:
        """Each agent's task, and how long it is away after each of its turns."""
        draw = random.Random(self.seed)
        return [
            (draw.choice(TASKS), [draw.expovariate(1 / self.pause) if self.pause else 0.0 for _ in range(self.turns)])
            for _ in range(self.agents)
        ]


@dataclass
class Measured:
    """What came of a load."""

    load: Load
    turns: list[tuple[int, Answer]] = field(default_factory=list)  # (which turn of its agent, the answer)
    users: list[Answer] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    own_seconds: float = 0.0  # processor time that measuring itself took

    def figures(self) -> Figures:
        """Seconds, tokens and counts by name; ``resumed`` are the turns of agents that come back."""
        firsts = [answer.first for _, answer in self.turns if answer.first is not None]
        resumed = [answer.first for turn, answer in self.turns if turn and answer.first is not None]
        users = [answer.first for answer in self.users if answer.first is not None]
        answers = [answer for _, answer in self.turns] + self.users
        tokens = sum(answer.tokens for answer in answers)
        return {
            "seconds": self.seconds,
            "tokens": tokens,
            "tokens_per_second": tokens / self.seconds if self.seconds else None,
            "first_median": quantile(firsts, 0.5), "first_p95": quantile(firsts, 0.95),
            "resumed_median": quantile(resumed, 0.5), "resumed_p95": quantile(resumed, 0.95),
            "interactive_median": quantile(users, 0.5), "interactive_worst": quantile(users, 1.0),
            "longest_gap": quantile([answer.gap for answer in answers], 1.0),
            "prompt_tokens": sum(answer.prompt for answer in answers),
            "prefilled_tokens": sum(answer.prompt - answer.cached for answer in answers),
            "errors": len(self.errors),
            "own_seconds": self.own_seconds,
        }  # fmt: skip


async def run(target: Target, load: Load) -> Measured:
    """Put the load on a server and wait for its end. What fails is noted; an agent that fails goes no further."""
    measured = Measured(load)
    begun, own = time.perf_counter(), time.process_time()
    await asyncio.gather(
        *(_agent(target, measured, number, *plan) for number, plan in enumerate(load.plan())),
        *(_user(target, measured, number) for number in range(load.interactive)),
    )
    measured.seconds, measured.own_seconds = time.perf_counter() - begun, time.process_time() - own
    written = measured.figures()["tokens"] or 0
    if not measured.errors and written < 0.9 * load.asked:
        measured.errors.append(f"{written} tokens of {load.asked}: the server does not honour ignore_eos")
    return measured


async def _agent(target: Target, measured: Measured, number: int, task: str, pauses: Sequence[float]) -> None:
    load = measured.load
    messages: list[Message] = [{"role": "system", "content": load.system}]
    for turn, pause in enumerate(pauses):
        messages.append({"role": "user", "content": f"Reader {number}, question {turn + 1}: it is about {task}."})
        answer = await _ask(target, measured, f"agent {number}, turn {turn + 1}", messages, load.tokens)
        if answer is None:
            return
        measured.turns.append((turn, answer))
        messages.append({"role": "assistant", "content": answer.text})
        if turn + 1 < load.turns:
            await asyncio.sleep(pause)


async def _user(target: Target, measured: Measured, number: int) -> None:
    await asyncio.sleep(ARRIVAL + number * measured.load.every)
    fields = {"priority": "interactive"} if measured.load.priority else {}
    messages = [{"role": "user", "content": f"Good morning, I am visitor {number}. What does a scheduler do?"}]
    answer = await _ask(target, measured, f"user {number}", messages, USER_TOKENS, **fields)
    if answer is not None:
        measured.users.append(answer)


async def _ask(
    target: Target, measured: Measured, who: str, messages: Sequence[Message], most: int, **fields: Any
) -> Answer | None:
    """The answer; None where there is none, which is noted."""
    try:
        return await chat(target, messages, most, **fields)
    except FAILS as wrong:
        measured.errors.append(f"{who}: {wrong or type(wrong).__name__}")
        return None
