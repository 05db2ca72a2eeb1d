"""Context: the pages of the caller's window."""

from typing import Literal

from .base import Label, Reply, Request, Role


class Add(Request):
    """Put a page into the process's context."""

    text: str
    role: Role = "user"
    kind: Literal["system", "pinned", "dialogue", "tool", "recalled", "summary"] = "dialogue"
    label: Label = "trusted"


class PageView(Reply):
    """One page of a context."""

    handle: str
    role: Role
    kind: str
    tokens: int
    resident: bool
    label: Label
    first_words: str


class Fetch(Request):
    """Bring a page back into the window (a fault, if it was out)."""

    handle: str


class Drop(Request):
    """Remove a page for good."""

    handle: str


class Look(Request):
    """Look at the process's own context."""


class ContextView(Reply):
    """The window and what is in it."""

    window: int
    used: int
    pages: list[PageView]
    faults: int
    evictions: int
