"""A folder of articles as two collections of memory: whole articles, and their sentences."""

from dataclasses import dataclass
from hashlib import sha256

from ...syscalls.api import BadInput, Passage, Sys
from .split import split

SPLIT = 2  # raised whenever articles are split otherwise, so that what was stored before is not taken for it
ENDINGS = (".md", ".markdown", ".txt", ".text")


@dataclass(frozen=True)
class Index:
    """Names of the collections; they follow from the files, so processes with the same folder share them."""

    articles: str
    sentences: str


async def index(sys: Sys, folder: str) -> Index:
    """Store what is not stored yet. Raises `BadInput` for a folder without articles."""
    entries = [entry for entry in await sys.files(folder) if entry.path.lower().endswith(ENDINGS)]
    # As make does: a file of the same name, size and time is the same file, and is not read again.
    seen = "\0".join(f"{SPLIT}:{entry.path}:{entry.bytes}:{entry.modified}" for entry in entries)
    digest = sha256(seen.encode()).hexdigest()[:20]
    made = Index(f"articles-{digest}", f"sentences-{digest}")
    if await sys.recall("anything", k=1, collection=made.sentences):
        return made
    texts = {entry.path: await sys.read(entry.path) for entry in entries}
    articles: list[Passage] = []
    sentences: list[Passage] = []
    for path, text in texts.items():
        article, its = split(path.removeprefix("in/"), text)
        articles += [article] if article else []
        sentences += its
    if not sentences:
        raise BadInput(
            f"{folder.removeprefix('in/')} holds no articles",
            hint=f"give a folder with files that end in {', '.join(ENDINGS)}", files=len(texts),
        )  # fmt: skip
    # Sentences come last: where they are, the articles are too.
    await sys.remember(articles, collection=made.articles)
    await sys.remember(sentences, collection=made.sentences)
    return made
