import math

import numpy as np
import pytest
from llmos.models import perplexity as measured
from llmos.models.engine import CHUNK, EngineInfo, Result


class Counting:
    """Stands in for an engine whose likelihood of a token tells where it stood and how many came before it."""

    def __init__(self, window=4096):
        self.info = EngineInfo("counting", "none", "exact", 1, window, CHUNK, 512, 10, window, 0)
        self.length, self.asked = 0, []

    def trim(self, stream, length):
        self.length = length

    def step(self, slices):
        (part,) = slices
        assert part.position == self.length
        assert self.length + len(part.tokens) <= self.info.window
        assert len(part.tokens) <= CHUNK
        self.length += len(part.tokens)
        targets = part.targets or ()
        first = self.length - len(targets) + 1  # tokens before the first of them
        self.asked += [(target, first + i) for i, target in enumerate(targets)]
        return [Result(logprobs=[-float(t) for t in targets])]


@pytest.mark.parametrize("count", [1, 2, 3, 50, 129, 511, 512, 1023, 1024, 1025, 1536, 1537, 2323])
@pytest.mark.parametrize("begin", [None, 7])
@pytest.mark.parametrize(("window", "stride"), [(1024, 512), (200, 100), (64, 63), (64, 500)])
def test_each_token_but_the_first_is_scored_once_with_enough_before_it(count, begin, window, stride):
    engine = Counting()
    found = measured.surprises(engine, range(count), window=window, stride=stride, begin=begin)
    assert found == [float(token) for token in range(1, count)]
    assert [token for token, _ in engine.asked] == list(range(1, count))
    for token, before in engine.asked:
        head = begin is not None
        least = min(token, window - min(stride, window - head - 1)) - head
        assert least <= before <= min(token + head, window - 1), token


def test_a_window_is_no_larger_than_the_engines():
    engine = Counting(window=100)
    assert len(measured.surprises(engine, range(300))) == 299


def test_perplexity_and_loss():
    assert measured.perplexity([math.log(2), math.log(8)]) == pytest.approx(4)
    lost = measured.loss([1.2, 2.2, 3.2], [1.0, 2.0, 3.0])
    assert lost.share == pytest.approx(math.exp(0.2) - 1)
    assert lost.error == pytest.approx(0, abs=1e-12)
    assert measured.loss([1, 2], [1, 1]).error == pytest.approx(math.exp(0.5) * 0.5)
    with pytest.raises(ValueError):
        measured.loss([1.0], [1.0, 2.0])


@pytest.mark.model
def test_as_by_hand(load_engine):
    """Against the plain definition, one token at a time, over the logits of a context of our own."""
    import llama_cpp

    engine = load_engine(streams=1, window=256, way="exact-q8")  # any cut gives the same bits, also of one
    tokens = engine.tokenize("The ferry left the far bank at nine, and the old schoolmistress paid her coin.")
    found = measured.surprises(engine, tokens)
    by_hand = []
    for at, token in enumerate(tokens[:-1]):
        batch = llama_cpp.llama_batch_get_one((llama_cpp.llama_token * 1)(token), 1)
        assert llama_cpp.llama_decode(engine._context, batch) == 0
        pointer = llama_cpp.llama_get_logits_ith(engine._context, 0)
        logits = np.ctypeslib.as_array(pointer, shape=(engine.info.vocabulary,)).astype(np.float64)
        by_hand.append(math.log(np.exp(logits - logits[tokens[at + 1]]).sum()))
    engine.close()
    assert len(found) == len(tokens) - 1
    assert found == pytest.approx(by_hand, rel=1e-12)
    assert measured.perplexity(found) == pytest.approx(math.exp(sum(by_hand) / len(by_hand)))
