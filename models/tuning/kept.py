"""What was found for the models of one home: ``home/models/tuning.json``, and whether it still holds."""

from __future__ import annotations

import hashlib
import os
import platform
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel

from ..catalog import Entry
from ..disk import read_model, replace_text
from ..faults import Damaged
from .setting import Aim, Row, Setting


class Tuning(BaseModel):
    """The result of one `llmos model tune`."""

    file: str  # the file that was measured, see `file_mark`
    engine: str  # version of llama.cpp's bindings
    processor: str
    aim: Aim
    most: float  # loss of perplexity that was allowed, as a share
    chosen: Setting
    present: Setting  # what was in use when it was measured, and what ``relative`` compares with
    relative: float  # seconds a turn as a share of the present ones, in the same rounds
    reference: float  # perplexity of the file as it was brought
    rows: list[Row]
    quick: bool
    measured_at: datetime
    seconds: float

    @property
    def best(self) -> Row:
        """What was measured of the chosen format and way."""
        wanted = (self.chosen.format, self.chosen.way)
        return next(row for row in self.rows if (row.setting.format, row.setting.way) == wanted)

    def serves(self, way: str | None) -> bool:
        """Whether the chosen format may be computed in another way: one that promises something was proved in it."""
        if way in {None, self.chosen.way, "fast"}:
            return True
        return any(
            row.proof is not None and row.proof.holds
            for row in self.rows
            if (row.setting.format, row.setting.way) == (self.chosen.format, way)
        )


class _Kept(BaseModel):
    models: dict[str, Tuning] = {}


class Tunings:
    """Those of one home. A file that cannot be read counts as none: measuring again brings it back."""

    def __init__(self, home: Path) -> None:
        self._file = home / "models" / "tuning.json"

    def get(self, entry: Entry) -> Tuning | None:
        """What was found for a model, whether it still holds or not."""
        return self._read().models.get(entry.name)

    def valid(self, entry: Entry) -> Tuning | None:
        """What was found for a model, where it still holds."""
        found = self.get(entry)
        return None if found is None or stale(found, entry) else found

    def settled(self, entry: Entry, way: str | None, streams: int) -> Setting | None:
        """How to compute a model, in that way where one is asked for; None: as is usual."""
        found = self.valid(entry)
        if found is None or not found.serves(way):
            return None
        batch = max(found.chosen.batch, streams)  # a step must hold a token of every stream
        return found.chosen.but(way=way or found.chosen.way, batch=batch)

    def keep(self, entry: Entry, tuning: Tuning) -> None:
        """Put it in the place of what was known of the model; raises `Full`."""
        self._write({**self._read().models, entry.name: tuning})

    def forget(self, name: str) -> bool:
        """Go back to what is usual; False where nothing was known."""
        models = dict(self._read().models)
        known = models.pop(name, None) is not None
        if known:
            self._write(models)
        return known

    @property
    def damage(self) -> str:
        """Why the file cannot be read; "" where it can, or is not there."""
        try:
            self._load()
        except Damaged as fault:
            return fault.message
        return ""

    def _read(self) -> _Kept:
        try:
            return self._load()
        except Damaged:
            return _Kept()

    def _load(self) -> _Kept:
        return read_model(self._file, _Kept, "llmos model tune measures again")

    def _write(self, models: dict[str, Tuning]) -> None:
        replace_text(self._file, _Kept(models=models).model_dump_json(indent=2) + "\n")


def stale(tuning: Tuning, entry: Entry) -> str:
    """Why it does not hold any more; "" where it does."""
    if tuning.file != file_mark(entry):
        return "the file of the model is another"
    if tuning.engine != engine_mark():
        return f"it was measured with llama-cpp-python {tuning.engine}"
    if tuning.processor != processor_mark():
        return f"it was measured on another processor ({tuning.processor.rpartition(' ')[0]})"
    return ""


def file_mark(entry: Entry) -> str:
    """Tells one file from another. A user's own may be replaced where it stands; an installed one is checked."""
    found = entry.path.stat()
    when = "" if entry.source == "embedded" else f" {found.st_mtime_ns}"
    return f"{entry.sha256} {found.st_size}{when}"


def engine_mark() -> str:
    """The version of what computes."""
    return version("llama-cpp-python")


def processor_mark() -> str:
    """Model, cores that may be used, and a digest of what it can compute."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    facts = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)  # of the first core
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    name = facts.get("model name") or f"{platform.machine()} {facts.get('CPU part', '')}".strip()
    skills = " ".join(sorted((facts.get("flags") or facts.get("Features") or "").split()))
    digest = hashlib.sha256(skills.encode()).hexdigest()[:8]
    return f"{name}, {len(os.sched_getaffinity(0))} cores {digest}"
