import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmos.models.spans import Spans, SpanWalk

END = 99


def spans(*texts: tuple[int, ...], least: int = 1, most: int = 1) -> Spans:
    return Spans(texts, tuple((50, *t) for t in texts), END, least, most)


def write(walk: SpanWalk, *tokens: int) -> None:
    for token in tokens:
        walk.advance(token)


def test_a_single_choice_ends_after_one_text():
    walk = SpanWalk(spans((1, 2), (1, 3)))
    assert walk.allowed() == [1]
    write(walk, 1)
    assert walk.allowed() == [2, 3]
    write(walk, 3)
    assert walk.allowed() == [END]
    write(walk, END)
    assert walk.allowed() == [END]


def test_a_text_that_begins_another_may_end_or_go_on():
    walk = SpanWalk(spans((1,), (1, 2)))
    write(walk, 1)
    assert walk.allowed() == [2, END]


def test_texts_follow_in_order_and_none_comes_twice():
    walk = SpanWalk(spans((1,), (2,), (3,), least=1, most=3))
    write(walk, 2)
    assert walk.allowed() == [50, END]
    write(walk, 50)
    assert walk.allowed() == [3]
    write(walk, 3)
    assert walk.allowed() == [END]


def test_a_start_that_leaves_too_few_texts_is_not_offered():
    walk = SpanWalk(spans((1,), (2,), (3,), least=2, most=2))
    assert walk.allowed() == [1, 2]
    write(walk, 2)
    assert walk.allowed() == [50]


@pytest.mark.parametrize(("texts", "least", "most"), [((), 1, 1), (((),), 1, 1), (((1,),), 2, 2), (((1,),), 0, 1)])
def test_impossible_spans_are_refused(texts, least, most):
    with pytest.raises(ValueError, match=r"spans need|cannot take"):
        spans(*texts, least=least, most=most)


def test_a_token_that_is_not_allowed_is_refused():
    with pytest.raises(ValueError, match="not allowed"):
        SpanWalk(spans((1,))).advance(2)


@given(
    st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple), min_size=1, max_size=4),
    st.data(),
)
def test_every_walk_ends_in_texts_of_the_list_in_order(texts, data):
    most = data.draw(st.integers(1, len(texts)))
    least = data.draw(st.integers(1, most))
    walk, written = SpanWalk(spans(*texts, least=least, most=most)), []
    while not written or written[-1] != END:
        written.append(data.draw(st.sampled_from(walk.allowed())))
        walk.advance(written[-1])
    said = bytes(written[:-1]).split(bytes([50]))
    at = -1
    for piece in said:
        at = texts.index(tuple(piece), at + 1)
    assert least <= len(said) <= most
