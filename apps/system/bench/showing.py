"""How a report looks: a table, and a plot of what came beside its goals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....kernel.errors import BadInput, Unavailable
from .figures import Figure, Report

if TYPE_CHECKING:
    from rich.table import Table

TERMINAL = "-"
"""In place of a file: the plot is drawn with characters."""
_COLOURS = {True: "tab:green", False: "tab:red", None: "tab:grey"}


def number(value: float | None) -> str:
    """Three figures that matter, and no more."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(figures: Sequence[Figure]) -> Table:
    """A line for each figure, rows apart."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("measure", "", "way"):
        made.add_column(name, no_wrap=True)
    for name in ("llmos", "peer", "ratio"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("goal", no_wrap=True)
    made.add_column("", no_wrap=True)
    before = ""
    for figure in figures:
        if before and figure.row != before:
            made.add_section()
            made.add_row()
        mark = {True: Text("met", "green"), False: Text("missed", "red"), None: Text("")}[figure.met]
        made.add_row(
            figure.row if figure.row != before else "", f"{figure.what}{f' ({figure.peer})' if figure.peer else ''}",
            figure.way, f"{number(figure.value)} {figure.unit}".strip(), number(figure.theirs), number(figure.ratio),
            str(figure.goal or ""), mark,
        )  # fmt: skip
        before = figure.row
    return made


def shares(report: Report) -> list[tuple[str, float, bool | None]]:
    """Of each figure with a goal: its name, how much of the bound it takes (1 is the goal), and whether it is met.

    Bounds from below are turned round, so that less is better everywhere. Figures that have a goal of 0 are left out.
    """
    told = []
    for figure in report.figures:
        found = figure.ratio if figure.goal and figure.goal.of == "ratio" else figure.value
        if figure.goal is None or not figure.goal.bound or not found:
            continue
        share = figure.goal.bound / found if figure.goal.least else found / figure.goal.bound
        told.append((" ".join(filter(None, (figure.row, figure.what, figure.way))), share, figure.met))
    return told


def plot(report: Report, where: str) -> None:
    """Bars of `shares` into a file (png, svg, pdf) or onto the terminal; raises `Unavailable` without the extra."""
    bars = shares(report)
    if not bars:
        raise BadInput("nothing to plot", hint="none of these rows gave a figure that has a goal")
    try:
        (_on_terminal if where == TERMINAL else _into_file)(bars, where, report.facts)
    except ImportError as missing:
        raise Unavailable(f"plots need {missing.name}", hint="pip install 'llmos[bench]'") from None


def _on_terminal(bars: Sequence[tuple[str, float, bool | None]], where: str, facts: dict[str, Any]) -> None:
    import plotext

    plotext.simple_bar([name for name, _, _ in bars], [round(share, 2) for _, share, _ in bars], width=100)
    plotext.show()


def _into_file(bars: Sequence[tuple[str, float, bool | None]], where: str, facts: dict[str, Any]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names, values, met = zip(*reversed(bars), strict=True)
    drawing, axes = pyplot.subplots(figsize=(10, 1 + 0.25 * len(bars)))
    axes.barh(names, values, color=[_COLOURS[one] for one in met])
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("of what the goal allows (1 is the goal, less is better)")
    axes.set_title(f"llmos bench: {facts['model']}, {facts['threads']} threads, {facts['runs']} runs")
    drawing.tight_layout()
    try:
        drawing.savefig(Path(where))
    except ValueError as wrong:
        raise BadInput(f"--plot {where}: {wrong}", hint="a name that ends in .png, .svg or .pdf") from None
    finally:
        pyplot.close(drawing)
