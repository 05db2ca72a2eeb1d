"""The audit file: one JSON line for every decision of the gate, in the order they were taken."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import IO, Any

from ..kernel.errors import Storage
from ..kernel.process import Process

MOST = 200
"""Longest text value in a line; the journal has the whole."""


class Audit:
    """Appends to ``path``; the file is opened with the first line. Owned by the event loop's thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def line(self, process: Process, call: str, right: str, decision: str, fields: dict[str, Any]) -> None:
        """Who asked for what, by which right, and how it was decided."""
        entry = {
            "at": round(time.time(), 3), "pid": process.pid, "owner": process.owner, "app": process.app,
            "call": call, "right": right, "decision": decision, "on": _short(fields),
        }  # fmt: skip
        try:
            if self._file is None:
                self._file = self._path.open("a", encoding="utf-8", errors="backslashreplace")
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as problem:
            # No decision without its line: a call that cannot be audited is not made.
            raise Storage(f"the audit file cannot be written: {problem.strerror}", hint="free some room") from problem

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MOST else f"{value[:MOST]}… ({len(value)} characters)"
    if isinstance(value, dict):
        return {k: _short(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_short(v) for v in value[:8]] + ([f"… ({len(value)} in all)"] if len(value) > 8 else [])
    return value
