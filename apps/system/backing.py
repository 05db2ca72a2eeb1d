"""Writing a backup, also while a llmos works on the home."""

import hashlib
import os
import stat
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ... import __version__
from ...kernel.errors import BadInput, NotFound
from ...kernel.translate import translated
from ...memory import backup
from .archive import (
    BELOW,
    FORMAT,
    LEFT_OUT,
    MANIFEST,
    PART,
    STORE,
    Kept,
    Manifest,
    OnProgress,
    contents,
    need_room,
    opened,
    read,
)  # fmt: skip
from .home import Home


def write(home: Home, target: Path, on_progress: OnProgress, *, force: bool = False) -> Manifest:
    """Put a home into a file and verify that; all is there or nothing.

    Raises `NotFound` where there is no home, `BadInput` for a file that is there already, `Storage`.
    """
    if not home.database.is_file():
        raise NotFound(f"{home.root} holds no store", hint="nothing has run in this home yet")
    _may_write(target, force=force)
    with translated(), tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        need_room(target.parent, home.database.stat().st_size)
        copy, part = Path(folder, STORE), Path(folder, "part")
        backup.snapshot(home.database, copy, lambda share: on_progress("copying the store", share))
        rows = backup.checked(copy, lambda _, share: on_progress("verifying the copy", share))
        manifest = _packed(home, copy, part, rows, on_progress)
        with opened(part) as (archive, found):
            for _, data in contents(archive, found, on_progress):
                read(data)
        os.replace(part, target)
    return manifest


def _may_write(target: Path, *, force: bool) -> None:
    if not target.parent.is_dir():
        raise NotFound(f"no folder {target.parent}", hint="make it first, or name another")
    if target.is_dir():
        raise BadInput(f"{target} is a folder", hint="name a file")
    if target.exists() and not force:
        raise BadInput(f"{target} is there already", hint="--force writes over it")


def _packed(home: Home, copy: Path, part: Path, rows: dict[str, int], on_progress: OnProgress) -> Manifest:
    others = list(_found(home))
    files = {STORE: copy, **{name: file for name, file in others if not file.is_symlink()}}
    links = {name: os.readlink(file) for name, file in others if file.is_symlink()}
    manifest = Manifest(format=FORMAT, llmos=__version__, made=time.time(), files={}, links=links, rows=rows)
    total, done = sum(file.stat().st_size for file in files.values()) or 1, 0
    with part.open("xb") as raw:
        with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, file in files.items():
                manifest.files[name] = kept = Kept(size=0, sha256="")
                digest = hashlib.sha256()
                for data in _added(archive, name, file):
                    digest.update(data)
                    kept.size, done = kept.size + len(data), done + len(data)
                    on_progress("packing", min(done / total, 1.0))
                kept.sha256 = digest.hexdigest()
            archive.writestr(MANIFEST, manifest.model_dump_json(indent=1))
        raw.flush()
        os.fsync(raw.fileno())
    return manifest


def _added(archive: zipfile.ZipFile, name: str, file: Path) -> Iterator[bytes]:
    """Put a file into the archive; its bytes as they go there."""
    with file.open("rb") as source:
        info = os.fstat(source.fileno())
        entry = zipfile.ZipInfo(BELOW + name, time.localtime(max(info.st_mtime, _FIRST))[:6])
        entry.external_attr, entry.compress_type = stat.S_IMODE(info.st_mode) << 16, zipfile.ZIP_DEFLATED
        with archive.open(entry, "w", force_zip64=True) as into:
            while data := source.read(PART):
                into.write(data)
                yield data


_FIRST = 315_619_200.0  # 1980-01-02: before that no zip can say when


def _found(home: Home) -> Iterator[tuple[str, Path]]:
    """Files and links of a home besides its store, by their path in it."""
    for place, folders, names in os.walk(home.root):
        here = Path(place)
        if here == home.root:
            folders[:] = [name for name in folders if name not in LEFT_OUT and not name.startswith((".", "replaced-"))]
        links = [name for name in folders if (here / name).is_symlink()]
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for file in (here / name for name in sorted([*names, *links])):
            of_the_store = here == home.root and (file.name in LEFT_OUT or file.name.startswith(STORE))
            if not of_the_store and (file.is_symlink() or (file.is_file() and os.access(file, os.R_OK))):
                yield file.relative_to(home.root).as_posix(), file
