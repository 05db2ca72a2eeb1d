"""What every core can do, whether its engine is in this program or its model behind a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ...models.engine import Sampling
from ...models.shape import Shape
from ..adapters import Adapter
from ..prompts import Messages
from ..sequence import Written

if TYPE_CHECKING:
    from ..process import Process

Kind = Literal["local", "remote"]

REMOTE = "remote"
"""The way of a remote core: none of ours."""


@dataclass(frozen=True)
class Prompt:
    """What the model is shown: messages and the given beginning of its answer, or one text as it is."""

    messages: Messages
    begin: str
    size: int  # tokens; on a remote core an estimate
    tokens: list[int] = field(default_factory=list)  # of a local core


@dataclass(frozen=True)
class Writing:
    """How an answer is to be written; see `syscalls.calls.Generate`."""

    most: int
    sampling: Sampling
    shape: Shape = field(default_factory=Shape)
    stops: Sequence[str] = ()
    on_text: Callable[[str], None] | None = None
    ignore_end: bool = False
    top: int | None = None


@dataclass(frozen=True)
class Judged:
    """The likeliest option, and each one's score as a natural logarithm: empty where a core tells the winner alone."""

    best: int
    scores: list[float]


class Core(Protocol):
    """One model that computes. Owned by the event loop's thread."""

    name: str  # of its own among the cores of a machine
    model: str  # what it runs: cores of the same model and kind may stand in for one another
    asked_as: str  # what a process asks for that comes back, on this core or one like it
    kind: Kind
    window: int  # tokens of a prompt and its answer
    streams: int  # answers under way at a time
    way: str

    @property
    def admits(self) -> bool:
        """Whether it takes work now."""

    @property
    def state(self) -> str:
        """How it stands, in a few words."""

    @property
    def busy(self) -> int:
        """Pieces of work under way and waiting."""

    def prompt(self, messages: Messages, begin: str = "") -> Prompt:
        """Make a prompt of messages."""

    def raw(self, text: str) -> Prompt:
        """A text to go on from; raises `Refused` where the model takes messages alone."""

    def measure(self, messages: Messages) -> int:
        """Tokens of a prompt of these messages: exact on a local core, else an estimate."""

    def count(self, text: str) -> int:
        """Tokens of a text by itself, as `measure`."""

    def piece(self, token: int) -> bytes:
        """The bytes of a token; a remote core has no tokens."""

    def adapter(self, name: str) -> Adapter:
        """An adapter of its model as a process names it; raises as `adapters.named`."""

    def conditions(self, adapter: str) -> dict[str, Any]:
        """All that decides on a process's tokens besides the process itself, in plain values."""

    async def counted(self, texts: Sequence[str]) -> list[int]:
        """As `count`, by the server's own tokenizer where it has one; off the event loop."""

    def cached(self, process: Process, prompt: Prompt) -> int:
        """Tokens of the prompt that it need not compute."""

    async def write(self, process: Process, prompt: Prompt, how: Writing) -> Written:
        """An answer. Raises `LimitExceeded`, `Unavailable`, and faults of models."""

    async def choose(self, process: Process, prompt: Prompt, options: Sequence[str], *, normalise: bool) -> Judged:
        """Which option is the likeliest to follow; ``normalise``: by the mean of its tokens, not the sum."""

    async def gone(self, process: Process) -> None:
        """Wait until nothing of a process is left here."""

    def wake(self) -> None:
        """A process may compute again."""

    def idle(self) -> bool:
        """Whether it has no work."""

    async def close(self) -> None:
        """Fail what is left, and free what it holds."""
