"""Files: paths are relative to the process's own tree."""

from pydantic import BaseModel, Field

from .base import Label, Reply, Request


class ReadFile(Request):
    """Read a text file (UTF-8)."""

    path: str
    version: int | None = Field(None, ge=1, description="none: the newest")


class FileText(Reply):
    """The whole text."""

    path: str
    text: str
    bytes: int
    label: Label = "untrusted"


class WriteFile(Request):
    """Write a text file as a whole, or append to it; what was there stays, as the version before."""

    path: str
    text: str
    append: bool = False
    label: Label = Field("untrusted", description="with append: trusted if both parts are")


class FileEntry(BaseModel):
    """One file."""

    path: str
    bytes: int
    modified: float = Field(description="seconds since the epoch")
    version: int = 1
    label: Label = "untrusted"
    tags: list[str] = []
    damaged: bool = Field(False, description="it cannot be read, and what else is said here may be wrong")


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


class FindFiles(Request):
    """Find files by what they are about: by name, tags, words and meaning. No query: all that bear the tags."""

    query: str
    folder: str = ""
    tags: list[str] = Field([], description="only files that bear all of these")
    k: int = Field(10, ge=1, le=1000)


class FoundFile(BaseModel):
    """A file that was found: its best passage, where that begins, and why it was found."""

    path: str
    score: float
    line: int = Field(description="0 where only the name fits")
    text: str
    tags: list[str]
    why: dict[str, float] = Field(
        description="words and named: share of the query's words in passage and path; similarity: cosine"
    )


class FoundFiles(Reply):
    """Files, best first. What was handed in is not among them."""

    files: list[FoundFile]


class DeleteFile(Request):
    """Remove a file. It can be brought back."""

    path: str


class RenameFile(Request):
    """Give a file or a folder another path, where nothing stands yet."""

    path: str
    to: str


class FileVersions(Request):
    """The versions of a file, also of one that was deleted."""

    path: str


class FileVersion(BaseModel):
    """One version of a file."""

    number: int
    bytes: int | None = Field(description="none: it was deleted")
    made: float = Field(description="seconds since the epoch")
    pid: int | None = Field(description="the process that made it; none: the user")
    label: Label
    damaged: bool = False


class Versions(Reply):
    """Versions, oldest first."""

    versions: list[FileVersion]


class RollBackFile(Request):
    """Bring back an older version of a file, as its newest."""

    path: str
    version: int = Field(ge=1)


class TagFile(Request):
    """Give a file tags, and take some from it."""

    path: str
    add: list[str] = Field([], max_length=100)
    remove: list[str] = Field([], max_length=100)
