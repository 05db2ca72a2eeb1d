"""What a request asks to be done, beyond an answer, and doing it: a system call for each kind of wish.

The kind comes from the most similar of some examples, and what the call needs is read off the request. The model
itself would choose with `Sys.run`; the embedded one, as it comes, is not up to that.
"""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files

from ...syscalls.api import Passage, Sys

TALK = "talk"
SURE = 0.5  # least likeness to an example of acting
KNOWN = 0.35  # least likeness of what is recalled
LONGEST = 6_000  # characters of a file that are looked at
_QUESTION = re.compile(r"\?\s*$|^\s*(what|which|who|where|when|how|do|did|can)\b", re.IGNORECASE)


async def kind(sys: Sys, request: str) -> str:
    """One of `ACTS`, or `TALK`; in doubt the latter, since talking changes nothing."""
    lines = files(__package__).joinpath("prompts/examples.txt").read_text("utf-8").splitlines()
    examples = [line.split(" ", 1) for line in lines if line]
    vectors = (await sys.embed([request, *(words for _, words in examples)])).vectors
    likeness = [_dot(vectors[0], vector) for vector in vectors[1:]]
    best = max(range(len(examples)), key=likeness.__getitem__)
    found = examples[best][0] if likeness[best] >= SURE else TALK
    if found in ("remember", "recall"):  # the same words for both: what tells them apart is the form
        return "recall" if _QUESTION.search(request) else "remember"
    return found


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def act(sys: Sys, request: str, wish: str) -> str | None:
    """Do it; the answer, or None where the model is to answer (with what is now in its context)."""
    return await ACTS[wish](sys, request) if wish in ACTS else None


async def _files(sys: Sys, request: str) -> str:
    names = [entry.path.removeprefix("in/") for entry in await sys.files()]
    return f"I can see {len(names)}: {', '.join(names)}." if names else "I can see no files; hand me some with --files."


async def _read(sys: Sys, request: str) -> str | None:
    for entry in await sys.files():
        if entry.path.rsplit("/", 1)[-1].lower() in request.lower():
            text = (await sys.read(entry.path))[:LONGEST]
            await sys.add(f"BEGIN {entry.path}\n{text}\nEND", label="untrusted")
            return None
    return f"I do not see that file. {await _files(sys, request)}"


async def _search(sys: Sys, request: str) -> str:
    quoted = re.search(r"[\"'“‘]([^\"'”’]+)[\"'”’]", request)
    named = re.search(r"\b(?:for|words?|with|about)\s+(?:the\s+(?:words?\s+)?)?([\w-]+)", request)
    word = quoted[1] if quoted else named[1] if named else request.rsplit(maxsplit=1)[-1].strip("?.!")
    found = await sys.search(word, limit=10)
    lines = [f"{line.path.removeprefix('in/')}, line {line.line}: {line.text.strip()}" for line in found]
    return "\n".join(lines) if lines else f"No file that I can see holds {word!r}."


async def _remember(sys: Sys, request: str) -> str:
    said = re.sub(r"^.*?\b(remember|keep in mind|note)\b(\s+that\b)?\s*", "", request, flags=re.IGNORECASE).strip()
    await sys.remember([Passage(text=said or request, label="trusted")], collection="told")
    return f"I will remember: {said or request}"


async def _recall(sys: Sys, request: str) -> str | None:
    hits = await sys.recall(request, k=3, collection="told")
    told = [hit.text for hit in hits if (hit.why["similarity"] or 0) >= KNOWN or hit.why["keyword"]]
    return f"You told me: {'; '.join(told)}" if told else None


async def _time(sys: Sys, request: str) -> str:
    return time.strftime("It is %H:%M on %A, %d %B %Y.", time.localtime(await sys.now()))


ACTS: dict[str, Callable[[Sys, str], Awaitable[str | None]]] = {
    "files": _files, "read": _read, "search": _search, "remember": _remember, "recall": _recall, "time": _time,
}  # fmt: skip
