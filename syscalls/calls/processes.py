"""Processes: spawn, wait, signals, messages."""

from typing import Any, Literal

from pydantic import Field

from .base import Reply, Request


class Spawn(Request):
    """Start an app as a child of this process."""

    app: str
    args: dict[str, Any] = Field({}, description="arguments by name")
    rights: list[str] | None = Field(None, description="fewer rights than the app's manifest asks for")


class Spawned(Reply):
    """The child's pid."""

    pid: int


class Wait(Request):
    """Wait for a child (or any child, when no pid is named) to end."""

    pid: int | None = None


class Ended(Reply):
    """How a process ended."""

    pid: int
    exit_code: int
    result: Any = None
    error: dict[str, Any] | None = None


class Kill(Request):
    """Send a signal to a process of one's own tree."""

    pid: int
    signal: Literal["INT", "TERM", "KILL", "STOP", "CONT"] = "TERM"


class Send(Request):
    """Put a message into the mailbox of another process of the same owner."""

    pid: int
    message: Any


class Receive(Request):
    """Take the oldest message out of one's own mailbox; waits for one."""


class Mail(Reply):
    """A message and who sent it."""

    sender: int
    message: Any


class Info(Request):
    """Who am I?"""


class ProcessInfo(Reply):
    """The process as it sees itself."""

    pid: int
    parent: int | None
    owner: str
    app: str
    rights: list[str]
    limits: dict[str, float | int | None]
    model: str


class Save(Request):
    """Hand over the state to come back from, instead of from the beginning."""

    state: Any = Field(description="plain JSON values")


class Load(Request):
    """The state that was handed over last; the first call of an app that saves its state."""


class Loaded(Reply):
    """What was saved."""

    state: Any = Field(None, description="null when nothing was saved")
