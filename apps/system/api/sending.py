"""Answers on their way to the client: choices computed together, told as they come, ended when nobody listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import orjson
from starlette.types import Receive, Scope, Send

from ....kernel.errors import OSFault
from .errors import refusal
from .replies import DONE, Chunks, Frame
from .turns import Answer, OnPart, Part

Writer = Callable[[int, OnPart | None], Awaitable[Answer]]
"""Computes one choice; told its number, and whom to tell of each part."""

_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class ClientGone(Exception):
    """Nobody is there to answer."""


@asynccontextmanager
async def choices(write: Writer, count: int, receive: Receive, tell: Callable[[int, Part], None] | None = None
) -> AsyncIterator[asyncio.Future[list[Answer]]]:  # fmt: skip
    """All choices of a request, under way until the block is left; they are cancelled when the client goes away.

    They succeed or fail together.
    """

    async def one(index: int) -> Answer:
        return await write(index, None if tell is None else lambda part: tell(index, part))

    tasks = [asyncio.ensure_future(one(i)) for i in range(count)]
    answers = asyncio.gather(*tasks)
    answers.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to be told
    gone = asyncio.ensure_future(_gone(receive))
    gone.add_done_callback(lambda _: answers.cancel())
    try:
        yield answers
    finally:
        for task in (gone, *tasks):
            task.cancel()
        await asyncio.wait(tasks)


async def whole(write: Writer, count: int, receive: Receive) -> Sequence[Answer]:
    """The finished answers; raises `ClientGone`."""
    async with choices(write, count, receive) as answers:
        try:
            return await answers
        except asyncio.CancelledError:
            raise _why() from None


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _why() -> BaseException:
    """Cancelled by the client's going, or together with this task."""
    task = asyncio.current_task()
    return asyncio.CancelledError() if task is not None and task.cancelling() else ClientGone()


class Streamed:
    """A response that tells the answers as they come: server-sent events, after the first of which the status is 200.

    What fails before that is an error with its own status; what fails later is an event.
    """

    def __init__(self, write: Writer, count: int, frame: Frame, *, logprobs: bool, counts: bool) -> None:
        self._write, self._logprobs, self._counts = write, logprobs, counts
        self._chunks = [Chunks(frame, i) for i in range(count)]
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI wants it."""
        pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        chunks = self._chunks

        def tell(index: int, part: Part) -> None:
            if piece := chunks[index].part(part):
                pieces.put_nowait(piece)

        try:
            async with choices(self._write, len(chunks), receive, tell) as answers:
                answers.add_done_callback(lambda _: pieces.put_nowait(None))
                try:
                    await self._pass_on(pieces, send)
                    done = await answers
                except asyncio.CancelledError:
                    raise _why() from None
            await self._begin(send)
            await send(_body(self._ending(done)))
        except (ClientGone, OSError):
            raise
        except Exception as problem:
            if not self._begun:
                raise
            await send(_body(b"data: " + orjson.dumps(refusal(problem).body) + b"\n\n"))
            if not isinstance(problem, OSFault):
                raise

    async def _pass_on(self, pieces: asyncio.Queue[bytes | None], send: Send) -> None:
        """What is there goes in one piece: a client that reads slowly gets fewer, longer ones."""
        ended = False
        while not ended:
            ready = [await pieces.get()]
            while not pieces.empty():
                ready.append(pieces.get_nowait())
            ended = ready[-1] is None
            text = b"".join(piece for piece in ready if piece is not None)
            if text:
                await self._begin(send)
                await send(_body(text, more=True))

    async def _begin(self, send: Send) -> None:
        if not self._begun:
            self._begun = True
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await send(_body(b"".join(chunk.first() for chunk in self._chunks), more=True))

    def _ending(self, answers: Sequence[Answer]) -> bytes:
        last = [
            chunk.last(answer, logprobs=self._logprobs) for chunk, answer in zip(self._chunks, answers, strict=True)
        ]
        if self._counts:
            last.append(self._chunks[0].counts(answers))
        return b"".join([*last, DONE])


def _body(text: bytes, *, more: bool = False) -> dict[str, object]:
    return {"type": "http.response.body", "body": text, "more_body": more}
