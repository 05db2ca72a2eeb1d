import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from llmos.memory.files.chunking import LEAST, MOST, USUAL, pieces

DATA = random.Random(1).randbytes(3_000_000)


def test_pieces_are_the_data_within_bounds_and_near_the_usual_length():
    found = list(pieces([DATA]))
    assert b"".join(found) == DATA
    assert all(LEAST <= len(piece) <= MOST for piece in found[:-1])
    assert 0.7 * USUAL < len(DATA) / len(found) < 1.5 * USUAL


def test_a_change_in_the_middle_costs_a_few_pieces():
    before = set(pieces([DATA]))
    after = list(pieces([DATA[:1_500_000], b"a word", DATA[1_500_000:]]))
    assert sum(len(piece) for piece in after if piece not in before) < 3 * MOST


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, len(DATA)), max_size=6), st.integers(0, 200_000))
def test_cuts_do_not_depend_on_how_the_data_comes(places, size):
    data = DATA[:size] + bytes(size // 2)
    cuts = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    assert list(pieces(data[a:b] for a, b in pairwise(cuts))) == list(pieces([data]))
