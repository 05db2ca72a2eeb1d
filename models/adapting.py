"""The adapters of one context, and which of them it computes with."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import llama_cpp

from .faults import EngineFault
from .gguf import ModelFile, read
from .lora import check_lora


@dataclass(frozen=True)
class Adapter:
    """A loaded adapter. ``handle`` is llama.cpp's, valid as long as its model."""

    handle: Any
    scale: float
    quantised: bool


class Adapters:
    """Those of one context, and which one it computes with. Owned by the engine's thread."""

    def __init__(self, model: Any, context: Any, path: Path) -> None:
        self._model, self._context, self._path = model, context, path
        self._loaded: dict[str, Adapter] = {}
        self._used: Adapter | None = None

    def load(self, name: str, file: Path, scale: float) -> tuple[int, ...]:
        """Check and load; see `Engine.adapt`."""
        if not name or not math.isfinite(scale):
            raise EngineFault(f"an adapter needs a name and a finite scale, not {name!r} and {scale}")
        checked = check_lora(file, self._base)
        handle = llama_cpp.llama_adapter_lora_init(self._model, str(file).encode())
        if not handle:
            raise EngineFault(f"llama.cpp cannot load the adapter {file.name}")
        if (old := self._loaded.pop(name, None)) is not None:
            if old is self._used:
                self._set(None)
            llama_cpp.llama_adapter_lora_free(old.handle)
        self._loaded[name] = Adapter(handle, scale, checked.quantised)
        return checked.invocation

    def use(self, name: str) -> None:
        """Compute with this one from now on; "" is none. llama.cpp plans its graphs anew, so only on a change."""
        wanted = self._loaded.get(name)
        if name and wanted is None:
            raise EngineFault(f"no adapter {name!r} is loaded")
        if wanted is not self._used:
            self._set(wanted)

    @property
    def paired(self) -> bool:
        """Whether a graph needs two rows at least, of tokens and of outputs, to give the same bits as a larger one.

        A single row of a product with floats takes another path, which adds up in another order.
        """
        return self._used is not None and not self._used.quantised

    def _set(self, adapter: Adapter | None) -> None:
        handles = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter.handle if adapter else None)
        scales = (ctypes.c_float * 1)(adapter.scale if adapter else 0.0)
        if llama_cpp.llama_set_adapters_lora(self._context, handles, 1 if adapter else 0, scales) != 0:
            raise EngineFault("llama.cpp cannot change the adapter")
        self._used = adapter

    @cached_property
    def _base(self) -> ModelFile:
        return read(self._path)
