"""Articles into what is stored of them: each as a whole, and each of its sentences with the titles above it."""

from hashlib import sha256

from ...syscalls.api import Passage
from ..markdown import blocks
from ..sentences import leans, length

LONG = 40  # words; to something longer nothing is joined


def split(path: str, text: str) -> tuple[Passage | None, list[Passage]]:
    """The article (None when it holds nothing) and its sentences, list items and table rows.

    Keys are hashes of what is stored, so storing an article again changes nothing.
    """
    title, parts = blocks(text)
    title = title or path.rsplit("/", 1)[-1].rsplit(".", 1)[0].replace("-", " ").replace("_", " ")
    sentences, lines = [], []
    for part in parts:
        name = f"{title}: {part.heading}" if part.heading else title
        sentences += [_passage(unit, name, path, title) for unit in _statements(part.units)]
        lines += [f"{part.heading}.", *part.units] if part.heading else part.units
    return (_passage(" ".join(lines), title, path, title) if lines else None), sentences


def _statements(units: list[str]) -> list[str]:
    """What may stand in an answer, each so that it can be read alone.

    A lead-in ("To return shoes:") comes with what it leads to, a sentence that leans on the one before it with that
    one; questions are left out.
    """
    found: list[str] = []
    lead = ""
    for unit in units:
        if unit.endswith(":"):
            lead = unit
        elif unit.endswith("?"):
            lead = ""
        elif found and not lead and leans(unit) and length(found[-1]) <= LONG:
            found[-1] += f" {unit}"
        else:
            found.append(f"{lead} {unit}".strip())
            lead = ""
    return found


def _passage(text: str, name: str, path: str, title: str) -> Passage:
    key = sha256("\0".join((path, name, text)).encode()).hexdigest()[:32]
    return Passage(text=text, key=key, title=name, source=path, meta={"article": title})
