"""How memory looks on a terminal."""

import json
import os
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .display import clean, one_line, rows_table
from .sizes import shown_size

Row = dict[str, Any]
_SHOWN = 5  # files of one kind of trouble that are named
_WIDEST = 300  # characters of a passage, and of a name
_WORD = re.compile(r"\w+")


def summary_text(told: Row) -> Group:
    """What was added, then what was not and why."""
    counts = (("added", "new"), ("changed", "changed"), ("unchanged", "unchanged"))
    files = ", ".join(f"{told[name]:,} {said}" for name, said in counts if told[name]) or "no"
    lines = [Text(f"{files} files, {told['passages']:,} passages in {told['seconds']:.1f} s")]
    lines += _troubles([s for s in told["skipped"] if s["failed"]], "red")
    lines += _troubles([s for s in told["skipped"] if not s["failed"]], "dim")
    if told["hidden"]:
        lines.append(Text(f"left out: {told['hidden']:,} hidden", style="dim"))
    for note, names in _by_note(told["notes"]).items():
        lines += _named(f"{note}: ", names, "yellow")
    if told["vanished"]:
        hint = "forgotten" if told["forgotten"] else "still remembered (--prune forgets them)"
        lines += _named(f"{len(told['vanished']):,} gone from the disk, {hint}: ", told["vanished"], "yellow")
    return Group(*lines)


def _by_note(notes: dict[str, list[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name, said in notes.items():
        for note in said:
            found[note].append(name)
    return found


def _troubles(skipped: Sequence[Row], style: str) -> list[Text]:
    """One line for each reason, with the files that it holds for."""
    by_reason: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in skipped:
        by_reason[one["why"], one["hint"]].append(one["name"])
    lines = []
    for (why, hint), names in by_reason.items():
        lines += _named(f"left out: {why}{f' ({hint})' if hint else ''}: ", names, style)
    return lines


def _named(what: str, names: Sequence[str], style: str) -> list[Text]:
    shown = ", ".join(short(name) for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return [Text(one_line(what + " ").rstrip() + " " + shown + more, style=style)]


def short(name: str) -> str:
    """A path as seen from here; of a very long one the end."""
    here = os.getcwd() + "/"
    name = one_line(name.removeprefix(here))
    return name if len(name) <= _WIDEST else "…" + name[-_WIDEST:]


def hits_text(hits: Sequence[Row], query: str) -> Group:
    """Each passage with its title, its beginning, and where it is from and why it was found."""
    words = {word.lower() for word in _WORD.findall(query)}
    parts: list[RenderableType] = []
    for place, hit in enumerate(hits, 1):
        head = Text(f"{place:2}. ", style="bold")
        head.append(one_line(hit["title"]) or "untitled", style="bold")
        parts += [head, _indented(_excerpt(hit["text"], words)), _indented(Text(_where_from(hit), style="cyan"))]
        parts.append(_indented(Text(f"{_why(hit)}; {hit['handle']}", style="dim")))
    return Group(*parts)


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 4), expand=False)


def _excerpt(text: str, words: set[str]) -> Text:
    """The part of a passage around the first of the words, these in bold."""
    text = one_line(text)
    first = next((found.start() for found in _WORD.finditer(text) if found.group().lower() in words), 0)
    start = max(0, min(first - _WIDEST // 3, len(text) - _WIDEST))
    start = text.rfind(" ", 0, start) + 1 if start else 0
    cut = text[start : start + _WIDEST]
    shown = Text(("… " if start else "") + cut + (" …" if start + _WIDEST < len(text) else ""))
    for found in _WORD.finditer(shown.plain):
        if found.group().lower() in words:
            shown.stylize("bold", found.start(), found.end())
    return shown


def _where_from(hit: Row) -> str:
    where = [f"{name} {hit['meta'][name]}" for name in ("page", "line", "record") if name in hit["meta"]]
    also = [short(name) for name in hit["also_in"]]
    more = f"; also in {', '.join(also[:_SHOWN])}{' …' if len(also) > _SHOWN else ''}" if also else ""
    tags = f"; {', '.join(map(one_line, hit['tags']))}" if hit["tags"] else ""
    return ", ".join([short(hit["source"]) or "not from a file", *where]) + more + tags


def _why(hit: Row) -> str:
    why = hit["why"]
    words = f", holds {', '.join(why['words'])}" if why["words"] else ""
    ranks = [f"{kind} no. {why[name]}" for kind, name in (("words", "keyword"), ("meaning", "vector")) if why[name]]
    return f"score {hit['score']:.2f}: {', '.join(ranks)}, similarity {why['similarity']:.2f}{words}"


def sources_table(rows: Sequence[Row]) -> Table:
    """One line a file."""
    several = len({row["collection"] for row in rows}) > 1
    cells = [
        (
            *([row["collection"]] if several else []), row["kind"], f"{row['passages']:,}", shown_size(row["size"]),
            age(row["added"]) if row["reading"] else "unfinished", ", ".join(tags_of(row)), short(row["name"]),
        )
        for row in rows
    ]  # fmt: skip
    names = ("kind", "passages", "size", "read", "tags", "file")
    return rows_table((("collection",) if several else ()) + names, cells)


def tags_of(row: Row) -> list[str]:
    """The tags of a file."""
    return [str(tag) for tag in json.loads(row["tags"])]


def stats_table(told: Row) -> Group:
    """One line a collection, then what all of it takes."""
    rows = [
        (
            r["owner"],
            r["app"],
            r["collection"],
            f"{r['passages']:,}",
            f"{r['words']:,}",
            r["sources"] or "",
            shown_size(r["bytes"]),
        )
        for r in told["collections"]
    ]
    vectors = ", ".join(f"{count:,} by {clean(name)}" for name, count in told["vectors"].items()) or "none"
    room = f"{shown_size(told['database'])} in the store, {shown_size(told['index'])} in the index"
    table = rows_table(("owner", "app", "collection", "passages", "words", "files", "size"), rows)
    lines = [Text(f"vectors: {vectors}; {room}", style="dim")]
    if work := told["under_way"]:
        lines.append(Text(one_line(f"under way: {work['what']}, {work['done']:,} of {work['total']:,}"), style="dim"))
    return Group(table, *lines)


def age(then: float) -> str:
    """How long ago a time was (seconds since the epoch), in the largest unit."""
    passed = max(0.0, time.time() - then)
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed >= seconds:
            return f"{passed // seconds:.0f} {unit} ago"
    return "just now"
