"""Bars on standard error, while something takes more than a second."""

from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

from .display import err


def bar(*columns: ProgressColumn) -> Progress:
    """What is being done, a bar, these columns, and the time: on a terminal only, and gone when it is over."""
    console = err()
    what = TextColumn("{task.description}", markup=False)
    return Progress(
        what, BarColumn(), *columns, TimeElapsedColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    )  # fmt: skip


def share() -> ProgressColumn:
    """How much is done, in per cent."""
    return TextColumn("{task.percentage:>3.0f}%")
