"""Files: read, write, list, search and delete inside the process's own tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import calls as c

if TYPE_CHECKING:
    from .gate import Call


async def read(call: Call, request: c.ReadFile) -> c.FileText:
    """The whole text of a file."""
    text = await call.machine.worker(call.process.files.read, request.path)
    return c.FileText(path=request.path, text=text, bytes=len(text.encode()))


async def write(call: Call, request: c.WriteFile) -> c.Nothing:
    """Write; done when it is on disk."""
    await call.machine.worker(call.process.files.write, request.path, request.text, append=request.append)
    return c.Nothing()


async def listing(call: Call, request: c.ListFiles) -> c.FileList:
    """Files below a folder."""
    entries = await call.machine.worker(call.process.files.listing, request.folder)
    return c.FileList(files=[c.FileEntry(path=e.path, bytes=e.size, modified=e.modified) for e in entries])


async def search(call: Call, request: c.SearchFiles) -> c.FileLines:
    """Lines that contain the text."""
    found = await call.machine.worker(
        call.process.files.search, request.text, request.folder, regex=request.regex, limit=request.limit
    )
    return c.FileLines(lines=[c.FileLine(path=f.path, line=f.line, text=f.text) for f in found])


async def delete(call: Call, request: c.DeleteFile) -> c.Nothing:
    """Remove a file."""
    await call.machine.worker(call.process.files.delete, request.path)
    return c.Nothing()
