"""Which slices are computed together."""

from hypothesis import given
from hypothesis import strategies as st
from llmos.models.engine import Slice
from llmos.models.graphs import bridges, graphs


def slices(**tokens: int) -> list[Slice]:
    return [Slice(int(stream[1:]), [1] * count, 0) for stream, count in tokens.items()]


def shape(found) -> list[list[int]]:
    return [[part.stream for part in group] for group in found]


def test_neighbours_of_equal_length_are_one_graph():
    assert shape(graphs(slices(s2=1, s0=1, s1=1, s4=1))) == [[0, 1, 2], [4]]
    assert shape(graphs(slices(s0=32, s1=31, s2=31))) == [[0], [1, 2]]


def test_a_small_gap_between_decoding_streams_is_bridged():
    assert bridges(slices(s0=1, s1=1, s3=1, s4=1)) == [2]
    assert bridges(slices(s0=1, s1=1, s2=1, s5=1, s6=1, s7=1)) == [3, 4]


def test_a_gap_that_costs_more_than_it_saves_is_left():
    assert bridges(slices(s0=1, s2=1)) == []  # two single streams are cheaper apart
    assert bridges(slices(s0=1, s1=1, s9=1, s10=1)) == []


def test_prompts_are_never_bridged():
    assert bridges(slices(s0=1, s1=64, s3=1)) == []


@given(st.dictionaries(st.integers(0, 15), st.sampled_from([1, 31, 32]), min_size=1))
def test_every_slice_is_in_one_graph_and_no_bridge_stands_on_a_slice(tokens):
    given_ = [Slice(stream, [1] * count, 0) for stream, count in tokens.items()]
    found = graphs(given_)
    assert sorted(s for group in shape(found) for s in group) == sorted(tokens)
    assert all(len({len(part.tokens) for part in group}) == 1 for group in found)
    extra = bridges(given_)
    assert len(set(extra)) == len(extra)
    assert not set(extra) & set(tokens)
    assert all(min(tokens) < stream < max(tokens) for stream in extra)
