"""Files of LoRA adapters: low-rank changes to a model's weights, each in a GGUF file of its own beside the model's.

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
class LoraFile:
    """What a file that was checked says."""

    invocation: tuple[int, ...]  # it changes the model from these tokens on only (aLoRA); () from the start (LoRA)
    rank: int  # the highest of its pairs
    alpha: float  # as trained: what it adds counts alpha / rank; 0 counts it as it stands
    quantised: bool  # whether all its values are: their products are the same bits for one row as for many


def check_lora(path: Path, model: ModelFile) -> LoraFile:
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
    rank = _rank(file, model)
    quantised = all(tensor.type == "Q8_0" for tensor in file.tensors)
    return LoraFile(_invocation(file, model.vocabulary_size), rank, alpha, quantised)


def _rank(file: ModelFile, model: ModelFile) -> int:
    """The highest rank. Every change must be a pair of tensors that fit each other and a weight of the model."""
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
    return max(tensors[f"{base}.lora_b"].shape[0] for base in bases)


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
