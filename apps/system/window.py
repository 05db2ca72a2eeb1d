"""`llmos log PID --context`: the window of a living process, as plain values and drawn."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from ...kernel.errors import BadInput
from ...kernel.process import Process
from ...memory.pages import Page
from .display import clean, one_line, rows_table

WIDE = 72  # cells of the bar at most
SHOWN = 160  # characters of a page on its line
OUT = 20  # pages that are out of sight, with a line each
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
        away = [page for page in pages if not page["resident"]]
        rows = [
            *self._front(),
            *([("", "", "stubs", view["stub_tokens"], _first(view["stubs"]))] * bool(view["stubs"])),
        ]
        yield rows_table(("page", "role", "kind", "tokens", ""), [*rows, *self._rest()])
        if away:
            shown = away[-OUT:]
            yield Text(f"\n{view['out']} out of sight" + (f", the last {len(shown)}:" if view["out"] > OUT else ":"))
            yield rows_table(("page", "role", "kind", "tokens", ""), [_row(page) for page in shown])

    def _front(self) -> Iterator[tuple[Any, ...]]:
        yield from (_row(page) for page in self._view["pages"] if page["resident"] and _pinned(page))

    def _rest(self) -> Iterator[tuple[Any, ...]]:
        yield from (_row(page) for page in self._view["pages"] if page["resident"] and not _pinned(page))

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


def _row(page: Mapping[str, Any]) -> tuple[Any, ...]:
    part = "  of " + page["part_of"] if page["part_of"] else ""
    return page["handle"] + part, page["role"], _kind(page), page["tokens"], _first(page["text"])


def _kind(page: Mapping[str, Any]) -> str:
    return "recalled" if page["recalled"] else str(page["kind"])


def _pinned(page: Mapping[str, Any]) -> bool:
    return page["kind"] in ("system", "pinned")


def _first(text: str) -> Text:
    text = one_line(text)
    return Text(clean(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"))
