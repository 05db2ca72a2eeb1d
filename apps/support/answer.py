"""The model's part: judge which sentences answer, and compose the answer out of nothing but them."""

from importlib.resources import files

from ...syscalls.api import Sentences, Sys, c
from .search import Candidate

LIKELIHOOD = 0.2  # weight of a question's mean log-likelihood per token beside a candidate's score
REACH = 0.1  # farther behind none is judged: of 77 questions, none had one put first from beyond that
MOST = 3  # sentences of an answer


async def judge(sys: Sys, question: str, candidates: list[Candidate]) -> list[Candidate]:
    """The candidates, best first, the close ones by their score and by how likely each makes the question.

    Query likelihood (Ponte and Croft 1998; with a language model: Sachan et al. 2022, "Improving Passage Retrieval
    with Zero-Shot Question Generation"). What a model so small writes freely, or picks out of a list, is far worse:
    see benchmarks/support_quality.py.
    """
    best = max((one.score for one in candidates), default=0.0)
    close = [one for one in candidates if best - one.score <= REACH]
    if len(close) == 1:
        return candidates
    judged, frame = [], _frame("judge")
    for candidate in close:
        chosen = await sys.choose([question], f"{candidate.title}: {candidate.text}", messages=frame)
        judged.append((candidate.score + LIKELIHOOD * chosen.scores[0], candidate))
    ranked = [candidate for _, candidate in sorted(judged, key=lambda pair: -pair[0])]
    return ranked + [one for one in candidates if one not in close]


async def compose(sys: Sys, question: str, best: list[Candidate]) -> str:
    """The best sentence and whichever of the next the model goes on to; shown as it comes."""
    texts = list(dict.fromkeys(one.text for one in best))[:MOST]
    notes = "\n".join(texts)
    reply = await sys.generate(
        f"Notes:\n{notes}\nCustomer: {question}",
        messages=_frame("answer"),
        begin="Answer: ", spans=Sentences(texts=_ways(texts)), max_tokens=400, show=True,
    )  # fmt: skip
    return reply.text


def _frame(name: str) -> list[c.Message]:
    """The system message: longer than one or two blocks of 128 tokens, so that all processes share its prefill."""
    text = files(__package__).joinpath(f"prompts/{name}.txt").read_text("utf-8").strip()
    return [c.Message(role="system", text=text)]


def _ways(texts: list[str]) -> list[str]:
    """All answers that begin with the best sentence and keep the order."""
    if len(texts) == 1:
        return texts
    first, *rest = texts
    ends = [rest] + [[one] for one in rest if [one] != rest]
    return [" ".join([first, *end]) for end in ends]
