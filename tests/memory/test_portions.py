from hypothesis import given
from hypothesis import strategies as st
from llmos.memory.portions import portions, sentences


def within(most):
    return lambda text: len(text) <= most


def test_cut_where_it_hurts_least():
    text = "One. Two is longer.\n\nThree, in a paragraph of its own. And four."
    assert portions(text, within(60)) == ["One. Two is longer.\n\n", "Three, in a paragraph of its own. And four."]
    assert portions("a sentence here. another there.", within(20)) == ["a sentence here. ", "another there."]
    assert portions("no mark at all in this", within(12)) == ["no mark at ", "all in this"]
    assert portions("中文没有空格。这里也没有。", within(8)) == ["中文没有空格。", "这里也没有。"]


@given(st.text(max_size=300), st.integers(1, 60))
def test_nothing_is_lost_and_all_fit(text, most):
    parts = portions(text, within(most))
    assert "".join(parts) == text
    assert all(len(part) <= most for part in parts)
    assert all(parts) or text == ""


def test_sentences_do_not_end_within_figures():
    assert sentences("It costs 3.50 euros. Really?  Yes!\nNext line") == [
        "It costs 3.50 euros.", "Really?", "Yes!", "Next line",
    ]  # fmt: skip
    assert sentences(" \n ") == []
