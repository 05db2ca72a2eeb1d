"""`llmos log PID --context`: the window of a living process, as plain values and drawn."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from ...kernel.errors import BadInput
from ...kernel.process import Process
from ...memory.pages import Page
from .display import one_line, rows_table

WIDE = 72  # cells of the bar at most
SHOWN = 160  # characters of a page on its line at most
LEAST = 20  # and at least, where the place is narrow
OUT = 10  # pages that are out of sight, with a line each
_BESIDE = 42  # cells that the other columns take
_LOOKS = {  # of each kind of tokens in the bar: a sign that differs without colours too
    "system": ("█", "magenta"), "pinned": ("▓", "yellow"), "stubs": ("┄", "dim"), "summary": ("▚", "cyan"),
    "dialogue": ("▒", "green"), "tool": ("░", "blue"), "recalled": ("▞", "red"), "template": ("▏", "dim"),
    "free": ("·", "dim"),
}  # fmt: skip


def context(process: Process) -> dict[str, Any]:
    """The window of a living process in plain values, pages in their order. Raises `BadInput` for an ended one."""
    if not process.alive:
        raise BadInput(f"process {process.pid} has ended", hint="only living processes have pages")
    view = process.context.view()
    return {
        "window": view.window, "used": view.used, "policy": view.policy, "low": view.low, "out": view.out,
        "faults": view.faults, "evictions": view.evictions, "stubs": view.stubs, "stub_tokens": view.stub_tokens,
        "pages": [_plain(page) for page in view.pages],
    }  # fmt: skip


def _plain(page: Page) -> dict[str, Any]:
    return {
        "handle": page.handle, "role": page.role, "kind": page.kind.value, "label": page.label,
        "importance": page.importance, "part_of": page.part_of, "covers": list(page.covers),
        "tokens": page.tokens, "resident": page.resident, "recalled": page.recalled,
        "text": page.text or page.opening,
    }  # fmt: skip


class Window:
    """A view as `context` gives it: what it is filled with, its pages in order, and what is out of sight."""

    def __init__(self, view: Mapping[str, Any]) -> None:
        self._view = view

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As wide as the place allows."""
        view, pages = self._view, self._view["pages"]
        yield Text(
            f"{view['used']} of {view['window']} tokens, policy {view['policy']}, {view['faults']} faults,"
            f" {view['evictions']} evictions, {view['out']} out", style="dim",
        )  # fmt: skip
        shares = self._shares()
        yield _bar(shares, view["window"], min(WIDE, options.max_width))
        yield Text("  ").join(
            Text.assemble((_LOOKS[kind][0], _LOOKS[kind][1]), f" {kind} {tokens}") for kind, tokens in shares.items()
        )
        yield Text()
        room = max(LEAST, min(SHOWN, options.max_width - _BESIDE))
        front = [page for page in pages if page["resident"] and page["kind"] in ("system", "pinned")]
        rest = [page for page in pages if page["resident"] and page not in front]
        stubs = [("", "", "stubs", view["stub_tokens"], _first(view["stubs"], room))] if view["stubs"] else []
        yield _table([*_rows(front, room), *stubs, *_rows(rest, room)])
        if away := [page for page in pages if not page["resident"]][-OUT:]:
            yield Text(f"\n{view['out']} out of sight" + (f", the last {OUT}:" if view["out"] > OUT else ":"))
            yield _table(_rows(away, room))

    def _shares(self) -> dict[str, int]:
        """Tokens by what they are, in the order of the window; what is nothing is left out."""
        found = dict.fromkeys(_LOOKS, 0)
        for page in self._view["pages"]:
            if page["resident"]:
                found[_kind(page)] += page["tokens"]
        found["stubs"] = self._view["stub_tokens"]
        found["template"] = max(0, self._view["used"] - sum(found.values()))
        found["free"] = self._view["window"] - self._view["used"]
        return {kind: tokens for kind, tokens in found.items() if tokens}


def _bar(shares: Mapping[str, int], window: int, width: int) -> Text:
    bar, done = Text(), 0
    for kind, tokens in shares.items():
        done += tokens
        bar.append(_LOOKS[kind][0] * (round(done * width / window) - len(bar)), _LOOKS[kind][1])
    return bar


def _table(rows: Iterable[tuple[Any, ...]]) -> Table:
    return rows_table(("page", "role", "kind", "tokens", ""), rows)


def _rows(pages: Iterable[Mapping[str, Any]], room: int) -> list[tuple[Any, ...]]:
    return [(p["handle"], p["role"], _kind(p), p["tokens"], _first(p["text"], room)) for p in pages]


def _kind(page: Mapping[str, Any]) -> str:
    return "recalled" if page["recalled"] else str(page["kind"])


def _first(text: str, room: int) -> Text:
    text = one_line(text)
    return Text(text if len(text) <= room else text[: room - 1] + "…")
