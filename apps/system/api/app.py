"""The paths of the server, and what stands behind each."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ....kernel.cores.core import Core
from ....syscalls import calls as c
from ....syscalls.api import Sys
from ..boot import Running
from . import messages as said
from .body import read
from .errors import Refusal, refusal
from .metrics import Metrics
from .place import LARGEST, REQUESTS
from .protocol import Body, ChatRequest, CompletionRequest, EmbeddingRequest, checked
from .replies import Frame
from .sending import ClientGone, Streamed, Writer, whole
from .sessions import Sessions
from .toolcalls import Toolset
from .turns import Answer, ChatTurn, OnPart, Part, fields

log = logging.getLogger(__name__)

SESSION = "x-llmos-session"
ANY = ("", "default")
"""What a client says that has no model in mind."""
GONE, BUG = 499, 500

Endpoint = Callable[[Request], Awaitable[ASGIApp]]


@dataclass
class Api:
    """The server's state. Owned by the event loop's thread."""

    running: Running
    sessions: Sessions
    metrics: Metrics
    largest: int = LARGEST  # bytes of a body
    most: int = REQUESTS  # requests under way

    def app(self) -> Starlette:
        """The whole ASGI application."""
        routes = [
            Route("/v1/chat/completions", _Counted(self, self.chat), methods=["POST"]),
            Route("/v1/completions", _Counted(self, self.complete), methods=["POST"]),
            Route("/v1/embeddings", _Counted(self, self.embed), methods=["POST"]),
            Route("/v1/models", self.models),
            Route("/v1/models/{name:path}", self.model),
            Route("/healthz", self.healthy),
            Route("/metrics", self.measured),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _told_by_starlette, Refusal: _told})

    # -- what computes --

    async def chat(self, request: Request) -> ASGIApp:
        """``POST /v1/chat/completions``."""
        asked = checked(ChatRequest, await read(request, self.largest))
        core = self._core(asked)
        try:
            tools = Toolset.of(asked)
        except ValueError as wrong:
            raise Refusal(400, str(wrong), param="tool_choice") from None
        shown = said.shown(asked.messages, tools.manual)
        marks = said.marks(asked.user, asked.messages)
        name = request.headers.get(SESSION, "")

        async def write(choice: int, on_part: OnPart | None) -> Answer:
            turn = ChatTurn(asked, shown, tools, min(asked.most or core.window, core.window), choice, on_part)
            first = choice == 0  # the other choices are processes of their own
            with self.sessions.turn(
                name=name if first else "", user=asked.user if first else "", marks=marks[:-1] if first else (),
                priority=asked.priority, keep=first, model=core.name,
            ) as conversation:  # fmt: skip
                answer = await conversation.turn(lambda sys: turn.run(conversation, sys))
                conversation.mark = said.after(marks[-1], said.answer(answer.text, answer.calls))
            self.metrics.answered(answer)
            return answer

        return await self._answer(request, asked, write, asked.n, logprobs=asked.logprobs)

    async def complete(self, request: Request) -> ASGIApp:
        """``POST /v1/completions``."""
        asked = checked(CompletionRequest, await read(request, self.largest))
        core = self._core(asked)
        name = request.headers.get(SESSION, "")
        top: dict[str, Any] = {} if asked.logprobs is None else {"top": asked.logprobs}

        async def write(choice: int, on_part: OnPart | None) -> Answer:
            prompt, number = asked.prompt[choice // asked.n], choice % asked.n
            if asked.echo and on_part is not None:
                on_part(Part(prompt))
            show = None if on_part is None else lambda text: on_part(Part(text))
            with self.sessions.turn(
                name=name if choice == 0 else "", user=asked.user if choice == 0 else "", priority=asked.priority,
                keep=bool(asked.user) and choice == 0, model=core.name,
            ) as conversation:  # fmt: skip
                answer = await conversation.turn(
                    lambda sys: sys.generate(
                        raw=prompt, max_tokens=asked.most, on_text=show, **fields(asked, number), **top
                    )
                )
            found = Answer.of(answer)
            self.metrics.answered(found)
            found.text = prompt + found.text if asked.echo else found.text
            return found

        count = len(asked.prompt) * asked.n
        return await self._answer(request, asked, write, count, logprobs=asked.logprobs is not None)

    async def embed(self, request: Request) -> Response:
        """``POST /v1/embeddings``."""
        asked = checked(EmbeddingRequest, await read(request, self.largest))
        embedder = self.running.machine.parts.embedder
        if asked.model != embedder.name:
            self._core(asked, embedder.name)

        async def work(sys: Sys) -> tuple[c.Embedded, int]:
            embedded = await sys.embed(asked.input)
            return embedded, sum(await sys.count_each(asked.input))

        with self.sessions.turn(priority="normal", keep=False) as conversation:
            found, tokens = await conversation.turn(work)
        width = len(found.vectors[0])
        if asked.dimensions not in (None, width):
            raise Refusal(400, f"the vectors of {found.embedder} have {width} dimensions", param="dimensions")
        rows = [
            {"object": "embedding", "index": i, "embedding": _packed(vector) if asked.packed else vector}
            for i, vector in enumerate(found.vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return _json({"object": "list", "data": rows, "model": found.embedder, "usage": usage})

    async def _answer(
        self, request: Request, asked: ChatRequest | CompletionRequest, write: Writer, count: int, *, logprobs: bool
    ) -> ASGIApp:
        frame = Frame(self.running.model, chat=isinstance(asked, ChatRequest))
        if asked.stream:
            return Streamed(write, count, frame, logprobs=logprobs, counts=asked.usage_wanted)
        answers: Sequence[Answer] = await whole(write, count, request.receive)
        return Response(frame.whole(answers, logprobs=logprobs), media_type="application/json")

    def _core(self, asked: Body, *others: str) -> Core:
        """Where a new process for the request computes; ``others``: what else could be asked for."""
        cores = self.running.machine.cores
        wanted = "" if asked.model in ANY else asked.model
        if not cores.has(wanted):
            names = [*others, *(core.name for core in cores)]
            raise Refusal(
                404, f"there is no model {asked.model!r}; there is {' and '.join(names)}", param="model",
                code="model_not_found",
            )  # fmt: skip
        return cores.place(wanted, self.running.machine.table.living)

    # -- what is looked up --

    async def models(self, request: Request) -> Response:
        """``GET /v1/models``."""
        return _json({"object": "list", "data": self._cards()})

    async def model(self, request: Request) -> Response:
        """``GET /v1/models/NAME``."""
        name = request.path_params["name"]
        for card in self._cards():
            if card["id"] == name:
                return _json(card)
        raise Refusal(404, f"there is no model {name!r}", param="model", code="model_not_found")

    def _cards(self) -> list[dict[str, object]]:
        machine = self.running.machine
        common = {"object": "model", "created": int(self.begun), "owned_by": "llmos"}
        cores = [
            {"id": one.name, **common, "context_length": one.window, "streams": one.streams, "way": one.way}
            for one in machine.cores
        ]
        return [*cores, {"id": machine.parts.embedder.name, **common}]

    async def healthy(self, request: Request) -> Response:
        """``GET /healthz``."""
        return _json({"status": "ok", "model": self.running.model, "requests": self.metrics.active})

    async def measured(self, request: Request) -> Response:
        """``GET /metrics``."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    # -- around each request --

    def __post_init__(self) -> None:
        self.begun = time.time()


