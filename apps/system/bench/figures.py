"""What a suite gives: figures with their goals, and everything that is needed to make them again."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Of = Literal["value", "ratio"]


@dataclass(frozen=True)
class Goal:
    """A bound on our value, or on its ratio to a peer's; ``least`` for figures where more is better."""

    bound: float
    of: Of = "value"
    least: bool = False

    def met(self, value: float | None, ratio: float | None) -> bool | None:
        """Whether the figure holds it; None where it was not measured."""
        found = ratio if self.of == "ratio" else value
        if found is None:
            return None
        return found >= self.bound if self.least else found <= self.bound

    def __str__(self) -> str:
        sign = "≥" if self.least else "≤"
        return f"{sign} {self.bound:,g}{' of it' if self.of == 'ratio' else ''}"


@dataclass(frozen=True)
class Figure:
    """One measured value of a row: ours, in one of our ways, beside a peer's where there is one."""

    row: str
    what: str
    unit: str
    value: float | None
    way: str = ""
    peer: str = ""
    theirs: float | None = None
    ratio: float | None = None  # ours by theirs: the median over runs made side by side
    goal: Goal | None = None

    @property
    def met(self) -> bool | None:
        """Whether it holds its goal; None without one, or without what it is compared with."""
        return self.goal.met(self.value, self.ratio) if self.goal else None

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "goal": str(self.goal) if self.goal else None, "met": self.met}


@dataclass
class Report:
    """The figures of a suite, which versions ran, where, and what could not be measured and why."""

    facts: dict[str, Any]
    figures: list[Figure] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    runs: dict[str, Any] = field(default_factory=dict)  # what each run gave, by row

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        figures = [figure.plain() for figure in self.figures]
        return {"facts": self.facts, "figures": figures, "missing": self.missing, "runs": self.runs}


def machine_facts(model: Path) -> dict[str, Any]:
    """Where and with which file it was measured."""
    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "model": model.name, "sha256": digest, "processor": _processor(), "threads": len(os.sched_getaffinity(0)),
        "system": platform.platform(), "python": platform.python_version(), "load_before": os.getloadavg()[0],
    }  # fmt: skip


def _processor() -> str:
    """As Linux names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
