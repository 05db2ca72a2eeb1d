"""Files: a tree for each owner, with versions, in the one database. `FileStore` has them all, `FileTree` is one view."""

from .lines import LONGEST_LINE, Line, find_lines, text_of
from .names import DEEPEST
from .store import FileStore, Retention, Swept
from .tree import Entry, FileTree, Revision, Write

__all__ = [
    "DEEPEST", "LONGEST_LINE", "Entry", "FileStore", "FileTree", "Line", "Retention", "Revision", "Swept", "Write",
    "find_lines", "text_of",
]  # fmt: skip
