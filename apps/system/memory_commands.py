"""What the commands of `llmos memory` do: ask a service, show how far it is, then what came of it."""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.progress import TextColumn
from rich.text import Text

from ...kernel.errors import BadInput, NotFound, Storage
from .bars import bar
from .display import err, one_line, out, print_json
from .execute import size
from .handin import expanded
from .home import Home
from .memory_view import hits_text, short, sources_table, stats_table, summary_text, tags_of
from .stores import use

Row = dict[str, Any]
Whose = dict[str, str]
_WIDEST = 40  # cells of what the bar names
_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}  # seconds
_AGO = re.compile(r"(\d{1,6})([mhdw])")


def add_files(home: Home, whose: Whose, paths: Sequence[str], *, most: str, as_json: bool, **how: Any) -> int:
    """`llmos memory add`."""
    with _bar("looking for files") as on_step:
        told = use(
            home, "memory.add", on_step, paths=[_absolute(path) for path in paths], most=_size(most), **whose, **how
        )
    if as_json:
        print_json(told)
    else:
        out().print(summary_text(told))
    return BadInput.exit_code if any(skipped["failed"] for skipped in told["skipped"]) else 0


def find(
    home: Home, whose: Whose, query: str, *, source: str | None, since: str | None, until: str | None, as_json: bool,
    **how: Any,
) -> None:  # fmt: skip
    """`llmos memory search`."""
    times = {"since": _time("--since", since), "until": _time("--until", until)}
    path = None if source is None else _absolute(source)
    hits = use(home, "memory.search", query=query, source=path, **times, **whose, **how)
    if as_json:
        for hit in hits:
            print_json(hit)
    elif hits:
        out().print(hits_text(hits, query))
    else:
        err().print("nothing is found", style="dim")


def show_sources(home: Home, whose: Whose, collection: str | None, *, as_json: bool) -> None:
    """`llmos memory ls`."""
    rows = use(home, "memory.ls", collection=collection, **whose)
    if as_json:
        for row in rows:
            print_json({**row, "tags": tags_of(row)})
    elif rows:
        out().print(sources_table(rows))
    else:
        err().print("no files are remembered; llmos memory add PATH remembers some", style="dim")


def forget(home: Home, whose: Whose, what: Sequence[str], collection: str | None, *, as_json: bool) -> int:
    """`llmos memory forget`; 2 when one of the words names nothing."""
    if not what and collection is None:
        raise BadInput("nothing is named to be forgotten", hint="name files or handles, or give --collection alone")
    names = [_absolute(word) for word in what]
    with _bar("forgetting") as on_step:
        told = use(home, "memory.forget", on_step, names=names, handles=list(what), collection=collection, **whose)
    if as_json:
        print_json(told)
    elif what:
        out().print(f"{_count(told['sources'], 'file')} and {_count(told['passages'], 'single passage')} forgotten")
    else:
        out().print(f"{_count(told['passages'], 'passage')} forgotten")
    if told["unknown"] and not as_json:
        for word in told["unknown"]:
            err().print(Text(f"llmos: {short(word)} is not remembered (llmos memory ls lists what is)"))
    return NotFound.exit_code if told["unknown"] else 0


def export_to(home: Home, whose: Whose, file: str, collection: str | None, *, force: bool, as_json: bool) -> None:
    """`llmos memory export`."""
    path = _absolute(file)
    if os.path.lexists(path) and not force:
        raise BadInput(f"{file} is there already", hint="name another file, or give --force")
    with _bar("exporting") as on_step:
        told = use(home, "memory.export", on_step, path=path, collection=collection, **whose)
    _say_moved(told, f"written to {file}", as_json=as_json)


def import_from(home: Home, whose: Whose, file: str, collection: str | None, *, as_json: bool) -> None:
    """`llmos memory import`."""
    with _bar("importing") as on_step:
        told = use(home, "memory.import", on_step, path=_absolute(file), collection=collection, **whose)
    _say_moved(told, f"remembered from {file}", as_json=as_json)


def show_stats(home: Home, *, as_json: bool) -> None:
    """`llmos memory stats`."""
    told = use(home, "memory.stats")
    if as_json:
        print_json(told)
    else:
        out().print(stats_table(told))


def check(home: Home, *, as_json: bool) -> int:
    """`llmos memory check`; 74 when something is damaged."""
    with _bar("checking") as on_step:
        told = use(home, "memory.check", on_step)
    if as_json:
        print_json(told)
    elif told["wrong"]:
        for line in told["wrong"]:
            out().print(Text(one_line(line)))
        err().print("llmos memory rebuild makes anew what can be made from the passages", style="dim")
    else:
        out().print("all is as it was stored")
    return Storage.exit_code if told["wrong"] else 0


def rebuild(home: Home, *, as_json: bool) -> None:
    """`llmos memory rebuild`."""
    with _bar("making it anew") as on_step:
        told = use(home, "memory.rebuild", on_step)
    if as_json:
        print_json(told)
        return
    out().print(f"{_count(told['passages'], 'passage')} made anew")
    for name in told["to_be_read"]:
        out().print(Text(f"to be added again: {short(name)}", style="yellow"))


def _say_moved(told: Row, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"passages": told["passages"], "sources": told["sources"]})
    else:
        words = f"{_count(told['passages'], 'passage')} of {_count(told['sources'], 'file')} {what}"
        out().print(Text(one_line(words)))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _absolute(path: str) -> str:
    return os.path.abspath(expanded(Path(path)))


def _time(option: str, text: str | None) -> float | None:
    """Seconds since the epoch."""
    if text is None:
        return None
    if ago := _AGO.fullmatch(text.strip()):
        return time.time() - int(ago[1]) * _UNITS[ago[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError):
        hint = "a day as 2026-11-25, a time as 2026-11-25T14:00, or how long ago: 12h, 7d"
        raise BadInput(f"{option}: {text!r} is no time", hint=hint) from None


def _size(text: str) -> int:
    try:
        return size(text)
    except BadInput as wrong:
        raise BadInput(f"--max-size: {text!r} is no size", hint=wrong.hint) from None


@contextmanager
def _bar(begin: str) -> Iterator[Callable[[Row], None]]:
    """A bar on standard error, on a terminal; what is in work stands before it."""
    with bar(TextColumn("{task.fields[tally]}")) as progress:
        task = progress.add_task(begin, total=None, tally="")

        def on_step(step: Row) -> None:
            what = one_line(step.get("what", "")).rpartition("/")[2] or begin
            shown = what if len(what) <= _WIDEST else what[: _WIDEST - 1] + "…"
            tally = f"{step['passages']:,} passages" if "passages" in step else ""
            progress.update(
                task, description=shown, completed=step.get("done", 0), total=step.get("total") or None, tally=tally
            )

        yield on_step
