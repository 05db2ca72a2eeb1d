"""Context: the pages of the caller's window."""

from typing import Literal

from pydantic import Field

from .base import Label, Reply, Request, Role

Kind = Literal["system", "pinned", "dialogue", "tool", "recalled", "summary"]
Policy = Literal["oldest", "recency", "importance", "cost", "largest"]


class Add(Request):
    """Put a text into the process's context; a long one becomes several pages."""

    text: str
    role: Role = "user"
    kind: Kind = "dialogue"
    label: Label = "trusted"
    importance: float = Field(0.5, ge=0, le=1, description="what the policy `importance` goes by")
    covers: list[str] = Field([], max_length=1000, description="a summary's: handles of the pages that it sums up")


class PageView(Reply):
    """One page of a context, or a text of several."""

    handle: str
    role: Role
    kind: str
    tokens: int
    resident: bool
    label: Label
    first_words: str
    importance: float = 0.5
    part_of: str = Field("", description="the handle of the text that it is a part of")
    parts: list[str] = Field([], description="of a text of several pages: their handles, in order")
    covers: list[str] = Field([], description="handles of the pages that it sums up")
    recalled: bool = Field(False, description="it had left the window and came back, to its end")


class Fetch(Request):
    """Bring a page, or all pages of a text, back into the window by its handle (a fault for each that was out)."""

    handle: str


class RecallPages(Request):
    """Bring back those pages of this conversation that are out of sight and fit a query best."""

    query: str
    k: int = Field(3, ge=1, le=100, description="most pages that come back")


class PageText(Reply):
    """A page with its text."""

    handle: str
    role: Role
    text: str


class Fetched(PageView):
    """The page, now in the window, and its text."""

    text: str


class PagesBack(Reply):
    """The pages that came back, best first."""

    pages: list[PageText]


class Drop(Request):
    """Remove a page, or all pages of a text, for good."""

    handle: str


class Tune(Request):
    """Change how pages leave the window from now on; what is not given stays as it is."""

    policy: Policy | None = Field(None, description="which pages leave first")
    low: float | None = Field(None, ge=0, le=1, description="share of the room down to which they leave, once one must")
    compact: int | None = Field(None, ge=0, description="pages out without a summary at which one is made; 0: never")


class Compact(Request):
    """Let a process of its own, of the lowest priority, sum up the pages that are out and have no summary yet."""


class Compacting(Reply):
    """The process that does it; the one that is under way, if there is one."""

    pid: int


class Look(Request):
    """Look at the process's own context."""

    out: int = Field(100, ge=0, le=10_000, description="most pages that are out to be listed, the last ones")


class ContextView(Reply):
    """The window and what is in it."""

    window: int
    used: int
    pages: list[PageView] = Field(description="in the order of the window")
    faults: int
    evictions: int
    out: int = Field(0, description="pages that are out, listed or not")
    policy: str = ""
    low: float = 0.5
    stubs: str = Field("", description="what stands in the window of pages that are out")
