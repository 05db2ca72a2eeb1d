"""One line of the shell under way, and what a command of the shell is. Owned by the event loop's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from rich.console import RenderableType

from ...kernel.errors import Interrupted, OSFault, Terminated
from .output import AppOutput
from .pipeline import Pipeline
from .seat import Started


@dataclass(frozen=True)
class Ended:
    """What a command of the shell says that has an exit code of its own."""

    text: str
    code: int


Builtin = Callable[[Sequence[str], str], Awaitable[RenderableType | Ended]]
"""A command of the shell itself: its words without the name, and what was piped in."""


TALK = "?"
"""What stands for a command where a line is plain language."""


@dataclass(eq=False)
class Job:
    """One line under way. ``output`` holds what its last stage says."""

    pipeline: Pipeline
    output: AppOutput
    number: int | None = None
    processes: list[Started] = field(default_factory=list)  # of the stage that runs now
    task: asyncio.Task[int] | None = None
    front: asyncio.Event = field(default_factory=asyncio.Event)  # set while it is in the foreground
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    faults: list[OSFault] = field(default_factory=list)
    interrupts: int = 0
    asks: bool = False  # a question waits until it comes to the foreground
    came_back: bool = False  # its process was begun by an earlier llmos, and may go on after this one
    progress: str = ""  # how far its processes say they are

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return self.task is not None and self.task.done()

    @property
    def state(self) -> str:
        """As `jobs` shows it."""
        if self.done:
            return self.ending()
        if self.stopped.is_set():
            return "stopped"
        return f"asks you: fg {self.number}" if self.asks else "running"

    def ending(self) -> str:
        """How it ended, in a word or two."""
        assert self.task is not None
        code = self.task.result()
        signalled = [fault.message for fault in self.faults if isinstance(fault, Interrupted | Terminated)]
        return signalled[0] if signalled else f"exit {code}" if code else "done"

    def tell(self, share: float, what: str) -> None:
        """Told by its processes."""
        self.progress = f"{what} {share:.0%}".strip()
