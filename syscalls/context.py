"""Context: the pages that the model sees for a process.

A handler moves pages in its last turn of the event loop and hands the writing of that to its call: so a change is on
disk exactly if the call's outcome is, and nobody sees half of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..kernel.errors import LimitExceeded
from ..kernel.process import Process
from ..memory.faults import TooLarge
from ..memory.pages import Kind, Page
from . import calls as c
from . import compact as compaction

if TYPE_CHECKING:
    from .gate import Call


async def add(call: Call, request: c.Add) -> c.PageView:
    """Put a text into the context. Cut between paragraphs, else lines, sentences, words."""
    pages = call.process.add_pages(
        request.role, request.text, kind=Kind(request.kind), label=request.label, importance=request.importance,
        covers=request.covers,
    )  # fmt: skip
    record(call)
    return _whole(pages)


async def fetch(call: Call, request: c.Fetch) -> c.Fetched:
    """Bring pages back, to the end of the window."""
    pages = call.process.context.fetch(request.handle)
    record(call)
    return c.Fetched(**_whole(pages).model_dump(), text="".join(page.text for page in pages))


async def recall(call: Call, request: c.RecallPages) -> c.PagesBack:
    """Words and vectors of the pages that are out, against the query."""
    context = call.process.context
    found = await best_pages(call, request.query, request.k)
    plan = context.plan(back=found)
    context.apply(plan)
    record(call)
    back = {page.handle: page for page in plan.back}
    pages = [back[page.handle] for page in found if page.handle in back]
    return c.PagesBack(pages=[c.PageText(handle=p.handle, role=p.role, text=p.text) for p in pages])


async def drop(call: Call, request: c.Drop) -> c.Nothing:
    """Remove pages for good, and give their place in the limits back."""
    call.process.drop_pages(request.handle)
    record(call)
    return c.Nothing()


async def tune(call: Call, request: c.Tune) -> c.Nothing:
    """Change the policy, the low-water mark, and when compaction begins."""
    call.process.context.tune(policy=request.policy, low=request.low, compact=request.compact)
    record(call)
    return c.Nothing()


async def compact(call: Call, request: c.Compact) -> c.Compacting:
    """Start the process that sums up; it works on after the reply."""
    return c.Compacting(pid=compaction.start(call.gate, call.process).pid)


async def look(call: Call, request: c.Look) -> c.ContextView:
    """The window and its pages, resident or not."""
    view = call.process.context.view(request.out)
    return c.ContextView(
        window=view.window, used=view.used, pages=[_view(page) for page in view.pages], faults=view.faults,
        evictions=view.evictions, out=view.out, policy=view.policy, low=view.low, stubs=view.stubs,
    )  # fmt: skip


# -- what other calls use --


def record(call: Call) -> None:
    """Hand what became of the context to the call, to be written with its outcome."""
    context = call.process.context
    call.process.usage.faults = context.faults
    if (write := context.changes()) is not None:
        call.writes.append(write)
        call.undo.append(context.dirty_all)
        call.after.append(lambda: compaction.start_if_due(call.gate, call.process))


async def best_pages(call: Call, query: str, k: int) -> list[Page]:
    """The pages that are out and fit a query best, with their texts; best first."""
    context = call.process.context
    if not (context.out and query.strip()):
        return []
    search = call.machine.pages.search
    return context.peek(await call.machine.worker(search, call.process.pid, query, k, context.resident()))


def add_all(process: Process, messages: Sequence[tuple[str, str]]) -> None:
    """Add all of the messages or, where one does not fit or the limit is reached, none."""
    added: list[Page] = []
    try:
        for role, text in messages:
            added += process.add_pages(role, text)
    except (TooLarge, LimitExceeded):
        for page in added:
            process.drop_pages(page.handle)
        raise


def _view(page: Page) -> c.PageView:
    return c.PageView(
        handle=page.handle, role=page.role, kind=page.kind.value, tokens=page.tokens, resident=page.resident,
        label=page.label, first_words=page.opening, importance=page.importance, part_of=page.part_of,
        covers=list(page.covers), recalled=page.recalled,
    )  # fmt: skip


def _whole(pages: list[Page]) -> c.PageView:
    """The pages of a text as one."""
    first = _view(pages[0])
    if len(pages) == 1:
        return first
    whole = {"handle": first.part_of, "part_of": "", "parts": [page.handle for page in pages]}
    tokens, resident = sum(page.tokens for page in pages), all(page.resident for page in pages)
    return first.model_copy(update={**whole, "tokens": tokens, "resident": resident})
