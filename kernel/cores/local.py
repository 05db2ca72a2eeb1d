"""A core in this program: an engine, its scheduler, and what makes its prompts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ...models.engine import Constraint, Engine
from ...models.grammar import from_schema
from ...models.shape import Sentences, Shape
from ...models.spans import Spans
from ..adapters import Adapter, named
from ..prompts import Messages, Prompts
from ..scheduler import Scheduler
from ..sequence import Written
from ..shelf import Shelf
from .core import Judged, Kind, Prompt, Writing

if TYPE_CHECKING:
    from ..process import Process

QUICK = 2000
"""Characters that are counted in less time than it takes to hand them to another thread and back."""


class LocalCore:
    """See `Core`. Made on the event loop; ``thread`` is shared with the other local cores, if there are any."""

    kind: Kind = "local"
    admits = True

    def __init__(
        self, name: str, engine: Engine, prompts: Prompts, *,
        shelf: Shelf | None = None, thread: ThreadPoolExecutor | None = None,
        identity: Mapping[str, str] | None = None, adapters: Mapping[str, Adapter] | None = None,
    ) -> None:  # fmt: skip
        """``identity`` is what else decides on tokens: the sum of the model's file, versions."""
        info = engine.info
        self.name, self.model = name, info.name
        self.asked_as = info.name
        self.window, self.streams, self.way = info.window, info.streams, info.way
        self.engine = engine
        self.prompts = prompts
        self.identity = dict(identity or {})
        self.adapters = dict(adapters or {})  # by name
        self.scheduler = Scheduler(engine, shelf=shelf, thread=thread)

    @property
    def state(self) -> str:
        """How it stands."""
        return "idle" if self.idle() else "computing"

    @property
    def busy(self) -> int:
        """Pieces of work under way and waiting."""
        return self.scheduler.waiting

    def prompt(self, messages: Messages, begin: str = "") -> Prompt:
        """The very tokens that the engine gets."""
        tokens = self.prompts.tokens(messages, begin)
        return Prompt(messages, begin, len(tokens), tokens)

    def raw(self, text: str) -> Prompt:
        """The tokens of a text."""
        tokens = self.prompts.encode(text)
        return Prompt((), "", len(tokens), tokens)

    def measure(self, messages: Messages) -> int:
        """Exact."""
        return self.prompts.measure(messages)

    def count(self, text: str) -> int:
        """Exact; control tokens are read as plain text."""
        return self.prompts.count(text)

    def piece(self, token: int) -> bytes:
        """The bytes of a token."""
        return self.engine.piece(token)

    def adapter(self, name: str) -> Adapter:
        """See `adapters.named`."""
        return named(name, self.adapters, self.engine)

    def conditions(self, adapter: str) -> dict[str, Any]:
        """Among them the sums of the model's file and of the adapter's."""
        found = self.adapter(adapter) if adapter else None
        return {
            "model": self.model, "way": self.way, "window": self.window, **self.identity, "adapter": adapter,
            **({"adapter_sha256": found.sha256, "adapter_scale": found.scale} if found else {}),
        }  # fmt: skip

    async def counted(self, texts: Sequence[str]) -> list[int]:
        """As `count`, in a worker thread where that takes a while."""
        if sum(map(len, texts)) < QUICK:
            return [self.count(text) for text in texts]
        return await asyncio.to_thread(lambda: [self.count(text) for text in texts])

    def cached(self, process: Process, prompt: Prompt) -> int:
        """Tokens of the prompt that lie in a stream or on the shelf."""
        prefixes, tokens = self.scheduler.streams.prefixes, prompt.tokens
        found = prefixes.find((process.owner, process.adapter), tokens, prefixes.keys(tokens), len(tokens) - 1)
        return found[0][1] if found else 0

    async def write(self, process: Process, prompt: Prompt, how: Writing) -> Written:
        """As `Scheduler.write`."""
        return await self.scheduler.write(
            process, prompt.tokens, most=how.most, sampling=how.sampling, constraint=self._constraint(how.shape),
            stops=how.stops, on_text=how.on_text, ignore_end=how.ignore_end, top=how.top,
        )  # fmt: skip

    def _constraint(self, shape: Shape) -> Constraint | None:
        if shape.sentences is not None:
            return self._spans(shape.sentences)
        return from_schema(shape.schema) if shape.schema is not None else shape.grammar

    def _spans(self, sentences: Sentences) -> Spans:
        encode = self.prompts.encode
        first = tuple(tuple(encode(text)) for text in sentences.texts)
        later = tuple(tuple(encode(" " + text)) for text in sentences.texts)
        return Spans(first, later, self.engine.info.end, sentences.least, sentences.most)

    async def choose(self, process: Process, prompt: Prompt, options: Sequence[str], *, normalise: bool) -> Judged:
        """By the log-likelihood of each option's tokens; ties go to the earlier one."""
        encoded = [self.prompts.encode(option) for option in options]
        scores = await self.scheduler.score(process, prompt.tokens, encoded)
        totals = [sum(one) / len(one) if normalise else sum(one) for one in scores]
        return Judged(max(range(len(totals)), key=lambda i: (totals[i], -i)), totals)

    async def gone(self, process: Process) -> None:
        """At most the step under way."""
        await self.scheduler.gone(process)

    def wake(self) -> None:
        """A process may compute again."""
        self.scheduler.wake()

    def idle(self) -> bool:
        """Whether no work is waiting or running."""
        return self.scheduler.idle()

    async def close(self) -> None:
        """Stop the scheduler, free the engine."""
        await self.scheduler.close()
