"""What the measurements of the scheduler share: it and a real engine, without gate and journal, and its processes."""

from __future__ import annotations

import argparse
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

from llmos.kernel.limits import Account, Limits
from llmos.kernel.process import Priority, Process
from llmos.kernel.prompts import Prompts
from llmos.kernel.scheduler import Scheduler
from llmos.models.chat import ChatTemplate
from llmos.models.gguf import read
from llmos.models.llama import LlamaEngine

FREE = Limits(tokens=None, seconds=None, pages=None, calls=None, children=None)


@asynccontextmanager
async def scheduler(model: Path, way: str, streams: int, window: int = 2048, **named):
    """Over an engine of its own, which goes with it; ``named`` goes to the scheduler."""
    made = Scheduler(LlamaEngine(model, streams=streams, window=window, way=way), **named)
    try:
        yield made
    finally:
        await made.close()


def process(pid: int, priority: Priority = Priority.NORMAL) -> Process:
    """A tree of its own, without limits; nothing but the scheduler will see it."""
    nothing = SimpleNamespace()
    return Process(pid, "bench", "bench", frozenset(), Account(FREE), FREE, priority, nothing, nothing, nothing)


def prompts(model: Path, engine: LlamaEngine) -> Prompts:
    """With the model's own template."""
    return Prompts(ChatTemplate(read(model).chat_template), engine.tokenize)


def options(about: str | None, ways: str = "exact,exact-q8,fast") -> argparse.ArgumentParser:
    """A parser with the options that all of them have."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--ways", default=ways)
    parser.add_argument("--json", type=Path)
    return parser
