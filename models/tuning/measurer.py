"""Carries the measurements out: makes the formats, files in a folder that goes in the end, and starts the children."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import trial
from ..catalog import Entry
from ..disk import make_room, writing
from ..faults import Damaged, EngineFault
from ..prepare import quantise
from .setting import AT_ONCE, Aim, Proof, Setting, Speed

_FOLDER = ".tuning-"
_ROOM = 64 * 2**20  # bytes that are left on the disk in any case
_PATIENCE = 600.0  # seconds for one measurement


class FileMeasurer:
    """Measures a model of the catalog; ``watch`` is called again and again while it does."""

    def __init__(
        self, entry: Entry, folder: Path, text: str, *, most_tokens: int, aim: Aim, watch: Callable[[], None]
    ) -> None:
        self._entry, self._folder, self._text = entry, folder, text
        self._most, self._size, self._watch = most_tokens, AT_ONCE[aim], watch

    def compare(self, first: Setting, second: Setting, rounds: int) -> tuple[Sequence[Speed], Sequence[Speed]]:
        """See `search.Measurer`; a setting against itself is measured once."""
        subjects = [self._subject(first)] + ([] if first == second else [self._subject(second)])
        found = self._ask(
            "speeds", second, subjects=subjects, sizes=sorted(AT_ONCE.values()), rounds=rounds, aim_size=self._size
        )
        one, other = found[0], found[-1]
        return [Speed(**row) for row in one], [Speed(**row) for row in other]

    def surprises(self, setting: Setting) -> list[float]:
        """See `search.Measurer`."""
        found: list[float] = self._ask("scores", setting, subject=self._subject(setting), most=self._most)
        return found

    def prove(self, setting: Setting) -> Proof:
        """See `search.Measurer`."""
        return Proof(**self._ask("prove", setting, subject=self._subject(setting)))

    def drop(self, form: str) -> None:
        """Delete the file of a format, unless it is the user's own."""
        (self._folder / f"{form}.gguf").unlink(missing_ok=True)

    def _ask(self, what: str, setting: Setting, **request: Any) -> Any:
        """The child's answer. A format that makes llama.cpp crash is a fault of the format, not of the file."""
        path = self._file(setting.format)
        try:
            return trial.measure(what, path, {**request, "text": self._text}, self._watch, _PATIENCE)
        except Damaged as fault:
            reason = fault.message.removeprefix(f"{path.name}: ")
            raise EngineFault(f"{setting.format} in the way {setting.way}: {reason}", hint="leave it out") from fault

    def _subject(self, setting: Setting) -> dict[str, Any]:
        return {"file": str(self._file(setting.format)), **setting.model_dump(exclude={"format"})}

    def _file(self, form: str) -> Path:
        """The model in that format, made if need be."""
        if form == self._entry.format:
            return self._entry.path
        path = self._folder / f"{form}.gguf"
        if not path.exists():
            part = path.with_suffix(".part")
            make_room(self._folder, _ROOM)
            quantise(self._entry.path, part, form, lambda share: self._watch())
            part.replace(path)
        return path


@contextmanager
def workplace(models: Path) -> Iterator[Path]:
    """A folder for formats that are tried, gone in the end; what a run that was killed left there goes now."""
    for left in models.glob(f"{_FOLDER}*"):
        shutil.rmtree(left, ignore_errors=True)
    with writing(models):
        models.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=models))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
