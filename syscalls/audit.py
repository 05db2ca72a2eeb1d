"""The audit file: one JSON line for every decision of the gate, in the order they were taken."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from ..kernel.errors import Storage
from ..kernel.process import Process

MOST = 200
"""Longest text value in a line; the journal has the whole."""

_encode = json.JSONEncoder(ensure_ascii=False).encode


class Audit:
    """Appends to ``path``; the file is opened with the first line. Owned by the event loop's thread.

    Lines of one turn of the event loop are written together, at its end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._lines: list[str] = []  # of this turn
        self._left = b""  # what could not be written so far

    def line(self, process: Process, call: str, right: str, decision: str, fields: dict[str, Any]) -> None:
        """Who asked for what, by which right, and how it was decided. Raises `Storage` as `sure` does."""
        self.sure()
        entry = {
            "at": round(time.time(), 3), "pid": process.pid, "owner": process.owner, "app": process.app,
            "call": call, "right": right, "decision": decision, "on": _short(fields),
        }  # fmt: skip
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._try)
        self._lines.append(_encode(entry))

    def sure(self) -> None:
        """Raise `Storage` while lines of earlier turns cannot be written: nothing is done that is not in the file.

        A call that acts asks once its intent is on disk, which takes a turn: then its own line is among them.
        """
        if not self._left:
            return
        try:
            self._write()
        except OSError as problem:
            raise Storage(f"the audit file cannot be written: {problem.strerror}", hint="free some room") from problem

    def _try(self) -> None:
        """The end of a turn; what cannot be written is left, and `sure` tells."""
        if self._lines:
            self._left += ("\n".join(self._lines) + "\n").encode("utf-8", "backslashreplace")
            self._lines.clear()
        try:
            self._write()
        except OSError:
            return

    def _write(self) -> None:
        if self._left and self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        while self._left and self._file is not None:
            self._left = self._left[os.write(self._file, self._left) :]

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._try()
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MOST else f"{value[:MOST]}… ({len(value)} characters)"
    if isinstance(value, dict):
        return {k: _short(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_short(v) for v in value[:8]] + ([f"… ({len(value)} in all)"] if len(value) > 8 else [])
    return value
