"""Files: read, write, bring back, find, list and search inside the process's own tree.

Content is cut and stored on a worker thread; the change itself is committed with the outcome of the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import calls as c

if TYPE_CHECKING:
    from ..memory.files import Write
    from .gate import Call


async def read(call: Call, request: c.ReadFile) -> c.FileText:
    """The whole text of a file, as it is or as it was in an older version."""
    text, label = await call.machine.worker(call.process.files.labelled, request.path, request.version)
    return c.FileText(path=request.path, text=text, bytes=len(text.encode()), label=label)


async def write(call: Call, request: c.WriteFile) -> c.Nothing:
    """Write; done when it is on disk."""
    files = call.process.files
    return await _change(call, files.writing, request.path, request.text, request.label, append=request.append)


async def delete(call: Call, request: c.DeleteFile) -> c.Nothing:
    """Remove a file; its versions stay for as long as the store keeps any."""
    return await _change(call, call.process.files.deleting, request.path)


async def rename(call: Call, request: c.RenameFile) -> c.Nothing:
    """Rename; a folder with all that is in it."""
    return await _change(call, call.process.files.renaming, request.path, request.to)


async def rollback(call: Call, request: c.RollBackFile) -> c.Nothing:
    """Bring back; what was newest stays as the version before."""
    return await _change(call, call.process.files.rolling_back, request.path, request.version)


async def tag(call: Call, request: c.TagFile) -> c.Nothing:
    """Change the tags."""
    return await _change(call, call.process.files.tagging, request.path, request.add, request.remove)


async def _change(call: Call, prepare: Callable[..., Write], *args: Any, **named: Any) -> c.Nothing:
    call.writes.append(await call.machine.worker(prepare, *args, **named))
    return c.Nothing()


async def listing(call: Call, request: c.ListFiles) -> c.FileList:
    """Files below a folder."""
    entries = await call.machine.worker(call.process.files.listing, request.folder)
    return c.FileList(files=[
        c.FileEntry(
            path=e.path, bytes=e.size, modified=e.modified, version=e.version, label=e.label, tags=list(e.tags),
            damaged=e.damaged,
        )
        for e in entries
    ])  # fmt: skip


async def versions(call: Call, request: c.FileVersions) -> c.Versions:
    """Its versions, those of a file that was deleted too."""
    found = await call.machine.worker(call.process.files.versions, request.path)
    return c.Versions(versions=[
        c.FileVersion(number=v.number, bytes=v.size, made=v.made, pid=v.pid, label=v.label, damaged=v.damaged)
        for v in found
    ])  # fmt: skip


async def search(call: Call, request: c.SearchFiles) -> c.FileLines:
    """Lines that contain the text."""
    found = await call.machine.worker(
        call.process.files.search, request.text, request.folder, regex=request.regex, limit=request.limit
    )
    return c.FileLines(lines=[c.FileLine(path=f.path, line=f.line, text=f.text) for f in found])


async def find(call: Call, request: c.FindFiles) -> c.FoundFiles:
    """The files that fit best; the first search after many changes takes longer, since it reads what is new."""
    found = await call.machine.worker(
        call.process.files.find, request.query, request.folder, tags=request.tags, k=request.k
    )
    return c.FoundFiles(files=[
        c.FoundFile(
            path=f.path, score=f.score, line=f.line, text=f.text, tags=list(f.tags),
            why={"words": f.words, "similarity": f.similarity, "named": f.named},
        )
        for f in found
    ])  # fmt: skip
