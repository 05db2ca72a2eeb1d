"""What a request asks to be done, beyond an answer, and doing it: a system call for each kind of wish.

The kind comes from the most similar of some examples, and what the call needs is read off the request. The model
itself would choose with `Sys.run`; the embedded one, as it comes, is not up to that.
"""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import Literal

from ...syscalls.api import BadInput, Passage, Sys, c
from ..sentences import stems
from .material import work

TALK = "talk"
PASSING: Literal["tool"] = "tool"  # kind of the pages that stay for one answer
SURE = 0.5  # least likeness to an example of acting
KNOWN = 0.35  # least likeness of what is recalled
LONGEST = 6_000  # characters of a file that are looked at
SHOWN = 800  # characters of a file that is read out
_REMEMBER = re.compile(
    r"^\W*(?:(?:please|and|also|(?:can|could|will|would) you)\W+)*"
    r"(?:remember|keep in mind|bear in mind|note(?= that|\s*:)|don[’']t forget)(?:\s+that\b)?[\s:,]+(?P<what>.*\w.*)",
    re.IGNORECASE | re.DOTALL,
)
_SEARCH = re.compile(r"^\W*(please\W+)?(search|find|look for)\b.*\b(files?|folders?|documents?)\b", re.IGNORECASE)
_READ = re.compile(r"^\W*(please\W+)?((can|could) you\W+)?(read|open|show|look|display|print)\b", re.IGNORECASE)
_ON_ME = re.compile(r"^\W*(what|which|who|whose|where|when|how|do|did|am|is)\b.*\b(I|my|mine|me)\b", re.IGNORECASE)

_FILES = re.compile(r"\b(files?|folders?|director(y|ies)|documents?|\w+\.\w{1,5})\b", re.IGNORECASE)
_NEEDS = {  # a wish is only what it looks like if a word says so
    "files": _FILES,
    "read": _FILES,
    "search": _FILES,
    "time": re.compile(r"\b(time|date|day|today|clock|hour)\b", re.IGNORECASE),
}


async def kind(sys: Sys, request: str) -> str:
    """One of `ACTS`, or `TALK`; in doubt the latter, since talking changes nothing."""
    if _REMEMBER.match(request) and not request.rstrip().endswith("?"):
        return "remember"
    if _SEARCH.match(request):
        return "search"
    lines = files(__package__).joinpath("prompts/examples.txt").read_text("utf-8").splitlines()
    examples = [line.split(" ", 1) for line in lines if line]
    vectors = (await sys.embed([request, *(words for _, words in examples)])).vectors
    likeness = [_dot(vectors[0], vector) for vector in vectors[1:]]
    best = max(range(len(examples)), key=likeness.__getitem__)
    found = examples[best][0] if likeness[best] >= SURE else TALK
    if found in _NEEDS and not _NEEDS[found].search(request):
        found = TALK
    if found in (TALK, "read") and _named(request, await sys.files()):
        return "read" if _READ.match(request) else "work"
    return "recall" if found == TALK and _ON_ME.match(request) else found


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def act(sys: Sys, request: str, wish: str) -> str | None:
    """Do it; the answer, or None where the model is to answer (with what is now in its context)."""
    return await ACTS[wish](sys, request) if wish in ACTS else None


async def _files(sys: Sys, request: str) -> str:
    names = [entry.path.removeprefix("in/") for entry in await sys.files()]
    return f"I can see {len(names)}: {', '.join(names)}." if names else "I can see no files; hand me some with --files."


def _named(request: str, entries: Sequence[c.FileEntry]) -> list[str]:
    """Paths of the files whose names stand in a request."""

    def stands(name: str) -> bool:
        if name.isalpha() and name.islower():  # a plain word, and meant as one
            return False
        return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", request, re.IGNORECASE) is not None

    return [entry.path for entry in entries if stands(entry.path.rsplit("/", 1)[-1])]


async def _read(sys: Sys, request: str) -> str:
    """The beginning as it stands: what the model says of a file need not stand in it."""
    texts = await _texts(sys, request)
    if isinstance(texts, str):
        return texts
    return "\n\n".join(f"{name} says:\n\n{_beginning(text)}" for name, text in texts.items())


def _beginning(text: str) -> str:
    text = text.strip()
    if len(text) <= SHOWN:
        return text
    cut = text[:SHOWN].rsplit(maxsplit=1)[0]
    return f"{cut} …\n\n({len(cut)} of {len(text)} characters)"


async def _work(sys: Sys, request: str) -> str | None:
    """Something is to be done with files that are named."""
    texts = await _texts(sys, request)
    if isinstance(texts, str):
        return texts
    whole = "\n\n".join(text[: LONGEST // len(texts)] for text in texts.values())
    answer = await work(sys, request, whole, shown=False)
    if answer is None:
        await sys.add(whole, kind=PASSING, label="untrusted")
    return answer


async def _texts(sys: Sys, request: str) -> dict[str, str] | str:
    """The texts of the files that a request names, by name; or why there are none."""
    named = _named(request, await sys.files())
    if not named:
        return f"I do not see that file. {await _files(sys, request)}"
    try:
        return {path.removeprefix("in/"): await sys.read(path) for path in named}
    except BadInput as wrong:
        return f"I cannot read it: {wrong.message.replace('in/', '')}."


async def _search(sys: Sys, request: str) -> str:
    quoted = re.search(r"[\"'“‘]([^\"'”’]+)[\"'”’]", request)
    named = re.search(r"\b(?:for|words?|with|about)\s+(?:the\s+(?:words?\s+)?)?([\w-]+)", request)
    word = quoted[1] if quoted else named[1] if named else request.rsplit(maxsplit=1)[-1].strip("?.!")
    found = await sys.search(word, limit=10)
    lines = [f"{line.path.removeprefix('in/')}, line {line.line}: {line.text.strip()}" for line in found]
    return "\n".join(lines) if lines else f"No file that I can see holds {word!r}."


async def _remember(sys: Sys, request: str) -> str:
    found = _REMEMBER.match(request)
    said = found["what"].strip() if found else request
    await sys.remember([Passage(text=said, label="trusted")], collection="told")
    return f"I will remember: {said}"


async def _recall(sys: Sys, request: str) -> str | None:
    hits = await sys.recall(request, k=3, collection="told")
    asked = set(stems(request))
    told = [hit.text for hit in hits if (hit.why["similarity"] or 0) >= KNOWN or asked & set(stems(hit.text))]
    return f"You told me: {'; '.join(told)}" if told else None


async def _time(sys: Sys, request: str) -> str:
    return time.strftime("It is %H:%M on %A, %d %B %Y.", time.localtime(await sys.now()))


ACTS: dict[str, Callable[[Sys, str], Awaitable[str | None]]] = {
    "files": _files, "read": _read, "work": _work, "search": _search, "remember": _remember, "recall": _recall,
    "time": _time,
}  # fmt: skip
