"""All cores of a machine, the default first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ..errors import Unavailable
from .core import Core, Prompt
from .local import LocalCore
from .placement import View, best, place

if TYPE_CHECKING:
    from ..process import Process

Living = Callable[[], "Sequence[Process]"]
"""Gives the processes that live."""


class Cores:
    """By name. Owned by the event loop's thread."""

    def __init__(self, cores: Sequence[Core], thread: ThreadPoolExecutor | None = None) -> None:
        """At least one; ``thread`` is the one that the local cores share, and ends with them."""
        assert cores
        self._cores = {core.name: core for core in cores}
        assert len(self._cores) == len(cores), "names of cores must differ"
        self._thread = thread

    def __iter__(self) -> Iterator[Core]:
        return iter(self._cores.values())

    def __len__(self) -> int:
        return len(self._cores)

    def __getitem__(self, name: str) -> Core:
        return self._cores[name]

    @property
    def default(self) -> Core:
        """Where a process computes that asks for nothing else."""
        return next(iter(self))

    @property
    def locals(self) -> list[LocalCore]:
        """Those in this program."""
        return [core for core in self if isinstance(core, LocalCore)]

    @property
    def local(self) -> LocalCore:
        """The first one in this program; raises `Unavailable` where all are remote."""
        for core in self.locals:
            return core
        raise Unavailable("no model is loaded in this program", hint="llmos --model names one beside the remote ones")

    def has(self, wanted: str) -> bool:
        """Whether `place` finds one."""
        return not wanted or any(wanted in (core.name, core.asked_as, core.model) for core in self)

    def place(self, wanted: str, living: Living) -> Core:
        """For a new process; see `placement.place`."""
        return self[place(wanted, [self._view(core, living) for core in self])]

    def settle(self, process: Process, prompt: Prompt, living: Living) -> Core:
        """Where a process computes its next prompt: where it is, unless another core of the same model does better.

        That is so before its first token is computed, and while its own core takes no work.
        """
        core = process.core
        able = [one for one in self if self._stands_in(one, core)]
        if able and not (core.admits and process.usage.computed):
            process.core = self[best([self._view(one, living, one.cached(process, prompt)) for one in [core, *able]])]
        return process.core

    @staticmethod
    def _stands_in(other: Core, core: Core) -> bool:
        same = (other.model, other.kind) == (core.model, core.kind)
        return same and other is not core and other.window >= core.window

    def _view(self, core: Core, living: Living, cached: int = 0) -> View:
        processes = sum(process.core is core for process in living()) if len(self) > 1 else 0
        return View(core.name, core.model, core.kind, core.admits, core.streams, core.busy, processes, cached)

    def rows(self, living: Living) -> list[dict[str, Any]]:
        """Each core in plain values."""
        return [
            {
                "name": core.name, "model": core.model, "kind": core.kind, "window": core.window,
                "streams": core.streams, "way": core.way, "state": core.state, "busy": core.busy,
                "processes": sum(process.core is core for process in living()),
            }
            for core in self
        ]  # fmt: skip

    def meters(self) -> dict[str, float]:
        """What `Scheduler.meters` gives, of all cores in this program together; nothing where there is none."""
        total: dict[str, float] = {}
        for core in self.locals:
            for name, value in core.scheduler.meters().items():
                total[name] = total.get(name, 0) + value
        if total.get("tokens_asked"):
            total["hit_rate"] = round(total["tokens_saved"] / total["tokens_asked"], 4)
        return total

    def idle(self) -> bool:
        """Whether none has work."""
        return all(core.idle() for core in self)

    async def close(self) -> None:
        """Close all, one after the other."""
        for core in self:
            await core.close()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.shutdown)
