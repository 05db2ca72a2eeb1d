"""What `llmos gc` and `llmos backup` say, and how they look while they work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from . import backing, restoring
from .archive import Manifest
from .display import out, print_json
from .handin import expanded
from .home import Home
from .session import preparing
from .settings import settings
from .sizes import shown_size, size
from .stores import use


@contextmanager
def steps_shown() -> Iterator[Callable[[dict[str, Any]], None]]:
    """A bar on a terminal for a service whose steps are ``{"what", "share"}``."""
    with preparing() as on_progress:
        yield lambda step: on_progress(step["what"], step["share"])


def run_gc(
    home: Home, days: float | None, keep: int | None, size_: str | None, *, dry_run: bool, as_json: bool
) -> None:
    """Free what the settings and these options do not let stay, and say what that was."""
    limits = settings(home).retention.model_dump()
    given = {"days": days, "processes": keep, "size": None if size_ is None else size(size_)}
    limits |= {name: value for name, value in given.items() if value is not None}
    with steps_shown() as on_step:
        found = use(home, "gc", on_step, **limits, dry_run=dry_run)
    if as_json:
        print_json(found)
        return
    files = found["files"]
    parts = [
        f"{found['processes']} processes with {found['entries']} journal entries, {shown_size(found['bytes'])}",
        f"{found['history']} journal entries from before saved states" if found["history"] else "",
        f"{files['versions']} versions of files, {shown_size(files['bytes'])}" if files["versions"] else "",
        f"indexes of an earlier version, {shown_size(found['indexes'])}" if found["indexes"] else "",
    ]
    what = "; ".join(filter(None, parts))
    if dry_run:
        out().print(f"would free {what}", markup=False)
        return
    out().print(f"freed {what}", markup=False)
    before, after = shown_size(found["file_before"]), shown_size(found["file_after"])
    out().print(f"the store takes {after}" + (f", before {before}" if after != before else ""), markup=False)


def run_backup(home: Home, file: Path, *, force: bool, as_json: bool) -> None:
    """Write a backup and say what is in it."""
    target = expanded(file).absolute()
    with preparing() as on_progress:
        manifest = backing.write(home, target, on_progress, force=force)
    _say(manifest, target, "written and verified", as_json=as_json)


def run_verify(file: Path, *, as_json: bool) -> None:
    """Read a backup to its end and say what is in it."""
    path = expanded(file).absolute()
    with preparing() as on_progress:
        manifest = restoring.verify(path, on_progress)
    _say(manifest, path, "sound", as_json=as_json)


def run_restore(home: Home, file: Path, *, force: bool, as_json: bool) -> None:
    """Make a home of a backup, and say what can go on."""
    path = expanded(file).absolute()
    with preparing() as on_progress:
        manifest, aside = restoring.restore(path, home, on_progress, force=force)
    waiting = restoring.under_way(home)
    if as_json:
        print_json(
            {**_plain(manifest, path), "home": str(home.root), "aside": aside and str(aside), "suspended": waiting}
        )
        return
    out().print(f"{home.root} is what it was on {_date(manifest)}", markup=False)
    if aside:
        out().print(f"what it held before is in {aside}", markup=False)
    if waiting:
        what = "a process" if waiting == 1 else f"{waiting} processes"
        out().print(f"{what} had not ended: llmos resume goes on, but not if the first home does so too", markup=False)


_HELD = {"processes": "processes", "passages": "passages", "versions": "versions of files"}


def _say(manifest: Manifest, path: Path, how: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_plain(manifest, path))
        return
    rows = manifest.rows
    held = ", ".join(f"{rows.get(name, 0)} {what}" for name, what in _HELD.items())
    out().print(f"{path} is {how}: {held}, of {_date(manifest)}; {shown_size(path.stat().st_size)}", markup=False)


def _plain(manifest: Manifest, path: Path) -> dict[str, Any]:
    return {
        "file": str(path), "bytes": path.stat().st_size, "made": manifest.made, "llmos": manifest.llmos,
        "files": len(manifest.files), "rows": manifest.rows,
    }  # fmt: skip


def _date(manifest: Manifest) -> str:
    return f"{datetime.fromtimestamp(manifest.made):%Y-%m-%d %H:%M:%S}"
