"""Processes that run here for other terminals, and what is told to those.

    {"id": 1, "call": "run", "app", "args", "owner", "priority", "adapter", "on", "handed", "answers", "detach"}
    {"id": 1, "stdin": "…"} …  {"id": 1, "stdin": ""}      what is piped in, in pieces, and its end
    {"id": 2, "call": "attach", "pid": 7, "answers"}       to listen to one that runs already
    {"id": 3, "call": "resume", "pid": 5, "answers"}       to let one go on that is suspended

Both go the same way:

        ->  {"step": {"pid": 7, "app"}}                           it has started, or runs

        ->  {"step": {"text": "…"}}, {"step": {"missed": 900}}    what it writes, and characters that were not kept
        ->  {"step": {"share": 0.5, "what": "reading"}}           how far it is; left out where the terminal is slow
        ->  {"step": {"question": "…", "choices": […]}}, {"step": {"answered": true}}    it was, here or elsewhere
    {"answer": "yes"} or {"refusal": {error}}                     from a terminal that said ``answers``
        ->  {"ok": {"exit_code", "error", "result"}}              it has ended

A process ends with the terminal that started it, unless ``detach`` was said: then that is answered at once. What a
terminal is slow to read stays in the process's channel: the process waits for the terminal that started it, and others
miss what is no longer kept.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from ...kernel.errors import BadInput, LimitExceeded, Unavailable, from_dict
from ...kernel.plain import plain
from ...kernel.process import Priority, Process
from .boot import Running
from .channel import Channel, Ear, Question, channel_of, settle
from .comeback import come_back
from .exchange import PIECE, Exchange
from .piped import MOST


class Run(BaseModel):
    """What ``run`` is asked with."""

    app: str
    args: dict[str, Any]
    owner: str
    priority: Literal["interactive", "normal", "batch"] | None = None
    adapter: str | None = None
    handed: dict[str, Path] = {}
    answers: bool = False
    detach: bool = False
    on: str = ""


class Attach(BaseModel):
    """What ``attach`` is asked with."""

    pid: int
    answers: bool = False


async def run(running: Running, exchange: Exchange) -> Any:
    """Start a process for another terminal, and tell that until it ends; it ends with its terminal."""
    asked = Run.model_validate(exchange.asked)
    stdin = await _stdin(exchange)
    running.registry.renew()
    channel = Channel(detached=asked.detach)
    with channel.listening(holds_up=True, answers=asked.answers) as ear:
        process = running.launcher.launch(
            asked.app, asked.args, owner=asked.owner, output=channel, stdin=stdin, handed=asked.handed,
            priority=Priority[asked.priority.upper()] if asked.priority else None, adapter=asked.adapter,
            model=asked.on,
        )  # fmt: skip
        if asked.detach:
            running.host(asyncio.ensure_future(process.ended.wait()))
            return _named(process)
        try:
            await exchange.step(_named(process))
            return await _tell(exchange, process, ear)
        finally:
            if process.alive:  # its terminal has gone
                await running.signal(process.pid, "KILL")


def _named(process: Process) -> dict[str, Any]:
    return {"pid": process.pid, "app": process.app}


async def attach(running: Running, exchange: Exchange) -> Any:
    """Tell another terminal what a process has written and writes; raises `BadInput` for one that has ended."""
    asked = Attach.model_validate(exchange.asked)
    process = running.machine.table.get(asked.pid)
    if not process.alive:
        raise BadInput(f"process {asked.pid} has ended", hint=f"llmos log {asked.pid} --output shows what it wrote")
    with channel_of(process).listening(answers=asked.answers) as ear:
        await exchange.step(_named(process))
        return await _tell(exchange, process, ear)


async def resume(running: Running, exchange: Exchange) -> Any:
    """Let a suspended process go on for another terminal; it is suspended again when that goes."""
    asked = Attach.model_validate(exchange.asked)
    channel = Channel()
    with channel.listening(holds_up=True, answers=asked.answers) as ear:
        back = come_back(running, lambda _: channel, [asked.pid])
        process = next((process for process in back if process.pid == asked.pid), None)
        if process is None:
            raise Unavailable(f"process {asked.pid} cannot go on", hint=f"llmos log {asked.pid} tells why")
        try:
            await exchange.step(_named(process))
            return await _tell(exchange, process, ear)
        finally:
            if process.alive:
                await running.machine.suspend(process)


async def _stdin(exchange: Exchange) -> str:
    pieces: list[str] = []
    size = 0
    while piece := str((await exchange.hear())["stdin"]):
        pieces.append(piece)
        size += len(piece)
        if size > MOST:
            raise LimitExceeded(f"more than {MOST / 2**20:.0f} MiB are piped in", hint="pipe in less", limit="input")
    return "".join(pieces)


async def _tell(exchange: Exchange, process: Process, ear: Ear) -> dict[str, Any]:
    """All that comes, until the process has ended and everything was told."""
    hearing = asyncio.ensure_future(_hear(exchange, process, ear))
    ended = asyncio.ensure_future(process.ended.wait())
    told = _Told()
    try:
        while True:
            news = ear.channel.changed()
            over = not process.alive  # looked at first: what it wrote before is told below
            while await told.next(exchange, ear):
                pass
            if over:
                break
            changed = asyncio.ensure_future(news.wait())
            await asyncio.wait({changed, ended}, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
    finally:
        hearing.cancel()
        ended.cancel()
    return outcome(process)


class _Told:
    """What one terminal has been told of a process's progress and questions."""

    def __init__(self) -> None:
        self._share: tuple[float, str] | None = None
        self._question: Question | None = None

    async def next(self, exchange: Exchange, ear: Ear) -> bool:
        """Tell one thing that is new; False when there is none. A question comes after what was written before it."""
        missed, text = ear.take(PIECE)
        share, question = ear.channel.share, ear.channel.question
        if missed or text:
            if missed:
                await exchange.step({"missed": missed})
            await exchange.step({"text": text})
        elif share != self._share and share is not None:
            self._share = share
            await exchange.step({"share": share[0], "what": share[1]})
        elif question is not self._question:
            self._question = question
            if not ear.answers:
                return True
            asks = {"question": question.text, "choices": question.choices} if question else {"answered": True}
            await exchange.step(asks)
        else:
            return False
        return True


async def _hear(exchange: Exchange, process: Process, ear: Ear) -> None:
    while True:
        said = await exchange.hear()
        question = ear.channel.question
        if "answer" in said and question is not None and ear.answers:
            settle(question, str(said["answer"]))
        elif "refusal" in said and question is not None and ear.answers:
            settle(question, from_dict(said["refusal"]))


def outcome(process: Process) -> dict[str, Any]:
    """How an ended process ended, in plain values."""
    fault = Unavailable(f"process {process.pid} is suspended", hint="llmos resume lets it go on")
    error = fault.to_dict() if process.suspended else process.error.to_dict() if process.error else None
    return {"exit_code": process.exit_code, "error": error, "result": None if error else plain(process.result)}
