"""Files that a line in plain language is about: those it names, or all of the folder where it speaks of files."""

import os
import re
from pathlib import Path

MOST = 100  # files of a folder
LARGEST = 2**20  # bytes of a file that is handed in unasked
_OF_FILES = re.compile(r"\b(files?|folders?|director(y|ies)|documents?)\b", re.IGNORECASE)


def mentioned(line: str, folder: Path) -> dict[str, Path]:
    """Path in a process's tree to file on the host; only plain, readable files that are no links and not hidden."""
    if not line.strip():
        return {}
    plain = _plain_files(folder)
    found = [file for file in plain if _stands_in(file.name, line)]
    if not found and _OF_FILES.search(line):
        found = [file for file in plain if file.stat().st_size <= LARGEST][:MOST]
    return {f"in/{file.name}": file for file in found}


def _plain_files(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if not e.name.startswith(".") and e.is_file(follow_symlinks=False)]
    except OSError:  # the folder is gone, or closed to us: then it holds nothing to speak of
        return []
    return [folder / name for name in sorted(names) if name.isprintable() and os.access(folder / name, os.R_OK)]


def _stands_in(name: str, line: str) -> bool:
    """A name that is a plain word may well be meant as one."""
    plain_word = name.isalpha() and name.islower()
    return not plain_word and re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w/-])", line, re.IGNORECASE) is not None
