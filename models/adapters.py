"""Adapters of models (LoRA): names, the files they stand for, and whether they fit their model."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from .catalog import Catalog, at_home, free_name, hash_of
from .disk import read_model, replace_text
from .faults import Damaged, NoSuchModel, Unsupported
from .gguf import ModelFile, read
from .headreader import AGAIN

_A, _B = ".lora_a", ".lora_b"
_TURNED = "token_embd.weight"  # llama.cpp keeps this one the other way round


class AdapterEntry(BaseModel):
    """One adapter of the catalog."""

    model_config = ConfigDict(frozen=True)

    name: str
    base: str  # the model that it was checked against
    path: Path
    sha256: str
    size: int  # bytes
    architecture: str
    rank: int  # the highest of its tensors
    alpha: float  # as trained: what it adds counts alpha / rank
    invocation: list[int] = []  # tokens after which it takes hold (aLoRA); none: from the first token on
    added_at: datetime

    def __str__(self) -> str:
        return f"{self.name} (for {self.base}, rank {self.rank}, {self.size / 2**20:.1f} MiB)"


class _Listed(BaseModel):
    """The file adapters.json."""

    adapters: list[AdapterEntry] = []


class Adapters:
    """The adapters of one home, listed in ``home/models/adapters.json``."""

    def __init__(self, home: Path) -> None:
        self._catalog = Catalog(home)
        self._file = self._catalog.folder / "adapters.json"

    def listing(self, base: str | None = None) -> list[AdapterEntry]:
        """All, or those for one model."""
        return [entry for entry in self._read().adapters if base in (None, entry.base)]

    def add(self, name: str, path: Path, base: str | None = None) -> AdapterEntry:
        """List a file, which stays where it is; ``base`` is a model of the catalog, else the default.

        Raises `Damaged`, `Unsupported` where it does not fit the model, and `NoSuchModel`.
        """
        path, model = at_home(path).absolute(), self._catalog.get(base)
        file = read(path)
        listed = self._read().adapters
        if name != free_name(name, {entry.name for entry in listed}):
            raise Unsupported(
                f"an adapter cannot be called {name!r}, or one is called so already",
                hint="small letters, digits, dots and dashes; llmos model adapter remove makes a name free",
            )
        rank = fit(file, read(model.path))
        alpha = file.metadata.get("adapter.lora.alpha")
        invocation = file.metadata.get("adapter.alora.invocation_tokens", [])
        entry = AdapterEntry(
            name=name, base=model.name, path=path, sha256=hash_of(path), size=file.size, architecture=file.architecture,
            rank=rank, alpha=float(alpha) if isinstance(alpha, int | float) else 0.0,
            invocation=[int(token) for token in invocation] if isinstance(invocation, list) else [],
            added_at=datetime.now(UTC),
        )  # fmt: skip
        self._write([*listed, entry])
        return entry

    def remove(self, name: str) -> AdapterEntry:
        """Take it off the list; its file stays. Raises `NoSuchModel`."""
        listed = self._read().adapters
        entry = next((one for one in listed if one.name == name), None)
        if entry is None:
            raise NoSuchModel(f"no adapter {name!r}", hint="llmos model adapter list")
        self._write([one for one in listed if one is not entry])
        return entry

    def _read(self) -> _Listed:
        return read_model(self._file, _Listed, "delete it, then add the adapters again")

    def _write(self, adapters: list[AdapterEntry]) -> None:
        replace_text(self._file, _Listed(adapters=adapters).model_dump_json(indent=2) + "\n")


def fit(adapter: ModelFile, model: ModelFile) -> int:
    """The highest rank of an adapter that fits a model. Raises `Unsupported`, or `Damaged` for one with half a pair."""
    if adapter.text("general.type") != "adapter" or adapter.text("adapter.type") != "lora":
        raise Unsupported(f"{adapter.path} is no LoRA adapter", hint="llmos model add lists whole models")
    if adapter.architecture != model.architecture:
        raise Unsupported(
            f"{adapter.path} is an adapter for {adapter.architecture or 'nothing'}, the model is {model.architecture}",
            hint="name the model that it was trained on with --base",
        )
    shapes = {tensor.name: tensor.shape for tensor in adapter.tensors}
    whole = {tensor.name: tensor.shape for tensor in model.tensors}
    stems = sorted({name.removesuffix(_A).removesuffix(_B) for name in shapes})
    if not stems:
        raise Damaged(f"{adapter.path} changes nothing: it has no tensors", hint=AGAIN)
    return max(_rank(adapter, stem, shapes, whole) for stem in stems)


def _rank(
    adapter: ModelFile, stem: str, shapes: dict[str, tuple[int, ...]], whole: dict[str, tuple[int, ...]]
) -> int:  # fmt: skip
    """The rank of one pair: the model's y = W x becomes W x + B (A x)."""
    a, b, of = shapes.get(stem + _A), shapes.get(stem + _B), whole.get(stem)
    if a is None or b is None or len(a) < 2 or len(b) < 2:
        raise Damaged(f"{adapter.path}: {stem} has not both of its matrices", hint=AGAIN)
    inner = a[1] == b[0] if stem != _TURNED else True
    outer = of is not None and (stem == _TURNED or (a[0], b[1]) == of[:2])
    if not inner or not outer:
        raise Unsupported(
            f"{adapter.path}: {stem} does not fit the model"
            + (f", whose matrix is {' x '.join(map(str, of))}" if of else ", which has no such matrix"),
            hint="name the model that it was trained on with --base",
        )
    return b[0] if stem != _TURNED else min(*a, *b)
