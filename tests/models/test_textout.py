from hypothesis import given
from hypothesis import strategies as st
from llmos.models.textout import TextOut


def feed(out: TextOut, data: bytes, size: int = 1) -> str:
    shown = "".join(out.feed(data[i : i + size]) for i in range(0, len(data), size))
    return shown + out.finish()


def test_a_character_is_held_back_until_it_is_whole():
    out = TextOut()
    assert [out.feed(bytes([b])) for b in "é€".encode()] == ["", "é", "", "", "€"]


def test_an_unfinished_character_at_the_end_is_shown_as_broken():
    out = TextOut()
    assert out.feed("é".encode()[:1]) == ""
    assert out.finish() == "\ufffd"


def test_nothing_of_a_stop_string_is_shown_even_when_it_comes_in_pieces():
    out = TextOut(["END"])
    assert [out.feed(b) for b in (b"so E", b"N", b"D and more")] == ["so ", "", ""]
    assert (out.stopped, out.finish()) == ("END", "")


def test_what_only_looked_like_a_stop_string_is_shown():
    out = TextOut(["END"])
    assert out.feed(b"EN") == ""
    assert out.feed(b"ough") == "ENough"


def test_the_earliest_of_several_stops_counts():
    out = TextOut(["later", "\n\n"])
    assert feed(out, b"one\n\ntwo later", 4) == "one"
    assert out.stopped == "\n\n"


@given(st.text(), st.lists(st.text(min_size=1, max_size=4), max_size=3), st.integers(1, 5))
def test_the_cut_into_tokens_never_changes_the_text(text, stops, size):
    data = text.encode()
    whole = min((at for s in stops if (at := text.find(s)) >= 0), default=len(text))
    assert feed(TextOut(stops), data, size) == text[:whole]
