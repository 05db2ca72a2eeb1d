"""Four situations that people who run several agents on one local model report, each as a case to be measured.

two-agents        (multica 4205) a context that does for one agent; the second fails with an error of context size.
                  The room of one context is split between slots, and each half is too small.
all-at-once       (llama.cpp 23652) slots share one context; together their answers outgrow it, and every one of them
                  is broken off.
more-than-slots   (opencode 27110) more sub-agents than slots take turns: each finds its place taken by another, and
                  its context is unloaded, loaded or computed anew.
main-and-helpers  (llama.cpp 29175) a main agent and its helpers alternate on one slot, each in the other's place.

All servers get room for equally many tokens. ``again_tokens`` are those of a conversation's last prompt that were
computed anew in its next turn, though they had been computed before.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from .client import FAILS, Message, Target, chat
from .numbers import Figures
from .peers import LlamaServer, Llmos, Peer, Room

WORDS = (
    "the a one this that small large old new red green north south river bridge house garden road boat train letter "
    "paper table window door light water stone field winter summer morning evening carries keeps finds opens closes "
    "builds brings takes leaves meets follows with under over near behind before after because while and but then"
).split()


def text(words: int, seed: int) -> str:
    """So many words that mean nothing, about one token each; the same for the same seed."""
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(words))


@dataclass
class Tally:
    """What the conversations of a case came to."""

    answers: int = 0
    errors: list[str] = field(default_factory=list)
    prefilled: int = 0
    again: int = 0


class Conversation:
    """One agent that talks in turns; after an error it says no more."""

    def __init__(self, target: Target, tally: Tally, opening: str) -> None:
        self._target, self._tally = target, tally
        self._messages: list[Message] = [{"role": "system", "content": opening}]
        self._before = 0  # tokens of the last prompt
        self._failed = False

    async def ask(self, said: str, most: int) -> None:
        """One turn."""
        if self._failed:
            return
        self._messages.append({"role": "user", "content": said})
        try:
            answer = await chat(self._target, self._messages, most)
        except FAILS as wrong:
            self._failed = True
            self._tally.errors.append(str(wrong) or type(wrong).__name__)
            return
        self._messages.append({"role": "assistant", "content": answer.text})
        self._tally.answers += 1
        self._tally.prefilled += answer.prompt - answer.cached
        self._tally.again += max(0, self._before - answer.cached)
        self._before = answer.prompt

    async def talk(self, turns: list[str], most: int) -> None:
        """Several turns, one after another."""
        for said in turns:
            await self.ask(said, most)


Talks = Callable[[Target, Tally], Awaitable[None]]


async def _two_agents(target: Target, tally: Tally) -> None:
    agents = [Conversation(target, tally, f"You are agent {n}. {text(1700, n)}") for n in range(2)]
    await asyncio.gather(*(agent.talk([text(200, 10 + turn) for turn in range(4)], 32) for agent in agents))


async def _all_at_once(target: Target, tally: Tally) -> None:
    agents = [Conversation(target, tally, f"You are agent {n}. {text(80, n)}") for n in range(4)]
    await asyncio.gather(*(agent.ask("Tell a long story.", 400) for agent in agents))


async def _more_than_slots(target: Target, tally: Tally) -> None:
    agents = [Conversation(target, tally, f"You are helper {n}. {text(1200, n)}") for n in range(8)]
    await asyncio.gather(*(agent.talk([text(60, 10 + turn) for turn in range(4)], 32) for agent in agents))


async def _main_and_helpers(target: Target, tally: Tally) -> None:
    lead = Conversation(target, tally, f"You lead. {text(2000, 0)}")
    helpers = [Conversation(target, tally, f"You are helper {n}. {text(800, n)}") for n in range(1, 4)]
    await lead.ask("What is to be done?", 32)
    for turn in range(2):
        for number, helper in enumerate(helpers):
            await helper.ask(f"Do part {number + 3 * turn}.", 32)
            await lead.ask(f"Part {number + 3 * turn} is done. What is next?", 32)


@dataclass(frozen=True)
class Case:
    """A situation, and the room in which it comes up: streams (slots) and tokens of each, for them and for us."""

    name: str
    reported: str
    talks: Talks
    theirs: tuple[int, int]
    ours: tuple[int, int]
    slots_given: bool = True  # False: llama-server chooses how many share the context

    async def measure(self, target: Target) -> Figures:
        """The case on one server."""
        tally, begun = Tally(), time.perf_counter()
        await self.talks(target, tally)
        return {
            "answers": tally.answers, "errors": len(tally.errors), "prefilled_tokens": tally.prefilled,
            "again_tokens": tally.again, "seconds": time.perf_counter() - begun,
        }  # fmt: skip

    def entrants(self, model: Path, server: Path | None, ours: list[Llmos]) -> list[tuple[Peer, Room]]:
        """Who is measured, with what room."""
        room = Room(model, *self.ours)
        found: list[tuple[Peer, Room]] = [(peer, room) for peer in ours]
        if server is not None:
            found.insert(0, (LlamaServer(server, parallel=self.slots_given), Room(model, *self.theirs)))
        return found


CASES = (
    Case("two-agents", "multica 4205", _two_agents, theirs=(2, 2048), ours=(1, 4096)),
    Case("all-at-once", "llama.cpp 23652", _all_at_once, theirs=(1, 1024), ours=(1, 1024), slots_given=False),
    Case("more-than-slots", "opencode 27110", _more_than_slots, theirs=(2, 4096), ours=(2, 4096)),
    Case("main-and-helpers", "llama.cpp 29175", _main_and_helpers, theirs=(1, 4096), ours=(1, 4096)),
)
