"""The manual of system calls, written from the table: `python -m llmos.syscalls.manual > docs/syscalls.md`."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel

from ..kernel import errors
from .rights import RIGHTS
from .table import TABLE, Entry

HEAD = """# System calls

Written from the table in `syscalls/table.py` by `make docs`; do not edit.

An app makes them through `Sys` (`syscalls/api.py`). Every call is async, takes an optional `timeout` in seconds, and
ends in its reply or in one of the errors below. Times are in seconds, sizes in bytes or tokens as named.
"""


def manual() -> str:
    """The whole page, as Markdown."""
    parts = [HEAD, _overview(), *(_call(name, entry) for name, entry in TABLE.items()), _rights(), _errors()]
    return "\n".join(parts).rstrip() + "\n"


def _overview() -> str:
    lines = ["| call | needs | offered to the model in `run` | what it does |", "|---|---|---|---|"]
    for name, entry in TABLE.items():
        right = f"`{entry.needs}`" if entry.needs else "nothing"
        link = f"[`{name}`](#{name.replace('.', '')})"
        lines.append(f"| {link} | {right} | {'yes' if entry.spelled else ''} | {_first(entry.request)} |")
    return "\n".join(lines) + "\n"


def _call(name: str, entry: Entry) -> str:
    handler = inspect.getdoc(entry.handler) or ""
    reply = f"**Reply** `{entry.reply.__name__}`: {_first(entry.reply)}"
    lines = [
        f"## {name}",
        "",
        _doc(entry.request),
        "",
        f"*How:* {handler}",
        "",
        *_fields(entry.request),
        reply,
        "",
        *_fields(entry.reply),
    ]
    return "\n".join(lines)


def _fields(model: type[BaseModel]) -> list[str]:
    rows = [
        f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {field.description or ''} |"
        for name, field in model.model_fields.items()
        if name != "timeout"
    ]
    return ["| field | type | default | meaning |", "|---|---|---|---|", *rows, ""] if rows else []


def _type(annotation: Any) -> str:
    text = (
        annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else str(annotation)
    )
    return "`" + text.replace("typing.", "").replace("llmos.syscalls.calls.", "").replace("|", "\\|") + "`"


def _default(field: Any) -> str:
    return "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"


def _first(thing: Any) -> str:
    return " ".join(_doc(thing).split("\n\n")[0].split())


def _doc(thing: Any) -> str:
    return inspect.getdoc(thing) or ""


def _rights() -> str:
    rows = [f"| `{right}` | {meaning} |" for right, meaning in RIGHTS.items()]
    rows.append("| `tool:call:NAME` | call the tool of that name |")
    return "\n".join(["## Rights", "", "| right | allows an app to |", "|---|---|", *rows, ""])


def _errors() -> str:
    rows = [
        f"| `{kind.__name__}` | `{code}` | {kind.exit_code} | {_first(kind)} |" for code, kind in errors.BY_CODE.items()
    ]
    return "\n".join(["## Errors", "", "| error | code | exit code | meaning |", "|---|---|---|---|", *rows, ""])


if __name__ == "__main__":
    print(manual(), end="")
