"""From names of models to cores: files are loaded into engines, remote models need their place alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata

from ...kernel.adapters import Adapter
from ...kernel.cores.core import Core
from ...kernel.cores.cores import Cores
from ...kernel.cores.local import LocalCore
from ...kernel.errors import BadInput
from ...kernel.prompts import Encode, Prompts
from ...kernel.shelf import Shelf, disk_room, memory_room
from ...kernel.stepper import engine_thread
from ...memory.faults import Damaged
from ...memory.tokens import BytePairTokens
from ...models.adapters import Adapters
from ...models.catalog import Catalog, Entry
from ...models.chat import ChatTemplate
from ...models.engine import Engine
from ...models.gguf import ModelFile, Vocabulary, read, vocabulary
from ...models.remote.place import Place
from .ending import held_back
from .home import Home
from .options import SCRIPTED
from .settings import settings


@dataclass(frozen=True)
class Loaded:
    """A model in memory, what decides on its tokens besides, and its adapters by name."""

    engine: Engine
    prompts: Prompts
    identity: Mapping[str, str] = field(default_factory=dict)
    adapters: Mapping[str, Adapter] = field(default_factory=dict)

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
    way: str | None  # None: as the model was tuned, else exact
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
        from ...models.tuning.kept import Tunings

        home = self.home.root
        tuned = Tunings(home).settled(entry, self.way, self.streams)
        path = ready(entry, home, tuned.format if tuned else None, progress=self.on_progress)
        options = tuned.model_dump(exclude={"format"}) if tuned else {"way": self.way or "exact"}
        with held_back():
            engine = LlamaEngine(path, name=entry.name, streams=self.streams, window=self.window, **options)
        file, words = read(path), vocabulary(path)
        template = ChatTemplate(file.chat_template, words.piece(words.bos), words.piece(words.eos))
        weights = f"{path.name}, {path.stat().st_size} bytes"  # those that a model was prepared into, say
        identity = {"sha256": entry.sha256, "weights": weights, "llama_cpp": metadata.version("llama_cpp_python")}
        adapters = {one.name: Adapter(one.path, 1.0, one.sha256) for one in Adapters(home).listing(entry.name)}
        return Loaded(engine, Prompts(template, _encode(words, engine, file)), identity, adapters)


def _encode(words: Vocabulary, engine: Engine, file: ModelFile) -> Encode:
    """tiktoken where it is proved equal, else the engine's own tokenizer."""
    try:
        return BytePairTokens(words.tokens, words.kinds, words.pre, words.merges).encode
    except Damaged:
        return engine.tokenize


def cores_of(loaded: Sequence[Loaded | Far], home: Home) -> Cores:
    """A core for each; a model that is named twice gets two. Those in this program compute in turn, a step each."""
    number = sum(isinstance(one, Loaded) for one in loaded)
    thread = engine_thread() if number > 1 else None
    shelves = _shelves(home, number)
    cores: list[Core] = []
    for one in loaded:
        name = _free(one.engine.info.name if isinstance(one, Loaded) else one.place.name, cores)
        if isinstance(one, Loaded):
            shelf = next(shelves)
            cores.append(
                LocalCore(
                    name, one.engine, one.prompts, shelf=shelf, thread=thread, identity=one.identity,
                    adapters=one.adapters,
                )
            )  # fmt: skip
        else:
            from ...kernel.cores.remote import RemoteCore
            from ...models.remote.server import Server

            cores.append(RemoteCore(name, Server(one.place)))
    return Cores(cores, thread)


def _free(wanted: str, cores: Sequence[Core]) -> str:
    """A name that no core has."""
    name, taken, number = wanted, {core.name for core in cores}, 2
    while name in taken:
        name, number = f"{wanted}-{number}", number + 1
    return name


def _shelves(home: Home, number: int) -> Iterator[Shelf]:
    """One for each engine; what a user allows is for all together."""
    states = settings(home).states
    if number == 1:
        yield Shelf(home.swap, ram=states.ram, disk=states.disk)
        return
    ram = memory_room() if states.ram is None else states.ram
    disk = disk_room(home.root) if states.disk is None else states.disk
    for place in range(number):
        yield Shelf(home.swap / str(place), ram=ram // number, disk=disk // number)
