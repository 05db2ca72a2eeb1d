"""From names of models to cores: files are loaded into engines, remote models need their place alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...kernel.cores.core import Core
from ...kernel.cores.cores import Cores
from ...kernel.cores.local import LocalCore
from ...kernel.errors import BadInput
from ...kernel.prompts import Encode, Prompts
from ...kernel.stepper import engine_thread
from ...memory.faults import Damaged
from ...memory.tokens import BytePairTokens
from ...models.catalog import Catalog, Entry
from ...models.chat import ChatTemplate
from ...models.engine import Engine
from ...models.gguf import ModelFile, Vocabulary, read, vocabulary
from ...models.remote.place import Place
from .ending import held_back
from .home import Home
from .options import SCRIPTED


@dataclass(frozen=True)
class Loaded:
    """A model in memory."""

    engine: Engine
    prompts: Prompts

    def close(self) -> None:
        """Free it; once a core has it, that does so."""
        self.engine.close()


@dataclass(frozen=True)
class Far:
    """A model behind a server."""

    place: Place

    def close(self) -> None:
        """Nothing is held."""


def ready_made(engine: Engine) -> Loaded:
    """An engine that is there already."""
    return Loaded(engine, Prompts(ChatTemplate.default(), engine.tokenize))


@dataclass(frozen=True)
class Wanted:
    """How models are to be loaded."""

    home: Home
    streams: int
    window: int
    way: str
    on_progress: Callable[[str, float], None]

    def load(self, name: str | None) -> Loaded | Far:
        """A model of the catalog, or a file; None is the default."""
        catalog = Catalog(self.home.root)
        if name == SCRIPTED:
            raise BadInput("scripted is no model to run beside others", hint="name it alone")
        place = catalog.remotes.get(name or catalog.default)
        return Far(place) if place is not None else self._load(catalog.get(name))

    def _load(self, entry: Entry) -> Loaded:
        from ...models.llama import LlamaEngine
        from ...models.prepare import ready

        path = ready(entry, self.home.root, progress=self.on_progress)
        with held_back():
            engine = LlamaEngine(path, name=entry.name, streams=self.streams, window=self.window, way=self.way)
        file, words = read(path), vocabulary(path)
        template = ChatTemplate(file.chat_template, words.piece(words.bos), words.piece(words.eos))
        return Loaded(engine, Prompts(template, _encode(words, engine, file)))


def _encode(words: Vocabulary, engine: Engine, file: ModelFile) -> Encode:
    """tiktoken where it is proved equal, else the engine's own tokenizer."""
    try:
        return BytePairTokens(words.tokens, words.kinds, words.pre, words.merges).encode
    except Damaged:
        return engine.tokenize


def cores_of(loaded: Sequence[Loaded | Far]) -> Cores:
    """A core for each; a model that is named twice gets two. Those in this program compute in turn, a step each."""
    local = [one for one in loaded if isinstance(one, Loaded)]
    thread = engine_thread() if len(local) > 1 else None
    cores: list[Core] = []
    for one in loaded:
        wanted = one.engine.info.name if isinstance(one, Loaded) else one.place.name
        name, taken, number = wanted, {core.name for core in cores}, 2
        while name in taken:
            name, number = f"{wanted}-{number}", number + 1
        if isinstance(one, Loaded):
            cores.append(LocalCore(name, one.engine, one.prompts, thread=thread))
        else:
            from ...kernel.cores.remote import RemoteCore
            from ...models.remote.server import Server

            cores.append(RemoteCore(Server(one.place.model_copy(update={"name": name}))))
    return Cores(cores, thread)
