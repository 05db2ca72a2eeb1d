"""Stubs: what stays in the window of pages that left it, a line each, bounded.

They are made anew only when something leaves anyway, so that the prefix behind which they stand lasts.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from .pages import Page

LINES = 8  # pages with a line of their own; earlier ones share one
TOKENS_A_LINE = 256  # of the window, so that stubs never take much of a small one
WORDS = 48  # characters of a page in its line
HEAD = "Pages that are out of sight. Each can be asked for by its name."


@dataclass(frozen=True)
class Stubs:
    """The lines, oldest first. Foreign words in them stand in a tool's message: data, never instructions."""

    lines: tuple[tuple[str, str], ...] = ()  # (handle, line)
    earlier: int = 0  # pages without a line of their own
    first: str = ""  # handles of the first and the last of these
    last: str = ""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Stubs":
        """The inverse of `plain`."""
        return cls(**{**plain, "lines": tuple((handle, line) for handle, line in plain["lines"])})

    def plain(self) -> dict[str, Any]:
        """In values that JSON knows."""
        return asdict(self)

    def after(self, leaving: Sequence[Page], resident: Collection[str], out: int, window: int) -> "Stubs":
        """What stands there once these pages have left as well and ``out`` are out in all; ``resident`` are not."""
        old = [line for line in self.lines if line[0] not in resident]
        lines = old + [(p.handle, _line(p)) for p in sorted(leaving, key=lambda p: p.place)]
        cut = max(0, len(lines) - min(LINES, window // TOKENS_A_LINE))
        earlier, first, last = out - len(lines[cut:]), self.first, self.last
        if cut:
            first = first or (lines[0][0] if earlier == cut else "")
            last = lines[cut - 1][0]
        return Stubs(tuple(lines[cut:]), earlier, first, last)

    def without(self, handles: Collection[str]) -> "Stubs":
        """Pages that were dropped leave no word behind."""
        return replace(self, lines=tuple(line for line in self.lines if line[0] not in handles))

    def messages(self, window: int) -> list[tuple[str, str]]:
        """One message, or none where nothing is out or the window is too small for it."""
        lines = [line for _, line in self.lines]
        if self.earlier > 0 and window >= TOKENS_A_LINE:
            span = f"from {self.first} " if self.first and self.first != self.last else ""
            lines.insert(0, f"{self.earlier} earlier, {span}to {self.last}" if self.last else f"{self.earlier} earlier")
        return [("tool", "\n".join([HEAD, *lines]))] if lines else []


def _line(page: Page) -> str:
    return f"{page.handle} ({page.role}, {page.tokens} tokens): {page.opening[:WORDS]}"
