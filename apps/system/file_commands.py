"""What the commands of `llmos fs` do: ask a service, show how far it is, then what came of it."""

import os
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.text import Text

from ...kernel.errors import BadInput, Storage
from .bars import bar, share
from .display import clean, err, one_line, out, print_json, rows_table
from .handin import expanded
from .home import Home
from .sizes import shown_size
from .stores import use

Row = dict[str, Any]
_WIDEST = 40  # cells of what the bar names
_EXCERPT = 160  # characters of a passage


def show_files(home: Home, owner: str, path: str, *, long: bool, deleted: bool, as_json: bool) -> None:
    """`llmos fs ls`."""
    rows = use(home, "fs.ls", owner=owner, path=path, deleted=deleted)
    if as_json:
        _print_each(rows)
    elif not rows:
        err().print("no files" if path or deleted else "no files; llmos fs put HOSTPATH copies one in", style="dim")
    elif long:
        out().print(rows_table(("size", "changed", "version", "label", "tags", "path"), map(_cells, rows)))
    else:
        for row in rows:
            out().print(_name(row), soft_wrap=True)


def _cells(row: Row) -> list[Any]:
    return [
        shown_size(row["size"]), _when(row["modified"]), row["version"], row["label"], " ".join(row["tags"]),
        _name(row),
    ]  # fmt: skip


def _name(row: Row) -> Text:
    name = Text(one_line(row["path"]))
    return name.append("  damaged", style="red") if row["damaged"] else name


class _ReaderGone(Exception):
    """Nobody reads standard output any more."""


def write_out(home: Home, owner: str, path: str, version: int | None, *, as_json: bool) -> None:
    """`llmos fs cat`: the bytes as they are, but on a terminal nothing that could steer it."""
    kept = bytearray()
    screen = sys.stdout.isatty()

    def on_step(step: Row) -> None:
        data = b64decode(step["data"])
        if as_json or screen:
            kept.extend(data)
            return
        try:
            sys.stdout.buffer.write(data)
        except BrokenPipeError as gone:  # by the one that is asked it would be taken for its own line
            raise _ReaderGone from gone

    try:
        told = use(home, "fs.cat", on_step, owner=owner, path=path, version=version)
    except _ReaderGone:
        raise BrokenPipeError from None
    if as_json:
        print_json({"path": path, **told, **_content(bytes(kept))})
    elif screen:
        out().print(Text(clean(kept.decode(errors="backslashreplace"))), end="", soft_wrap=True)
    else:
        sys.stdout.buffer.flush()


def _content(data: bytes) -> Row:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def put_in(
    home: Home, owner: str, source: str, path: str, tags: Sequence[str], label: str, *, as_json: bool
) -> int:  # fmt: skip
    """`llmos fs put`; 2 when something could not be put."""
    with _bar("reading") as on_step:
        told = use(
            home, "fs.put", on_step, owner=owner, source=_absolute(source), path=path, label=label, tags=list(tags)
        )
    if as_json:
        print_json(told)
    else:
        count = len(told["files"])
        what = told["files"][0] if count == 1 else f"{count:,} files in {told['path']}"
        out().print(Text(one_line(f"{what}, {shown_size(told['bytes'])}")))
        for row in told["skipped"]:
            err().print(Text(one_line(f"left out: {row['name']}: {row['why']}")), soft_wrap=True)
    return BadInput.exit_code if any(row["failed"] for row in told["skipped"]) else 0


def get_out(
    home: Home, owner: str, path: str, target: str, version: int | None, *, force: bool, as_json: bool
) -> None:  # fmt: skip
    """`llmos fs get`."""
    with _bar("writing") as on_step:
        told = use(
            home, "fs.get", on_step, owner=owner, path=path, target=_absolute(target), version=version, force=force
        )
    if as_json:
        print_json(told)
    else:
        count = len(told["files"])
        what = told["files"][0] if count == 1 else f"{count:,} files"
        out().print(Text(one_line(f"{what}, {shown_size(told['bytes'])}")))


def find_files(
    home: Home, owner: str, query: str, folder: str, tags: Sequence[str], k: int, *, as_json: bool
) -> None:  # fmt: skip
    """`llmos fs find`."""
    if not query.strip() and not tags:
        raise BadInput("there is nothing to look for", hint="give words, or a --tag")
    with _bar("looking") as on_step:
        hits = use(home, "fs.find", on_step, owner=owner, query=query, folder=folder, tags=list(tags), k=k)
    if as_json:
        _print_each(hits)
    elif not hits:
        err().print("nothing is found", style="dim")
    else:
        for place, hit in enumerate(hits, 1):
            out().print(Text.assemble((f"{place:2}. ", "bold"), (one_line(hit["path"]), "bold"), "  ", _why(hit)))
            if hit["text"]:
                out().print(Text("    " + _excerpt(hit["text"])), soft_wrap=True)


def _why(hit: Row) -> Text:
    parts = [f"line {hit['line']}"] if hit["line"] else []
    parts += [f"{name} {hit[key]:.2f}" for name, key in _REASONS if hit[key] > 0]
    parts += [f"tags {' '.join(hit['tags'])}"] if hit["tags"] else []
    return Text(one_line(", ".join(parts)), style="cyan")


