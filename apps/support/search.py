"""Which sentences of the articles may answer a question."""

import re
from dataclasses import dataclass

from ...syscalls.api import Sys, c
from .index import Index

ARTICLES, SENTENCES = 40, 60  # hits that are looked at
KIND = 0.2  # what a sentence gains that holds the kind of thing asked for
# Weight of similarity beside keywords. Between 0.5 and 1 it tells questions that the articles answer from others
# equally well (area under the curve 0.84); for as many refused, most of the former are kept at 0.7.
MEANING = 0.7


_MONEY = (
    r"\b(how much|prices?|costs?|fees?|charges?|postage|expensive|cheap|worth|amount)\b",
    r"[€$£] ?\d|\d ?(€|%|cents?\b|euros?\b|dollars?\b|pounds?\b)|\bcosts? nothing"
    r"|^(?!.*\b(?:not|never|no) free\b).*\bfree\b",
)
_FREE = (r"\b(free|discounts?|reduc\w+)\b", r"[€$£%]|\bfree\b|\bcosts? nothing")
_TIME = (
    r"\b(how (long|soon|fast|late|quick\w*|many (days|weeks|hours|months|years))|when|what (time|day|date)"
    r"|which day|until|by when|open|opening|late|guarantee|warranty)\b",
    r"\b\d+ (\w+ )?(minutes?|hours?|days?|weeks?|months?|years?)\b|\d:\d\d|\b(mon|tues|wednes|thurs|fri|satur|sun)day",
)
_PLACE = (r"\b(phone|telephone|call|number|how many|address|e-?mail|where)\b", r"\d|@")
_KINDS = [tuple(re.compile(p, re.IGNORECASE) for p in kind) for kind in (_MONEY, _FREE, _TIME, _PLACE)]


@dataclass(frozen=True)
class Candidate:
    """A sentence; ``fit`` is the sum of BM25 share and weighted cosine, of the article and of the sentence."""

    text: str
    title: str
    article: str
    path: str
    fit: float
    score: float  # fit, and what the kind of the question adds


async def search(sys: Sys, index: Index, question: str, k: int) -> list[Candidate]:
    """The ``k`` best sentences, best first."""
    articles = {hit.source: _fit(hit) for hit in await sys.recall(question, k=ARTICLES, collection=index.articles)}
    least = min(articles.values(), default=0.0)
    found = []
    for hit in await sys.recall(question, k=SENTENCES, collection=index.sentences):
        fit = articles.get(hit.source, least) + _fit(hit)
        score = fit + KIND * answers_kind(question, hit.text)
        found.append(Candidate(hit.text, hit.title, hit.meta["article"], hit.source, fit, score))
    return sorted(found, key=lambda one: -one.score)[:k]


def answers_kind(question: str, sentence: str) -> bool:
    """Whether a sentence holds a price, a time or a number where the question asks for one."""
    return any(asks.search(question) and holds.search(sentence) for asks, holds in _KINDS)


def _fit(hit: c.Hit) -> float:
    return float(hit.why["coverage"] or 0) + MEANING * float(hit.why["similarity"] or 0)
