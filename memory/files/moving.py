"""Files of an llmos before this one, which stood in a folder for each owner and app, taken into the store."""

import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from ..database import Database
from ..faults import BadPath
from .names import hides, names_of
from .store import FileStore
from .tree import FileTree

log = logging.getLogger(__name__)

_PART = ".llmos-part"  # a file that was being written when its writer died
_BLOCK = 1 << 16


def take_in(database: Database, folder: Path, on_progress: Callable[[float], None] | None = None) -> int:
    """Take in all files below OWNER/APP, then remove the folder; how many. What cannot be read stays, with a warning.

    Broken off, it is begun again: a file that is in already makes no second version. Links are not followed.
    """
    if not folder.is_dir():
        return 0
    store = FileStore(database)  # no quota: it all had room before
    files = [(owner.name, path) for owner in sorted(folder.iterdir()) if owner.is_dir() for path in _below(owner)]
    left = 0
    for done, (owner, path) in enumerate(files, 1):
        try:
            with open(os.open(folder / owner / path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                store.clock = partial(float, os.fstat(file.fileno()).st_mtime)  # when it was made
                FileTree(store, owner).write(_named(path), iter(partial(file.read, _BLOCK), b""))
        except (OSError, BadPath) as problem:
            log.warning("%s stays where it is: %s", folder / owner / path, problem)
            left += 1
        if on_progress is not None:
            on_progress(done / len(files))
    if not left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(files) - left


def _below(owner: Path) -> Iterator[str]:
    """Paths of the regular files, from the owner's folder; those right in it belong to no app, and are none of ours."""
    for place, folders, names in os.walk(owner):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            with suppress(FileNotFoundError):
                if stat.S_ISREG(path.lstat().st_mode) and name != _PART:
                    yield path.relative_to(owner).as_posix()


def _named(path: str) -> str:
    """The path, with a "_" for each letter that a name may not hold any more."""
    return "/".join(_sound(name) for name in path.split("/"))


def _sound(name: str) -> str:
    try:
        names_of(name)
    except BadPath:
        kept = "".join("_" if hides(letter) or letter == "\\" else letter for letter in name).strip()
        return f"_{kept}"
    return name
