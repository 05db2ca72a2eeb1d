"""How well support answers the questions of the example shop, beside what plain retrieval would say.

    python benchmarks/support_quality.py [--questions 105] [--json FILE]

`facts` is the share of answerable questions whose answer holds every expected fact; `article` the share where the
right article is named; `refused` the share handed to a human, which is right for the unanswerable ones alone.
Retrieval alone answers with the best sentence, or the best three, whatever their score.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llmos.apps.support.split import split
from llmos.apps.system.boot import Running, boot
from llmos.apps.system.home import Home
from llmos.apps.system.output import AppOutput
from llmos.memory.recall import Passage

SHOP = Path(__file__).parents[1] / "examples" / "shop"


@dataclass(frozen=True)
class Question:
    question: str
    article: str | None
    facts: list[str]
    answerable: bool


@dataclass(frozen=True)
class Answer:
    text: str
    articles: list[str]
    refused: bool = False


def report(name: str, asked: list[Question], answers: list[Answer]) -> dict[str, str | float]:
    pairs = list(zip(asked, answers, strict=True))
    known = [(q, a) for q, a in pairs if q.answerable]
    unknown = [(q, a) for q, a in pairs if not q.answerable]

    def share(of: list[tuple[Question, Answer]], holds: Callable[[Question, Answer], bool]) -> float:
        return round(sum(holds(q, a) for q, a in of) / max(len(of), 1), 3)

    return {
        "way": name,
        "facts": share(known, lambda q, a: not a.refused and all(f in a.text for f in q.facts)),
        "article": share(known, lambda q, a: q.article in a.articles),
        "words": round(sum(len(a.text.split()) for _, a in known if not a.refused) / max(len(known), 1), 1),
        "refused though answerable": share(known, lambda q, a: a.refused),
        "refused when unanswerable": share(unknown, lambda q, a: a.refused),
    }


async def by_app(running: Running, asked: list[Question]) -> list[Answer]:
    handed = {f"in/articles/{p.name}": p for p in sorted((SHOP / "articles").glob("*.md"))}
    answers = []
    for q in asked:
        args = {"kb": "in/articles", "question": q.question}
        process = running.launcher.launch("support", args, owner="bench", output=AppOutput(), handed=handed)
        await process.ended.wait()
        if process.error:
            raise process.error
        result = process.result
        answers.append(Answer(result.answer, [Path(s.path).stem for s in result.articles], result.handed_over))
    return answers


def by_retrieval(running: Running, asked: list[Question], most: int) -> list[Answer]:
    recall = running.machine.parts.recall
    passages = [
        Passage(text=p.text, key=p.key, title=p.title, source=path.stem)
        for path in sorted((SHOP / "articles").glob("*.md"))
        for p in split(path.name, path.read_text("utf-8"))[1]
    ]
    recall.remember(passages, owner="bench", app="retrieval")
    found = [recall.search(q.question, owner="bench", app="retrieval", k=most) for q in asked]
    return [Answer(" ".join(h.text for h in hits), [h.source for h in hits]) for hits in found]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=None, help="only the first so many")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    lines = (SHOP / "questions.jsonl").read_text("utf-8").splitlines()
    asked = [Question(**json.loads(line)) for line in lines][: options.questions]
    with tempfile.TemporaryDirectory() as home:
        async with boot(Home(Path(home))) as running:
            rows = [
                report("best sentence", asked, by_retrieval(running, asked, 1)),
                report("best three sentences", asked, by_retrieval(running, asked, 3)),
                report("support", asked, await by_app(running, asked)),
            ]
    for row in rows:
        print("  ".join(f"{name}: {value}" for name, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    asyncio.run(main())
