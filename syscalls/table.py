"""The whole surface of the OS on one screen: name, handler, right, and what kind of call it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from . import calls as c
from . import clock, context, cycle, execute, files, human, output, processes, recall, text, tools

if TYPE_CHECKING:
    from .gate import Call

Handler = Callable[["Call", Any], Awaitable[c.Reply]]


class Keeps(Enum):
    """What of a call goes into the journal: as much as coming back needs, and no more."""

    ALL = "intent and outcome"  # it may act: its intent is on disk before that, its outcome before anybody sees it
    OUTCOME = "outcome"  # it changes nothing, so one that was cut has left nothing; what it told is on disk first
    NOTHING = "nothing"  # a function of its request alone, done without waiting: made again, it comes to the same


@dataclass(frozen=True)
class Entry:
    """One system call."""

    handler: Handler
    request: type[c.Request]
    reply: type[c.Reply]
    needs: str = ""  # right; "" needs none
    spelled: bool = False  # offered to the model in `run`, in the words of the request's docstring
    private: tuple[str, ...] = ()  # fields whose text stays out of the audit line
    keeps: Keeps = Keeps.ALL
    waits: bool = True  # else its handler has no await in it: it needs no task, and nothing can come between

    def schema(self) -> dict[str, Any]:
        """JSON schema of the arguments as the model spells them: only what must be given, or is often wanted."""
        return spelled_schema(self.request)


def spelled_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a request without ``timeout`` and other fields that have a default."""
    schema = model.model_json_schema()
    required = schema.get("required", [])
    kept = {name: part for name, part in schema.get("properties", {}).items() if name in required}
    return {**schema, "properties": kept, "required": list(kept)}


OUTCOME, NOTHING = Keeps.OUTCOME, Keeps.NOTHING

TABLE: dict[str, Entry] = {
    "generate": Entry(text.generate, c.Generate, c.Generated, "model:use", private=("raw",)),
    "choose": Entry(text.choose, c.Choose, c.Chosen, "model:use"),
    "embed": Entry(text.embed, c.Embed, c.Embedded, "model:use", keeps=OUTCOME),
    "count": Entry(text.count, c.Count, c.Counted, "model:use", spelled=True, keeps=NOTHING, waits=False),
    "count.each": Entry(text.count_each, c.CountEach, c.CountedEach, "model:use", private=("texts",), keeps=OUTCOME),
    "run": Entry(cycle.run, c.Run, c.Ran, "model:use"),
    "context.add": Entry(context.add, c.Add, c.PageView),
    "context.fetch": Entry(context.fetch, c.Fetch, c.Fetched, spelled=True),
    "context.recall": Entry(context.recall, c.RecallPages, c.PagesBack, spelled=True),
    "context.drop": Entry(context.drop, c.Drop, c.Nothing),
    "context.look": Entry(context.look, c.Look, c.ContextView, keeps=OUTCOME, waits=False),
    "context.tune": Entry(context.tune, c.Tune, c.Nothing),
    "context.compact": Entry(context.compact, c.Compact, c.Compacting, "model:use"),
    "remember": Entry(recall.remember, c.Remember, c.Remembered, "memory:write"),
    "recall": Entry(recall.search, c.Recall, c.Recalled, "memory:read", spelled=True, keeps=OUTCOME),
    "forget": Entry(recall.forget, c.Forget, c.Forgotten, "memory:write"),
    "file.read": Entry(files.read, c.ReadFile, c.FileText, "files:read", spelled=True, keeps=OUTCOME),
    "file.write": Entry(files.write, c.WriteFile, c.Nothing, "files:write", spelled=True, private=("text",)),
    "file.list": Entry(files.listing, c.ListFiles, c.FileList, "files:read", spelled=True, keeps=OUTCOME),
    "file.search": Entry(files.search, c.SearchFiles, c.FileLines, "files:read", spelled=True, keeps=OUTCOME),
    "file.find": Entry(files.find, c.FindFiles, c.FoundFiles, "files:read", spelled=True, keeps=OUTCOME),
    "file.delete": Entry(files.delete, c.DeleteFile, c.Nothing, "files:write", spelled=True),
    "file.rename": Entry(files.rename, c.RenameFile, c.Nothing, "files:write"),
    "file.versions": Entry(files.versions, c.FileVersions, c.Versions, "files:read", keeps=OUTCOME),
    "file.rollback": Entry(files.rollback, c.RollBackFile, c.Nothing, "files:write"),
    "file.tag": Entry(files.tag, c.TagFile, c.Nothing, "files:write"),
    "process.spawn": Entry(processes.spawn, c.Spawn, c.Spawned, "process:spawn"),
    "process.wait": Entry(processes.wait, c.Wait, c.Ended, "process:spawn"),
    "process.kill": Entry(processes.kill, c.Kill, c.Nothing, "process:signal"),
    "process.send": Entry(processes.send, c.Send, c.Nothing, "process:message"),
    "process.receive": Entry(processes.receive, c.Receive, c.Mail, "process:message"),
    "process.info": Entry(processes.info, c.Info, c.ProcessInfo, keeps=OUTCOME, waits=False),
    "save": Entry(processes.save, c.Save, c.Nothing, private=("state",)),
    "load": Entry(processes.load, c.Load, c.Loaded, keeps=OUTCOME, waits=False),
    "tool.list": Entry(tools.listing, c.ListTools, c.Tools, "tool:call", keeps=OUTCOME),
    "tool.call": Entry(tools.call, c.CallTool, c.ToolResult, "tool:call"),
    "execute": Entry(execute.execute, c.Execute, c.Executed, "execute:run", spelled=True, private=("files", "stdin")),
    "ask": Entry(human.ask, c.Ask, c.Answered, "human:ask", spelled=True),
    "now": Entry(clock.now, c.Now, c.Time, spelled=True, keeps=OUTCOME, waits=False),
    "sleep": Entry(clock.sleep, c.Sleep, c.Nothing),
    "random": Entry(clock.random, c.Random, c.Drawn, keeps=OUTCOME, waits=False),
    "print": Entry(output.write, c.Print, c.Nothing, private=("text",)),
    "input": Entry(output.read, c.Input, c.InputText, keeps=OUTCOME, waits=False),
    "progress": Entry(output.progress, c.Progress, c.Nothing, waits=False),
}
