"""Adapters of models (LoRA): names, the files they stand for, and whether they fit their model."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from .catalog import Catalog, at_home, free_name, hash_of
from .disk import replace_text
from .faults import Damaged, NoSuchModel, Unsupported
from .gguf import read
from .lora import check_lora


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
        checked = check_lora(path, read(model.path))
        entry = AdapterEntry(
            name=name, base=model.name, path=path, sha256=hash_of(path), size=file.size, architecture=file.architecture,
            rank=checked.rank, alpha=checked.alpha, invocation=list(checked.invocation), added_at=datetime.now(UTC),
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
        try:
            return _Listed.model_validate_json(self._file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return _Listed()
        except (OSError, ValidationError) as problem:
            raise Damaged(f"{self._file} cannot be read", hint="delete it, then add the adapters again") from problem

    def _write(self, adapters: list[AdapterEntry]) -> None:
        replace_text(self._file, _Listed(adapters=adapters).model_dump_json(indent=2) + "\n")
