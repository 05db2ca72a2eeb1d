"""Putting the machine together, from the home on disk to a running scheduler, and taking it apart again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from ...kernel.machine import Machine, Parts
from ...kernel.prompts import Encode, Prompts
from ...kernel.sandbox import Sandbox
from ...kernel.translate import translated
from ...memory.database import Database
from ...memory.faults import Damaged
from ...memory.journal import Journal
from ...memory.recall import Recall
from ...memory.records import Records, forget_the_dead
from ...memory.tokens import BytePairTokens
from ...memory.vectors import chroma
from ...models.chat import ChatTemplate
from ...models.engine import Engine
from ...models.gguf import ModelFile, Vocabulary, read, vocabulary
from ...syscalls.audit import Audit
from ...syscalls.gate import Gate
from ...syscalls.table import TABLE
from ...syscalls.tools import Toolbox
from .embedders import chosen_embedder
from .ending import held_back
from .home import Home, HomeLock
from .launch import Launcher
from .registry import Registry

OnProgress = Callable[[str, float], None]


@dataclass(frozen=True)
class Running:
    """A booted llmos."""

    home: Home
    machine: Machine
    launcher: Launcher
    gate: Gate
    tools: Toolbox


@asynccontextmanager
async def boot(
    home: Home,
    *,
    model: str | None = None,
    streams: int = 16,
    window: int = 4096,
    way: str = "exact",
    engine: Engine | None = None,
    on_progress: OnProgress | None = None,
) -> AsyncIterator[Running]:
    """A machine on this home until the block is left; holds the home's lock.

    ``model`` is a name of the catalog or a file (None: the default), ``on_progress`` is told what is being done
    and how far it is (0 to 1). With ``engine`` no model is loaded: tests give a scripted one.
    """
    with ExitStack() as undo:
        home.create()
        undo.enter_context(HomeLock(home))
        with translated():
            database = Database(home.database)
            undo.callback(database.close)
            engine, prompts = _processor(home, model, streams, window, way, engine, on_progress or _silent)
            undo.callback(engine.close)
            forget_the_dead(database)
            journal = Journal(database)
            undo.callback(journal.close)
            embedder = undo.enter_context(chosen_embedder(home.root, on_progress))
            recall = Recall(database, embedder, chroma(home.root / "index"))
            undo.callback(recall.close)
        parts = Parts(home.root, engine, prompts, database, journal, Records(database), recall, embedder, Sandbox())
        machine = Machine(parts)
        audit, tools = Audit(home.root / "audit.jsonl"), Toolbox()
        undo.callback(audit.close)
        launcher = Launcher(machine, Registry(home))
        gate = launcher.gate = Gate(machine, TABLE, audit, tools, launcher.spawn)
        try:
            yield Running(home, machine, launcher, gate, tools)
        finally:
            await machine.close()


def _silent(what: str, share: float) -> None:
    """Nobody watches."""


def _processor(
    home: Home,
    model: str | None,
    streams: int,
    window: int,
    way: str,
    engine: Engine | None,
    on_progress: OnProgress,
) -> tuple[Engine, Prompts]:
    if engine is not None:
        return engine, Prompts(ChatTemplate.default(), engine.tokenize)
    from ...models.catalog import Catalog
    from ...models.llama import LlamaEngine
    from ...models.prepare import ready

    entry = Catalog(home.root).get(model)
    path = ready(entry, home.root, progress=on_progress)
    with held_back():
        loaded = LlamaEngine(path, name=entry.name, streams=streams, window=window, way=way)
    file, words = read(path), vocabulary(path)
    template = ChatTemplate(file.chat_template, words.piece(words.bos), words.piece(words.eos))
    return loaded, Prompts(template, _encode(words, loaded, file))


def _encode(words: Vocabulary, engine: Engine, file: ModelFile) -> Encode:
    """tiktoken where it is proved equal, else the engine's own tokenizer."""
    try:
        return BytePairTokens(words.tokens, words.kinds, words.pre, words.merges).encode
    except Damaged:
        return engine.tokenize