_REASONS = (("words", "words"), ("meaning", "similarity"), ("name", "named"))


def _excerpt(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…"


def show_versions(home: Home, owner: str, path: str, *, as_json: bool) -> None:
    """`llmos fs log`."""
    rows = use(home, "fs.log", owner=owner, path=path)
    if as_json:
        _print_each(rows)
    else:
        out().print(rows_table(("version", "made", "size", "by", "label"), map(_version_cells, rows)))


def _version_cells(row: Row) -> list[Any]:
    if row["damaged"]:
        return [row["number"], "", Text("damaged", style="red"), "", ""]
    size = Text("deleted", style="yellow") if row["size"] is None else shown_size(row["size"])
    by = "you" if row["pid"] is None else f"process {row['pid']}"
    return [row["number"], _when(row["made"]), size, by, row["label"]]


def show_difference(
    home: Home, owner: str, path: str, before: int | None, after: int | None, *, as_json: bool
) -> None:  # fmt: skip
    """`llmos fs diff`."""
    told = use(home, "fs.diff", owner=owner, path=path, before=before, after=after)
    if as_json:
        print_json(told)
    elif not told["diff"]:
        err().print(f"versions {told['before']} and {told['after']} are the same", style="dim")
    else:
        for line in clean(told["diff"]).splitlines():
            out().print(Text(line, style=_STYLES.get(line[:1], "")), soft_wrap=True)


_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def roll_back(home: Home, owner: str, path: str, version: int, *, as_json: bool) -> None:
    """`llmos fs rollback`."""
    told = use(home, "fs.rollback", owner=owner, path=path, version=version)
    _said(told, f"{path} is as it was in version {version}; this is version {told['number']}", as_json=as_json)


def delete(home: Home, owner: str, paths: Sequence[str], *, recursive: bool, as_json: bool) -> None:
    """`llmos fs rm`."""
    gone = use(home, "fs.rm", owner=owner, paths=list(paths), recursive=recursive)
    what = gone[0] if len(gone) == 1 else f"{len(gone):,} files"
    _said({"deleted": gone}, f"{what} deleted; llmos fs rollback brings back a version", as_json=as_json)


def rename(home: Home, owner: str, path: str, to: str, *, as_json: bool) -> None:
    """`llmos fs mv`."""
    new = use(home, "fs.mv", owner=owner, path=path, to=to)
    _said({"from": path, "to": new}, f"{path} is now {new}", as_json=as_json)


def change_tags(home: Home, owner: str, path: str, changes: Sequence[str], *, as_json: bool) -> None:
    """`llmos fs tag`."""
    wrong = [word for word in changes if word[:1] not in ("+", "-") or not word[1:].strip()]
    if wrong:
        raise BadInput(f"{wrong[0]!r} is no change of tags", hint="+a gives the tag a, -b takes b")
    add, remove = ([word[1:] for word in changes if word[0] == sign] for sign in "+-")
    tags = use(home, "fs.tag", owner=owner, path=path, add=add, remove=remove)
    _said({"path": path, "tags": tags}, " ".join(tags) or "no tags", as_json=as_json)


def show_room(home: Home, owner: str, path: str, *, as_json: bool) -> None:
    """`llmos fs du`."""
    told = use(home, "fs.du", owner=owner, path=path)
    if as_json:
        print_json(told)
        return
    rows = [(row["path"], row["files"], shown_size(row["bytes"]), shown_size(row["stored"])) for row in told["rows"]]
    out().print(rows_table(("path", "files", "size", "with versions"), rows))
    stored = sum(row["stored"] for row in told["rows"]) + told["deleted"]
    deleted, quota = shown_size(told["deleted"]), shown_size(told["quota"])
    said = f"{shown_size(stored)} with {deleted} of deleted files; the quota is {quota}"
    out().print(Text(said, style="dim"))


def check_all(home: Home, *, as_json: bool) -> int:
    """`llmos fs check`; 74 when something is damaged."""
    with _bar("reading") as on_step:
        damage = use(home, "fs.check", on_step)
    if as_json:
        print_json({"damaged": damage})
    else:
        for line in damage:
            out().print(Text(one_line(line), style="red"), soft_wrap=True)
        if not damage:
            out().print("all versions of all files are as they were written")
    return Storage.exit_code if damage else 0


@contextmanager
def _bar(begin: str) -> Iterator[Callable[[Row], None]]:
    """A bar on standard error, on a terminal."""
    with bar(share()) as progress:
        task = progress.add_task(begin, total=None)

        def on_step(step: Row) -> None:
            what = one_line(step.get("what", "")) or begin
            shown = what if len(what) <= _WIDEST else "…" + what[1 - _WIDEST :]
            progress.update(task, description=shown, completed=step.get("done", 0), total=step.get("total") or None)

        yield on_step


def _said(told: Row, words: str, *, as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        out().print(Text(one_line(words)), soft_wrap=True)


def _print_each(rows: Sequence[Row]) -> None:
    for row in rows:
        print_json(row)


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}" if seconds else ""


def _absolute(path: str) -> str:
    return os.path.abspath(expanded(Path(path)))
