"""Pieces hold all that was there, in order, and none is too long; they part where the text does."""

import re
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from llmos.memory.ingest.blocks import Block
from llmos.memory.ingest.splitting import LARGE_RECORD, OVERLAP, SMALL, TARGET, split, words

LONGEST = TARGET + SMALL + OVERLAP


def sentence(start, count):
    return " ".join(f"word{n}" for n in range(start, start + count)) + "."


def pieces(*texts, **more):
    return list(split([Block(text, **more) for text in texts], "notes"))


def test_a_short_text_is_one_piece_with_the_name_of_its_file():
    [piece] = pieces("One.", "Two.", where={"line": 3})
    assert (piece.text, piece.title, piece.meta) == ("One.\n\nTwo.", "notes", {"line": 3})


def test_sections_part_pieces_and_name_them():
    blocks = [Block("Ten days.", ("Returns", "Fees")), Block("Nine pounds.", ("Delivery",))]
    fees, delivery = split(blocks, "notes")
    assert (fees.title, fees.text, fees.meta["heading"]) == ("Returns › Fees", "Ten days.", ["Returns", "Fees"])
    assert (delivery.title, delivery.text) == ("Delivery", "Nine pounds.")


def test_a_long_text_is_cut_between_sentences_and_the_end_of_one_begins_the_next():
    found = pieces(" ".join(sentence(n, 15) for n in range(0, 600, 15)))
    assert len(found) == 4
    for before, after in pairwise(found):
        assert before.text.endswith(".")
        first, _, _ = after.text.partition(".")
        assert first in before.text
    assert all(words(piece.text) <= LONGEST for piece in found)


def test_what_is_too_small_for_a_piece_stays_with_the_last():
    assert len(pieces(" ".join(sentence(n, 10) for n in range(0, TARGET + SMALL - 10, 10)))) == 1


def test_lines_are_counted_through_a_long_paragraph():
    text = "\n".join(sentence(n, 10) for n in range(0, 1000, 10))
    for piece in pieces(text, where={"line": 7}):
        first = int(re.search(r"word(\d+)", piece.text)[1])
        assert piece.meta["line"] == 7 + first // 10


def test_records_stand_together_whole_and_without_overlap():
    found = pieces(*(sentence(n, 30) for n in range(0, 300, 30)), record=True)
    assert "".join(piece.text + "\n" for piece in found).split("\n")[:-1] == [
        sentence(n, 30) for n in range(0, 300, 30)
    ]
    long = pieces("a b.", sentence(0, 200), "c d.", record=True)
    assert [piece.text for piece in long] == ["a b.", sentence(0, 200), "c d."]


def test_chinese_is_cut_at_its_own_full_stops():
    found = pieces("我们在三十天内接受退货。" * 100)
    assert len(found) > 2
    assert all(piece.text.endswith("。") and words(piece.text) <= LONGEST for piece in found)
    assert all(" " not in piece.text for piece in found)


def test_nothing_but_ornaments_is_no_piece():
    assert pieces("* * *", "-----") == []


TEXTS = st.lists(
    st.tuples(
        st.integers(1, 400), st.sampled_from([" ", "\n", ". ", "! ", '." ', "", "。", "\n\n", ", "]), st.booleans()
    ),
    min_size=1,
    max_size=25,
)


@given(TEXTS, st.booleans())
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost_and_nothing_is_too_long(shape, record):
    blocks, number = [], 0
    for count, between, new in shape:
        text = between.join(f"w{n}" for n in range(number, number + count)) + "."
        blocks.append(Block(text, ("new",) if new else (), record=record))
        number += count
    whole = "".join("".join(block.text.split()) for block in blocks)
    covered, start = 0, 0
    for piece in split(blocks, "notes"):
        assert words(piece.text) <= (LARGE_RECORD if record else LONGEST)
        text = "".join(piece.text.split())
        start = whole.find(text, start)
        assert 0 <= start <= covered
        assert start + len(text) > covered
        covered = start + len(text)
    assert covered == len(whole)
