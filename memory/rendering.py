"""From pages to messages, and what they cost in tokens."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from .faults import TooLarge
from .pages import Kind, Page, opening, shown
from .portions import portions
from .stubs import Stubs

Message = tuple[str, str]
Messages = Sequence[Message]
Measure = Callable[[Messages], int]

PAGE = 384  # tokens that a page has at most, in a window of at least eight pages
LEAST_PAGE = 64  # tokens below which no text is cut, however small the window


class Renderer:
    """``measure`` gives the tokens of a rendered prompt, generation prompt included; all else follows from it."""

    def __init__(self, window: int, measure: Measure) -> None:
        self.window = window
        self.measure = measure

    def messages(self, pages: Sequence[Page], stubs: Stubs) -> list[Message]:
        """What stands still, then the stubs, then the rest."""
        front = [page for page in pages if page.kind.pinned]
        return [*shown(front), *stubs.messages(self.window), *shown(page for page in pages if not page.kind.pinned)]

    def size(self, pages: Sequence[Page], stubs: Stubs, extra: Messages = ()) -> int:
        """Tokens of a prompt of these; a template cannot show nothing, which has none."""
        messages = [*self.messages(pages, stubs), *extra]
        return self.measure(messages) if messages else 0

    def added(self, message: Message) -> int:
        """What it adds to a prompt: alone, the answer's beginning and the template's own system message would count."""
        return self.measure([message, message]) - self.measure([message])

    def cut(self, page: Page) -> list[Page]:
        """The pages of a text that is given as one, in places that follow its own. Raises `TooLarge`."""
        limit = min(PAGE, max(LEAST_PAGE, self.window // 8))
        parts = portions(page.text, lambda part: self.added((page.role, part)) <= limit)
        largest = max(self.measure([(page.role, part)]) for part in parts)
        if largest >= self.window:
            raise TooLarge(largest, self.window - 1, "the page")
        found = []
        for number, part in enumerate(parts):
            name = page.handle if len(parts) == 1 else f"{page.handle}.{number + 1}"
            found.append(replace(
                page, handle=name, text=part, tokens=self.added((page.role, part)), place=page.place + number,
                touched=page.place + number, opening=opening(part), part_of=page.handle if name != page.handle else "",
                covers=page.covers if number == 0 else (),
            ))  # fmt: skip
        return found

    def coming(self, pages: Iterable[Page], clock: int) -> list[Page]:
        """Copies of pages as they stand at the end of a window, in the order in which they were said."""
        coming = []
        for number, page in enumerate(sorted(pages, key=lambda p: p.place), 1):
            new = replace(page, resident=True, recalled=True, place=clock + number)
            new.tokens = self.added(new.message)
            coming.append(new)
        return coming


def in_order(pages: Iterable[Page]) -> list[Page]:
    """System pages, then pinned ones, then the rest: what is stable stands in front, so its prefix can be reused."""
    return sorted(pages, key=lambda p: (p.kind is not Kind.SYSTEM, not p.kind.pinned, p.place))
