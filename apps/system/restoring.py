"""Verifying a backup, and making a home of it."""

import os
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from ...kernel.errors import BadInput, Storage
from ...kernel.translate import translated
from ...memory import backup
from .archive import BELOW, LEFT_OUT, STORE, Manifest, OnProgress, contents, need_room, opened, read
from .home import Home, HomeLock


def verify(path: Path, on_progress: OnProgress) -> Manifest:
    """Read all of a backup, and go through the store in it; raises `Storage` for one that is not sound."""
    with tempfile.TemporaryDirectory(prefix="llmos-") as folder, translated():
        return _unpacked(path, Path(folder).resolve(), on_progress, only=STORE)


def restore(path: Path, home: Home, on_progress: OnProgress, *, force: bool = False) -> tuple[Manifest, Path | None]:
    """Make a home of a backup, all of it or nothing; with ``force`` what it holds is put aside, and where that is.

    Raises `BadInput` for a home that holds something, `HomeHeld`, and `Storage` for a backup that is not sound.
    """
    if (full := _full(home)) and not force:
        hint = "--force puts that aside; or name another folder with --home"
        raise BadInput(f"{home.root} holds {full} already", hint=hint)
    with HomeLock(home.create()), translated():
        folder = Path(tempfile.mkdtemp(prefix=".restoring-", dir=home.root)).resolve()
        try:
            manifest = _unpacked(path, folder, on_progress)
            return manifest, _changed_places(home, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def under_way(home: Home) -> int:
    """Processes that were alive when the backup was made, and can go on."""
    with closing(sqlite3.connect(f"{home.database.as_uri()}?mode=ro", uri=True)) as database:
        return int(database.execute("SELECT count(*) FROM processes WHERE finished IS NULL").fetchone()[0])


def _full(home: Home) -> str:
    """Something in a home that a restored one has too; empty where there is nothing."""
    if not home.root.is_dir():
        return ""
    for place in sorted(home.root.iterdir()):
        if not _stays(place) and not _is_empty(place):
            return place.name
    return ""


def _stays(place: Path) -> bool:
    """Whether it has nothing to do with what a backup holds."""
    return place.name in LEFT_OUT or place.name.startswith((".", "replaced-"))


def _is_empty(place: Path) -> bool:
    return place.is_dir() and not any(place.iterdir())


def _changed_places(home: Home, folder: Path) -> Path | None:
    """What is in the folder becomes the home, and what stood there goes aside; indexes are made anew."""
    aside = None
    for place in sorted(home.root.iterdir()):
        if _stays(place):
            continue
        if _is_empty(place):
            place.rmdir()
            continue
        if aside is None:
            aside = home.root / time.strftime("replaced-%Y%m%d-%H%M%S")
            aside.mkdir(mode=0o700)
        place.rename(aside / place.name)
    shutil.rmtree(home.root / "index", ignore_errors=True)
    for place in sorted(folder.iterdir(), key=lambda place: place.name == STORE):  # the store comes last
        place.rename(home.root / place.name)
    return aside


def _unpacked(path: Path, folder: Path, on_progress: OnProgress, only: str | None = None) -> Manifest:
    """Put the files of a sound backup below a folder; with ``only`` read all, but put that one alone."""
    with opened(path) as (archive, manifest):
        need_room(folder, sum(kept.size for name, kept in manifest.files.items() if only in (None, name)))
        for name, data in contents(archive, manifest, on_progress):
            if only not in (None, name):
                read(data)
                continue
            place = _place(folder, name)
            mode = archive.getinfo(BELOW + name).external_attr >> 16
            with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o700 | 0o600), "wb") as file:
                read(data, file)
    sound = STORE in manifest.files and backup.checked(
        folder / STORE, lambda _, share: on_progress("verifying the store", share)
    )
    if sound != manifest.rows:
        raise Storage(f"{path} holds another store than it says", hint="use another backup")
    if only is None:
        for name, link in manifest.links.items():
            _place(folder, name).symlink_to(link)
    return manifest


def _place(folder: Path, name: str) -> Path:
    """Where a file goes, in a folder that is there; raises `Storage` for a name that leads out of ``folder``."""
    place = Path(os.path.normpath(folder / name))
    if not place.is_relative_to(folder) or place == folder or "\0" in name:
        raise Storage(f"a file of the backup is called {name!r}", hint="use another backup")
    for above in reversed([above for above in place.parents if above.is_relative_to(folder)]):
        above.mkdir(mode=0o700, exist_ok=True)
    if not place.parent.resolve().is_relative_to(folder):  # through a link that the backup brought
        raise Storage(f"a file of the backup lies at {name!r}", hint="use another backup")
    return place
