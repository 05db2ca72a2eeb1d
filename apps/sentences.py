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
have he hello help her hi him his how i if in into is it its just like long many may me might much must my
need no not now of often on or our out over please really she should so some still tell than thank thanks that
the their them then there these they this those to too up us want was we were what when where which who whom
whose why will with would you your
"""
_STOP = frozenset(_STOP_WORDS.split())
_LEANING_WORDS = """
he she it they this that these those his her their its but and so or also then there therefore however here thus hence
otherwise instead moreover such third second nevertheless yet both neither
"""
_LEANING = frozenset(_LEANING_WORDS.split())
_POINTS_BACK = re.compile(
    r"^(?:after|at|before|besides|by|despite|during|for|from|in|of|on|since|to|until|with)"
    r" (?:this|that|these|those|it)\b"
    r"|\b(?:therefore|nevertheless|nonetheless|however|likewise|for example|as well|the latter|the former|in return)\b"
    r"|\((?:[a-z]|[ivx]+|\d)\)",
    re.IGNORECASE,
)
_QUOTES = tuple('"“„«「『')
_PERSON = re.compile(r"\b(?:he|she|him|his|her|they|them|their)\b")
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


def leans(sentence: str) -> bool:
    """Whether a sentence speaks of something that stands before it, so that it says little alone.

    By its first word ("This ..."), by a word that points back ("..., therefore, ..."), by a person without a name, or
    because it is what somebody says.
    """
    if _LEANING.intersection(words(sentence)[:1]) or _POINTS_BACK.search(sentence) or sentence[:1] in _QUOTES:
        return True
    before = sentence[: person.start()].split() if (person := _PERSON.search(sentence)) else []
    return 0 < len(before) < 6 and not any(word.strip("\"'“‘(")[:1].isupper() for word in before[1:])


def finished(sentence: str) -> bool:
    """Whether it ends as a statement does, and is neither a headline, a lead-in nor a question."""
    return sentence.rstrip("\"'”’)]」』").endswith((".", "!", "…", "。", "！"))


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
