"""Compaction: a process of its own, of the lowest priority, that sums up what left another one's window.

A summary is one more page; the pages that it sums up stay. It is made of their own sentences, of which the model takes
its choice, so that it says nothing that they do not say. It is added in one turn of the event loop, and nothing of the
process that it serves waits for it. Where it fails or is killed, nothing has happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ..kernel.errors import OSFault
from ..kernel.limits import Limits
from ..kernel.process import Priority, Process
from ..memory.faults import MemoryFault, Missing
from ..memory.pages import Kind, Page
from ..memory.portions import sentences
from . import calls as c

if TYPE_CHECKING:
    from .gate import Gate

APP = "compact"
PAGES = 12  # that one summary stands for at most
SHARE = 2  # of the window, that what is summed up at once may take at most: one half
CHOICE = 64  # sentences that the model takes its choice from at most
LONGEST = 4  # sentences of a summary
ASKED = "Which of these sentences say what was said and decided? Names, places, numbers and wishes count most."
LIMITS = Limits(tokens=100_000, pages=None, calls=None, children=None)  # of one run


def start(gate: Gate, served: Process) -> Process:
    """Start compaction for a process, or give the one that is under way."""
    for process in gate.machine.table.living():
        if process.app == APP and process.args == {"pid": served.pid}:
            return process

    async def body(process: Process) -> None:
        work = asyncio.ensure_future(_compact(gate, process, served))
        over = asyncio.ensure_future(served.ended.wait())
        try:
            await asyncio.wait({work, over}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            work.cancel()
            over.cancel()

    return gate.machine.start(
        body, app=APP, owner=served.owner, rights=frozenset({"model:use"}), limits=LIMITS, priority=Priority.BATCH,
        output=served.output, args={"pid": served.pid}, model=served.core.name,
    )  # fmt: skip


def start_if_due(gate: Gate, served: Process) -> None:
    """Start it where the process has asked for that and enough pages are out without a summary."""
    context = served.context
    if context.compact and context.out >= context.compact and served.alive and not served.ending:
        with suppress(MemoryFault, OSFault):  # it is a help, and none is owed
            if len(context.store.uncovered(context.compact)) >= context.compact:
                start(gate, served)


async def _compact(gate: Gate, process: Process, served: Process) -> None:
    store, window = served.context.store, served.core.window
    while pages := _portion(await gate.machine.worker(store.uncovered, PAGES), window // SHARE):
        text = await _summary(gate, process, pages)
        if served.ending or not served.alive or not await _add(gate, served, pages, text):
            return


def _portion(pages: Sequence[Page], most: int) -> list[Page]:
    """As many of the oldest as are summed up at once; at least one."""
    taken: list[Page] = []
    for page in pages:
        if taken and sum(p.tokens for p in taken) + page.tokens > most:
            break
        taken.append(page)
    return taken


async def _summary(gate: Gate, process: Process, pages: Sequence[Page]) -> str:
    found = list(dict.fromkeys(sentence for page in pages for sentence in sentences(page.text)))[:CHOICE]
    if len(found) <= LONGEST:
        return " ".join(found)
    said = "\n".join(f"{page.role}: {page.text}" for page in pages)
    request = c.Generate(
        messages=[c.Message(role="tool", text=said)], prompt=ASKED, use_context=False,
        spans=c.Sentences(texts=found, least=1, most=LONGEST), max_tokens=400,
    )  # fmt: skip
    reply = await gate.call(process, "generate", request)
    assert isinstance(reply, c.Generated)
    return reply.text


async def _add(gate: Gate, served: Process, pages: Sequence[Page], text: str) -> bool:
    """Add the page that stands for these, and put that on disk; False where one of them has gone meanwhile."""
    context = served.context
    first, last = pages[0].handle, pages[-1].handle
    try:
        served.add_pages(
            "tool", f"Summary of {first} to {last}:\n{text}", kind=Kind.SUMMARY, label=_label(pages),
            covers=[page.handle for page in pages],
        )  # fmt: skip
    except Missing:
        return False
    write = context.changes()
    assert write is not None
    try:
        await asyncio.wrap_future(gate.machine.parts.journal.post(write))
    except BaseException:
        context.dirty_all()
        raise
    return True


def _label(pages: Sequence[Page]) -> str:
    return "untrusted" if any(page.label == "untrusted" for page in pages) else "trusted"
