"""Which pages leave first when the window is full. Pure functions by name; each process has one.

A policy gets the pages that may leave, in the order of the window, and puts them into the order in which they leave.
One that it leaves out stays. docs/decisions/0010-context-as-virtual-memory.md has the measurement behind `DEFAULT`.
"""

from collections.abc import Callable, Sequence

from .pages import Kind, Page

Policy = Callable[[Sequence[Page]], list[Page]]


def oldest(pages: Sequence[Page]) -> list[Page]:
    """By age in the window."""
    return sorted(pages, key=lambda p: p.place)


def recency(pages: Sequence[Page]) -> list[Page]:
    """What was touched longest ago: added, fetched or recalled."""
    return sorted(pages, key=lambda p: (p.touched, p.place))


def importance(pages: Sequence[Page]) -> list[Page]:
    """The least important first, equal ones by age."""
    return sorted(pages, key=lambda p: (p.importance, p.place))


def cost(pages: Sequence[Page]) -> list[Page]:
    """What costs least to have again: what a query brought and would bring again, what has a summary; then by age."""
    covered = {handle for page in pages if page.kind is Kind.SUMMARY for handle in page.covers}

    def rank(page: Page) -> int:
        if page.recalled or page.kind is Kind.RECALLED:
            return 0
        return 1 if page.handle in covered else 3 if page.kind is Kind.SUMMARY else 2

    return sorted(pages, key=lambda p: (rank(p), p.place))


def largest(pages: Sequence[Page]) -> list[Page]:
    """The longest first, so that the fewest leave."""
    return sorted(pages, key=lambda p: (-p.tokens, p.place))


POLICIES: dict[str, Policy] = {
    "oldest": oldest, "recency": recency, "importance": importance, "cost": cost, "largest": largest,
}  # fmt: skip
DEFAULT = "recency"
