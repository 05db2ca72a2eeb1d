"""The examples are what newcomers see first: sizes, formats, and that questions, articles and ratings agree."""

import csv
import json
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
ARTICLES = {path.stem: path.read_text("utf-8") for path in (EXAMPLES / "shop/articles").glob("*.md")}
QUESTION_LINES = (EXAMPLES / "shop/questions.jsonl").read_text("utf-8").splitlines()
QUESTIONS: list[dict[str, Any]] = [json.loads(line) for line in QUESTION_LINES]
ANSWERABLE = [question for question in QUESTIONS if question["answerable"]]
UNANSWERABLE = [question for question in QUESTIONS if not question["answerable"]]


def rows(name: str) -> list[dict[str, str]]:
    with (EXAMPLES / "catalog" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def words(path: Path) -> int:
    return len(path.read_text("utf-8").split())


def test_there_are_enough_articles_and_questions() -> None:
    assert len(ARTICLES) >= 44
    assert len(QUESTIONS) >= 64
    assert len(UNANSWERABLE) >= 14
    assert len({question["question"] for question in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize("stem", sorted(ARTICLES))
def test_an_article_has_one_title_and_a_fair_length(stem: str) -> None:
    lines = ARTICLES[stem].splitlines()
    assert lines[0].startswith("# ")
    assert sum(line.startswith("# ") for line in lines) == 1
    assert 120 <= len(ARTICLES[stem].split()) <= 350


@pytest.mark.parametrize("question", ANSWERABLE, ids=lambda question: question["question"])
def test_the_facts_of_a_question_are_in_its_article(question: dict[str, Any]) -> None:
    assert question["facts"]
    missing = [fact for fact in question["facts"] if fact.lower() not in ARTICLES[question["article"]].lower()]
    assert not missing


def test_a_question_without_answer_names_no_article() -> None:
    assert all(question["article"] is None and question["facts"] == [] for question in UNANSWERABLE)
    assert all(question.keys() == {"question", "article", "facts", "answerable"} for question in QUESTIONS)


def test_the_documents_spread_over_the_promised_lengths() -> None:
    lengths = sorted(words(path) for path in (EXAMPLES / "documents").iterdir())
    assert len(lengths) >= 6
    assert lengths[0] >= 500
    assert 2_500 < lengths[-1] <= 3_000
    assert all(longer < 2 * shorter for shorter, longer in pairwise(lengths))
    assert {path.suffix for path in (EXAMPLES / "documents").iterdir()} == {".txt", ".md"}


def test_the_items_are_complete_and_unlike() -> None:
    items = rows("items.csv")
    assert list(items[0]) == ["id", "title", "category", "tags", "description", "price_eur"]
    assert len(items) >= 220
    assert all(all(item.values()) and float(item["price_eur"]) > 0 for item in items)
    for column in ("id", "title", "description"):
        assert len({item[column] for item in items}) == len(items)


def test_the_ratings_refer_to_items_and_form_histories() -> None:
    ratings, ids = rows("ratings.csv"), {item["id"] for item in rows("items.csv")}
    assert list(ratings[0]) == ["user", "item", "rating", "timestamp"]
    assert {rating["item"] for rating in ratings} <= ids
    assert {float(rating["rating"]) for rating in ratings} <= {half / 2 for half in range(2, 11)}
    assert len({(rating["user"], rating["item"]) for rating in ratings}) == len(ratings)
    histories = Counter(rating["user"] for rating in ratings)
    assert len(histories) >= 320
    assert min(histories.values()) >= 5
    assert max(histories.values()) <= 60
    assert all(int(a["timestamp"]) < int(b["timestamp"]) for a, b in pairwise(ratings) if a["user"] == b["user"])


def test_the_generator_writes_the_same_bytes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, EXAMPLES / "catalog/make.py", tmp_path], check=True)
    for name in ("items.csv", "ratings.csv"):
        assert (tmp_path / name).read_bytes() == (EXAMPLES / "catalog" / name).read_bytes()
