"""Plain text into sentences and comparable words: shared by the apps, knows nothing of the system."""

import re

_END = re.compile(
    r"(?:[.!?…]+[\"'”’)\]]*(?=\s+[\"'“‘(\[]*[^\Wa-z_])|[.!?…]+[\"'”’)\]]*(?=\s+[€$£])|[。！？]+[”’」』]*)\s*"
)
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:[A-Za-z]|[Mm]rs?|[Mm]s|[Dd]r|[Pp]rof|[Ss]t|[Nn]os?|[Ff]ig|vs|etc|approx"
                           r"|[Ee]\.g|[Ii]\.e|[ap]\.m|U\.[SK]|[Ii]ncl|Inc|Ltd|Co)\.$")  # fmt: skip
_WORD = re.compile(r"[^\W_]+(?:[.,:'’-][^\W_]+)*")
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_STOP_WORDS = """
a about after all also am an and any are as at be been but by can could did do does for from get got had has
have he hello help her hi him his how i if in into is it its just like may me might must my need no not of
on or our out over please she should so some tell than thank thanks that the their them then there these
they this those to too up us want was we were what when where which who whom whose why will with would you
your
"""
_STOP = frozenset(_STOP_WORDS.split())
_ENDINGS = ("ations", "ation", "ments", "ment", "ings", "ing", "ies", "ed", "es", "s", "y", "e")


def sentences(text: str) -> list[str]:
    """Sentences of running text, in order, white space folded; an abbreviation or an initial ends none."""
    text = " ".join(text.split())
    found, start = [], 0
    for end in _END.finditer(text):
        sentence = text[start : end.end()].strip()
        if not _ABBREVIATION.search(sentence):
            found.append(sentence)
            start = end.end()
    return [s for s in [*found, text[start:].strip()] if s]


def words(text: str) -> list[str]:
    """All words and numbers, in lower case, as they stand."""
    return [w.lower() for w in _WORD.findall(text)]


def length(text: str) -> int:
    """How many words a text has; two characters of a script without spaces count as one."""
    return len(text.split()) + len(_UNSPACED.findall(text)) // 2


def stems(text: str) -> list[str]:
    """Words that carry meaning, cut to a rough stem, so that "returned" meets "returns"."""
    return [_stem(w) for w in words(text) if w not in _STOP]


def _stem(word: str) -> str:
    """Cut the commonest English endings; cruder than Porter's rules, and enough to compare two short texts."""
    word = word.replace("’", "'").removesuffix("'s")
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: len(word) - len(ending)]
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiousz" else word
