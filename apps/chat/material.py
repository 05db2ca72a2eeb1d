"""Working on a text that is piped in. It stands in the context as a message of its own, before what is asked.

So it needs no marks around it, that the model could say back: where a message ends no content can tell.
"""

import re

from ...syscalls.api import BadInput, Sentences, Sys, c
from ..sentences import sentences, stems

ROOM = 800  # tokens that stay for what is asked and for the answer
DRAFT = 400  # tokens of a mail
COVERED = 0.8  # least share of the text's words that a mail has to say
OWN = 0.6  # least share of a mail's words that the text has
MOST = 256  # sentences of a text that can be an answer
NEAREST = 4  # of these, that the model takes its choice of
_END = ".!?…\"'”’)"
_MAIL = re.compile(r"\b(e-?mail|mail|letter)\b", re.I)
_REQUEST = re.compile(r"^\W*(can|could|will|would) you\b", re.I)
_QUESTION = re.compile(r"\?\W*$|^\W*(who|when|where|which|how (many|much))\b", re.I)
_SHORTER = re.compile(r"\b(summar\w+|shorten\w*|in short|in (a|one|two) (words?|sentences?)|main points?)\b", re.I)
_FIGURE = re.compile(r"\d+")
_OPENINGS = ("I hope you are well.", "I hope you are having a good week.", "I hope this finds you well.")
_ENDINGS = ("Thank you, and have a lovely day!", "Please write to me if you have any questions.", "I am here to help.")


async def take(sys: Sys) -> str:
    """What is piped in, now in the context for good; empty where nothing is. Raises `BadInput` for too much."""
    piped = (await sys.input()).strip()
    if not piped:
        return ""
    size = await sys.count(piped)
    room = size.window - ROOM
    if size.tokens > room:
        raise BadInput(
            f"the text has {size.tokens} tokens, and {room} fit",
            hint="shorten it first, as in: cat report.txt | summarize | chat ...", tokens=size.tokens, room=room,
        )  # fmt: skip
    await sys.add(piped, kind="pinned", label="untrusted")
    return piped


async def work(sys: Sys, said: str, text: str, *, shown: bool = True) -> str | None:
    """The answer where it has to keep to the text; None where the model may write what it likes.

    ``shown``: the text stands in the context.
    """
    before = [] if shown else [c.Message(role="user", text=text)]
    if _MAIL.search(said):
        return await _mail(sys, said, text, before)
    if _QUESTION.search(said) and not _REQUEST.match(said):
        return await _own(sys, said, text, before, whole=False)
    return await _own(sys, said, text, before, whole=True) if _SHORTER.search(said) else None


async def _mail(sys: Sys, said: str, text: str, before: list[c.Message]) -> str:
    """The model's own, if it says what the text says; else the text's sentences, with an opening and an end."""
    await sys.progress(0, 1, "a draft")
    draft = await sys.generate(said, messages=before, max_tokens=DRAFT, repeat_penalty=1.1)
    if draft.finish != "length" and faithful(draft.text, text):
        return draft.text.strip()
    opening = await sys.choose(_OPENINGS, said, messages=before, begin="Hello,\n\n")
    end = await sys.choose(_ENDINGS, said, messages=before, begin=f"Hello,\n\n{opening.option}\n\n{text}\n\n")
    return f"Hello,\n\n{opening.option}\n\n{text}\n\n{end.option}\n\nBest wishes"


async def _own(sys: Sys, said: str, text: str, before: list[c.Message], *, whole: bool) -> str | None:
    """Sentences of the text: in words of its own the model gets figures wrong, and it makes up what is not there.

    It takes its choice of those that are most like what is asked, or, for the ``whole``, most like the text.
    """
    found = [s for part in re.split(r"\n\s*\n", text) for s in sentences(part) if s[-1] in _END][:MOST]
    if len(found) < 2:
        return None
    asked, *vectors = (await sys.embed([text if whole else said, *found])).vectors
    likeness = [sum(a * b for a, b in zip(asked, vector, strict=True)) for vector in vectors]
    best = sorted(range(len(found)), key=lambda at: -likeness[at])[:NEAREST]
    spans = Sentences(texts=[found[at] for at in sorted(best)], least=1, most=2 if whole else 1)
    return (await sys.generate(said, messages=before, max_tokens=DRAFT, spans=spans)).text


def faithful(draft: str, text: str) -> bool:
    """Whether a draft says what the text says, as far as words tell: its figures, no other, and most of its words."""
    said, told = set(stems(draft)), set(stems(text))
    if not said or not told or set(_FIGURE.findall(draft)) != set(_FIGURE.findall(text)):
        return False
    both = len(said & told)
    return both >= COVERED * len(told) and both >= OWN * len(said)
