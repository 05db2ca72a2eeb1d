"""The context window as virtual memory: pages within an exact budget of tokens.

    resident pages + what is asked for now + room for the answer  <=  window

by the model's own tokenizer. What has to leave goes to the store and keeps its handle; `Context.fetch` brings it
back. Pinned pages never leave.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .faults import Missing, TooLarge
from .pages import Kind, Page, PageStore

Messages = Sequence[tuple[str, str]]
Measure = Callable[[Messages], int]
Policy = Callable[[Sequence[Page]], list[Page]]
"""Puts pages that may leave into the order in which they leave; one that it leaves out stays."""

OPENING = 80  # characters of a page that stay in sight when it is out


def oldest_first(pages: Sequence[Page]) -> list[Page]:
    """Dialogue and the rest by age."""
    return sorted(pages, key=lambda p: p.place)


def largest_first(pages: Sequence[Page]) -> list[Page]:
    """Fewest pages leave."""
    return sorted(pages, key=lambda p: (-p.tokens, p.place))


POLICIES: dict[str, Policy] = {"oldest": oldest_first, "largest": largest_first}


@dataclass(frozen=True)
class ContextView:
    """A look at the window."""

    window: int
    used: int  # tokens of the resident pages, rendered
    pages: tuple[Page, ...]
    faults: int
    evictions: int


class Context:
    """The pages of one process. ``measure`` gives the tokens of a rendered prompt, generation prompt included."""

    def __init__(self, window: int, measure: Measure, store: PageStore, *, policy: Policy = oldest_first) -> None:
        self.window = window
        self.faults = 0
        self.evictions = 0
        self._measure = measure
        self._store = store
        self._policy = policy
        self._pages: dict[str, Page] = {}
        self._count = 0

    def add(self, role: str, text: str, *, kind: Kind = Kind.DIALOGUE, label: str = "trusted") -> Page:
        """A new page at the end; system and pinned pages stand in front of all others.

        Raises `TooLarge` for a page that could never be shown.
        """
        text = text.encode(errors="replace").decode()  # the store would refuse lone surrogates
        message = (role, text)
        alone = self._measure([message])
        if alone >= self.window:
            raise TooLarge(alone, self.window - 1, "the page")
        # What it adds to a prompt: alone it would count the answer's beginning, and the template's own system message.
        tokens = self._measure([message, message]) - alone
        self._count += 1
        opening = " ".join(text[:OPENING].split())
        page = Page(f"p{self._count}", role, kind, text, tokens, self._count, label, opening=opening)
        self._pages[page.handle] = page
        return page

    def window_for(self, reserve: int, extra: Messages = ()) -> list[tuple[str, str]]:
        """The messages to render so that with ``extra`` and ``reserve`` tokens for the answer all fits.

        Pages leave by the policy until it does. Raises `TooLarge` when what must stay does not fit; then no page
        has left.
        """
        room = self.window - reserve
        pages = self._resident()
        leaving = self._policy([p for p in pages if not p.kind.pinned])

        def without(count: int) -> list[tuple[str, str]]:
            gone = {p.handle for p in leaving[:count]}
            return [(p.role, p.text) for p in pages if p.handle not in gone] + list(extra)

        def fits(count: int) -> bool:
            return self._tokens(without(count)) <= room

        if fits(0):
            return without(0)
        least = self._tokens(without(len(leaving)))
        if least > room:
            raise TooLarge(least, max(room, 0), "what must stay in the window")
        count = bisect_left(range(len(leaving)), True, key=fits)  # the more leave, the less is left
        self._evict(leaving[:count])
        return without(count)

    def _evict(self, pages: list[Page]) -> None:
        self._store.put(pages)  # what is not in the store must not leave
        for page in pages:
            page.resident = False
            page.text = ""
        self.evictions += len(pages)

    def fetch(self, handle: str) -> Page:
        """Bring a page back; counts a fault if it was out. It counts as new, so that it is not the next to leave."""
        page = self._get(handle)
        if not page.resident:
            text = self._store.text(handle)
            self._store.remove(handle)
            self._count += 1
            page.text, page.resident, page.place = text, True, self._count
            self.faults += 1
        return page

    def drop(self, handle: str) -> None:
        """Remove a page for good."""
        page = self._get(handle)
        if not page.resident:
            self._store.remove(handle)
        del self._pages[handle]

    def view(self) -> ContextView:
        """Pages in the order of the window, those that are out included; copies."""
        pages = tuple(replace(p) for p in sorted(self._pages.values(), key=_order))
        used = self._tokens([(p.role, p.text) for p in self._resident()])
        return ContextView(self.window, used, pages, self.faults, self.evictions)

    def close(self) -> None:
        """Give everything back."""
        self._pages.clear()
        self._store.clear()

    def _get(self, handle: str) -> Page:
        try:
            return self._pages[handle]
        except KeyError:
            raise Missing(f"no page {handle!r} in this context", hint="look at the context for its handles") from None

    def _resident(self) -> list[Page]:
        return sorted((p for p in self._pages.values() if p.resident), key=_order)

    def _tokens(self, messages: Messages) -> int:
        return self._measure(messages) if messages else 0  # a template cannot show nothing


def _order(page: Page) -> tuple[bool, bool, int]:
    """System pages, then pinned ones, then the rest: what is stable stands in front, so its prefix can be reused."""
    return (page.kind is not Kind.SYSTEM, not page.kind.pinned, page.place)
