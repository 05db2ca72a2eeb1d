"""A long conversation with facts strewn in: drawn from a seed, many facts alike, asked for later in other words."""

import random
import tomllib
from dataclasses import dataclass
from pathlib import Path

WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))

DAY = "the {1-28}th of {months}"
KINDS = [  # what it is about ({a}, {b} in other words), how it is said, how it is asked, the answer ({v})
    ("people", "{a} was born on {v}.", "On what date do we celebrate the birthday of {b}?", DAY),
    ("people", "{a} cannot have {v}, that makes the whole face swell.", "What must I not cook for {b}?", "{foods}"),
    ("people", "{a} works as a {v} now.", "What is the profession of {b}?", "{jobs}"),
    ("people", "{a} has bought a {v}.", "Which car does {b} drive?", "{colours} {cars}"),
    ("people", "What {a} likes best is {v}.", "Which favourite meal could I make for {b}?", "{dishes}"),
    ("people", "{a} goes {v} on Thursdays.", "Which sport does {b} do?", "{sports}"),
    ("people", "{a} is learning {v} in an evening class.", "Which language is {b} studying?", "{tongues}"),
    ("people", "I will give {a} {v} for Christmas.", "What gift did I think of for {b}?", "{presents}"),
    ("people", "{a} has moved to {v}.", "In which town does {b} live today?", "{cities}"),
    ("people", "{a} has a {animals} called {v}.", "What is the pet of {b} called?", "{pets}"),
    ("things", "I have put the {a} into {v}.", "Where can I find the {b} again?", "{places}"),
    ("doors", "The code for the {a} is {v}.", "Which number opens the {b}?", "{1000-9999}"),
    ("devices", "Having the {a} repaired cost {v} euros.", "How much was the bill for fixing the {b}?", "{40-400}"),
    ("books", "{v} has lent me {a}.", "To whom do I have to return {b}?", "{people}"),
    ("doctors", "My appointment with the {a} is on {v}.", "When do I have to go for the {b}?", DAY + " at {8-17}"),
    ("cities", "In {a} we stayed at the {v}.", "What was the name of our hotel in {b}?", "{hotels}"),
    (
        "cities",
        "The night train to {a} leaves at {v}.",
        "At what time does our train to {b} depart?",
        "{18-23}:{10-59}",
    ),
]


@dataclass(frozen=True)
class Fact:
    """Something that was said in one turn, and the question for it."""

    said: str
    question: str
    answer: str


class Drawn(dict[str, str]):
    """For `str.format_map`: ``{cities}`` draws a city, ``{1-28}`` a number."""

    def __init__(self, draw: random.Random, **known: str) -> None:
        super().__init__(known)
        self._draw = draw

    def __missing__(self, name: str) -> str:
        if name[0].isdigit():
            return str(self._draw.randint(*map(int, name.split("-"))))
        return _names(self._draw.choice(WORDS[name]))[0]


def facts(count: int, seed: int = 1) -> list[Fact]:
    """That many facts, no two about the same thing of the same person, place or thing."""
    draw = random.Random(seed)
    about = [(kind, thing) for kind in KINDS for thing in WORDS[kind[0]]]
    draw.shuffle(about)
    return [_fact(draw, *kind[1:], *_names(thing)) for kind, thing in about[:count]]


def _fact(draw: random.Random, said: str, asked: str, answer: str, name: str, other: str) -> Fact:
    fill = Drawn(draw, a=name, b=other, v=answer.format_map(Drawn(draw)))
    return Fact(said.format_map(fill), asked.format_map(fill), fill["v"])


def _names(thing: str | list[str]) -> tuple[str, str]:
    return (thing, thing) if isinstance(thing, str) else (thing[0], thing[1])


def conversation(turns: int, told: list[Fact], seed: int = 1) -> list[tuple[str, str]]:
    """(user, assistant) of each turn; each fact is told once, in a turn of its own, the order drawn."""
    draw = random.Random(seed)
    at = dict(zip(sorted(draw.sample(range(turns), len(told))), told, strict=True))
    return [(_said(draw, at.get(turn)), _answer(draw)) for turn in range(turns)]


def _said(draw: random.Random, fact: Fact | None) -> str:
    if fact is not None:
        return draw.choice(WORDS["before"]).format(f=fact.said, s=_small(draw), s2=_small(draw))
    return " ".join(_small(draw) for _ in range(draw.choice([1, 1, 2, 2, 3, 5])))


def _small(draw: random.Random) -> str:
    if draw.random() < 0.2:
        return draw.choice(WORDS["aside"])
    said = "{who} {did} {when}.".format_map(Drawn(draw))
    return said.format_map(Drawn(draw)).format_map(Drawn(draw))  # a name within a topic within what was done


def _answer(draw: random.Random) -> str:
    return " ".join(draw.sample(WORDS["answers"], draw.choice([1, 1, 2, 3])))
