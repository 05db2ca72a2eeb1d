"""How things look on a terminal, and how plain they are elsewhere."""

import json
import sys
import time
from collections.abc import Iterable, Mapping
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from .sizes import shown_size

# C0, C1, and the marks by which a text turns the direction of what stands around it.
_STEERING = (*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = {code: None for code in _STEERING if chr(code) not in "\n\t"}
_UNBOUNDED = 100_000  # columns where nobody looks: what reads it wants its lines whole

_STATES = {"running": "green", "ready": "green", "waiting": "cyan", "stopped": "yellow", "done": "dim", "lost": "red"}
_COLUMNS = ("pid", "app", "core", "owner", "state", "in", "out", "first", "time", "pages", "faults")
_WORDS = {"app", "core", "owner", "state"}  # columns whose cells begin at the left
_SPARED = ("faults", "pages", "first", "in", "out", "owner", "core", "time")  # the first goes where there is no room
_LEAST_APP = 4  # cells of an app's name
_LEAST_ERROR = 8  # cells of an error; in less it says nothing
_GAP = 2  # cells between two columns


def clean(text: str) -> str:
    """Text without control characters: what a model or a file says must not steer the terminal."""
    return text.translate(_CONTROLS)


def one_line(text: str) -> str:
    """`clean` text without line breaks, where a second line could pass for one of ours."""
    return " ".join(clean(text).split())


class _Screen(Console):
    """A console that leaves it to the program what happens when its reader has gone."""

    def on_broken_pipe(self) -> None:
        """Rich itself would leave with exit code 1."""
        raise BrokenPipeError


def out() -> Console:
    """Standard output. Nothing is broken or cut when it is no terminal: what reads it wants its lines whole."""
    if sys.stdout.isatty():
        return _Screen(highlight=False)
    return _Screen(soft_wrap=True, width=_UNBOUNDED, highlight=False)


def err() -> Console:
    """Standard error."""
    return _Screen(stderr=True, highlight=False)


def print_json(value: Any, file: IO[str] | None = None) -> None:
    """One line of JSON; letters that the stream's encoding lacks are escaped."""
    target = file or sys.stdout
    line = json.dumps(value, ensure_ascii=False, default=str)
    try:
        line.encode(getattr(target, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        line = json.dumps(value, default=str)
    print(line, file=target, flush=True)


def seconds(value: float | None) -> str:
    """A duration for a human."""
    if value is None:
        return "-"
    if value < 100:
        return f"{value:.2f}s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


class ProcessTable:
    """Rows of `ps`. Cells are never cut but an error, which stands last and gets what room there is.

    The core stands there where there is more than one. Where even so the width does not do, whole columns are left
    out, and at the very last an app's name is cut.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]], title: str = "") -> None:
        self._title = title
        self._rows = [_cells(row) for row in rows]
        several = len({row["core"].plain for row in self._rows} - {""}) > 1
        self._columns = [name for name in _COLUMNS if name != "core" or several]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._fitting(options.max_width)

    def _fitting(self, width: int) -> Table:
        wide = {name: max([len(name), *(row[name].cell_len for row in self._rows)]) for name in self._columns}
        shown = [name for name in self._columns if name not in self._left_out(wide, width)]
        over = _taken(wide, shown) - width
        if over > 0:
            wide["app"] = max(_LEAST_APP, wide["app"] - over)
        table = Table(title=self._title or None, box=None, pad_edge=False, header_style="bold", title_justify="left")
        for name in shown:
            table.add_column(
                name, justify="left" if name in _WORDS else "right", no_wrap=True, width=wide[name], overflow="ellipsis"
            )
        errors = max((row["error"].cell_len for row in self._rows), default=0)
        room = min(errors, width - _taken(wide, shown) - _GAP)
        if room >= min(errors, _LEAST_ERROR) > 0:
            table.add_column("", no_wrap=True, width=room, overflow="ellipsis")
            shown.append("error")
        for row in self._rows:
            table.add_row(*(row[name] for name in shown))
        return table

    def _left_out(self, wide: Mapping[str, int], width: int) -> set[str]:
        gone: set[str] = set()
        for name in _SPARED:
            if _taken(wide, [name for name in self._columns if name not in gone]) <= width:
                break
            gone.add(name)
        return gone


def meters_line(meters: Mapping[str, Any]) -> Text:
    """What `Cores.meters` gives, in one line."""
    if not meters:
        return Text("no model in this program", style="dim")
    here, there = shown_size(meters["states_memory_bytes"]), shown_size(meters["states_file_bytes"])
    parts = (
        f"{meters['streams_in_use']} of {meters['streams']} streams",
        f"{meters['tokens_saved']:,} of {meters['tokens_asked']:,} prompt tokens found ({meters['hit_rate']:.0%})",
        f"{meters['swaps']:,} swaps",
        f"states: {here} in memory, {there} in files",
    )
    return Text(" · ".join(parts), style="dim", no_wrap=True, overflow="ellipsis")


def process_table(rows: Iterable[Mapping[str, Any]], *, title: str = "") -> ProcessTable:
    """The process table, as `llmos ps` shows it."""
    return ProcessTable(rows, title)


def _taken(wide: Mapping[str, int], names: list[str]) -> int:
    return sum(wide[name] for name in names) + _GAP * (len(names) - 1)


def _cells(row: Mapping[str, Any]) -> dict[str, Text]:
    state = str(row["state"])
    if state == "done" and row["exit_code"]:
        state = f"exit {row['exit_code']}"
    took = row["seconds"]
    if took is None and row.get("started"):
        took = (row.get("finished") or time.time()) - row["started"]
    values = {
        "pid": row["pid"], "app": row["app"], "owner": row["owner"], "state": state,
        "core": row.get("core") or "", "in": row["tokens_in"],
        "out": row["tokens_out"], "first": seconds(row["first_token_s"]), "time": seconds(took),
        "pages": row["pages"], "faults": row["faults"], "error": row["error"] or "",
    }  # fmt: skip
    texts = {name: Text(one_line(str(value))) for name, value in values.items()}
    texts["state"].stylize(_STATES.get(state, "red"))
    texts["error"].stylize("red")
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
