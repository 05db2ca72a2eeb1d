"""Context: the pages that the model sees for a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel.process import Process
from ..memory.faults import TooLarge
from ..memory.pages import Kind, Page
from . import calls as c

if TYPE_CHECKING:
    from .gate import Call


async def add(call: Call, request: c.Add) -> c.PageView:
    """Put a page into the context."""
    page = add_page(call.process, request.role, request.text, Kind(request.kind), request.label)
    return _view(page)


async def fetch(call: Call, request: c.Fetch) -> c.PageView:
    """Bring a page back."""
    page = call.process.context.fetch(request.handle)
    call.process.usage.faults = call.process.context.faults
    return _view(page)


async def drop(call: Call, request: c.Drop) -> c.Nothing:
    """Remove a page for good, and give its place in the limits back."""
    process = call.process
    process.context.drop(request.handle)
    process.account.charge("pages", -1)
    process.usage.pages -= 1
    return c.Nothing()


async def look(call: Call, request: c.Look) -> c.ContextView:
    """The window and its pages, resident or not."""
    view = call.process.context.view()
    pages = [_view(page) for page in view.pages]
    return c.ContextView(window=view.window, used=view.used, pages=pages, faults=view.faults, evictions=view.evictions)


def add_page(process: Process, role: str, text: str, kind: Kind = Kind.DIALOGUE, label: str = "trusted") -> Page:
    """Add a page and book it."""
    process.account.charge("pages", 1)
    try:
        page = process.context.add(role, text, kind=kind, label=label)
    except TooLarge:
        process.account.charge("pages", -1)
        raise
    process.usage.pages += 1
    return page


def _view(page: Page) -> c.PageView:
    return c.PageView(
        handle=page.handle, role=page.role, kind=page.kind.value, tokens=page.tokens, resident=page.resident,
        label=page.label, first_words=page.opening,
    )  # fmt: skip
