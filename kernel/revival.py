"""Processes of an earlier llmos go on: from their records, their pages, their mail and their journals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..memory import mail
from ..memory.context import Context
from ..memory.journal import Write, entries
from ..memory.records import Life, Record, Records
from .cores.core import Core
from .errors import OSFault, Unavailable, from_dict
from .limits import Account, Limits, Usage
from .machine import Body, Machine
from .process import Output, Priority, Process, State
from .replay import Replay


def revive(machine: Machine, record: Record, body: Body, output: Output) -> Process:
    """Let a process of an earlier llmos go on; its parent, if it has one, must have come back before it.

    Raises `NotFound` where its model is not loaded.
    """
    if machine.closing:
        raise Unavailable("llmos is shutting down")
    parts = machine.parts
    life = parts.records.life(record.pid)
    parent = machine.table.get(record.parent) if record.parent is not None else None
    core = machine.core_for(life.model)
    adapter = str(parts.records.conditions(record.pid).get("adapter", ""))
    if adapter:
        core.adapter(adapter)  # it is there, or the process cannot go on
    context = Context.restore(*machine.window(record.pid, core))
    process = _restored(machine, record, life, output, core, context, parent)
    process.mailbox.extend(mail.waiting(parts.database, record.pid))
    past = Replay(
        entries(parts.database, record.pid, above=life.saved_n), saved=life.saved_n > 0, counts=life.counts,
        paused=lambda: not process.going.is_set(),
    )  # fmt: skip
    process.counts.update(past.counts)
    process.past = None if past.over else past
    process.saved, process.aliases, process.adapter = life.saved, life.aliases, adapter
    parts.journal.post(parts.records.running_on(record.pid, core.conditions(adapter)))
    machine.begin(process, body, parts.records.changing(record.pid, state="ready"))
    parts.journal.event(record.pid, "resume", {})
    if life.stopped:
        process.stop()
    for child in parts.records.children(record.pid):
        _count_child(machine, process, child)
    return process


def give_up(machine: Machine, record: Record, cause: OSFault) -> None:
    """Enter that a process of an earlier llmos cannot go on; a parent that has come back hears of it."""
    life = machine.parts.records.life(record.pid)
    machine.parts.journal.post(lost(machine.parts.records, record.pid, cause))
    parent = None if record.parent is None else machine.table.find(record.parent)
    if parent is not None:
        _enter_ended(machine, parent, record, life, None, cause, cause.exit_code)


def lost(records: Records, pid: int, cause: OSFault) -> Write:
    """Enter that a process which is not there any more has ended, and why."""
    return records.finishing(pid, exit_code=cause.exit_code, error=cause.message, fault=cause.to_dict())


def _count_child(machine: Machine, parent: Process, record: Record) -> None:
    """A child counts, also one that has ended; where nobody has waited for it yet, somebody still may."""
    parent.account.book("children", 1)
    if record.finished is None:
        return
    life = machine.parts.records.life(record.pid)
    _book(parent.account, Usage.restored({**life.usage, "pages": 0}))
    if not life.collected:
        error = from_dict(life.fault) if life.fault else None
        _enter_ended(machine, parent, record, life, life.result, error, record.exit_code)


def _enter_ended(
    machine: Machine, parent: Process, record: Record, life: Life, result: Any, error: OSFault | None,
    exit_code: int | None,
) -> None:  # fmt: skip
    """A child that somebody may wait for."""
    context = Context(*machine.window(record.pid, parent.core))
    child = _restored(machine, record, life, parent.output, parent.core, context, None)
    child.result, child.error, child.exit_code = result, error, exit_code
    child.settle(State.DONE)
    child.ended.set()
    machine.table.add(child)


def _restored(
    machine: Machine, record: Record, life: Life, output: Output, core: Core, context: Context, parent: Process | None
) -> Process:  # fmt: skip
    limits, usage = Limits(**life.limits), Usage.restored(life.usage)
    account = Account(limits, parent.account if parent else None)
    _book(account, usage)
    handed = {path: Path(file) for path, file in life.handed.items()}
    return Process(
        record.pid, record.app, record.owner, frozenset(life.rights), account, limits,
        Priority[record.priority.upper()], output, context,
        machine.files_of(record.pid, record.owner, record.app, handed), parent=record.parent, spawned=life.spawned,
        args=record.args, stdin=life.stdin, usage=usage, started_at=record.started, came_back=True,
        core=core,
    )  # fmt: skip


def _book(account: Account, usage: Usage) -> None:
    """What an earlier life has used."""
    for what, amount in (("tokens", usage.computed), ("calls", usage.calls), ("pages", usage.pages)):
        account.book(what, amount)
