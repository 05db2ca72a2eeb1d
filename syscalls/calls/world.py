"""The world outside: sandbox, human, clock, output and input, and the instruction cycle."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from .base import Reply, Request


class Execute(Request):
    """Run a program in the sandbox."""

    argv: list[str] = Field(min_length=1)
    files: dict[str, str] = Field({}, description="name in the sandbox: text")
    stdin: str = ""
    seconds: float = Field(5.0, gt=0, le=600)
    memory: int = Field(256 * 2**20, ge=16 * 2**20, description="bytes")


class Executed(Reply):
    """How the program ended; a program that fails is a reply, not an error."""

    exit_code: int | None
    stdout: str
    stderr: str
    truncated: bool
    killed_by: str | None
    seconds: float
    files: dict[str, str] = Field(description="text files it wrote")


class Ask(Request):
    """Ask the human at the terminal; ``choices`` makes it a question with fixed answers."""

    question: str = Field(min_length=1)
    choices: list[str] = Field([], description="the answers it may have; none: any")


class Answered(Reply):
    """What the human said."""

    answer: str


class Now(Request):
    """What time is it?"""


class Time(Reply):
    """Seconds since the epoch, UTC."""

    seconds: float


class Sleep(Request):
    """Wait."""

    seconds: float = Field(ge=0, le=86_400)


class Random(Request):
    """A number that nobody can foresee: as a process comes back, it gets the same one again."""


class Drawn(Reply):
    """A number, at least 0 and below 1."""

    value: float


class Print(Request):
    """Write text to the process's output (a terminal, a pipe, a log)."""

    text: str


class Input(Request):
    """Read all that was piped into the process."""


class InputText(Reply):
    """The text; empty when nothing was piped in."""

    text: str


class Progress(Request):
    """Tell how far the work is."""

    done: float = Field(ge=0)
    total: float = Field(gt=0)
    what: str = ""


class Step(BaseModel):
    """One step of the instruction cycle."""

    call: str
    args: dict[str, Any]
    ok: bool
    result: Any


class Run(Request):
    """Let the model choose system calls, step by step, until it answers."""

    goal: str = Field(min_length=1)
    calls: list[str] = Field([], description="only these of the calls this process may make; none: all that fit")
    max_steps: int = Field(8, ge=1, le=100)
    show: bool = False


class Ran(Reply):
    """The answer and the way to it."""

    answer: str
    finish: Literal["answer", "steps", "repeat", "window"] = Field(
        description="an answer; or no step, nothing new, or no room in the window was left"
    )
    steps: list[Step]
