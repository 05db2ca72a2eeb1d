"""Answers made of given texts only, as a grammar in GBNF."""

from __future__ import annotations

from collections.abc import Sequence

_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def literal(text: str) -> str:
    """A text as GBNF writes it."""
    return '"' + "".join(_ESCAPED.get(letter, letter) for letter in text) + '"'


def sentences_grammar(texts: Sequence[str], least: int, most: int) -> str:
    """From ``least`` to ``most`` of the texts, in their order, none twice, a space between them.

    Rule ``w-I-K`` writes text I or a later one with K written before; ``t-I-K`` goes on after that, or ends. So there
    are two alternatives for each pair, not one for each way to choose.
    """
    number = len(texts)
    rules = {"root": "w-0-0"}

    def write(i: int, k: int) -> str:
        ways = []
        if number - (i + 1) >= least - (k + 1):
            ways.append(" ".join([f"x-{i}", *tail(i + 1, k + 1)]))
        if i + 1 < number and number - (i + 1) >= least - k:
            ways.append(f"w-{i + 1}-{k}")
        return " | ".join(ways)

    def tail(i: int, k: int) -> list[str]:
        return [f"t-{i}-{k}"] if i < number and k < most else []

    for i, text in enumerate(texts):
        rules[f"x-{i}"] = literal(text)
        for k in range(min(i + 1, most)):
            rules[f"w-{i}-{k}"] = write(i, k)
        for k in range(1, min(i, most - 1) + 1):
            more = f'" " w-{i}-{k}'
            rules[f"t-{i}-{k}"] = more if k < least else f"({more})?"
    used = _reached(rules)
    return "\n".join(f"{name} ::= {rule}" for name, rule in rules.items() if name in used)


def _reached(rules: dict[str, str]) -> set[str]:
    """Rules that the root leads to: a grammar with others is read more slowly."""
    used, waiting = {"root"}, ["root"]
    while waiting:
        words = (
            [] if (name := waiting.pop()).startswith("x-") else rules[name].replace("(", " ").replace(")?", " ").split()
        )
        for word in words:
            if word in rules and word not in used:
                used.add(word)
                waiting.append(word)
    return used
