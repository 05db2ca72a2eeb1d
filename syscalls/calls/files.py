"""Files: paths are relative to the process's own tree."""

from pydantic import BaseModel, Field

from .base import Reply, Request


class ReadFile(Request):
    """Read a text file (UTF-8)."""

    path: str


class FileText(Reply):
    """The whole text."""

    path: str
    text: str
    bytes: int


class WriteFile(Request):
    """Write a text file as a whole, or append to it; what was there stays until the new text is on disk."""

    path: str
    text: str
    append: bool = False


class FileEntry(BaseModel):
    """One file."""

    path: str
    bytes: int
    modified: float = Field(description="seconds since the epoch")


class ListFiles(Request):
    """Files below a folder of the tree."""

    folder: str = ""


class FileList(Reply):
    """Files in the order of their paths."""

    files: list[FileEntry]


class SearchFiles(Request):
    """Lines that contain a text (case ignored) or match a regular expression."""

    text: str = Field(min_length=1)
    folder: str = ""
    regex: bool = False
    limit: int = Field(100, ge=1, le=10_000)


class FileLine(BaseModel):
    """A line that was found."""

    path: str
    line: int
    text: str


class FileLines(Reply):
    """Lines in the order of paths and numbers."""

    lines: list[FileLine]


class DeleteFile(Request):
    """Remove a file."""

    path: str
