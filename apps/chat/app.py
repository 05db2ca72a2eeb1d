"""The app: one turn with a text on the command line, a dialogue without."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Any

from pydantic import BaseModel, Field

from ...syscalls.api import App, HandedIn, Interrupted, Positional, Sys
from . import material
from .acting import PASSING, act, kind

LONGEST_ANSWER = 400  # tokens
HABIT = 3  # words
RECALLED = 2  # pages of the conversation that come back for a prompt, once it is longer than the window


class Result(BaseModel):
    """What `chat` returns: the last answer, and how many there were."""

    answer: str
    turns: int


class Chat(App):
    """Talk in plain language; what is piped in is material to work on."""

    summary = "Talk in plain language, or work on text that is piped in"

    class Args(BaseModel):
        """What to say."""

        text: Annotated[str, Positional] = Field("", description="what to say; without it, a dialogue")
        files: list[HandedIn] = Field([], description="files or folders that it may look at")

    async def main(self, sys: Sys, args: Args) -> Result:
        """Answers appear as they come. Raises `BadInput` for piped text that does not fit into the context."""
        await sys.add(files(__package__).joinpath("prompts/system.txt").read_text("utf-8").strip(),
                      role="system", kind="system")  # fmt: skip
        conversation = Conversation(sys, await material.take(sys))
        if args.text.strip():
            return Result(answer=await conversation.turn(args.text.strip()), turns=1)
        return await conversation.go_on()

    def show(self, result: Any) -> str:
        """Nothing: the answers stand in the output already."""
        return ""


class Conversation:
    """What is said in turn. Only what the model itself answered stays in its context.

    A small model says again what it reads often: answers of ours in fixed words, and an answer like the one before,
    would soon be all that it says.
    """

    def __init__(self, sys: Sys, text: str) -> None:
        self._sys = sys
        self._text = text  # material, where something was piped in
        self._before = ""  # the model's last answer

    async def go_on(self) -> Result:
        """Until the human says nothing; an interrupt ends an answer, not the dialogue."""
        answer, turns = "", 0
        while said := (await self._sys.ask("You:")).strip():
            try:
                answer = await self.turn(said)
                turns += 1
            except Interrupted:
                await self._sys.print("")
        return Result(answer=answer, turns=turns)

    async def turn(self, said: str) -> str:
        """The answer, which has been shown."""
        if self._text:
            answer = await material.work(self._sys, said, self._text)
        else:
            answer = await act(self._sys, said, await kind(self._sys, said))
        if answer is None:
            return await self._written(said)
        await self._sys.print(answer)
        return answer

    async def _written(self, said: str) -> str:
        reply = await self._sys.generate(
            said, max_tokens=LONGEST_ANSWER, repeat_penalty=1.1, recall=RECALLED, keep=True, show=True
        )
        await self._sys.print("")
        pages = (await self._sys.context(out=0)).pages
        over = [page for page in pages if page.kind == PASSING]
        if _alike(reply.text, self._before):  # then what was said and answered goes, this time and the time before
            over += [page for page in pages if page.kind == "dialogue" and not page.recalled][-4:]
        for page in over:
            await self._sys.drop(page.handle)
        self._before = reply.text
        return reply.text


def _alike(one: str, other: str) -> bool:
    """Whether two answers are the same, or begin as if the model had fallen into a habit."""
    return bool(one) and (one == other or one.split()[:HABIT] == other.split()[:HABIT])
