"""Starting apps: manifest and rights in, a running process out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...kernel.errors import AppFailed, OSFault
from ...kernel.limits import Limits
from ...kernel.machine import Body, Machine
from ...kernel.process import Output, Priority, Process
from ...kernel.revival import give_up, revive
from ...kernel.translate import translated
from ...memory.records import Life, Record
from ...syscalls import calls as c
from ...syscalls import remote
from ...syscalls.api import Sys
from ...syscalls.gate import Gate
from ...syscalls.loader import arguments, load
from ...syscalls.rights import narrow
from .channel import Channel
from .registry import AppInfo, Registry


class LocalPort:
    """Calls of an app that runs in this program."""

    def __init__(self, gate: Gate, process: Process) -> None:
        self._gate = gate
        self._process = process

    async def call(self, name: str, request: c.Request, on_text: Callable[[str], None] | None) -> c.Reply:
        """Straight to the gate."""
        return await self._gate.call(self._process, name, request, on_text)


def _local_body(gate: Gate, package: str) -> Body:
    async def run(process: Process) -> Any:
        app = load(package)
        result = await app.main(Sys(LocalPort(gate, process)), arguments(app, process.args))
        if result is not None and not isinstance(result, str) and not hasattr(result, "model_dump"):
            raise AppFailed(f"{process.app} returned a {type(result).__name__}", hint="return a model, text or None")
        return result

    return run


async def _until_ended(process: Process, channel: Channel) -> None:
    await process.ended.wait()
    channel.end()


class Launcher:
    """Starts apps of a registry on a machine."""

    def __init__(self, machine: Machine, registry: Registry) -> None:
        self.machine = machine
        self.registry = registry
        self.gate: Gate | None = None  # set once, by boot: gate and launcher need each other
        self._listening: set[asyncio.Task[None]] = set()

    def launch(
        self,
        name: str,
        args: Mapping[str, Any],
        *,
        owner: str,
        output: Output,
        parent: Process | None = None,
        stdin: str = "",
        handed: Mapping[str, Path] | None = None,
        rights: list[str] | None = None,
        priority: Priority | None = None,
        spawned: int | None = None,
        adapter: str | None = None,
        model: str = "",
    ) -> Process:
        """Start an app by name, with its own adapter and on the model that it asks for unless told which.

        ``output`` becomes the ``here`` of its channel, unless it is one.
        Raises `NotFound`, and `BadInput` for arguments that do not fit.
        """
        assert self.gate is not None
        info = self.registry.get(name)
        manifest = info.manifest
        asked = [r for r in manifest.rights if rights is None or r in rights]
        channel = output if isinstance(output, Channel) else Channel(output)
        with translated():
            process = self.machine.start(
                self._body(self.gate, info, dict(args)),
                app=name,
                owner=owner,
                rights=narrow(parent.rights, asked) if parent is not None else frozenset(asked),
                limits=manifest.limits,
                priority=priority if priority is not None else Priority[manifest.priority.upper()],
                output=channel,
                parent=parent,
                spawned=spawned,
                args=args,
                stdin=stdin,
                handed=handed,
                adapter=manifest.adapting if adapter is None else adapter,
                model=model or manifest.model,
            )
        if parent is None:
            self._listen(process, channel)
        return process

    def _listen(self, process: Process, channel: Channel) -> None:
        listening = asyncio.ensure_future(_until_ended(process, channel))
        self._listening.add(listening)
        listening.add_done_callback(self._listening.discard)

    def _body(self, gate: Gate, info: AppInfo, args: dict[str, Any]) -> Body:
        if info.isolated:
            return remote.body(gate, info.package, [str(p) for p in info.path])
        arguments(load(info.package), args)
        return _local_body(gate, info.package)

    async def spawn(
        self, parent: Process, name: str, args: dict[str, Any], rights: list[str] | None, spawned: int
    ) -> Process:
        """The system call ``process.spawn``: the child writes where its parent writes."""
        return self.launch(
            name, args, owner=parent.owner, output=parent.output, parent=parent, rights=rights,
            priority=parent.priority, spawned=spawned,
        )  # fmt: skip

    def replay(self, record: Record, life: Life, adapter: str, gate: Gate, output: Output) -> Process:
        """Run the app of a finished process again, at a gate of its own; raises as `launch` does."""
        info = self.registry.get(record.app)
        limits = replace(Limits(**life.limits), tokens=None, seconds=None, children=None)  # what clock and cache decide
        with translated():
            return self.machine.start(
                self._body(gate, info, record.args), app=record.app, owner=record.owner, args=record.args,
                rights=frozenset(life.rights), limits=limits, priority=Priority.BATCH, output=output,
                adapter=adapter, replays=record.pid, model=life.model,
            )  # fmt: skip

    def revive(self, record: Record, output: Output) -> Process | None:
        """Let a process of an earlier llmos go on; None for one that cannot, and it has ended."""
        assert self.gate is not None
        try:
            with translated():
                info = self.registry.get(record.app)
                channel = output if isinstance(output, Channel) else Channel(output)
                process = revive(self.machine, record, self._body(self.gate, info, record.args), channel)
        except OSFault as fault:
            give_up(self.machine, record, fault)
            return None
        if record.parent is None:
            self._listen(process, channel)
        return process
