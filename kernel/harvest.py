"""Bringing files out of a cage whose processes have all ended.

The tree was written by untrusted code, so nothing in it is followed or believed: links are never opened,
names are checked, and depth, number and bytes are bounded. No race is possible, since no writer is left. What was
made unreadable is opened up first: it belongs to us.
"""

import os
from collections.abc import Collection, Iterator
from itertools import islice
from stat import S_ISDIR, S_ISLNK, S_ISREG

_DEPTH = 16  # folders inside folders
_ENTRIES = 4096  # looked at in all, folders too
_FOLDER = "folder"


def harvest(
    work: int, room: int, *, only: Collection[str] | None, ignore: Collection[str]
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Plain files below the directory descriptor ``work``, at most ``room`` bytes in all.

    ``only`` names the wanted paths (None: all); ``ignore`` names links of our own; what the program has
    put in the place of one comes out like anything else. Returns the contents by path, and "name (why)" for each
    wanted thing that stays behind.
    """
    files: dict[str, bytes] = {}
    left: list[str] = []
    for number, (path, folder, name, problem) in enumerate(_walk(work, "", _DEPTH)):
        if number == _ENTRIES:
            left.append(f"… (more than {_ENTRIES} files and folders)")
            break
        if problem == _FOLDER or (only is not None and path not in only):
            continue
        if path in ignore and S_ISLNK(_mode(folder, name)):
            continue
        data = None if problem else _read(folder, name, room)
        if data is None:
            left.append(f"{path if path.isprintable() else ascii(path)} ({problem or 'too large'})")
        else:
            files[path] = data
            room -= len(data)
    if only is not None:
        seen = {entry.rpartition(" (")[0] for entry in left}
        left += [f"{path} (not there)" for path in sorted(only) if path not in files and path not in seen]
    return files, tuple(left)


def _walk(folder: int, prefix: str, depth: int) -> Iterator[tuple[str, int, str, str]]:
    """Each entry: its path, the open folder it is in, its name there, and why it cannot be read."""
    os.fchmod(folder, 0o700)
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in islice(entries, _ENTRIES + 1))
    for name in names:
        path = prefix + name
        mode = _mode(folder, name)
        if not name.isprintable():
            yield path, folder, name, "odd name"
        elif S_ISREG(mode):
            yield path, folder, name, ""
        elif not S_ISDIR(mode):
            yield path, folder, name, "not a plain file"
        elif not depth:
            yield path, folder, name, "too deep"
        else:
            yield path, folder, name, _FOLDER
            yield from _descend(folder, name, path, depth)


def _descend(folder: int, name: str, path: str, depth: int) -> Iterator[tuple[str, int, str, str]]:
    os.chmod(name, 0o700, dir_fd=folder)
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        yield from _walk(inner, f"{path}/", depth - 1)
    finally:
        os.close(inner)


def _mode(folder: int, name: str) -> int:
    return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode


def _read(folder: int, name: str, room: int) -> bytes | None:
    """The file's bytes; None when it has more than ``room``."""
    os.chmod(name, 0o600, dir_fd=folder)
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "rb") as file:
        return None if os.fstat(file.fileno()).st_size > room else file.read(room)
