"""Rights: which calls a process may make, and how they narrow from parent to child.

A right is ``family:action``; ``tool:call`` allows every tool, ``tool:call:NAME`` one of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..kernel.errors import BadInput, Denied
from ..kernel.process import Process
from . import calls as c

RIGHTS = {
    "model:use": "let the model write, choose and embed",
    "memory:read": "recall what was remembered",
    "memory:write": "remember and forget",
    "files:read": "read files in its own tree and what you hand in",
    "files:write": "write and delete files in its own tree",
    "process:spawn": "start other apps as its children",
    "process:signal": "send signals within its own tree of processes",
    "process:message": "exchange messages with your other processes",
    "tool:call": "call tools",
    "execute:run": "run programs in the sandbox",
    "human:ask": "ask you questions",
}


def check(rights: Iterable[str]) -> frozenset[str]:
    """The rights as a set; a right that does not exist is refused by name."""
    found = frozenset(rights)
    for right in sorted(found):
        if right not in RIGHTS and not (right.startswith("tool:call:") and right.count(":") == 2):
            raise BadInput(f"unknown right {right!r}", hint=f"rights are {', '.join(RIGHTS)}, tool:call:NAME")
    return found


def holds(rights: frozenset[str], need: str) -> bool:
    """Whether a need is covered; ``tool:call:NAME`` is covered by ``tool:call`` too."""
    return not need or need in rights or (need.startswith("tool:call:") and "tool:call" in rights)


def narrow(parent: frozenset[str], asked: Iterable[str]) -> frozenset[str]:
    """What a child gets: what it asks for and its parent holds."""
    return frozenset(r for r in asked if holds(parent, r))


def admit(process: Process, name: str, needs: str, request: c.Request) -> None:
    """Raise `Denied` when the process may not make this call."""
    if needs == "tool:call":
        one = isinstance(request, c.CallTool)
        if one and holds(process.rights, f"tool:call:{request.name}"):  # type: ignore[attr-defined]
            return
        if not one and any(r == needs or r.startswith("tool:call:") for r in process.rights):
            return
    elif holds(process.rights, needs):
        return
    raise Denied(
        f"{process.app} may not call {name}", hint=f"its manifest needs the right {needs}", right=needs, call=name
    )
