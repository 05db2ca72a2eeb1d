"""Files as text: lines that hold something, and what differs between two versions."""

import difflib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..faults import BadPath, Missing, NotText

LONGEST_LINE = 500  # characters of a line that a search shows
_MOST_COMPARED = 25_000_000  # pairs of lines; difflib takes some seconds for as many


@dataclass(frozen=True)
class Line:
    """One line of a file, counted from 1; ``text`` is its beginning."""

    path: str
    line: int
    text: str


def text_of(path: str, data: bytes) -> str:
    """A file's bytes as text, without a byte order mark; `NotText` names the first byte that is not UTF-8."""
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as wrong:
        raise NotText(
            f"{path} is not UTF-8 text (byte {wrong.start})", hint="convert it, for example with iconv"
        ) from None


def find_lines(
    paths: Iterable[str], read: Callable[[str], str], text: str, *, regex: bool = False, limit: int = 100
) -> list[Line]:
    """Lines of files that contain a text, case ignored, or match a pattern; what is no text is passed over."""
    wanted = text.casefold()
    matches = _pattern(text) if regex else (lambda line: wanted in line.casefold())
    found: list[Line] = []
    for path in paths:
        try:
            lines = io.StringIO(read(path), newline=None)
        except (NotText, Missing):  # no text, or deleted meanwhile
            continue
        for number, line in enumerate(lines, 1):
            if len(found) < limit and matches(line.removesuffix("\n")):
                found.append(Line(path, number, line.removesuffix("\n")[:LONGEST_LINE]))
    return found


def _pattern(text: str) -> Callable[[str], bool]:
    """Whether a line matches, in time linear in its length: ``re`` could hold the GIL for ever on a hostile pattern.

    This is Rust's regex, which also bounds the memory of a compiled pattern; pydantic brings it.
    """
    from pydantic_core import SchemaError, SchemaValidator, core_schema

    try:
        return SchemaValidator(core_schema.str_schema(pattern=f"(?i){text}")).isinstance_python
    except SchemaError as wrong:
        reason = str(wrong).splitlines()[-1].rpartition("rror: ")[2].strip()
        raise BadPath(
            f"the pattern {text[:60]!r} cannot be used: {reason}", hint="look-around and back-references are not known"
        ) from None


def difference(before: str, after: str, name_before: str, name_after: str) -> str:
    """What differs, as `diff -u` writes it; "" for the same text. Where too much differs, it is one large change."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    start = _same(old, new)
    end = _same(old[start:][::-1], new[start:][::-1])
    if (len(old) - start - end) * (len(new) - start - end) > _MOST_COMPARED:
        lines = [f"--- {name_before}\n", f"+++ {name_after}\n", f"@@ -{start + 1} +{start + 1} @@\n"]
        lines += [f"-{line}" for line in old[start : len(old) - end]]
        lines += [f"+{line}" for line in new[start : len(new) - end]]
    else:
        lines = list(difflib.unified_diff(old, new, name_before, name_after))
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _same(one: list[str], other: list[str]) -> int:
    """How many lines at the beginning are the same."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
