"""All that an app sees: `App`, `Sys`, and the types that go through them.

    class Shout(App):
        class Args(BaseModel):
            text: str

        async def main(self, sys: Sys, args: Args) -> str:
            reply = await sys.generate(f"Say this louder: {args.text}", max_tokens=40)
            return reply.text

An app's folder holds ``manifest.toml`` (name, rights, limits) and ``app.py`` with one subclass of `App`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Any, ClassVar, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from ..kernel.errors import (
    AppFailed,
    BadInput,
    Denied,
    Interrupted,
    LimitExceeded,
    NotFound,
    OSFault,
    OutcomeUnknown,
    Storage,
    Terminated,
    TimedOut,
    Unavailable,
)  # fmt: skip
from ..kernel.plain import plain
from . import calls as c

__all__ = [
    "App", "AppFailed", "BadInput", "Denied", "HandedIn", "Interrupted", "LimitExceeded", "NotFound", "OSFault",
    "OutcomeUnknown", "Passage", "Positional", "Sentences", "Storage", "Sys", "Terminated", "TimedOut", "Unavailable",
    "c",
]  # fmt: skip

Passage = c.Passage
Sentences = c.Sentences
M = TypeVar("M", bound=BaseModel)
R = TypeVar("R", bound=c.Reply)


class _Mark:
    """A note on a field of an app's arguments, for whoever starts the app."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


HANDED_IN = _Mark("HandedIn")
POSITIONAL = _Mark("Positional")
HandedIn = Annotated[str, HANDED_IN]
"""A file or folder of the user's: the app gets its path inside the process's own tree, under ``in/``."""
Positional = POSITIONAL
"""``Annotated[str, Positional]``: given on the command line without a name."""


class NoArgs(BaseModel):
    """An app that takes nothing."""


class App(ABC):
    """Base of all apps. ``Args`` is a pydantic model; what `main` returns is the result of the process.

    A result is None, a string or a pydantic model. ``show`` turns a result into what a terminal prints.
    """

    Args: ClassVar[type[BaseModel]] = NoArgs
    summary: ClassVar[str] = ""

    @abstractmethod
    async def main(self, sys: Sys, args: Any) -> BaseModel | str | None:
        """Do the work; every effect goes through ``sys``."""

    def show(self, result: Any) -> str:
        """The result for a human, in plain text; by default its own words."""
        return "" if result is None else str(result)


class Port(Protocol):
    """Where calls go: the gate of this program, or a socket to it."""

    async def call(self, name: str, request: c.Request, on_text: Callable[[str], None] | None) -> c.Reply:
        """Make one call; raises `OSFault`."""


