"""All rows by name, and a run of the suite: row by row, and one that cannot be measured says why."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence

from ....kernel.errors import BadInput, OSFault
from . import scriptrows, serverrows
from .figures import Figure, Report, machine_facts
from .peers import first_line
from .setting import Setting

Row = Callable[[Setting], Awaitable[list[Figure]]]

ROWS: Mapping[str, Row] = {
    "decode": scriptrows.decode,
    "agents": serverrows.agents,
    "agents-prefix": serverrows.agents_prefix,
    "agents-64": serverrows.agents_64,
    "arriving": serverrows.arriving,
    "inside": scriptrows.inside,
    "states": scriptrows.states,
    "overhead": scriptrows.overhead,
    "calls": scriptrows.calls,
    "sleepers": scriptrows.sleepers,
    "schedules": scriptrows.schedules,
    "copying": scriptrows.copying,
    "constrained": scriptrows.constrained,
    "cases": serverrows.cases,
}


def about(name: str) -> str:
    """What a row measures, in a sentence."""
    return (ROWS[name].__doc__ or "").strip()


def chosen(names: Sequence[str]) -> list[str]:
    """The rows to run, in their order: those named, or all; raises `BadInput` for one that there is not."""
    for name in names:
        if name not in ROWS:
            raise BadInput(f"no row {name!r}", hint=f"rows are {', '.join(ROWS)}")
    return [name for name in ROWS if not names or name in names]


async def run(
    setting: Setting, rows: Sequence[str], on_row: Callable[[str, Sequence[Figure]], None] = lambda name, found: None
) -> Report:
    """The figures of these rows; ``on_row`` is told of each when it is done."""
    facts = {**machine_facts(setting.model), "versions": versions(setting), "runs": setting.runs}
    report = Report(facts | {"quick": setting.quick}, runs=setting.raw)
    for name in rows:
        try:
            found = await ROWS[name](setting)
        except OSFault as fault:
            report.missing[name] = str(fault)
            found = []
        report.figures += found
        on_row(name, found)
    report.facts["load_after"] = os.getloadavg()[0]
    return report


def versions(setting: Setting) -> dict[str, str]:
    """Of everything that is measured; raises `BadInput` for a program that cannot be run."""
    found = {peer.name: peer.version() for peer in (*setting.others(), *setting.ours()[:1])}
    if setting.batched_bench is not None and setting.llama_server is None:
        found["llama-batched-bench"] = first_line([str(setting.batched_bench), "--version"])
    return found
