"""The services of `llmos fs`, see `stores`; ``owner`` says whose files are meant. A path is one of the owner's tree."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...kernel.errors import BadInput
from ...kernel.machine import QUOTA
from ...memory.faults import BadPath, Missing
from ...memory.files import FileTree, Revision, forget_deleted
from ...memory.files import find as found_in
from .file_transfer import Steps, stepping
from .file_transfer import get as get_files
from .file_transfer import put as put_files

if TYPE_CHECKING:
    from .stores import Stores

Row = dict[str, Any]
_PORTION = 1 << 18  # bytes that one step of `cat` carries


def ls(stores: Stores, *, owner: str, path: str, deleted: bool) -> list[Row]:
    """Files below a folder, or the one of that path; of those that were deleted, where that is wanted."""
    tree = FileTree(stores.files, owner)
    try:
        found = tree.entries(path, deleted=deleted)
    except BadPath:  # a file: it is listed by itself
        found = [entry for entry in tree.entries(_above(path)) if entry.path == path.strip("/")]
        if not found:
            raise
    if not found and path.strip("/.") and not deleted:
        raise Missing(f"no file or folder {path}", hint="llmos fs ls lists what there is")
    return [{**asdict(entry), "tags": list(entry.tags)} for entry in found]


def cat(stores: Stores, *, owner: str, path: str, version: int | None) -> Steps:
    """The content of a file in steps of base64 each; its size."""
    data, size = b"", 0
    for block in FileTree(stores.files, owner).blocks(path, version):
        data += block
        size += len(block)
        if len(data) >= _PORTION:
            yield {"data": b64encode(data).decode()}
            data = b""
    yield {"data": b64encode(data).decode()}
    return {"bytes": size}


def put(stores: Stores, *, owner: str, source: str, path: str, label: str, tags: Sequence[str]) -> Steps:
    """Copy a file or folder of the host into the tree."""
    tree = FileTree(stores.files, owner)
    return (yield from stepping(lambda report: put_files(tree, source, path, label, tags, report)))


def get(stores: Stores, *, owner: str, path: str, target: str, version: int | None, force: bool) -> Steps:
    """Copy a file or folder of the tree to the host."""
    tree = FileTree(stores.files, owner)
    return (yield from stepping(lambda report: get_files(tree, path, target, version, report, force=force)))


def find(stores: Stores, *, owner: str, query: str, folder: str, tags: Sequence[str], k: int) -> Steps:
    """Files that fit, best first; the steps say how far the reading of what is new is."""
    tree = FileTree(stores.files, owner)
    hits = yield from stepping(
        lambda report: found_in(
            tree, stores.recall, query, folder=folder, tags=tags, k=k,
            on_progress=lambda share: report(what="reading what is new", done=share, total=1.0),
        )
    )  # fmt: skip
    return [{**asdict(hit), "tags": list(hit.tags)} for hit in hits]


def log(stores: Stores, *, owner: str, path: str) -> list[Row]:
    """Versions of a file, oldest first."""
    return [asdict(version) for version in FileTree(stores.files, owner).versions(path)]


def diff(stores: Stores, *, owner: str, path: str, before: int | None, after: int | None) -> Row:
    """What differs between two versions; without them, between the last two, and with one, from that to the newest."""
    tree = FileTree(stores.files, owner)
    numbers = [version.number for version in tree.versions(path)]
    if before is None and len(numbers) < 2:
        raise BadInput(f"{path} has one version only", hint="there is nothing to compare it with")
    before = numbers[-2] if before is None else before
    after = numbers[-1] if after is None else after
    return {"before": before, "after": after, "diff": tree.diff(path, before, after)}


def rollback(stores: Stores, *, owner: str, path: str, version: int) -> Row:
    """Bring back a version; the number of the new one."""
    tree = FileTree(stores.files, owner)
    tree.rollback(path, version)
    return asdict(_last(tree, path))


def rm(stores: Stores, *, owner: str, paths: Sequence[str], recursive: bool) -> list[str]:
    """Delete files, and folders with all that is below where that is wanted: all or nothing; what was deleted."""
    tree = FileTree(stores.files, owner)
    gone: dict[str, None] = {}
    for path in paths:
        below = _below(tree, path)
        if below and not recursive:
            raise BadInput(f"{path} is a folder of {len(below)} files", hint="llmos fs rm -r deletes it")
        gone |= dict.fromkeys(below or [path])
    tree.make(*(tree.deleting(path) for path in gone))
    forget_deleted(tree, stores.recall)
    return list(gone)


def mv(stores: Stores, *, owner: str, path: str, to: str) -> str:
    """Give a file or folder another path, or put it into a folder; its new path."""
    tree = FileTree(stores.files, owner)
    if to.endswith("/") or to in ("", ".") or _below(tree, to):
        to = "/".join(part for part in (to.strip("/."), path.strip("/").rpartition("/")[2]) if part)
    tree.rename(path, to)
    return to


def tag(stores: Stores, *, owner: str, path: str, add: Sequence[str], remove: Sequence[str]) -> list[str]:
    """Change the tags of a file; those that it has now."""
    tree = FileTree(stores.files, owner)
    if add or remove:
        tree.tag(path, add, remove)
    (entry,) = ls(stores, owner=owner, path=path, deleted=False)
    return list(entry["tags"])


def du(stores: Stores, *, owner: str, path: str) -> Row:
    """Bytes below a folder by what is right in it: of the files as they are, and with all their versions."""
    rows: dict[str, Row] = {}
    for entry in ls(stores, owner=owner, path=path, deleted=False):
        name = _part(entry["path"], path)
        row = rows.setdefault(name, {"path": name, "files": 0, "bytes": 0, "stored": 0})
        row["files"] += 1
        row["bytes"] += entry["size"]
        row["stored"] += entry["stored"]
    gone = sum(e["stored"] for e in ls(stores, owner=owner, path=path, deleted=True))
    return {"rows": sorted(rows.values(), key=lambda row: str(row["path"])), "deleted": gone, "quota": QUOTA}


def check(stores: Stores) -> Steps:
    """Read all that there is; a line for all that is damaged."""
    return (
        yield from stepping(
            lambda report: stores.files.check(lambda share: report(what="reading", done=share, total=1.0))
        )
    )


def _last(tree: FileTree, path: str) -> Revision:
    return tree.versions(path)[-1]


def _below(tree: FileTree, path: str) -> list[str]:
    """Paths of the files below a folder; none for a file, or what is not there."""
    try:
        return [entry.path for entry in tree.entries(path)] if path.strip("/.") else []
    except BadPath:
        return []


def _above(path: str) -> str:
    return path.strip("/").rpartition("/")[0]


def _part(path: str, folder: str) -> str:
    """The part of a path that stands right in a folder; a folder ends with a slash."""
    start = folder.strip("/")
    rest = path.removeprefix(f"{start}/") if start and path != start else path
    name, slash, _ = rest.partition("/")
    return name + slash
