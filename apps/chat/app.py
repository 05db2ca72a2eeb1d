"""The app: one turn with a text on the command line, a dialogue without."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Any

from pydantic import BaseModel, Field

from ...syscalls.api import App, BadInput, HandedIn, Positional, Sys
from .acting import act, kind

LONGEST_ANSWER = 400  # tokens


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
        await _take_material(sys)
        answer, turns, said = "", 0, args.text.strip()
        said = said or (await sys.ask("You:")).strip()
        while said:
            answer = await _turn(sys, said)
            turns += 1
            said = "" if args.text else (await sys.ask("You:")).strip()
        return Result(answer=answer, turns=turns)

    def show(self, result: Any) -> str:
        """Nothing: the answers stand in the output already."""
        return ""


async def _take_material(sys: Sys) -> None:
    piped = (await sys.input()).strip()
    if not piped:
        return
    size = await sys.count(piped)
    room = size.window - 2 * LONGEST_ANSWER
    if size.tokens > room:
        raise BadInput(
            f"the text has {size.tokens} tokens, and {room} fit",
            hint="shorten it first, as in: cat report.txt | summarize | chat ...", tokens=size.tokens, room=room,
        )  # fmt: skip
    await sys.add(f"BEGIN\n{piped}\nEND", kind="pinned", label="untrusted")


async def _turn(sys: Sys, said: str) -> str:
    answer = await act(sys, said, await kind(sys, said))
    if answer is not None:
        await sys.print(answer)
        await sys.add(said)
        await sys.add(answer, role="assistant", label="untrusted")
        return answer
    reply = await sys.generate(said, max_tokens=LONGEST_ANSWER, repeat_penalty=1.1, keep=True, show=True)
    await sys.print("")
    return reply.text
