"""A finished process runs again from its journal, and every token is compared: `llmos replay`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...kernel.cores.core import REMOTE
from ...kernel.errors import BadInput, Denied, Diverged, Unavailable
from ...kernel.plain import plain
from ...kernel.process import Process, Signal
from ...kernel.replay import Replay
from ...kernel.translate import translated
from ...memory.journal import Entry
from ...memory.records import Life, Record
from ...syscalls.verifying import Difference, VerifyingGate
from .client import request

if TYPE_CHECKING:
    from .boot import Running
    from .options import Options

HOUR = 3600.0
"""Seconds that a guest waits from one call of a replay to the next."""

PATIENCE = 3.0
"""Seconds without a call, while the engine has nothing to do, after which the app counts as changed."""

CUT = ("terminated", "limit")
"""Codes of the errors of processes that were broken off from outside."""

OnShare = Callable[[float], None]


class Silent:
    """Where a process writes that runs again: what it says was said before."""

    def write(self, text: str) -> None:
        """Nobody hears."""

    async def room(self) -> None:
        """There is always some."""

    def progress(self, done: float, total: float, what: str) -> None:
        """Nobody looks."""

    async def ask(self, question: str, choices: list[str]) -> str:
        """Never reached: answers come from the journal."""
        raise Denied("a replay asks nobody")


async def replay(running: Running, pid: int, on_share: OnShare) -> dict[str, Any]:
    """Run a finished process again; what was compared, and the first difference, in plain values.

    Raises `Unavailable` where that would prove nothing, and says why; `Diverged` where its app has changed.
    """
    machine, parts = running.machine, running.machine.parts
    with translated():
        record, life = parts.records.get(pid), parts.records.life(pid)
        entries = parts.journal.entries(pid)
        conditions = parts.records.conditions(pid)
    core = machine.core_for(life.model) if machine.cores.has(life.model) else machine.cores.default
    check(record, entries, conditions, core.conditions(str(conditions.get("adapter", ""))))
    fault = life.fault or {}
    past = Replay(entries, paused=lambda: not core.idle(), patience=PATIENCE, deep=True)
    calls = sum(not entry.call.startswith("!") for entry in entries) or 1
    gate = VerifyingGate(
        running.gate, past, cut=fault.get("code") in CUT, on_call=lambda done: on_share(min(done / calls, 1.0))
    )
    process = running.launcher.replay(record, life, str(conditions["adapter"]), gate, Silent())
    try:
        await _until_over(running, process, gate)
    finally:
        if process.alive:
            await machine.signal(process.pid, Signal.KILL)
    return _verdict(record, life, process, gate)


def check(record: Record, entries: Sequence[Entry], was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise the reason why a process cannot be run again, if there is one."""
    pid = record.pid
    if record.finished is None:
        raise BadInput(f"process {pid} has not ended", hint="a replay needs the whole journal; llmos ps shows it")
    if not was:
        raise Unavailable(f"nothing tells what process {pid} ran on", hint="it was run by an older llmos")
    if "replays" in was:
        raise BadInput(f"process {pid} is a replay itself", hint=f"llmos replay {was['replays']} runs it again")
    if was.get("way") == REMOTE:
        raise Unavailable(
            f"process {pid} ran on a server's model, {was.get('model')}",
            hint="what a server gives, it may not give again",
        )
    if was.get("mixed"):
        raise Unavailable(f"process {pid} ran on more than one engine", hint="only one that ran on one can be replayed")
    if others := sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key)):
        told = ", ".join(f"{key} {was.get(key)!r}, here {now.get(key)!r}" for key in others)
        raise Unavailable(
            f"process {pid} ran on something else: {told}",
            hint=f"llmos --model {was.get('model')} --way {was.get('way')} --window {was.get('window')} replay {pid}",
            differs=others,
        )  # fmt: skip
    if entries and entries[0].n != 1:
        raise Unavailable(f"the beginning of the journal of process {pid} was removed", hint="see llmos gc --help")
    if any(e.call == "context.compact" or (e.call == "context.tune" and e.args.get("compact")) for e in entries):
        raise Unavailable(
            f"the context of process {pid} was summed up by another process, at a time that no journal has",
            hint="a replay needs a process without compaction",
        )


async def _until_over(running: Running, process: Process, gate: VerifyingGate) -> None:
    waits = [asyncio.ensure_future(process.ended.wait()), asyncio.ensure_future(gate.at_the_cut.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _verdict(record: Record, life: Life, process: Process, gate: VerifyingGate) -> dict[str, Any]:
    difference = gate.difference
    if difference is None and not gate.at_the_cut.is_set():
        if isinstance(process.error, Diverged):
            raise process.error
        difference = _ending(record, life, process)
    return {
        "pid": record.pid, "app": record.app, "replay": process.pid, "identical": difference is None,
        "calls": gate.calls, "tokens": gate.tokens, "scores": gate.scores,
        "difference": difference.to_dict() if difference else None,
    }  # fmt: skip


def _ending(record: Record, life: Life, process: Process) -> Difference | None:
    """How it ended, against how it did before."""
    before: Any = life.fault["message"] if life.fault else life.result
    now: Any = process.error.message if process.error else plain(process.result)
    return None if before == now else Difference("(end)", 0, "result", 0, before, now)


async def run_replay(options: Options, pid: int) -> dict[str, Any]:
    """Replay it in the llmos that holds the home, or in one of our own, with a bar; what it came to."""
    from .bars import bar, share
    from .guest import Guest
    from .session import session

    async with session(options) as seat:
        with bar(share()) as progress:
            task = progress.add_task(f"replaying process {pid}", total=1.0)

            def on_share(done: float) -> None:
                progress.update(task, completed=done)

            if not isinstance(seat, Guest):
                return await replay(seat, pid, on_share)
            asked = {"call": "replay", "pid": pid}
            told = await asyncio.to_thread(
                request, options.home, asked, lambda step: on_share(float(step["share"])), patience=HOUR
            )
            return dict(told)


def said(told: dict[str, Any]) -> str:
    """A verdict for a human."""
    scores = f", {told['scores']} scores" if told["scores"] else ""
    if told["identical"]:
        return f"identical: {told['calls']} calls, {told['tokens']} tokens{scores}"
    found = told["difference"]
    return (
        f"different: call {found['n']} ({found['call']}), {found['field']}, from position {found['position']} on\n"
        f"  recorded  {found['recorded']!r}\n  computed  {found['computed']!r}"
    )
