"""The context window as virtual memory: pages within an exact budget of tokens.

    resident pages + what is asked for now + room for the answer  <=  window

by the model's own tokenizer. What has to leave goes to the store and keeps its handle; a fault brings it back, to the
end of the window. Pinned pages never leave. When something must leave, more does (down to a low-water mark), and then
nothing for many turns: the engine finds the prefix that it has computed.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from .faults import Missing, TooLarge
from .pages import Change, Header, Kind, Page, PageStore, Write, opening, shown
from .policies import DEFAULT, POLICIES
from .portions import portions
from .stubs import Stubs

Message = tuple[str, str]
Messages = Sequence[Message]
Measure = Callable[[Messages], int]

PAGE = 384  # tokens that a page has at most, in a window of at least eight pages
LEAST_PAGE = 64  # tokens below which no text is cut, however small the window
LOW = 0.5  # of the room for pages that may leave: down to here they leave, once one has to
BACK = 0.5  # of the same room: what a query may bring back
LISTED = 100  # pages that are out, in a look


@dataclass(frozen=True)
class Plan:
    """A prompt, and what has to move for it; nothing has moved until `Context.apply`."""

    messages: list[Message]
    leave: tuple[str, ...]
    back: tuple[Page, ...]
    stubs: Stubs
    version: int  # of the context when it was made


@dataclass(frozen=True)
class ContextView:
    """A look at the window."""

    window: int
    used: int  # tokens of the resident pages and the stubs, rendered
    pages: tuple[Page, ...]  # in the order of the window; of those that are out the last, without texts
    out: int  # pages that are out, listed or not
    faults: int
    evictions: int
    policy: str
    low: float
    stubs: str  # as they stand in the window


class Context:
    """The pages of one process. ``measure`` gives the tokens of a rendered prompt, generation prompt included.

    Memory holds what is resident. The store has every page once `changes` was written; until then a page that leaves
    is written at once. Owned by the event loop's thread.
    """

    def __init__(
        self, window: int, measure: Measure, store: PageStore, *, policy: str = DEFAULT, low: float = LOW
    ) -> None:
        self.window = window
        self.policy = policy
        self.low = low
        self.compact = 0  # pages out without a summary at which compaction begins; 0: never by itself
        self.out = 0  # pages that are out
        self.faults = 0
        self.evictions = 0
        self.store = store
        self._measure = measure
        self._pages: dict[str, Page] = {}  # resident
        self._stubs = Stubs()
        self._clock = 0
        self._texts = 0
        self._version = 0  # counts what moved
        self._clean()
        self._gone: set[str] = set()  # dropped, and perhaps still in the store

    @classmethod
    def restore(cls, window: int, measure: Measure, store: PageStore) -> "Context":
        """As it was after the last change that was written; a new one where nothing was."""
        context = cls(window, measure, store)
        if (found := store.load()) is None:
            return context
        header, pages = found
        context.policy, context.low, context.compact = header.policy, header.low, header.compact
        context.out, context.faults, context.evictions = header.out, header.faults, header.evictions
        context._clock, context._texts, context._stubs = header.clock, header.texts, Stubs.of(header.stubs)
        context._pages = {page.handle: page for page in pages}
        for page in pages:
            page.tokens = context._added(page.message)  # another model may read it now
        return context

    # -- adding, fetching, dropping --

    def add(
        self,
        role: str,
        text: str,
        *,
        kind: Kind = Kind.DIALOGUE,
        label: str = "trusted",
        importance: float = 0.5,
        covers: Sequence[str] = (),
        admit: Callable[[int], None] = lambda count: None,
    ) -> list[Page]:
        """New pages at the end, several where the text is long; system and pinned ones stand in front of all others.

        ``admit`` is told their number before anything changes, and may refuse. Raises `TooLarge` for what could
        never be shown, and `Missing` where ``covers`` names a page that is not there.
        """
        text = text.encode(errors="replace").decode()  # the store would refuse lone surrogates
        for handle in covers:
            self._lookup(handle)
        new = self._made(role, text, kind, label, importance, tuple(covers))
        pages = sorted([*self._pages.values(), *new], key=_order)
        leave, stubs = self._fit(pages, self.window, (), new=len(new))
        admit(len(new))
        self.store.put(leave)  # what is not in the store must not leave
        self._texts += 1
        self._clock = new[-1].place
        self._pages |= {page.handle: page for page in new}
        self._dirty |= {page.handle for page in new}
        self._covered += [(new[0].handle, handle) for handle in covers]
        self._evict(leave, stubs)
        return new

    def fetch(self, handle: str) -> list[Page]:
        """Bring a page, or all parts of a text, back; counts a fault for each that was out.

        They count as new, so that they are not the next to leave. Raises `TooLarge` where they do not fit in together.
        """
        found = self._lookup(handle)
        here = [page for page in found if page.handle in self._pages]
        away = [page for page in found if page.handle not in self._pages]
        self.apply(self.plan(back=away, whole=[page.handle for page in found]))
        for page in here:
            self._touch(page)
        return [self._pages[page.handle] for page in found]

    def drop(self, handle: str) -> int:
        """Remove a page, or all parts of a text, for good; the number of pages."""
        found = self._lookup(handle)
        handles = {page.handle for page in found}
        self._gone = self.store.present(self._gone) | handles
        self._dropped += handles
        self._dirty -= handles
        for page in found:
            self._left.pop(page.handle, None)
            if self._pages.pop(page.handle, None) is None:
                self.out -= 1
            self._bared += [(handle, page.handle) for handle in page.covers]
        self._stubs = self._stubs.without(handles)
        self._version += 1
        return len(found)

    def peek(self, handles: Iterable[str]) -> list[Page]:
        """Those of the pages that are out, with their texts; they stay out."""
        return [page for handle in handles for page in self.store.find(handle) if self._is_out(page)]

    def tune(self, *, policy: str | None = None, low: float | None = None, compact: int | None = None) -> None:
        """Change how pages leave from now on; None leaves as it is."""
        self.policy = self.policy if policy is None else policy
        self.low = self.low if low is None else low
        self.compact = self.compact if compact is None else compact
        self._header_changed = True

    # -- prompts --

    def plan(
        self, reserve: int = 0, extra: Messages = (), back: Sequence[Page] = (), *, whole: Sequence[str] = ()
    ) -> Plan:
        """What to render so that with ``extra`` and ``reserve`` tokens for the answer all fits.

        ``back`` are pages from `peek` that come in, best first, as many as fit into their share; ``whole`` are
        handles of pages that must all be in then. Others leave by the policy until it fits. Raises `TooLarge` where
        what must stay does not fit.
        """
        room = self.window - reserve
        if not whole:
            back = self._affordable(back, room, extra)
        coming = self._coming(back)
        pages = [*self._resident(), *coming]
        leave, stubs = self._fit(pages, room, extra, keep=whole or [page.handle for page in back])
        gone = {page.handle: None for page in leave}
        if any(handle in gone for handle in whole):
            tokens = {page.handle: page.tokens for page in pages}
            left = sum(tokens[handle] for handle in whole if handle not in gone)
            raise TooLarge(sum(tokens[handle] for handle in whole), left, "what is to be in together")
        messages = [*self._messages([p for p in pages if p.handle not in gone], stubs), *extra]
        coming = [page for page in coming if page.handle not in gone]
        return Plan(messages, tuple(gone), tuple(coming), stubs, self._version)

    def apply(self, plan: Plan) -> None:
        """Let pages move as planned; those that have moved or gone meanwhile are left alone."""
        coming = [page for page in plan.back if self._is_out(page)]
        leave = [self._pages[handle] for handle in plan.leave if handle in self._pages]
        alone = self._version == plan.version
        self.store.put(leave)
        for page in coming:
            self._pages[page.handle] = page
            self._touch(page)
            page.place = page.touched
        self.out -= len(coming)
        self.faults += len(coming)
        self._evict(leave, plan.stubs if alone else self._stubs_after(leave, self._pages) if leave else self._stubs)
        if not alone:
            leave, stubs = self._fit(self._resident(), self.window, ())
            self.store.put(leave)
            self._evict(leave, stubs)

    def window_for(self, reserve: int, extra: Messages = ()) -> list[Message]:
        """`plan` and `apply` at once: the messages."""
        plan = self.plan(reserve, extra)
        self.apply(plan)
        return plan.messages

    def view(self, out: int = LISTED) -> ContextView:
        """Pages in the order of the window, copies, and of those that are out the last ``out`` before them."""
        away = [page for page in self.store.out(list(self._pages), out + len(self._gone)) if self._is_out(page)]
        resident = self._resident()
        pages = sorted([*away[max(0, len(away) - out) :], *(replace(page) for page in resident)], key=_order)
        used = self._tokens(self._messages(resident, self._stubs))
        stubs = "".join(text for _, text in self._stubs.messages(self.window))
        return ContextView(
            self.window, used, tuple(pages), self.out, self.faults, self.evictions, self.policy, self.low, stubs
        )

    def resident(self) -> frozenset[str]:
        """Handles of the pages in the window."""
        return frozenset(self._pages)

    # -- lasting --

    def changes(self) -> Write | None:
        """The writing of what changed since the last call, in values of its own; None when nothing did."""
        if not (self._header_changed or self._dirty or self._left or self._dropped or self._all):
            return None
        pages = list(self._pages.values()) if self._all else [self._pages[handle] for handle in self._dirty]
        header = Header(
            self.policy, self.low, self.compact, self._clock, self._texts, self.out, self.faults, self.evictions,
            self._stubs.plain(),
        )  # fmt: skip
        change = Change(
            header, (*pages, *self._left.values()), tuple(self._gone if self._all else self._dropped),
            tuple(self._covered), tuple(self._bared), tuple(self._pages) if self._all else None,
        )  # fmt: skip
        self._clean()
        return self.store.write(change)

    def dirty_all(self) -> None:
        """What `changes` gave was not written: the next one has everything that counts.

        Of a page that left meanwhile it may be forgotten where it stood and what sums it up.
        """
        self._all = True

    def close(self) -> None:
        """Give the memory back; what is in the store goes with the record of the process's end."""
        self._pages.clear()
        self._clean()

    def _clean(self) -> None:
        self._all = False
        self._header_changed = False
        self._dirty: set[str] = set()
        self._left: dict[str, Page] = {}
        self._dropped: list[str] = []
        self._covered: list[tuple[str, str]] = []  # (summary, page)
        self._bared: list[tuple[str, str]] = []  # (page, summary that is gone)

    # -- moving --

    def _made(
        self, role: str, text: str, kind: Kind, label: str, importance: float, covers: tuple[str, ...]
    ) -> list[Page]:
        """The pages of a text, not yet in the window."""
        limit = min(PAGE, max(LEAST_PAGE, self.window // 8))
        parts = portions(text, lambda part: self._added((role, part)) <= limit)
        largest = max(self._tokens([(role, part)]) for part in parts)
        if largest >= self.window:
            raise TooLarge(largest, self.window - 1, "the page")
        name = f"p{self._texts + 1}"
        pages = []
        for number, part in enumerate(parts, 1):
            handle, part_of = (name, "") if len(parts) == 1 else (f"{name}.{number}", name)
            place = self._clock + number
            pages.append(Page(
                handle, role, kind, part, self._added((role, part)), place, label, opening=opening(part),
                importance=importance, part_of=part_of, covers=covers if number == 1 else (), touched=place,
            ))  # fmt: skip
        return pages

    def _coming(self, back: Iterable[Page]) -> list[Page]:
        """Copies of pages as they stand at the end of the window, in the order in which they were said."""
        coming = []
        for number, page in enumerate(sorted(back, key=lambda p: p.place), 1):
            new = replace(page, resident=True, recalled=True, place=self._clock + number)
            new.tokens = self._added(new.message)
            coming.append(new)
        return coming

    def _affordable(self, back: Sequence[Page], room: int, extra: Messages) -> list[Page]:
        """As many of the best as fit into their share of the room."""
        if not back:
            return []
        pinned = [page for page in self._resident() if page.kind.pinned]
        left = BACK * (room - self._tokens([*self._messages(pinned, Stubs()), *extra]))
        taken = []
        for page in back:
            left -= self._coming([page])[0].tokens
            if left < 0:
                break
            taken.append(page)
        return taken

    def _fit(
        self, pages: list[Page], room: int, extra: Messages, keep: Sequence[str] = (), new: int = 0
    ) -> tuple[list[Page], Stubs]:
        """Which of the pages leave so that the rest fits into ``room``, and the stubs then.

        ``keep`` are the last to leave, the first named last of all, and not for the low-water mark; ``new`` of the
        pages are neither in nor out yet.
        """
        if self._size(pages, self._stubs, extra) <= room:
            return [], self._stubs
        kept = {page.handle: page for page in pages if page.handle in keep and not page.kind.pinned}
        order = [p for p in POLICIES[self.policy]([p for p in pages if not p.kind.pinned]) if p.handle not in kept]
        soon = len(order)
        order += [kept[handle] for handle in reversed(keep) if handle in kept]
        stay = {page.handle for page in pages} - {page.handle for page in order}
        floor = self._size([page for page in pages if page.handle in stay], Stubs(), extra)
        if floor > room:
            raise TooLarge(floor, max(room, 0), "what must stay in the window")

        def stubs(count: int) -> Stubs:
            return self._stubs_after(order[:count], {page.handle for page in pages}, new)

        @cache
        def size(count: int) -> int:
            gone = {page.handle for page in order[:count]}
            return self._size([p for p in pages if p.handle not in gone], stubs(count), extra)

        for limit, most in ((floor + int(self.low * (room - floor)), soon), (room, len(order))):
            # The more leave, the less is left; but a part that leaves from amid its text cuts one message in two.
            count = bisect_left(range(most), True, key=lambda n, limit=limit: size(n) <= limit)  # type: ignore[misc]
            count = next((n for n in range(count, most + 1) if size(n) <= limit), most + 1)
            if count <= most:
                return order[:count], stubs(count)
        return order, Stubs()  # not even the stubs fit beside what must stay

    def _evict(self, pages: list[Page], stubs: Stubs) -> None:
        for page in pages:
            page.resident, page.text = False, ""
            self._left[page.handle] = self._pages.pop(page.handle)
            self._dirty.discard(page.handle)
        self.out += len(pages)
        self.evictions += len(pages)
        self._version += 1
        self._header_changed |= stubs != self._stubs
        self._stubs = stubs

    def _stubs_after(self, leaving: Sequence[Page], pages: Collection[str], new: int = 0) -> Stubs:
        """The stubs once these are gone from among the ``pages`` that are in then."""
        staying = set(pages) - {page.handle for page in leaving}
        out = self.out + len(self._pages) + new - len(staying)
        return self._stubs.after(leaving, staying, out, self.window)

    def _touch(self, page: Page) -> None:
        self._clock += 1
        page.touched = self._clock
        self._dirty.add(page.handle)
        self._left.pop(page.handle, None)

    # -- looking --

    def _lookup(self, handle: str) -> list[Page]:
        """The page of a handle or all parts of a text, resident or not, in order; raises `Missing`."""
        if handle in self._pages:
            return [self._pages[handle]]
        found = {page.handle: page for page in self.store.find(handle) if self._is_out(page)}
        found |= {page.handle: page for page in self._pages.values() if page.part_of == handle}
        if not found:
            raise Missing(f"no page {handle!r} in this context", hint="look at the context for its handles")
        return sorted(found.values(), key=lambda page: page.number)

    def _is_out(self, page: Page) -> bool:
        return page.handle not in self._pages and page.handle not in self._gone

    def _resident(self) -> list[Page]:
        return sorted(self._pages.values(), key=_order)

    def _messages(self, pages: Sequence[Page], stubs: Stubs) -> list[Message]:
        """What stands still, then the stubs, then the rest."""
        front = [page for page in pages if page.kind.pinned]
        return [*shown(front), *stubs.messages(self.window), *shown(page for page in pages if not page.kind.pinned)]

    def _size(self, pages: Sequence[Page], stubs: Stubs, extra: Messages) -> int:
        return self._tokens([*self._messages(pages, stubs), *extra])

    def _tokens(self, messages: Messages) -> int:
        return self._measure(messages) if messages else 0  # a template cannot show nothing

    def _added(self, message: Message) -> int:
        """What it adds to a prompt: alone, the answer's beginning and the template's own system message would count."""
        return self._measure([message, message]) - self._measure([message])


def _order(page: Page) -> tuple[bool, bool, int]:
    """System pages, then pinned ones, then the rest: what is stable stands in front, so its prefix can be reused."""
    return (page.kind is not Kind.SYSTEM, not page.kind.pinned, page.place)
