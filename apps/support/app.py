"""The app: find, judge, answer in the articles' own words, or hand over."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from ...syscalls.api import App, BadInput, HandedIn, Positional, Sys
from .answer import compose, judge
from .handover import needs_human
from .index import index
from .search import Candidate, search

CANDIDATES = 4
# Least fit of the best candidate. On the shop of examples/, 0.95 refuses 19 of 22 questions that no article answers
# and 19 of 83 that one does; 0.9 refuses 17 and 16, 1.0 refuses 19 and 27.
ENOUGH = 0.95
SORRY = "I do not know: our articles do not answer this. I pass your question on to a colleague."
GLADLY = "I pass you on to a colleague, who will take care of this."


class Source(BaseModel):
    """An article that the answer rests on."""

    title: str
    path: str


class Result(BaseModel):
    """What `support` returns. ``answer`` is made of ``quotes`` alone, unless it was handed over."""

    answer: str
    articles: list[Source] = []
    quotes: list[str] = []
    score: float = Field(0.0, description="fit of the best sentence, 0 to 3.4")
    handed_over: bool = False
    reason: str = Field("", description="why a human has to answer")


class Support(App):
    """Answer a question from a folder of articles; what they do not say goes to a human."""

    summary = "Answer a question from a folder of articles, or hand it to a human"

    class Args(BaseModel):
        """The articles and the question."""

        question: Annotated[str, Positional] = Field(description="what the customer asks")
        kb: HandedIn = Field(description="folder of articles, Markdown or text")

    async def main(self, sys: Sys, args: Args) -> Result:
        """The answer appears as it comes. Raises `BadInput` without a question or articles."""
        question = " ".join(args.question.split())
        if not question:
            raise BadInput("there is no question", hint="write it in quotes after the options")
        if why := needs_human(question):
            return await _hand_over(sys, GLADLY, f"the customer {why}")
        found = await search(sys, await index(sys, args.kb), question, CANDIDATES)
        fit = max((one.fit for one in found), default=0.0)
        if fit < ENOUGH:
            return await _hand_over(sys, SORRY, "no article answers the question", fit)
        best = await judge(sys, question, found)
        answer = await compose(sys, question, best)
        await sys.print("")
        used = [one for one in best if one.text in answer]
        return Result(answer=answer, articles=_sources(used), quotes=[one.text for one in used], score=round(fit, 3))

    def show(self, result: Any) -> str:
        """What the answer rests on; the answer itself stands in the output already."""
        if result.handed_over:
            return f"Handed over to a human: {result.reason}."
        return "\n".join(f"From: {source.title} ({source.path})" for source in result.articles)


async def _hand_over(sys: Sys, words: str, reason: str, fit: float = 0.0) -> Result:
    await sys.print(words)
    return Result(answer=words, score=round(fit, 3), handed_over=True, reason=reason)


def _sources(used: list[Candidate]) -> list[Source]:
    return [Source(title=title, path=path) for path, title in {one.path: one.article for one in used}.items()]
