"""The engine on the embedded model."""

import json
from pathlib import Path

import llmos
import numpy as np
import pytest
from llmos.models.engine import Sampling, Slice
from llmos.models.faults import BadGrammar, EngineFault
from llmos.models.spans import Spans

EXAMPLES = Path(llmos.__file__).parent / "examples"

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def engine(load_engine):
    loaded = load_engine(streams=4)
    yield loaded
    loaded.close()


@pytest.fixture(autouse=True)
def empty(engine):
    yield
    for stream in range(4):
        engine.trim(stream, 0)


def write(engine, prompt: str, most=24, sampling=None, constraint=None, stream=0) -> str:
    tokens = engine.tokenize(f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n", markup=True)
    engine.trim(stream, 0)
    sampler = engine.sampler(sampling or Sampling(), constraint)
    (result,) = engine.step([Slice(stream, tokens, 0, sampler)])
    said, at = b"", len(tokens)
    while most > 0:
        drawn = [*result.tokens, *result.forced]
        said += b"".join(engine.piece(token) for token in drawn)
        if engine.ends(drawn[-1]):
            break
        (result,) = engine.step([Slice(stream, drawn, at, sampler)])
        at, most = at + len(drawn), most - len(drawn)
    sampler.close()
    return said.decode(errors="replace")


def test_it_speaks_english(engine):
    assert "Paris" in write(engine, "What is the capital of France?")


def test_text_goes_to_tokens_and_back(engine):
    text = "Grüße, 世界! 🙂 <|im_end|>"
    assert b"".join(engine.piece(t) for t in engine.tokenize(text)).decode() == text
    assert len(engine.tokenize("<|im_end|>", markup=True)) == 1


def test_a_seed_decides_what_is_drawn(engine):
    drawn = [write(engine, "Tell me a story.", sampling=Sampling(1.2, seed=s)) for s in (1, 2, 1)]
    assert drawn[0] == drawn[2] != drawn[1]


def test_a_grammar_is_kept_to_the_letter(engine):
    grammar = 'root ::= "{\\"colour\\":\\"" ("red"|"green"|"blue") "\\"}"'
    assert json.loads(write(engine, "What is the colour of grass?", constraint=grammar))["colour"] in {
        "red",
        "green",
        "blue",
    }


def test_a_grammar_that_cannot_be_read_is_refused(engine):
    with pytest.raises(BadGrammar):
        engine.sampler(Sampling(), "root ::= (")


def test_spans_are_written_as_they_stand(engine):
    texts = ["Cats sleep a lot.", "Dogs like walks.", "Fish swim."]
    tokens = [tuple(engine.tokenize(t)) for t in texts]
    later = [tuple(engine.tokenize(" " + t)) for t in texts]
    spans = Spans(tuple(tokens), tuple(later), engine.info.end, 2, 2)
    said = write(engine, "Which animals are there?", constraint=spans)
    assert said in {f"{a} {b}" for i, a in enumerate(texts) for b in texts[i + 1 :]}


def test_likelihoods_are_of_the_whole_vocabulary(engine):
    tokens = engine.tokenize("The capital of France is")
    (result,) = engine.step([Slice(0, tokens, 0, targets=[*tokens[1:], engine.tokenize(" Paris")[0]])])
    assert all(p < 0 for p in result.logprobs)
    assert result.logprobs[-1] > np.log(0.2)


def test_a_saved_stream_goes_on_bit_for_bit_in_another(engine):
    tokens = engine.tokenize("Once upon a time there was a small shop that sold shoes")
    engine.step([Slice(0, tokens, 0)])
    state = engine.save(0)
    engine.restore(3, state)
    ours, theirs = engine.step([Slice(0, [5], len(tokens), targets=[9]), Slice(3, [5], len(tokens), targets=[9])])
    assert ours.logprobs == theirs.logprobs


def test_a_copied_prefix_is_the_same_as_one_computed(engine):
    tokens = (engine.tokenize("The shop opens at nine and closes at six on every day but Sunday. ") * 20)[:256]
    for at in (0, 128):
        engine.step([Slice(0, tokens[at : at + 128], at)])
    engine.restore(1, engine.save(0))
    engine.trim(1, 128)
    engine.step([Slice(1, tokens[128:], 128)])
    pair = engine.step([Slice(0, [7], 256, targets=[9]), Slice(1, [7], 256, targets=[9])])
    assert pair[0].logprobs == pair[1].logprobs


@pytest.fixture
def deep(engine) -> list[int]:
    """Tokens of a real text; streams 0 to 2 hold its first 512, for near the start a cut of one is like any other."""
    tokens = engine.tokenize((EXAMPLES / "documents" / "the-ferry-bell.txt").read_text())
    for at in range(0, 512, 128):
        engine.step([Slice(stream, tokens[at : at + 128], at) for stream in (0, 1, 2)])
    return tokens


@pytest.mark.parametrize(("ours", "theirs"), [(17, 1), (32, 31), (40, 64), (5, 5)])
def test_a_slice_is_the_same_bits_whatever_the_length_of_the_slice_beside_it(engine, deep, ours, theirs):
    part = deep[512 : 512 + ours]
    (alone,) = engine.step([Slice(0, part, 512, targets=[9] * ours)])
    beside, _ = engine.step([Slice(2, part, 512, targets=[9] * ours), Slice(1, deep[600 : 600 + theirs], 512)])
    assert beside.logprobs == alone.logprobs


def test_a_bridged_gap_changes_no_bit_and_leaves_nothing_in_the_idle_stream(engine, deep):
    engine.trim(1, 300)
    kept = engine.save(1)
    token = [Slice(stream, deep[512:513], 512, targets=[9]) for stream in (0, 2)]
    alone = [engine.step([one])[0].logprobs for one in token]
    for stream in (0, 2):
        engine.trim(stream, 512)
    engine.restore(3, engine.save(2))
    engine.trim(3, 512)
    three = [*token, Slice(3, deep[512:513], 512, targets=[9])]
    beside = [result.logprobs for result in engine.step(three)]  # streams 2 and 3 are neighbours, 1 is bridged
    assert beside == [*alone, alone[1]]
    assert engine.save(1) == kept


def test_the_control_a_tail_of_one_token_does_change_the_bits(engine, deep):
    (whole,) = engine.step([Slice(0, deep[512:544], 512, targets=[9])])
    engine.step([Slice(1, deep[512:543], 512)])
    (tail,) = engine.step([Slice(1, deep[543:544], 543, targets=[9])])
    assert tail.logprobs != whole.logprobs


@pytest.mark.parametrize(
    "slices",
    [
        [],
        [Slice(9, [1], 0)],
        [Slice(0, [1], 5)],
        [Slice(0, [1], 0), Slice(0, [1], 0)],
        [Slice(0, [1] * 600, 0)],
        [Slice(0, [1] * 100, 0, targets=[2] * 100), Slice(1, [1] * 90, 0, targets=[2] * 90)],
    ],
)
def test_what_would_end_the_program_in_c_is_an_error_here(engine, slices):
    with pytest.raises(EngineFault):
        engine.step(slices)
    assert write(engine, "Are you still there?")


def test_a_full_stream_is_an_error(engine):
    for at in range(0, 1024, 128):
        engine.step([Slice(2, [5] * 128, at)])
    with pytest.raises(EngineFault, match="full"):
        engine.step([Slice(2, [5], 1024)])


def test_embeddings_are_of_unit_length_and_near_for_near_texts(engine):
    a, b, c = engine.embed(["How do I return shoes?", "Can I send shoes back?", "The moon orbits the earth."])
    assert np.allclose([np.linalg.norm(v) for v in (a, b, c)], 1, atol=1e-5)
    assert a @ b > a @ c
