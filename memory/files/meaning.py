"""Files found by their names, their tags, their words and their meaning."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..recall import Hit, Recall
from ..words import STOP_WORDS
from . import nodes
from .passages import APP, Index, Placed
from .store import OnProgress
from .tree import FileTree

_NAME = 0.5  # how much the name counts, where the passage counts up to 1
_FAINT = 0.15  # cosine of texts that have nothing to do with each other: what no word of the query is in must exceed it
_STEM = 4  # letters that two words begin with to be taken for the same: "parcel", "parcels"
_TELLING = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Found:
    """A file that was found, and why; ``text`` is its best passage, from ``line`` on; "" where only its name fits."""

    path: str
    score: float
    tags: tuple[str, ...] = ()
    line: int = 0
    text: str = ""
    words: float = 0.0  # how much of the query's words the passage has, 0 to 1
    similarity: float = 0.0  # cosine of query and passage, -1 to 1
    named: float = 0.0  # share of the query's words that the path has


def find(
    tree: FileTree,
    recall: Recall,
    query: str,
    *,
    folder: str = "",
    tags: Iterable[str] = (),
    k: int = 10,
    on_progress: OnProgress | None = None,
) -> list[Found]:
    """The ``k`` files that fit best, best first, of those below a folder that bear all tags; no query: just these.

    What a file holds beyond its first megabytes, or that is no text, is not known: such a file is found by its name.
    """
    files, top = _files(tree)
    wanted = [f for f in files if set(tags) <= set(f.node.tags) and _within(f.path, folder.strip("/"))]
    if not query.strip():
        return [Found(f.path, 0.0, f.node.tags) for f in wanted][:k]
    with tree.store.indexing:
        index = Index(tree.store, recall, tree.owner)
        index.refresh(files, top, lambda file: tree.blocks(file.path), on_progress)
    best = _best(recall, tree.owner, query, None if top is None else str(top), wanted, k)
    return _ranked(query, best, wanted)[:k]


def forget_deleted(tree: FileTree, recall: Recall) -> None:
    """Forget the text of the owner's files that are there no longer, at once and not with the next search."""
    with tree.store.indexing:
        Index(tree.store, recall, tree.owner).prune()


def _files(tree: FileTree) -> tuple[list[Placed], int | None]:
    """The files of the tree by path, and the node of the folder that they are all in, if it is only one."""
    ask, found, tops = tree.store.database.rows, list[Placed](), dict[int, int]()
    start = top = 0
    if tree.root:
        root, first = nodes.walk(ask, tree.owner, tree.root), nodes.walk(ask, tree.owner, tree.root[:1])
        if root is None or first is None:
            return [], 0
        start, top = root.id, first.id
    for path, node in nodes.below(ask, tree.owner, start):  # a folder comes before what is in it
        if node is None:
            continue
        tops[node.id] = tops.get(node.parent, top) if node.parent else node.id if node.folder else 0
        if not node.folder and not node.gone:
            found.append(Placed(path, node, tops[node.id]))
    return sorted(found, key=lambda file: file.path), top if tree.root else None


def _within(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")


def _best(
    recall: Recall, owner: str, query: str, collection: str | None, wanted: Sequence[Placed], k: int
) -> dict[int, Hit]:
    """The best passage of each of the wanted files that fit, by node: of the ``k`` best at least."""
    numbers = {file.node.id for file in wanted}
    depth, best = 4 * k, dict[int, Hit]()
    while True:
        hits = recall.search(query, owner=owner, app=APP, collection=collection, k=depth)
        for hit in hits:
            if not _faint(hit) and hit.meta["node"] in numbers:
                best.setdefault(hit.meta["node"], hit)
        if len(best) >= k or len(hits) < depth or _faint(hits[-1]):
            return best
        depth *= 4


def _faint(hit: Hit) -> bool:
    return hit.why.keyword is None and hit.why.similarity <= _FAINT


def _ranked(query: str, best: Mapping[int, Hit], wanted: Sequence[Placed]) -> list[Found]:
    """All that fits by passage or name, best first."""
    found = []
    for file in wanted:
        hit, named = best.get(file.node.id), _named(query, file.path)
        if hit is not None:
            score, why, line = hit.score + _NAME * named, hit.why, int(hit.meta["line"])
            found.append(Found(file.path, score, file.node.tags, line, hit.text, why.coverage, why.similarity, named))
        elif named:
            found.append(Found(file.path, _NAME * named, file.node.tags, named=named))
    return sorted(found, key=lambda f: (-f.score, f.path))


def _named(query: str, path: str) -> float:
    """Share of the query's telling words that the path has."""
    asked = {word for word in _terms(query) if word not in STOP_WORDS} or _terms(query)
    names = _terms(path)
    return sum(any(_same(word, name) for name in names) for word in asked) / len(asked) if asked else 0.0


def _terms(text: str) -> set[str]:
    return set(_TELLING.findall(unicodedata.normalize("NFC", text).casefold()))


def _same(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) >= _STEM and long.startswith(short) and len(long) - len(short) <= 2)
