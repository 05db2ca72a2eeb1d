"""How things look on a terminal, and how plain they are elsewhere."""

import json
import sys
import time
from collections.abc import Iterable, Mapping
from typing import IO, Any

from rich.console import Console
from rich.errors import MarkupError
from rich.table import Table
from rich.text import Text

_CONTROLS = {code: None for code in [*range(32), *range(127, 160)] if chr(code) not in "\n\t"}
_STATES = {"running": "green", "ready": "green", "waiting": "cyan", "stopped": "yellow", "done": "dim", "lost": "red"}


def clean(text: str) -> str:
    """Text without control characters: what a model or a file says must not steer the terminal."""
    return text.translate(_CONTROLS)


def out() -> Console:
    """Standard output. Lines are not broken when it is no terminal: what reads it wants them whole."""
    return Console(soft_wrap=not sys.stdout.isatty(), highlight=False)


def err() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False)


def marked(text: str, *, plain: bool) -> Text:
    """An app's shown result; taken for rich markup only where it closes a tag, so that no [word] gets lost."""
    text = clean(text)
    if plain or "[/" not in text:
        return Text(text)
    try:
        return Text.from_markup(text)
    except MarkupError:
        return Text(text)


def print_json(value: Any, file: IO[str] | None = None) -> None:
    """One line of JSON."""
    print(json.dumps(value, ensure_ascii=False, default=str), file=file or sys.stdout, flush=True)


def seconds(value: float | None) -> str:
    """A duration for a human."""
    if value is None:
        return "-"
    if value < 100:
        return f"{value:.2f}s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def process_table(rows: Iterable[Mapping[str, Any]], *, title: str = "") -> Table:
    """The process table, as `llmos ps` shows it."""
    table = Table(title=title or None, box=None, pad_edge=False, header_style="bold")
    for name, right in (
        ("pid", True), ("app", False), ("owner", False), ("state", False), ("in", True), ("out", True),
        ("first", True), ("time", True), ("pages", True), ("faults", True), ("", False),
    ):  # fmt: skip
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: Mapping[str, Any]) -> list[Text]:
    state = str(row["state"])
    if state == "done" and row["exit_code"]:
        state = f"exit {row['exit_code']}"
    took = row["seconds"]
    if took is None and row.get("started"):
        took = (row.get("finished") or time.time()) - row["started"]
    cells = [
        row["pid"], row["app"], row["owner"], state, row["tokens_in"], row["tokens_out"],
        seconds(row["first_token_s"]), seconds(took), row["pages"], row["faults"], row["error"] or "",
    ]  # fmt: skip
    texts = [Text(clean(str(cell))) for cell in cells]
    texts[3].stylize(_STATES.get(state, "red"))
    texts[-1].stylize("red")
    return texts


def rows_table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    """A plain table; the last column may break its lines."""
    names = list(columns)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(names):
        table.add_column(name, no_wrap=place + 1 < len(names), overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(clean(str(cell))) for cell in row))
    return table
