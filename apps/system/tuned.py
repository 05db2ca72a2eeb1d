"""`llmos model tune`: from what was asked to what is kept, and how it is shown."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from ...kernel.errors import BadInput
from ...models import prepare
from ...models.catalog import Catalog, Entry
from ...models.formats import FILE_TYPES
from ...models.tuning.kept import Tuning, Tunings, engine_mark, file_mark, processor_mark, stale
from ...models.tuning.measurer import FileMeasurer, workplace
from ...models.tuning.search import Plan, search
from ...models.tuning.setting import Aim, Row, Setting
from .display import rows_table
from .home import Home, HomeLock

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("Q8_0", "Q4_K_M", "Q4_0", "BF16")
_QUICK = ("Q8_0", "Q4_0")
WAYS = ("exact", "exact-q8", "fast")
_QUICK_TOKENS, _TOKENS = 600, 20_000  # of the text, at most
_BATCH = 512

OnProgress = Callable[[str, float], None]


@dataclass(frozen=True)
class Wanted:
    """What a user asks of `llmos model tune`."""

    formats: tuple[str, ...] = ()  # none: the usual ones
    ways: tuple[str, ...] = ("exact", "exact-q8")
    most: float = 0.02
    aim: Aim = "agents"
    quick: bool = False
    requantise: bool = False  # a file of the user's own may be brought into another format
    text: str = ""  # none: the one that ships


def text_of(file: Path | None) -> str:
    """The text for measuring: a user's own, or the one that ships (prose, dialogue, a table, code, mail)."""
    if file is None:
        return (files("llmos.models.shipped") / "measuring.txt").read_text("utf-8")
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError:
        raise BadInput(f"{file} is no UTF-8 text", hint="name a plain text file") from None
    if len(text.split()) < 20:
        raise BadInput(f"{file} is too short to measure on", hint="some thousand words tell one format from another")
    return text


def plan_for(entry: Entry, wanted: Wanted) -> Plan:
    """What is measured; raises `BadInput` for formats or ways that there are not."""
    own = entry.source != "embedded" and not wanted.requantise
    named = wanted.formats or (_QUICK if wanted.quick else FORMATS)
    if own and wanted.formats and set(wanted.formats) != {entry.format}:
        raise BadInput(
            f"{entry.name} is a file of yours, in {entry.format}",
            hint="--requantise allows other formats; quality only falls from there",
        )
    _known(named, FILE_TYPES.values(), "format")
    _known(wanted.ways, WAYS, "way")
    cores = len(os.sched_getaffinity(0))
    present = Setting(
        format=prepare.format_of(entry), way=wanted.ways[0], threads=cores, threads_batch=cores,
        batch=_BATCH, ubatch=_BATCH,
    )  # fmt: skip
    formats = (entry.format,) if own else tuple(dict.fromkeys(_with_own(entry, named, wanted)))
    plan = Plan(present, entry.format, formats, wanted.ways, most=wanted.most, aim=wanted.aim, cores=cores)
    if wanted.quick:
        return replace(plan, rounds=2, finalists=1, sizes=())
    return replace(plan, shown=tuple(way for way in WAYS if way not in wanted.ways))


def _with_own(entry: Entry, named: tuple[str, ...], wanted: Wanted) -> tuple[str, ...]:
    """Unless formats were named, also the one the file has."""
    return named if wanted.formats or wanted.quick else (entry.format, *named)


def _known(named: tuple[str, ...], known: object, what: str) -> None:
    choices = list(known)  # type: ignore[call-overload]
    for one in named:
        if one not in choices:
            raise BadInput(f"there is no {what} {one!r}", hint=f"choose among {', '.join(choices)}")


def tune(home: Home, name: str | None, wanted: Wanted, on_progress: OnProgress, *, keep: bool) -> Tuning:
    """Measure, and keep what was found unless told otherwise. Holds the home: a llmos at work would disturb it."""
    entry = Catalog(home.root).get(name)
    if entry.source == "file":
        raise BadInput(f"{entry.path} is not in the catalog", hint=f"llmos model add {entry.path}")
    plan = plan_for(entry, wanted)
    began = time.monotonic()
    with HomeLock(home), workplace(home.models) as folder:
        prepare.probe_load(entry.path, home.root, on_progress)
        tell, watch = _steps(on_progress)
        measurer = FileMeasurer(
            entry, folder, wanted.text, aim=wanted.aim, watch=watch,
            most_tokens=_QUICK_TOKENS if wanted.quick else _TOKENS,
        )  # fmt: skip
        found = search(plan, measurer, tell)
        tuning = Tuning(
            file=file_mark(entry), engine=engine_mark(), processor=processor_mark(), aim=wanted.aim, most=wanted.most,
            chosen=found.chosen, present=plan.present, relative=found.relative, reference=found.reference,
            rows=found.rows, quick=wanted.quick, measured_at=datetime.now(UTC), seconds=time.monotonic() - began,
        )  # fmt: skip
        if keep:
            prepare.ready(entry, home.root, found.chosen.format, on_progress)
            Tunings(home.root).keep(entry, tuning)
        return tuning


