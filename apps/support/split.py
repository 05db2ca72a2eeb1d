"""Articles into what is stored of them: each as a whole, and each of its sentences with the titles above it."""

from hashlib import sha256

from ...syscalls.api import Passage
from ..markdown import blocks


def split(path: str, text: str) -> tuple[Passage | None, list[Passage]]:
    """The article (None when it holds nothing) and its sentences, list items and table rows.

    Keys are hashes of what is stored, so storing an article again changes nothing.
    """
    title, parts = blocks(text)
    title = title or path.rsplit("/", 1)[-1].rsplit(".", 1)[0].replace("-", " ").replace("_", " ")
    sentences, lines = [], []
    for part in parts:
        name = f"{title}: {part.heading}" if part.heading else title
        sentences += [_passage(unit, name, path, title) for unit in part.units]
        lines += [f"{part.heading}.", *part.units] if part.heading else part.units
    return (_passage(" ".join(lines), title, path, title) if lines else None), sentences


def _passage(text: str, name: str, path: str, title: str) -> Passage:
    key = sha256("\0".join((path, name, text)).encode()).hexdigest()[:32]
    return Passage(text=text, key=key, title=name, source=path, meta={"article": title})