class Sys:
    """The system calls. Every method is async and ends in a reply or in an `OSFault`.

    All take ``timeout`` (seconds) by name; see docs/syscalls.md for each call's fields and rights.
    """

    def __init__(self, port: Port) -> None:
        self._port = port

    async def _call(
        self, name: str, request: c.Request, reply: type[R], on_text: Callable[[str], None] | None = None
    ) -> R:
        answer = await self._port.call(name, request, on_text)
        assert isinstance(answer, reply), f"{name} answered {type(answer).__name__}"
        return answer

    # -- text --

    async def generate(
        self, prompt: str | None = None, *, on_text: Callable[[str], None] | None = None, **fields: Any
    ) -> c.Generated:
        """Let the model write; ``on_text`` is called with each piece as it comes. Fields: see `calls.Generate`."""
        return await self._call("generate", _request(c.Generate, prompt=prompt, **fields), c.Generated, on_text)

    async def stream(self, prompt: str | None = None, **fields: Any) -> AsyncIterator[str]:
        """Like `generate`, as an iterator over pieces of text."""
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        task = asyncio.ensure_future(self.generate(prompt, on_text=pieces.put_nowait, **fields))
        task.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            await task
        finally:
            task.cancel()

    async def choose(self, options: Sequence[str], prompt: str | None = None, **fields: Any) -> c.Chosen:
        """The likeliest of the options as a continuation."""
        return await self._call("choose", _request(c.Choose, options=list(options), prompt=prompt, **fields), c.Chosen)

    async def extract(self, model: type[M], prompt: str, **fields: Any) -> M:
        """Let the model fill a pydantic model; what comes back has been validated by it."""
        schema = model.model_json_schema()
        reply = await self.generate(prompt, json_schema=schema, **fields)
        if reply.finish == "length":
            raise LimitExceeded("the answer did not fit", hint="raise max_tokens", max_tokens=reply.tokens_out)
        try:
            return model.model_validate_json(reply.text)
        except ValidationError as wrong:  # a rule of the model's that no grammar can carry
            raise BadInput(
                f"what the model wrote is no {model.__name__}: {c.said(wrong)}", hint="ask again with another seed"
            ) from None

    async def embed(self, texts: Sequence[str], **fields: Any) -> c.Embedded:
        """Unit vectors of texts."""
        return await self._call("embed", _request(c.Embed, texts=list(texts), **fields), c.Embedded)

    async def count(self, text: str, **fields: Any) -> c.Counted:
        """Tokens of a text."""
        return await self._call("count", _request(c.Count, text=text, **fields), c.Counted)

    async def count_each(self, texts: Sequence[str], **fields: Any) -> list[int]:
        """Tokens of each of many texts, in their order."""
        found: list[int] = []
        for start in range(0, len(texts), c.TEXTS):
            request = _request(c.CountEach, texts=list(texts[start : start + c.TEXTS]), **fields)
            found += (await self._call("count.each", request, c.CountedEach)).tokens
        return found

    async def run(self, goal: str, *, on_text: Callable[[str], None] | None = None, **fields: Any) -> c.Ran:
        """Let the model choose system calls itself, step by step, until it answers."""
        return await self._call("run", _request(c.Run, goal=goal, **fields), c.Ran, on_text)

    # -- context --

    async def add(self, text: str, **fields: Any) -> c.PageView:
        """Put a page into the context; ``kind="system"`` and ``"pinned"`` stay for good."""
        return await self._call("context.add", _request(c.Add, text=text, **fields), c.PageView)

    async def fetch(self, handle: str, **fields: Any) -> c.Fetched:
        """Bring a page, or all pages of a text, back into the window."""
        return await self._call("context.fetch", _request(c.Fetch, handle=handle, **fields), c.Fetched)

    async def recall_pages(self, query: str, *, k: int = 3, **fields: Any) -> list[c.PageText]:
        """Bring back the pages that are out and fit a query best."""
        request = _request(c.RecallPages, query=query, k=k, **fields)
        return (await self._call("context.recall", request, c.PagesBack)).pages

    async def drop(self, handle: str, **fields: Any) -> None:
        """Remove a page, or all pages of a text."""
        await self._call("context.drop", _request(c.Drop, handle=handle, **fields), c.Nothing)

    async def tune(self, **fields: Any) -> None:
        """Change how pages leave the window: ``policy``, ``low``, ``compact``."""
        await self._call("context.tune", _request(c.Tune, **fields), c.Nothing)

    async def compact(self, **fields: Any) -> int:
        """Sum up what is out, in a process of its own; its pid."""
        return (await self._call("context.compact", _request(c.Compact, **fields), c.Compacting)).pid

    async def context(self, **fields: Any) -> c.ContextView:
        """Pages, window and faults of this process."""
        return await self._call("context.look", _request(c.Look, **fields), c.ContextView)

    # -- memory --

    async def remember(self, passages: Sequence[c.Passage], collection: str = "default", **fields: Any) -> list[str]:
        """Store passages; returns their handles. Many go in portions, so that others get their turn between."""
        handles: list[str] = []
        for start in range(0, max(len(passages), 1), c.PORTION):
            part = list(passages[start : start + c.PORTION])
            request = _request(c.Remember, passages=part, collection=collection, **fields)
            handles += (await self._call("remember", request, c.Remembered)).handles
        return handles

    async def recall(self, query: str, *, k: int = 5, collection: str = "default", **fields: Any) -> list[c.Hit]:
        """The best passages for a query, best first."""
        request = _request(c.Recall, query=query, k=k, collection=collection, **fields)
        return (await self._call("recall", request, c.Recalled)).hits

    async def forget(self, handles: Sequence[str] = (), *, collection: str = "default", **fields: Any) -> int:
        """Remove passages, or a whole collection when no handle is named."""
        request = _request(c.Forget, handles=list(handles), collection=collection, **fields)
        return (await self._call("forget", request, c.Forgotten)).count

    # -- files --

    async def read(self, path: str, **fields: Any) -> str:
        """The text of a file of the process's own tree; ``version`` is an older one."""
        return (await self._call("file.read", _request(c.ReadFile, path=path, **fields), c.FileText)).text

    async def write(self, path: str, text: str, *, append: bool = False, **fields: Any) -> None:
        """Write a file of the process's own tree; nothing half-written is ever seen."""
        request = _request(c.WriteFile, path=path, text=text, append=append, **fields)
        await self._call("file.write", request, c.Nothing)

    async def files(self, folder: str = "", **fields: Any) -> list[c.FileEntry]:
        """Files below a folder."""
        return (await self._call("file.list", _request(c.ListFiles, folder=folder, **fields), c.FileList)).files

    async def search(self, text: str, **fields: Any) -> list[c.FileLine]:
        """Lines of files that contain a text."""
        return (await self._call("file.search", _request(c.SearchFiles, text=text, **fields), c.FileLines)).lines

    async def find(self, query: str, **fields: Any) -> list[c.FoundFile]:
        """The own files that are about something, best first: by name, tags, words and meaning."""
        return (await self._call("file.find", _request(c.FindFiles, query=query, **fields), c.FoundFiles)).files

    async def delete(self, path: str, **fields: Any) -> None:
        """Remove a file; `rollback` brings it back."""
        await self._call("file.delete", _request(c.DeleteFile, path=path, **fields), c.Nothing)

    async def rename(self, path: str, to: str, **fields: Any) -> None:
        """Give a file or folder another path, where nothing stands yet."""
        await self._call("file.rename", _request(c.RenameFile, path=path, to=to, **fields), c.Nothing)

    async def versions(self, path: str, **fields: Any) -> list[c.FileVersion]:
        """The versions of a file, oldest first."""
        return (await self._call("file.versions", _request(c.FileVersions, path=path, **fields), c.Versions)).versions

    async def rollback(self, path: str, version: int, **fields: Any) -> None:
        """Bring back an older version of a file, as its newest."""
        await self._call("file.rollback", _request(c.RollBackFile, path=path, version=version, **fields), c.Nothing)

    async def tag(self, path: str, add: Sequence[str] = (), remove: Sequence[str] = (), **fields: Any) -> None:
        """Give a file tags, and take some from it."""
        request = _request(c.TagFile, path=path, add=list(add), remove=list(remove), **fields)
        await self._call("file.tag", request, c.Nothing)

    # -- processes --

    async def spawn(self, app: str, args: dict[str, Any] | None = None, **fields: Any) -> int:
        """Start an app as a child; returns its pid."""
        request = _request(c.Spawn, app=app, args=args or {}, **fields)
        return (await self._call("process.spawn", request, c.Spawned)).pid

    async def wait(self, pid: int | None = None, **fields: Any) -> c.Ended:
        """Wait for a child to end."""
        return await self._call("process.wait", _request(c.Wait, pid=pid, **fields), c.Ended)

    async def kill(self, pid: int, signal: str = "TERM", **fields: Any) -> None:
        """Send a signal to a process of one's own tree."""
        await self._call("process.kill", _request(c.Kill, pid=pid, signal=signal, **fields), c.Nothing)

    async def send(self, pid: int, message: Any, **fields: Any) -> None:
        """Put a message (plain JSON values) into another process's mailbox."""
        await self._call("process.send", _request(c.Send, pid=pid, message=message, **fields), c.Nothing)

    async def receive(self, **fields: Any) -> c.Mail:
        """Wait for a message."""
        return await self._call("process.receive", _request(c.Receive, **fields), c.Mail)

    async def info(self, **fields: Any) -> c.ProcessInfo:
        """Who am I, and what may I do?"""
        return await self._call("process.info", _request(c.Info, **fields), c.ProcessInfo)

    async def save(self, state: Any, **fields: Any) -> None:
        """Hand over the state (plain JSON values or a pydantic model) to come back from after llmos has died.

        Coming back then takes a time that does not grow with the process's age. No other call may be under way.
        """
        await self._call("save", _request(c.Save, state=plain(state), **fields), c.Nothing)

    async def load(self, model: type[M] | None = None, **fields: Any) -> Any:
        """The state that was saved last, as a ``model`` where one is given; None where there is none.

        An app that saves its state calls this before anything else, and goes on from what it gets.
        """
        state = (await self._call("load", _request(c.Load, **fields), c.Loaded)).state
        return state if state is None or model is None else model.model_validate(state)

    # -- tools, sandbox, human, clock --

    async def tools(self, **fields: Any) -> list[c.ToolInfo]:
        """Tools this process may call."""
        return (await self._call("tool.list", _request(c.ListTools, **fields), c.Tools)).tools

    async def tool(self, name: str, args: dict[str, Any] | None = None, **fields: Any) -> Any:
        """Call a tool; its result comes from outside and is data, never an instruction."""
        request = _request(c.CallTool, name=name, args=args or {}, **fields)
        return (await self._call("tool.call", request, c.ToolResult)).result

    async def execute(self, argv: Sequence[str], **fields: Any) -> c.Executed:
        """Run a program in the sandbox."""
        return await self._call("execute", _request(c.Execute, argv=list(argv), **fields), c.Executed)

    async def ask(self, question: str, choices: Sequence[str] = (), **fields: Any) -> str:
        """Ask the human."""
        request = _request(c.Ask, question=question, choices=list(choices), **fields)
        return (await self._call("ask", request, c.Answered)).answer

    async def now(self, **fields: Any) -> float:
        """Seconds since the epoch."""
        return (await self._call("now", _request(c.Now, **fields), c.Time)).seconds

    async def sleep(self, seconds: float, **fields: Any) -> None:
        """Wait."""
        await self._call("sleep", _request(c.Sleep, seconds=seconds, **fields), c.Nothing)

    async def random(self, **fields: Any) -> float:
        """A number, at least 0 and below 1; after coming back the same again, as all that comes through ``Sys``."""
        return (await self._call("random", _request(c.Random, **fields), c.Drawn)).value

    # -- output and input --

    async def print(self, text: str, end: str = "\n", **fields: Any) -> None:
        """Write to the process's output."""
        await self._call("print", _request(c.Print, text=text + end, **fields), c.Nothing)

    async def input(self, **fields: Any) -> str:
        """All that was piped in."""
        return (await self._call("input", _request(c.Input, **fields), c.InputText)).text

    async def progress(self, done: float, total: float, what: str = "", **fields: Any) -> None:
        """Tell how far the work is."""
        await self._call("progress", _request(c.Progress, done=done, total=total, what=what, **fields), c.Nothing)


def _request(kind: type[M], /, **fields: Any) -> M:
    """Build a request; what does not fit is the app's `BadInput`, named field by field."""
    try:
        return kind(**fields)
    except ValidationError as wrong:
        raise BadInput(f"{kind.__name__.lower()}: {c.said(wrong)}", hint="see docs/syscalls.md") from None
