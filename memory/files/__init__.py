"""Files: a tree for each owner, with versions, in the one database. `FileStore` is all of them, `FileTree` a part."""

from .lines import LONGEST_LINE, Line, find_lines, text_of
from .meaning import Found, find, forget_deleted
from .moving import take_in
from .names import DEEPEST
from .store import FileStore, Retention, Swept
from .tree import FileTree, Write
from .view import UNTRUSTED, Entry, FileView, Revision

__all__ = [
    "DEEPEST", "LONGEST_LINE", "UNTRUSTED", "Entry", "FileStore", "FileTree", "FileView", "Found", "Line", "Retention",
    "Revision", "Swept", "Write", "find", "find_lines", "forget_deleted", "take_in", "text_of",
]  # fmt: skip