def _steps(on_progress: OnProgress) -> tuple[OnProgress, Callable[[], None]]:
    """Both are told again and again: the search of its steps, and in between that a child is still at work."""
    last = ("", 0.0)

    def tell(what: str, share: float) -> None:
        nonlocal last
        last = (what, share)
        on_progress(what, share)

    return tell, lambda: on_progress(*last)


def tuned_words(root: Path, entry: Entry) -> str:
    """In a line, how a model is computed, and why not as it was tuned."""
    tunings = Tunings(root)
    found = tunings.get(entry)
    if found is None:
        return "not yet: llmos model tune measures what suits this machine"
    one = found.chosen
    words = f"{one.format}, {one.way}, {one.threads_batch} threads, steps of {one.batch}"
    if reason := stale(found, entry):
        return f"not used: {reason} ({words})"
    return f"{words}; {1 / found.relative:.2f} times as fast as usual, perplexity {found.best.loss or 0:+.1%}"


def shown(tuning: Tuning, *, kept: bool) -> Group:
    """The table, and what was chosen in words."""
    rows = sorted(tuning.rows, key=lambda row: row.relative or 9e9)
    one, best = tuning.chosen, tuning.best
    sizes = f"{one.threads} and {one.threads_batch} threads, steps of {one.batch}, {one.ubatch} tokens at once"
    chosen = Text.assemble(
        ("\nchosen: ", "bold"),
        (f"{one.format} in the way {one.way}", "bold green"),
        f", {sizes}: {1 / tuning.relative:.2f} times as fast as {tuning.present.format}, {tuning.present.way}, "
        f"{tuning.present.threads} threads, steps of {tuning.present.batch}; perplexity {best.loss or 0:+.1%} against "
        f"{tuning.reference:.2f} of the file as it was brought.",
    )
    after = "Kept; the next start uses it." if kept else "Nothing was kept."
    quick = " A quick look: noise of 10 % and more is usual." if tuning.quick else ""
    columns = ("", "format", "way", "prefill", "B=1", "B=8", "B=16", "turn", "perplexity", "loss", "proved")
    table = rows_table(columns, [_cells(row, tuning) for row in rows])
    for column in table.columns[3:10]:
        column.justify = "right"
    return Group(table, chosen, Text(f"{after}{quick} It took {tuning.seconds:.0f} s."))


def _cells(row: Row, tuning: Tuning) -> tuple[str, ...]:
    mark = "*" if row is tuning.best else ""
    if row.speed is None or row.relative is None:
        return (mark, row.setting.format, row.setting.way, *["-"] * 7, row.failed)
    speed, loss = row.speed, f"{row.loss or 0:+.1%} ± {row.loss_error or 0:.1%}"
    return (
        mark, row.setting.format, row.setting.way, f"{speed.prefill:.0f}",
        *(f"{speed.decode[size]:.0f}" for size in (1, 8, 16)),
        f"{row.relative:.2f}", f"{row.perplexity or 0:.2f}", loss, _proved(row),
    )  # fmt: skip


def _proved(row: Row) -> str:
    proof = row.proof
    if proof is None:
        return row.failed or "-"
    if not proof.neighbours:
        return "no: depends on neighbours"
    if not proof.holds:
        return (
            f"no: cuts of {proof.grain} and more, {proof.promised} promised" if proof.grain else "no: depends on cuts"
        )
    return f"cuts of {proof.grain} and more" if proof.grain > 1 else "any cut"


@contextmanager
def measuring_bar() -> Iterator[OnProgress]:
    """A bar with the time that is left, while something is measured."""
    from rich.progress import TimeRemainingColumn

    from .bars import bar, share

    with bar(share(), TimeRemainingColumn()) as progress:
        task = progress.add_task("getting ready", total=1.0)
        yield lambda what, done: progress.update(task, description=what, completed=done)
