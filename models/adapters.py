<<<<<<< HEAD
"""LoRA adapters: low-rank changes to a model's weights, each a GGUF file of its own beside the model's.

llama.cpp aborts the program where a key has another type than it expects, and where shapes do not fit that it looks at
only when it computes. All of it is checked here first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .faults import Damaged, Unsupported
from .gguf import ModelFile, read
from .headreader import FLOAT32, UINT32, ArrayType, Tensor

_INVOCATION = "adapter.alora.invocation_tokens"
_ALPHA = "adapter.lora.alpha"
_TYPES = frozenset({"F32", "F16", "BF16", "Q8_0"})
_LONGEST = 64  # tokens of an invocation; the reader keeps arrays up to this length
_OTHER_BASE = "name an adapter that was trained on this model"


def activation(tokens: Sequence[int], invocation: Sequence[int]) -> int | None:
    """Where the adapter begins: at the last place where its invocation stands; None where it stands nowhere.

    All before that place is computed without the adapter, so it is the base model's and may be shared with it.
    """
    if not invocation:
        return 0
    width, wanted = len(invocation), list(invocation)
    for at in range(len(tokens) - width, -1, -1):
        if tokens[at] == wanted[0] and list(tokens[at : at + width]) == wanted:
            return at
    return None


@dataclass(frozen=True)
class AdapterFile:
    """What a file that was checked says."""

    invocation: tuple[int, ...]  # it changes the model from these tokens on only (aLoRA); () from the start (LoRA)
    quantised: bool  # whether all its values are: their products are the same bits for one row as for many


def check_adapter(path: Path, model: ModelFile) -> AdapterFile:
    """Whether the file is a sound LoRA for the model. Raises `Damaged` or `Unsupported` with the reason."""
    file = read(path)
    kind, form = file.text("general.type"), file.text("adapter.type")
    if kind != "adapter" or form != "lora":
        what = f"its type is {kind or 'model'!r}" if kind != "adapter" else f"an adapter of type {form!r}"
        raise Unsupported(f"{path.name}: {what}, not a LoRA adapter", hint="name a LoRA in GGUF")
    if file.architecture != model.architecture:
        raise Unsupported(
            f"{path.name}: an adapter for {file.architecture!r}, but the model is {model.architecture!r}",
            hint=_OTHER_BASE,
        )
    alpha = file.metadata.get(_ALPHA, 0.0)
    if not isinstance(alpha, float) or not math.isfinite(alpha) or file.kinds.get(_ALPHA, FLOAT32) != FLOAT32:
        raise Damaged(f"{path.name}: {_ALPHA} is {alpha!r}, no finite float32", hint="convert it again")
    _check_pairs(file, model)
    return AdapterFile(_invocation(file, model.vocabulary_size), all(t.type == "Q8_0" for t in file.tensors))


def _check_pairs(file: ModelFile, model: ModelFile) -> None:
    """Every change is a pair of tensors that fit each other and a weight of the model."""
    weights = {tensor.name: tensor for tensor in model.tensors}
    tensors = {tensor.name: tensor for tensor in file.tensors if not tensor.name.endswith("_norm.weight")}
    bases = {name.removesuffix(".lora_a").removesuffix(".lora_b") for name in tensors}
    if not bases:
        raise Damaged(f"{file.path.name}: it changes no weight", hint="convert it again")
    for base in sorted(bases):
        a, b, weight = tensors.get(f"{base}.lora_a"), tensors.get(f"{base}.lora_b"), weights.get(base)
        if weight is None:
            raise Unsupported(f"{file.path.name}: the model has no weight {base!r}", hint=_OTHER_BASE)
        if a is None or b is None:
            raise Damaged(f"{file.path.name}: {base!r} lacks one of its two tensors", hint="convert it again")
        if weight.type == "NVFP4" or {a.type, b.type} - _TYPES:
            types = ", ".join(sorted(_TYPES))
            raise Unsupported(f"{file.path.name}: {base!r} is of the types {a.type} and {b.type}", hint=f"use {types}")
        if base == "token_embd.weight" and "output.weight" not in weights:
            # llama.cpp would apply the change, laid out for looking tokens up, to the output as well, and abort.
            raise Unsupported(
                f"{file.path.name}: it changes token_embd.weight, which is the model's output too",
                hint="train it without the embedding",
            )
        if not _fits(base, _four(a), _four(b), _four(weight)):
            raise Unsupported(
                f"{file.path.name}: {a.shape} and {b.shape} do not fit {base!r} of {weight.shape}", hint=_OTHER_BASE
            )


def _four(tensor: Tensor) -> tuple[int, ...]:
    return tensor.shape + (1,) * (4 - len(tensor.shape))


def _fits(base: str, a: tuple[int, ...], b: tuple[int, ...], weight: tuple[int, ...]) -> bool:
    """Shapes with the fastest dimension first. The first of ``b`` is the rank."""
    rank = b[0]
    if base == "token_embd.weight":  # of a, a row is looked up for each token
        return a == (rank, weight[1], 1, 1) and b == (rank, weight[0], 1, 1)
    return a == (weight[0], rank, *weight[2:]) and b == (rank, weight[1], *weight[2:])


def _invocation(file: ModelFile, vocabulary: int) -> tuple[int, ...]:
    if _INVOCATION not in file.arrays and _INVOCATION not in file.metadata:
        return ()
    kind, tokens = file.arrays.get(_INVOCATION), file.metadata.get(_INVOCATION)
    if not isinstance(tokens, list) or kind != ArrayType(UINT32, len(tokens)) or not 0 < len(tokens) <= _LONGEST:
        raise Damaged(f"{file.path.name}: {_INVOCATION} is no list of 1 to {_LONGEST} tokens", hint="convert it again")
    whole = tuple(token for token in tokens if isinstance(token, int))
    if max(whole) >= vocabulary:
        raise Unsupported(f"{file.path.name}: its invocation names a token that the model lacks", hint=_OTHER_BASE)
    return whole
=======
"""Adapters of models (LoRA): names, the files they stand for, and whether they fit their model."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from .catalog import Catalog, at_home, free_name, hash_of
from .disk import replace_text
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
        try:
            return _Listed.model_validate_json(self._file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return _Listed()
        except (OSError, ValidationError) as problem:
            raise Damaged(f"{self._file} cannot be read", hint="delete it, then add the adapters again") from problem

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
>>>>>>> main