class _Counted:
    """A path that computes, with the door before it and the counters behind it."""

    def __init__(self, api: Api, endpoint: Endpoint) -> None:
        self._api, self._endpoint = api, endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI wants it; every error becomes an answer here."""
        metrics, status = self._api.metrics, GONE

        async def noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        metrics.active += 1
        try:
            if metrics.active > self._api.most:
                most = self._api.most
                raise Refusal(429, f"{most} requests are under way", kind="rate_limit_error", code="busy", retry=2)
            response = await self._endpoint(Request(scope, receive))
            await response(scope, receive, noting)
        except (ClientGone, OSError):
            pass
        except Exception as problem:
            told = refusal(problem)
            if told.status == BUG:
                log.exception("%s failed", scope["path"])
            if status == GONE:
                await told.response()(scope, receive, noting)
        finally:
            metrics.active -= 1
            metrics.requests.labels(scope["path"], str(status)).inc()


async def _told(request: Request, problem: Exception) -> Response:
    return refusal(problem).response()


async def _told_by_starlette(request: Request, problem: Exception) -> Response:
    """No such path, or another method."""
    assert isinstance(problem, HTTPException)
    path = request.url.path
    message = f"{path} does not take {request.method}" if problem.status_code == 405 else f"there is nothing at {path}"
    return Refusal(problem.status_code, message, headers=dict(problem.headers or {})).response()


def _packed(vector: Sequence[float]) -> str:
    """Four bytes a number, little-endian, in base64."""
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
