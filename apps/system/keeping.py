"""What `llmos gc` says, and how it looks while it works."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .display import out, print_json
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
    kept = settings(home).retention.keep
    limits = {
        "days": kept.days if days is None else days,
        "processes": kept.processes if keep is None else keep,
        "size": kept.size if size_ is None else size(size_),
    }
    with steps_shown() as on_step:
        found = use(home, "gc", on_step, **limits, dry_run=dry_run)
    if as_json:
        print_json(found)
        return
    what = f"{found['processes']} processes, {found['entries']} journal entries, {shown_size(found['bytes'])}"
    if dry_run:
        out().print(f"would free {what}", markup=False)
        return
    out().print(f"freed {what}", markup=False)
    before, after = shown_size(found["file_before"]), shown_size(found["file_after"])
    out().print(f"the store takes {after}" + (f", before {before}" if after != before else ""), markup=False)
