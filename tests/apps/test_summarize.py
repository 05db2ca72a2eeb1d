import numpy as np
import pytest
from llmos.apps.markdown import blocks
from llmos.apps.sentences import leans, length
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
    assert extract.choose(np.array([0.1, 0.2]), np.eye(2), ["a " * 60, "b " * 50], 10) == [1]


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


@pytest.mark.parametrize(
    "sentence",
    [
        "They sting.", "Before that date Chapel Lane is closed.", "The lane is therefore closed.",
        "The limit in (g) is too high.", "On that day he told it.", "In the evening his daughter telephoned.",
        '"You could have walked."',
    ],
)  # fmt: skip
def test_some_sentences_lean_on_others(sentence):
    assert leans(sentence)


@pytest.mark.parametrize(
    "sentence", ["Bees sting.", "In 1736 Harrison took his clock to Lisbon.", "The trial ends before the summer."]
)
def test_most_sentences_stand_alone(sentence):
    assert not leans(sentence)


def test_a_name_in_bold_goes_with_its_sentence_and_a_letter_head_stands_apart():
    _, [block] = blocks("**Peak Pro.** The brightest of all. It is heavy.\n\n(a) First.\n(b) Second.\n")
    assert block.units == ["Peak Pro: The brightest of all.", "It is heavy.", "First.", "Second."]
    _, [block] = blocks("To: all\nFrom: the archivist\nSubject: water\n\nA pipe broke.")
    assert block.units == ["To: all", "From: the archivist", "Subject: water", "A pipe broke."]


def test_no_sentence_is_longer_than_the_room_where_one_fits():
    sentences = ["one two three four five six seven eight nine ten eleven twelve.", "One two three four five six."]
    assert extract.choose(np.array([9.0, 0.1]), np.eye(2), sentences, 10) == [1]


def test_fragments_and_leaning_sentences_come_last():
    sentences = ["To all who work here from", "They all have to leave the house.", "The house will be closed in May."]
    assert extract.choose(np.array([3.0, 2.0, 1.0]), np.eye(3), sentences, 8) == [2]


def test_a_short_text_fills_the_room():
    sentences = ["今天天气很好我们去了公园。", "公园里有很多人在散步聊天。", "晚上我们一起吃了美味火锅。"]
    assert len(extract.choose(np.array([3.0, 2.0, 1.0]), np.eye(3), sentences, 15)) == 2


def test_what_was_decided_weighs_more():
    vectors = np.ones((3, 2)) / np.sqrt(2)
    weight = extract.weights(["Bees fly.", "Bees sting.", "The council decided on bees."], vectors)
    assert weight[2] > weight[1]


async def test_a_long_text_is_counted_in_few_calls(sys, world):
    units = [f"Sentence number {n} stands here." for n in range(5000)]
    assert len(await split(sys, units, 100)) > 300
    assert world.calls == ["count.each"]


async def test_a_text_beyond_the_limits_is_refused_at_once(sys, world, monkeypatch):
    monkeypatch.setattr("llmos.apps.summarize.parts.MOST", 50)
    with pytest.raises(BadInput, match=r"the text has [\d,]+ tokens, and 50 are the most"):
        await shorten(sys, world, LONG)
    assert not {"embed", "generate"} & set(world.calls)
