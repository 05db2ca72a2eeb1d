"""A world for apps: the system calls they make, answered by plain functions."""

from collections.abc import Callable
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from llmos.apps.sentences import stems
from llmos.syscalls import calls as c
from llmos.syscalls.api import NotFound, Sys


class World:
    """Files, memory, words in and out; the model is a function from a request to a text. Counts every call."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.collections: dict[str, dict[str, c.Passage]] = {}
        self.stdin = ""
        self.said = ""
        self.answers: list[str] = []
        self.calls: list[str] = []
        self.prompts: list[str] = []
        self.pages: list[c.PageView] = []
        self.dropped: list[str] = []
        self.write: Callable[[c.Generate], str] = lambda request: request.spans.texts[0] if request.spans else "words"

    async def call(self, name: str, request: Any, on_text: object) -> c.Reply:
        self.calls.append(name)
        return getattr(self, "do_" + name.replace(".", "_"))(request)

    def do_generate(self, request: c.Generate) -> c.Generated:
        self.prompts.append(request.prompt or "")
        text = self.write(request)
        self.said += text if request.show else ""
        return c.Generated(
            text=text, finish="end", tokens_in=1, tokens_reused=0, tokens_out=1, first_token_s=0, seconds=0
        )

    def do_choose(self, request: c.Choose) -> c.Chosen:
        return c.Chosen(index=0, option=request.options[0], scores=[-1.0] * len(request.options), tokens_in=1)

    def do_embed(self, request: c.Embed) -> c.Embedded:
        return c.Embedded(vectors=[meaning(text).tolist() for text in request.texts], embedder="words")

    def do_count(self, request: c.Count) -> c.Counted:
        return c.Counted(tokens=len(request.text.split()) + len(request.text) // 20, window=4096)

    def do_count_each(self, request: c.CountEach) -> c.CountedEach:
        tokens = [len(text.split()) + len(text) // 20 for text in request.texts]
        return c.CountedEach(tokens=tokens, window=4096)

    def do_remember(self, request: c.Remember) -> c.Remembered:
        kept = self.collections.setdefault(request.collection, {})
        kept |= {str(p.key): p for p in request.passages}
        return c.Remembered(handles=[str(p.key) for p in request.passages])

    def do_recall(self, request: c.Recall) -> c.Recalled:
        asked = set(request.query.lower().strip("?").split())
        hits = []
        for key, p in self.collections.get(request.collection, {}).items():
            share = len(asked & set(f"{p.title} {p.text}".lower().strip(".").split())) / len(asked)
            why = {"coverage": share, "similarity": share, "keyword": 1, "vector": 1}
            hits.append(c.Hit(handle=key, key=key, score=share, why=why, **p.model_dump(exclude={"key"})))
        return c.Recalled(hits=sorted(hits, key=lambda h: -h.score)[: request.k])

    def do_file_read(self, request: c.ReadFile) -> c.FileText:
        if request.path not in self.files:
            raise NotFound(f"no file {request.path}")
        return c.FileText(path=request.path, text=self.files[request.path], bytes=1)

    def do_file_list(self, request: c.ListFiles) -> c.FileList:
        paths = sorted(path for path in self.files if path.startswith(request.folder))
        return c.FileList(files=[c.FileEntry(path=path, bytes=1, modified=0) for path in paths])

    def do_context_add(self, request: c.Add) -> c.PageView:
        self.prompts.append(f"{request.role} {request.kind} {request.label}: {request.text}")
        return c.PageView(
            handle="p1", role=request.role, kind=request.kind, tokens=1, resident=True, label=request.label,
            first_words="",
        )  # fmt: skip

    def do_context_look(self, request: c.Look) -> c.ContextView:
        return c.ContextView(window=4096, used=0, pages=self.pages, faults=0, evictions=0)

    def do_context_drop(self, request: c.Drop) -> c.Nothing:
        self.dropped.append(request.handle)
        return c.Nothing()

    def do_file_search(self, request: c.SearchFiles) -> c.FileLines:
        return c.FileLines(lines=[c.FileLine(path="in/x.txt", line=1, text=request.text)])

    def do_now(self, request: c.Now) -> c.Time:
        return c.Time(seconds=0.0)

    def do_ask(self, request: c.Ask) -> c.Answered:
        return c.Answered(answer=self.answers.pop(0))

    def do_input(self, request: c.Input) -> c.InputText:
        return c.InputText(text=self.stdin)

    def do_print(self, request: c.Print) -> c.Nothing:
        self.said += request.text
        return c.Nothing()

    def do_progress(self, request: c.Progress) -> c.Nothing:
        return c.Nothing()


def meaning(text: str) -> np.ndarray:
    """Which words stand in a text, at unit length: texts with the same words are alike."""
    counts = np.full(64, 1e-3)
    for word in stems(text):
        counts[crc32(word.encode()) % 64] += 1
    return counts / np.linalg.norm(counts)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def sys(world: World) -> Sys:
    return Sys(world)
