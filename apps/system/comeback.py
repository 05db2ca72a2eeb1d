"""Processes that a llmos before this one left alive: they go on, or wait until somebody lets them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from ...kernel.errors import BadInput, NotFound, Terminated, Unavailable
from ...kernel.process import Output, Process
from ...kernel.revival import give_up, lost
from ...memory.journal import Journal
from ...memory.records import Record, Records

if TYPE_CHECKING:
    from .boot import Running

log = logging.getLogger(__name__)

OutputFor = Callable[[Record], Output]


def suspended(running: Running) -> list[Record]:
    """Processes of this home that have not ended and do not run, parents before their children."""
    here = {process.pid for process in running.machine.table.living()}
    return [record for record in running.machine.parts.records.alive() if record.pid not in here]


def come_back(running: Running, output: OutputFor, only: Collection[int] = ()) -> list[Process]:
    """Let suspended processes go on: all, or those named and their children; children write where their parents do.

    Raises `NotFound` for a pid that is not suspended, and `Unavailable` for one whose model is not loaded; where none
    is named, such a one stays suspended. One that cannot go on has ended, with the reason as its error.
    """
    waiting = {record.pid: record for record in suspended(running)}
    lacking = _lacking(running, waiting)
    for pid in only:
        if pid not in waiting:
            raise NotFound(f"process {pid} is not suspended", hint="llmos ps lists those that are", pid=pid)
        if waiting[pid].parent in waiting:
            raise BadInput(f"process {pid} is a child of {waiting[pid].parent}", hint="resume that one")
        if pid in lacking:
            raise Unavailable(
                f"process {pid} runs on {lacking[pid]}, which is not loaded",
                hint=f"llmos --model {running.model} --model {lacking[pid]} resume {pid}",
            )
    back: dict[int, Process] = {}
    for record in waiting.values():
        if record.pid in lacking:
            continue
        if record.parent is None:
            wanted, out = not only or record.pid in only, output
        else:
            wanted = record.parent in back or not only
            out = _as_its_parent(back.get(record.parent), output)
        if wanted and (process := _one(running, record, back, out)) is not None:
            back[record.pid] = process
    return list(back.values())


def _lacking(running: Running, waiting: Mapping[int, Record]) -> dict[int, str]:
    """Those that cannot go on for want of a model, and which: their own, or one of their tree's."""
    models = {pid: running.machine.parts.records.life(pid).model for pid in waiting}
    lacking: dict[int, str] = {}
    for record in waiting.values():
        model, one = models[record.pid], record
        if not running.machine.cores.has(model):
            lacking[one.pid] = model
            while one.parent is not None and one.parent in waiting:  # its ancestors would wait for it
                one = waiting[one.parent]
                lacking[one.pid] = model
    for record in waiting.values():  # parents stand before their children
        if record.parent in lacking:
            lacking.setdefault(record.pid, lacking[record.parent])
    if lacking:
        log.info("suspended processes whose models are not loaded: %s", lacking)
    return lacking


def _as_its_parent(parent: Process | None, output: OutputFor) -> OutputFor:
    return output if parent is None else lambda record: parent.output


def _one(running: Running, record: Record, back: Collection[int], output: OutputFor) -> Process | None:
    if record.parent is not None and record.parent not in back:
        gone = Terminated(f"its parent, process {record.parent}, could not go on", signal="KILL")
        give_up(running.machine, record, gone)
        return None
    return running.launcher.revive(record, output(record))


def end_suspended(records: Records, journal: Journal, running: Collection[int], pid: int, signal: str) -> None:
    """TERM or KILL for a process that does not run: it has ended then, and its children with it.

    ``running``: pids of this machine. Raises `NotFound`, and `Unavailable` for signals that only a running one hears.
    """
    waiting = [record for record in records.alive() if record.pid not in running]
    if pid not in {record.pid for record in waiting}:
        raise NotFound(f"no process {pid}", hint="llmos ps --all lists them", pid=pid)
    if signal.upper() not in ("TERM", "KILL"):
        raise Unavailable(f"process {pid} is suspended", hint="TERM and KILL end it; llmos resume lets it go on")
    gone = {pid}
    for record in waiting:
        if record.pid == pid or record.parent in gone:
            gone.add(record.pid)
            journal.post(lost(records, record.pid, Terminated(f"ended by {signal.upper()}", signal=signal.upper())))
