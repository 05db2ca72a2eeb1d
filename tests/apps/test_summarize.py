import numpy as np
import pytest
from llmos.apps.markdown import blocks
from llmos.apps.sentences import length
from llmos.apps.summarize import extract
from llmos.apps.summarize.app import Summarize
from llmos.apps.summarize.parts import split
from llmos.syscalls.api import BadInput

LONG = "# Report\n\n" + "\n\n".join(
    f"The mill number {n} ground {n} sacks of barley for the bakers. But it rained. What else?" for n in range(40)
)
GOAL = "The council has decided to close the bridge in the spring for good."


def test_markdown_becomes_headings_and_units():
    title, found = blocks(
        "Title\n=====\n\nOne. Two.\n- an *item*\n  goes on\n\nHead\n---\n1. first\n2. second\n\n***\n`x`"
    )
    assert title == "Title"
    assert [(b.heading, b.units) for b in found] == [
        ("", ["One.", "Two.", "an item goes on"]), ("Head", ["first", "second", "x"]),
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), [("", 0), ("two words", 2), ("你好世界", 3), ("你好 world", 3)])
def test_length_counts_scripts_without_spaces(text, words):
    assert length(text) == words


async def test_parts_fit_and_lose_nothing(sys):
    units = [f"Sentence number {n} stands here." for n in range(30)] + ["word " * 300, "x" * 5000]
    parts = await split(sys, units, 100)
    for part in parts:
        assert (await sys.count(" ".join(part))).tokens <= 100
    assert "".join("".join(unit.split()) for part in parts for unit in part) == "".join("".join(units).split())


async def test_a_short_text_is_one_part(sys):
    assert await split(sys, ["One.", "Two."], 100) == [["One.", "Two."]]


def test_the_first_and_the_central_weigh_most():
    vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    weight = extract.weights(["A first one.", "A second one.", "Another."], vectors)
    assert weight[0] > weight[1] > weight[2]


def test_a_sentence_that_leans_on_another_weighs_less():
    vectors = np.ones((2, 2)) / np.sqrt(2)
    plain = extract.weights(["Bees fly.", "Bees sting."], vectors)
    leaning = extract.weights(["Bees fly.", "They sting."], vectors)
    assert leaning[1] < plain[1]


def test_agreement_follows_words_and_meaning():
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]])
    gain = extract.agreement("The bridge closes.", np.array([1.0, 0.0]), ["Close the bridge.", "Bake bread."], vectors)
    assert gain[0] > 1 > gain[1] == 0


def test_what_is_chosen_fits_keeps_the_order_and_does_not_repeat():
    sentences = [f"{word} one two three four five" for word in ("a", "b", "c", "d", "e", "f", "g", "h")]
    vectors = np.eye(8)
    vectors[1] = vectors[0]
    weight = np.array([0.9, 1.0, 0.8, 0.0, 0.7, 0.0, 0.0, 0.0])
    assert extract.choose(weight, vectors, sentences, 18) == [1, 2, 4]


def test_one_sentence_is_chosen_however_long():
    assert extract.choose(np.array([0.1, 0.2]), np.eye(2), ["a " * 50, "b " * 50], 10) == [1]


async def shorten(sys, world, text, **args):
    world.files["in/report.txt"] = text
    return await Summarize().main(sys, Summarize.Args(inputs=["in/report.txt"], **args))


async def test_the_draft_leads_and_the_text_speaks(sys, world):
    world.write = lambda request: "The council will close a bridge, for good or for 99 years."
    result = await shorten(sys, world, f"{LONG}\n\n{GOAL}", words=30)
    assert GOAL in result.summary
    assert "99" not in result.summary
    assert result.words <= 30
    assert result.parts > 1
    assert result.method == "sentences"
    assert len([c for c in world.calls if c == "generate"]) == result.parts + 1


async def test_an_empty_draft_does_no_harm(sys, world):
    world.write = lambda request: " "
    assert (await shorten(sys, world, LONG, words=20)).words > 0


async def test_a_short_text_stays_as_it_is(sys, world):
    result = await shorten(sys, world, "# Note\n\nJust this.")
    assert (result.summary, result.method) == ("Just this.", "whole")
    assert "generate" not in world.calls


async def test_what_is_piped_in_is_shortened_too(sys, world):
    world.stdin = "Only this."
    result = await Summarize().main(sys, Summarize.Args())
    assert (result.source, result.summary) == ("standard input", "Only this.")


@pytest.mark.parametrize("text", ["", "\n \n", "# Only a heading\n"])
async def test_an_empty_text_is_bad_input(sys, world, text):
    with pytest.raises(BadInput, match=r"report\.txt holds no text"):
        await shorten(sys, world, text)


async def test_two_texts_want_two_processes(sys):
    with pytest.raises(BadInput, match="one process"):
        await Summarize().main(sys, Summarize.Args(inputs=["in/a", "in/b"]))
