"""The output of a process inside the llmos that runs it: the end of it is kept, and whoever listens is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ...kernel.errors import Denied, OSFault
from ...kernel.process import Output, Process

KEPT = 2**18
"""Characters that are kept, at least; twice as many are the most."""
AHEAD = 2**16
"""Characters that a process may be ahead of a listener that holds it up."""


@dataclass(eq=False)
class Question:
    """A question that waits for an answer."""

    text: str
    choices: list[str]
    answer: asyncio.Future[str]


@dataclass(eq=False)
class Ear:
    """One listener: how much it has had, and whether its slowness holds the process up."""

    channel: Channel
    holds_up: bool
    answers: bool
    place: int = 0  # characters that it has had, or that were gone before it could

    def take(self, most: int) -> tuple[int, str]:
        """What comes next, at most so many characters, and how many before it were not kept."""
        missed = max(0, self.channel.gone - self.place)
        self.place += missed
        start = self.place - self.channel.gone
        text = self.channel.kept[start : start + most]
        self.place += len(text)
        if self.holds_up:
            self.channel.caught_up()
        return missed, text


class Channel:
    """Output of a process and of its children. ``here`` is this program's own terminal, if that started it.

    Questions go there and to all listeners that answer; the first answer counts. Of a ``detached`` process it
    waits until somebody comes; else it is denied when nobody is there who answers. Owned by the event loop's thread.
    """

    def __init__(self, here: Output | None = None, *, detached: bool = False) -> None:
        self.here = here
        self.kept = ""  # the end of what was written
        self.gone = 0  # characters before that
        self.share: tuple[float, str] | None = None  # how far the work is, and what is done
        self.question: Question | None = None
        self.detached = detached
        self._over = False
        self._ears: list[Ear] = []
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._turn = asyncio.Lock()  # one question at a time

    # -- the process's side --

    def write(self, text: str) -> None:
        """Keep it, and tell."""
        self.kept += text
        if len(self.kept) > 2 * KEPT:
            self.gone += len(self.kept) - KEPT
            self.kept = self.kept[-KEPT:]
        if self.here is not None:
            self.here.write(text)
        self._tell()

    async def room(self) -> None:
        """Until more may be written: whoever started the process and reads slowly holds it up."""
        while any(ear.holds_up and self.gone + len(self.kept) - ear.place > AHEAD for ear in self._ears):
            self._room.clear()
            await self._room.wait()

    def progress(self, done: float, total: float, what: str) -> None:
        """How far the work is; who reads slowly gets the newest alone."""
        self.share = (min(done / total, 1.0), what)
        if self.here is not None:
            self.here.progress(done, total, what)
        self._tell()

    async def ask(self, question: str, choices: list[str]) -> str:
        """The first answer of a human."""
        async with self._turn:
            asked = self.question = Question(question, choices, asyncio.get_running_loop().create_future())
            self._tell()
            here = asyncio.ensure_future(self._ask_here(asked))
            try:
                return await asked.answer
            finally:
                self.question = None
                self._tell()
                here.cancel()
                with suppress(asyncio.CancelledError):
                    await here

    async def _ask_here(self, asked: Question) -> None:
        denied: OSFault = Denied(f"nobody is there to answer {asked.text!r}", hint="run it on a terminal")
        if self.here is not None:
            try:
                settle(asked, await self.here.ask(asked.text, asked.choices))
            except Denied as fault:
                denied = fault
            except OSFault as fault:
                settle(asked, fault)
        if not self.detached and not any(ear.answers for ear in self._ears):
            settle(asked, denied)

    # -- the listeners' side --

    @contextmanager
    def listening(self, *, holds_up: bool = False, answers: bool = False) -> Iterator[Ear]:
        """An ear, from the first character that is kept, until the block is left."""
        ear = Ear(self, holds_up, answers)
        self._ears.append(ear)
        try:
            yield ear
        finally:
            self._ears.remove(ear)
            self.caught_up()
            self._forget()

    def changed(self) -> asyncio.Event:
        """Set when something is new after this was called."""
        return self._changed

    def caught_up(self) -> None:
        """A listener has read, or has gone."""
        self._room.set()

    def end(self) -> None:
        """The process has ended: the text goes when nobody listens, the journal has it."""
        self._over = True
        self._tell()
        self._forget()

    def _forget(self) -> None:
        if self._over and not self._ears:
            self.gone, self.kept = self.gone + len(self.kept), ""

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def settle(question: Question, answer: str | OSFault) -> None:
    """Answer a question, or refuse to; does nothing when it was answered already."""
    if question.answer.done():
        return
    if isinstance(answer, str):
        question.answer.set_result(answer)
    else:
        question.answer.set_exception(answer)


def channel_of(process: Process) -> Channel:
    """The channel of a process that the launcher started."""
    assert isinstance(process.output, Channel)
    return process.output


def is_here(process: Process) -> bool:
    """Whether this program's own terminal started it, or one that it descends from."""
    return isinstance(process.output, Channel) and process.output.here is not None
