"""The notation of llama.cpp's grammars (GBNF): literals, and rules by name."""

from __future__ import annotations

import re

from .faults import BadGrammar

_MOST_RULES = 5000  # far beyond any sensible format; llama.cpp walks them for every token
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def literal(text: str) -> str:
    """An expression that matches just this text."""
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise BadGrammar(f"no model can write {text[:40]!r}", hint="leave NUL and lone surrogates out")
    return '"' + "".join(_ESCAPES.get(c, c if c >= " " and c != "\x7f" else f"\\x{ord(c):02X}") for c in text) + '"'


def repeated(item: str, least: int, most: int | None) -> str:
    """An expression for ``least`` to ``most`` of ``item`` (None: any number)."""
    if most is None:
        return f"{item}*" if least == 0 else f"{item}{{{least},}}"
    return f"{item}{{{least},{most}}}"


class Rules:
    """Rules of one grammar; equal bodies share a rule. ``root`` must be added at the end."""

    def __init__(self) -> None:
        self._bodies: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def add(self, name: str, body: str) -> str:
        """The name under which the body stands, ``name`` or one like it."""
        known = self._names.get(body)
        if known is not None:
            return known
        if len(self._bodies) >= _MOST_RULES:
            raise BadGrammar(f"the grammar has more than {_MOST_RULES} rules", hint="make the schema smaller")
        stem = re.sub(r"[^a-zA-Z0-9]+", "-", name).strip("-") or "x"
        free, count = stem, 2
        while free in self._bodies or free == "root":
            free, count = f"{stem}-{count}", count + 1
        self._bodies[free] = body
        self._names[body] = free
        return free

    def text(self, root: str) -> str:
        """The whole grammar; ``root`` is the body of its first rule."""
        lines = [f"root ::= {root}", *(f"{name} ::= {body}" for name, body in self._bodies.items())]
        return "\n".join(lines) + "\n"
