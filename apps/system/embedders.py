"""Which embedder makes the vectors of memory: the shipped one, or a model of the catalog that the user chose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ...memory.embedder import Embedder, StaticEmbedder
from ...memory.embedders import active_name
from ...models.catalog import Catalog
from ...models.faults import ModelFault
from .ending import held_back

if TYPE_CHECKING:
    from ...memory.database import Database
    from ...models.catalog import Entry

SHIPPED = Path(__file__).parents[2] / "models" / "shipped" / "embedder.npz"

OnProgress = Callable[[str, float], None]


@contextmanager
def chosen_embedder(home: Path, on_progress: OnProgress | None = None) -> Iterator[Embedder]:
    """The embedder of a home, until the block is left. A model is loaded on trial first, as every model is."""
    entry = Catalog(home).embedder()
    if entry is None:
        yield shipped()
    else:
        with _loaded(entry, home, on_progress) as embedder:
            yield embedder


@contextmanager
def embedder_before(home: Path, database: Database, chosen: Embedder) -> Iterator[Embedder | None]:
    """The one whose vectors the store is searched by until ``chosen`` has made its own; None where it is gone."""
    name = active_name(database)
    with ExitStack() as undo:
        before: Embedder | None = None
        if name == shipped().name != chosen.name:
            before = shipped()
        elif name not in (None, chosen.name):
            entry = next((entry for entry in Catalog(home).listing() if vectors_of(entry) == name), None)
            with suppress(ModelFault):  # what cannot be opened is done without: words find meanwhile
                before = undo.enter_context(_loaded(entry, home)) if entry and entry.path.is_file() else None
        yield before


@contextmanager
def _loaded(entry: Entry, home: Path, on_progress: OnProgress | None = None) -> Iterator[Embedder]:
    from ...models.embedding import GGUFEmbedder
    from ...models.prepare import probe_load

    probe_load(entry.path, home, on_progress)
    with held_back():
        embedder = GGUFEmbedder(entry.path, name=vectors_of(entry))
    try:
        yield embedder
    finally:
        embedder.close()


@cache
def shipped() -> StaticEmbedder:
    """It never changes, so a program that boots again need not read it again."""
    return StaticEmbedder(SHIPPED)


def vectors_of(entry: Entry) -> str:
    """The name of a model's vectors: another file under the same name makes others."""
    return f"{entry.name}@{entry.sha256[:12]}"
