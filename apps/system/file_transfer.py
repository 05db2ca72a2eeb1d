"""Files from the host into the tree and back, with a word on the way of how far it is."""

import os
import secrets
import stat
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ...kernel.errors import BadInput
from ...kernel.translate import translate
from ...memory.faults import BadPath, Full
from ...memory.files import FileTree, Write

T = TypeVar("T")
Row = dict[str, Any]
Steps = Generator[Row, None, Any]
Report = Callable[..., None]

EVERY = 0.1  # seconds between two steps
_BLOCK = 1 << 18
_TOGETHER = 50  # small files that are committed at once


class _BrokenOff(Exception):
    """Nobody waits for the work any more."""


def stepping(work: Callable[[Report], T]) -> Generator[Row, None, T]:
    """Do work on a thread, and yield what it last reported, ten times a second.

    Closed, it waits until the work reports again, which breaks it off there.
    """
    told: Row = {}
    stop = threading.Event()

    def report(**row: Any) -> None:
        if stop.is_set():
            raise _BrokenOff
        told.update(row)

    with ThreadPoolExecutor(1, thread_name_prefix="llmos-files") as pool:
        done = pool.submit(work, report)
        try:
            while not wait([done], EVERY).done:
                yield dict(told)
            return done.result()
        finally:
            stop.set()


# -- into the tree --


def put(tree: FileTree, source: str, path: str, label: str, tags: Sequence[str], report: Report) -> Row:
    """Copy a file, or a folder with all below but hidden files and links; what was put, and what was left out."""
    files, skipped = _sources(Path(source))
    path = _into(tree, path, Path(source).name)
    total, done, kept = sum(file.size for file in files), 0, list[str]()
    together: dict[str, list[Write]] = {}
    for number, file in enumerate(files, 1):
        name = f"{path}/{file.below}" if file.below else path
        _fits(tree, name, file.size)
        report(what=name, done=done, total=total)
        try:
            writes = [tree.writing(name, _blocks(file.path, name, done, total, report), label)]
            together[name] = [*writes, tree.tagging(name, tags)] if tags else writes
        except (BadPath, OSError, BadInput) as problem:
            if not file.below:  # the one that was named
                raise
            skipped.append({"name": str(file.path), "why": _why(problem), "failed": True})
        done += file.size
        if len(together) >= _TOGETHER or file.size > _BLOCK or number == len(files):
            wrong = _made(tree, together)
            skipped += [{"name": name, "why": fault.message, "failed": True} for name, fault in wrong.items()]
            kept += [name for name in together if name not in wrong]
            together = {}
    return {"path": path, "files": kept, "bytes": total, "skipped": skipped}


def _why(problem: Exception) -> str:
    fault = translate(problem)
    return fault.message if fault else str(problem)


def _made(tree: FileTree, together: dict[str, list[Write]]) -> dict[str, BadPath]:
    """Commit all at once, or, where one of them cannot be, file by file; what could not, unless it was the only one."""
    try:
        tree.make(*(write for writes in together.values() for write in writes))
        return {}
    except BadPath:
        if len(together) == 1:
            raise
    wrong: dict[str, BadPath] = {}
    for name, writes in together.items():
        try:
            tree.make(*writes)
        except BadPath as fault:
            wrong[name] = fault
    return wrong


@dataclass(frozen=True)
class _Source:
    """A file of the host; ``below`` is its path below the folder that was named, "" for a file that was."""

    below: str
    path: Path
    size: int


def _sources(source: Path) -> tuple[list[_Source], list[Row]]:
    """The files to be put, and what is left out."""
    if not source.is_dir():
        info = source.stat()
        if not stat.S_ISREG(info.st_mode):
            raise BadInput(f"{source} is no regular file", hint="name a file or a folder")
        return [_Source("", source, info.st_size)], []
    files: list[_Source] = []
    skipped: list[Row] = []
    for place, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted([*names, *(folder for folder in folders if Path(place, folder).is_symlink())]):
            file = Path(place, name)
            if name.startswith("."):
                continue
            if file.is_symlink() or not file.is_file():
                skipped.append({"name": str(file), "why": "a link or no regular file", "failed": False})
            else:
                files.append(_Source(file.relative_to(source).as_posix(), file, file.stat().st_size))
    if not files:
        raise BadInput(f"the folder {source} holds no files", hint="name one that does")
    return files, skipped


def _fits(tree: FileTree, name: str, size: int) -> None:
    """Raise `Full` for a file that can never fit, before any of it is read."""
    quota = tree.store.quota
    if quota is not None and size > quota:
        raise Full(f"{name}: {size:,} bytes, where all files together may have {quota:,}", hint="leave it on the disk")


def _blocks(file: Path, name: str, before: int, total: int, report: Report) -> Iterator[bytes]:
    """The content of a host file; raises `BadInput` when it changes meanwhile."""
    with file.open("rb") as opened:
        first = os.fstat(opened.fileno())
        while block := opened.read(_BLOCK):
            before += len(block)
            report(what=name, done=before, total=total)
            yield block
        last = os.fstat(opened.fileno())
        if (first.st_size, first.st_mtime_ns) != (last.st_size, last.st_mtime_ns):
            raise BadInput(f"{file} changed while it was read", hint="put it again")


def _into(tree: FileTree, path: str, name: str) -> str:
    """Where something goes that is put to a path: into a folder, or there."""
    if not path.strip("/.") or path.endswith("/"):
        return "/".join(part for part in (path.strip("/"), name) if part and part != ".")
    try:
        return f"{path}/{name}" if tree.entries(path) else path
    except BadPath:  # a file: it gets a new version
        return path


# -- onto the host --


def get(tree: FileTree, path: str, target: str, version: int | None, report: Report, *, force: bool) -> Row:
    """Copy a file, or a folder with all below, to a path of the host; what was written."""
    place = Path(target)
    try:
        below = [entry for entry in tree.entries(path) if not entry.damaged]
    except BadPath:
        below = []
    if not below:
        place = place / path.rpartition("/")[2] if place.is_dir() else place
        return {"files": [str(place)], "bytes": _copy(tree, path, version, place, report, force=force)}
    if version is not None:
        raise BadInput(f"{path} is a folder", hint="versions are of files")
    start = "" if not path.strip("/.") else path.strip("/") + "/"
    place = place / start.rstrip("/").rpartition("/")[2] if place.is_dir() and start else place
    written, size, total = list[str](), 0, sum(entry.size for entry in below)
    for entry in below:
        file = place / entry.path.removeprefix(start)
        file.parent.mkdir(parents=True, exist_ok=True)
        report(what=entry.path, done=size, total=total)
        size += _copy(tree, entry.path, None, file, report, force=force)
        written.append(str(file))
    return {"files": written, "bytes": size}


def _copy(tree: FileTree, path: str, version: int | None, file: Path, report: Report, *, force: bool) -> int:
    """Copy one file, whole or not at all; its bytes."""
    if not force and os.path.lexists(file):
        raise BadInput(f"{file} is there already", hint="--force writes over it")
    if not file.parent.is_dir():
        raise BadInput(f"there is no folder {file.parent}", hint="make it first")
    blocks, size = tree.blocks(path, version), 0
    part = file.parent / f".llmos-{secrets.token_hex(8)}"
    with part.open("xb") as opened:
        try:
            for block in blocks:
                size += opened.write(block)
                report(what=path)
            opened.flush()
            os.replace(part, file)
        except BaseException:
            part.unlink()
            raise
    return size
