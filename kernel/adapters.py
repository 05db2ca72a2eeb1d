"""Adapters (LoRA) that processes may have their model work with, and how a process names one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..models.engine import Engine
from .errors import BadInput, NotFound, Unavailable


@dataclass(frozen=True)
class Adapter:
    """A LoRA of the model that this machine runs."""

    file: Path
    scale: float  # how much it counts; 1 is as trained
    sha256: str


def named(name: str, adapters: Mapping[str, Adapter], engine: Engine) -> Adapter:
    """An adapter by its name, or by name and scale, ``NAME@0.5``.

    Raises `NotFound`, `BadInput`, and `Unavailable` on an engine that takes no adapters.
    """
    if not hasattr(engine, "adapt"):
        raise Unavailable(f"{engine.info.name} takes no adapters", hint="run the app without --adapter")
    stem, _, scale = name.partition("@")
    found = adapters.get(stem)
    if found is None:
        raise NotFound(
            f"no adapter {stem!r} for {engine.info.name}", hint="llmos model adapter list shows those there are",
            adapter=stem,
        )  # fmt: skip
    try:
        return replace(found, scale=float(scale)) if scale else found
    except ValueError:
        raise BadInput(f"the scale {scale!r} of adapter {stem} is no number", hint=f"such as {stem}@0.5") from None
