"""Exact token counts outside the engine: tiktoken, built from the byte-pair vocabulary of a GGUF.

The vocabulary stands in merge order, so the ids are the ranks that tiktoken needs. Which texts are split from one
another before merging depends on the model's pre-tokenizer; only those whose pattern was proved equal to
llama.cpp's, on every character there is, are known here. For all others `BytePairTokens` refuses, and the
engine's own tokenizer is used.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

from .faults import Damaged
from .texts import sound

NORMAL, CONTROL, USER = 1, 3, 4
"""Kinds of token in a GGUF (``tokenizer.ggml.token_type``)."""

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|"
_LLAMA3 = r"'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\r\n\p{L}\p{N}]?\p{L}+|"
PATTERNS = {
    "gpt-2": _GPT2 + r" ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "smollm": _GPT2 + r"\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+",
    "llama-bpe": _LLAMA3 + r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": _LLAMA3 + r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
"""Pre-tokenizer (``tokenizer.ggml.pre``) -> pattern of the pieces within which pairs are merged."""

UNICODE = "15.1"
"""The version of llama.cpp's tables: a letter or digit that came later is a mere sign there."""

LONGEST_RUN = 500_000
"""White space in a row, in characters; matching a pattern gives up at a million, so longer runs are cut."""


LONGEST_CONTROL = 256
"""Characters in the name of a token that stands for itself; real ones have some thirty."""

MOST_CONTROL = 2**18
"""Characters in all those names together; real vocabularies have some ten thousand."""


class BytePairTokens:
    """Encodes as llama.cpp does, token for token; any thread. Raises `Damaged` where that cannot be promised.

    ``tokens`` and ``kinds`` are the vocabulary by id. With ``merges`` it is proved that merging by rank is merging
    by that list (0.3 s for 49,000 tokens).
    """

    def __init__(
        self, tokens: Sequence[str], kinds: Sequence[int], pre: str, merges: Sequence[str] | None = None
    ) -> None:
        if pre not in PATTERNS:
            raise _unfit(f"pre-tokenizer {pre!r} is not among those proved")
        import tiktoken

        self._size = len(tokens)
        normal = {text: number for number, (text, kind) in enumerate(zip(tokens, kinds, strict=True)) if kind == NORMAL}
        special = {text: number for number, text in enumerate(tokens) if kinds[number] in (CONTROL, USER)}
        self._always = {text for text, number in special.items() if kinds[number] == USER}
        _check_apart(special)
        if merges is not None:
            _check_merges(normal, merges)
        ranks = {_bytes(text): number for text, number in normal.items()}
        for byte in range(256):
            # llama.cpp leaves out a byte without a token; tiktoken would panic. So it gets one, which is dropped.
            ranks.setdefault(bytes([byte]), self._size + byte)
        self._encoding = tiktoken.Encoding(
            f"gguf-{pre}", pat_str=_dated(PATTERNS[pre]), mergeable_ranks=ranks, special_tokens=special
        )

    def encode(self, text: str, *, markup: bool = False) -> list[int]:
        """Tokens of a text; without ``markup`` the names of control tokens are plain text. Lone surrogates read "?"."""
        found: list[int] = []
        for piece in _pieces(sound(text)):
            if markup:
                found += self._encoding.encode(piece, allowed_special="all")
            elif self._always:
                found += self._encoding.encode(piece, allowed_special=self._always, disallowed_special=())
            else:
                found += self._encoding.encode_ordinary(piece)
        return [number for number in found if number < self._size]

    def count(self, text: str) -> int:
        """Number of tokens of a text."""
        return len(self.encode(text))


def _unfit(reason: str) -> Damaged:
    return Damaged(reason, hint="use the engine's own tokenizer")


def _dated(pattern: str) -> str:
    r"""The pattern with ``\p{L}`` and ``\p{N}`` as they were in `UNICODE`; tiktoken's own tables may be newer."""
    for kind in (r"\p{L}", r"\p{N}"):
        pattern = pattern.replace(kind, rf"[{kind}&&\p{{Age={UNICODE}}}]")
    return pattern


def _pieces(text: str) -> list[str]:
    """The text, cut within runs of white space beyond `LONGEST_RUN`."""
    if len(text) <= LONGEST_RUN:
        return [text]
    runs = re.finditer(r"\s+", text)
    cuts = [at for run in runs for at in range(run.start() + LONGEST_RUN, run.end(), LONGEST_RUN)]
    return [text[begin:end] for begin, end in pairwise([0, *cuts, len(text)])]


def _letters() -> dict[str, int]:
    """GPT-2's table of printable letters that stand for bytes, the other way round (openai/gpt-2, encoder.py)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(others)}


_LETTERS = _letters()


def _bytes(text: str) -> bytes:
    try:
        return bytes([_LETTERS[letter] for letter in text])
    except KeyError:
        raise _unfit(f"the token {text!r} is not written in GPT-2's letters") from None


def _check_apart(special: Collection[str]) -> None:
    """No name of a control token may touch another within a text: which one is found would depend on the finder."""
    for text in special:
        if len(text) > LONGEST_CONTROL:
            raise _unfit(f"the name of control token {text[:40]!r}… has {len(text)} characters")
    if (together := sum(map(len, special))) > MOST_CONTROL:
        raise _unfit(f"the names of control tokens have {together} characters together")
    starts = {text[:i] for text in special for i in range(1, len(text))}
    for text in special:
        if _touches(text, special, starts):
            raise _unfit(f"the name of control token {text!r} overlaps another's")


def _touches(text: str, special: Collection[str], starts: Collection[str]) -> bool:
    """Whether another name stands within ``text``, or begins there and goes on beyond its end."""
    for begin in range(len(text)):
        for end in range(begin + 1, len(text) + 1):
            part = text[begin:end]
            if part in special and part != text:
                return True
            if part not in starts:
                break
        else:
            if begin:
                return True
    return False


def _check_merges(ranks: Mapping[str, int], merges: Sequence[str]) -> None:
    """Each token must come of its own letters, by lower ranks alone, through a merge on the list.

    Then, by induction over the ranks, two neighbours whose join is a token are always a pair on the list, and
    tiktoken, which knows no list, joins exactly what llama.cpp joins, in the same order.
    """
    pairs = {tuple(merge.split(" ", 1)): None for merge in merges}  # in their order
    order = [ranks.get("".join(pair), -1) for pair in pairs]
    if -1 in order or order != sorted(order):
        raise _unfit("the vocabulary is not in merge order")
    for text, rank in ranks.items():
        if len(text) > 1 and tuple(_split(text, rank, ranks)) not in pairs:
            raise _unfit(f"the vocabulary is not in merge order at {text!r}")


def _split(text: str, below: int, ranks: Mapping[str, int]) -> list[str]:
    """What is left of a text when all pairs with a rank below the given one are merged, or two parts."""
    parts = list(text)
    while len(parts) > 2:
        best, at = below, -1
        for i in range(len(parts) - 1):
            rank = ranks.get(parts[i] + parts[i + 1], below)
            if rank < best:
                best, at = rank, i
        if at < 0:
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts
