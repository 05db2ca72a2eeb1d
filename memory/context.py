"""The context window as virtual memory: pages within an exact budget of tokens.

    resident pages + what is asked for now + room for the answer  <=  window

by the model's own tokenizer. What has to leave goes to the store and keeps its handle; a fault brings it back, to the
end of the window. Pinned pages never leave. When something must leave, more does (down to a low-water mark), and then
nothing for many turns: the engine finds the prefix that it has computed.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from .faults import Missing, TooLarge
from .fitting import fewest
from .ledger import Ledger
from .pages import Header, Kind, Page, PageStore, Write
from .policies import DEFAULT, POLICIES
from .rendering import Measure, Message, Messages, Renderer, in_order
from .stubs import Stubs
from .texts import sound

LOW = 0.5  # of the room for pages that may leave: down to here they leave, once one has to
BACK = 0.5  # of the same room: what a query may bring back
NEAR = 0.85  # of the window: below that the sum of its pages' tokens tells that it is not full, and nothing is rendered
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
    stub_tokens: int


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
        self._renderer = Renderer(window, measure)
        self._pages: dict[str, Page] = {}  # resident
        self._stubs = Stubs()
        self._clock = 0
        self._texts = 0
        self._version = 0  # counts what moved
        self._ledger = Ledger()
        self._told = (self._stubs, 0)  # stubs and their tokens

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
            page.tokens = context._renderer.added(page.message)  # another model may read it now
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
        text = sound(text)
        for handle in covers:
            self._lookup(handle)
        whole = Page(
            f"p{self._texts + 1}", role, kind, text, 0, self._clock + 1, label, importance=importance,
            covers=tuple(covers),
        )  # fmt: skip
        new = self._renderer.cut(whole)
        pages = in_order([*self._pages.values(), *new])
        late = [page.handle for page in reversed(new)] if not kind.pinned else []
        leave, stubs = list[Page](), self._stubs
        if sum(page.tokens for page in pages) + self._stub_tokens() > self.window * NEAR:
            leave, stubs = self._fit(pages, self.window, (), late, len(new))
        admit(len(new))
        self.store.put(leave)  # what is not in the store must not leave
        self._texts += 1
        self._clock = new[-1].place
        self._pages |= {page.handle: page for page in new}
        self._ledger.touched(page.handle for page in new)
        self._ledger.covered(new[0].handle, covers)
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
        self._ledger.dropped(found, self.store.present(self._ledger.gone))
        for page in found:
            if self._pages.pop(page.handle, None) is None:
                self.out -= 1
        self._stubs = self._stubs.without({page.handle for page in found})
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
        self._ledger.header()

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
        coming = self._renderer.coming(back, self._clock)
        pages = [*self._resident(), *coming]
        leave, stubs = self._fit(pages, room, extra, keep=whole or [page.handle for page in back])
        gone = {page.handle: None for page in leave}
        if any(handle in gone for handle in whole):
            tokens = {page.handle: page.tokens for page in pages}
            left = sum(tokens[handle] for handle in whole if handle not in gone)
            raise TooLarge(sum(tokens[handle] for handle in whole), left, "what is to be in together")
        messages = [*self._renderer.messages([p for p in pages if p.handle not in gone], stubs), *extra]
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
        away = [page for page in self.store.out(list(self._pages), out + len(self._ledger.gone)) if self._is_out(page)]
        resident = self._resident()
        pages = in_order([*away[max(0, len(away) - out) :], *(replace(page) for page in resident)])
        used = self._renderer.size(resident, self._stubs)
        stubs = self._stubs.messages(self.window)
        return ContextView(
            self.window, used, tuple(pages), self.out, self.faults, self.evictions, self.policy, self.low,
            "".join(text for _, text in stubs), self._stub_tokens(),
        )  # fmt: skip

    def resident(self) -> frozenset[str]:
        """Handles of the pages in the window."""
        return frozenset(self._pages)

    # -- lasting --

    def changes(self) -> Write | None:
        """The writing of what changed since the last call, in values of its own; None when nothing did."""
        header = Header(
            self.policy, self.low, self.compact, self._clock, self._texts, self.out, self.faults, self.evictions,
            self._stubs.plain(),
        )  # fmt: skip
        change = self._ledger.read(header, self._pages)
        if change is None:
            return None
        self._ledger = Ledger(self._ledger.gone)
        return self.store.write(change)

    def dirty_all(self) -> None:
        """What `changes` gave was not written: the next one has everything that counts.

        Of a page that left meanwhile it may be forgotten where it stood and what sums it up.
        """
        self._ledger.everything()

    def close(self) -> None:
        """Give the memory back; what is in the store goes with the record of the process's end."""
        self._pages.clear()
        self._ledger = Ledger()

    # -- moving --

    def _affordable(self, back: Sequence[Page], room: int, extra: Messages) -> list[Page]:
        """As many of the best as fit into their share of the room."""
        if not back:
            return []
        pinned = [page for page in self._resident() if page.kind.pinned]
        left = BACK * (room - self._renderer.size(pinned, Stubs(), extra))
        taken = []
        for page in back:
            left -= self._renderer.coming([page], self._clock)[0].tokens
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
        if self._renderer.size(pages, self._stubs, extra) <= room:
            return [], self._stubs
        kept = {page.handle: page for page in pages if page.handle in keep and not page.kind.pinned}
        order = [p for p in POLICIES[self.policy]([p for p in pages if not p.kind.pinned]) if p.handle not in kept]
        soon = len(order)
        order += [kept[handle] for handle in reversed(keep) if handle in kept]
        stay = {page.handle for page in pages} - {page.handle for page in order}
        floor = self._renderer.size([page for page in pages if page.handle in stay], Stubs(), extra)
        if floor > room:
            raise TooLarge(floor, max(room, 0), "what must stay in the window")

        handles = {page.handle for page in pages}

        def stubs(count: int) -> Stubs:
            return self._stubs_after(order[:count], handles, new)

        def size(count: int, told: bool) -> int:
            gone = {page.handle for page in order[:count]}
            rest = [page for page in pages if page.handle not in gone]
            return self._renderer.size(rest, stubs(count) if told else Stubs(), extra)

        count, told = fewest(size, soon=soon, late=len(order) - soon, low=self.low, room=room)
        return order[:count], stubs(count) if told else Stubs()

    def _evict(self, pages: list[Page], stubs: Stubs) -> None:
        for page in pages:
            page.resident, page.text = False, ""
            self._ledger.left(self._pages.pop(page.handle))
        self.out += len(pages)
        self.evictions += len(pages)
        self._version += 1
        self._ledger.header(stubs != self._stubs)
        self._stubs = stubs

    def _stubs_after(self, leaving: Sequence[Page], pages: Collection[str], new: int = 0) -> Stubs:
        """The stubs once these are gone from among the ``pages`` that are in then."""
        staying = set(pages) - {page.handle for page in leaving}
        out = self.out + len(self._pages) + new - len(staying)
        return self._stubs.after(leaving, staying, out, self.window)

    def _touch(self, page: Page) -> None:
        self._clock += 1
        page.touched = self._clock
        self._ledger.touched([page.handle])

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
        return page.handle not in self._pages and page.handle not in self._ledger.gone

    def _stub_tokens(self) -> int:
        if self._told[0] is not self._stubs:
            messages = self._stubs.messages(self.window)
            self._told = (self._stubs, sum(self._renderer.added(message) for message in messages))
        return self._told[1]

    def _resident(self) -> list[Page]:
        return in_order(self._pages.values())
