"""What each setting of `Sampling` does to the draws, on a handful of logits."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from llmos.models.engine import Sampling
from llmos.models.sampling import LlamaSampler, Words

SHARES = [0.4, 0.3, 0.15, 0.1, 0.04, 0.01]  # of tokens 0 to 5
WORDS = Words(None, len(SHARES), frozenset(), lambda token: b"", lambda text: [])
OPEN = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0}


def samplers(count: int, **settings: Any) -> Iterator[LlamaSampler]:
    """One for each seed, freed after its turn. The vocabulary is asked for by grammars alone."""
    for seed in range(count):
        sampler = LlamaSampler(WORDS, Sampling(**{**OPEN, **settings, "seed": seed}), None)
        yield sampler
        sampler.close()


def draws(shares: list[float] = SHARES, count: int = 600, **settings: Any) -> Counter[int]:
    """How often each token was the first to be drawn, over the seeds from 0 on."""
    logits = np.log(np.array(shares, np.float32))
    return Counter(sampler.draw(logits) for sampler in samplers(count, **settings))


def test_with_everything_open_tokens_come_by_their_shares() -> None:
    found = draws(count=3000)
    for token, share in enumerate(SHARES):
        assert found[token] == pytest.approx(3000 * share, abs=4 * math.sqrt(3000 * share) + 1)


@pytest.mark.parametrize(
    ("settings", "tokens"),
    [
        ({"top_k": 1}, {0}),
        ({"top_k": 3}, {0, 1, 2}),
        ({"top_p": 0.35}, {0}),
        ({"top_p": 0.6}, {0, 1}),
        ({"top_p": 0.8}, {0, 1, 2}),
        ({"min_p": 0.5}, {0, 1}),
        ({"min_p": 0.2}, {0, 1, 2, 3}),
        ({"top_k": 4, "top_p": 0.6}, {0, 1}),
        ({"temperature": 5.0, "min_p": 0.5}, {0, 1}),  # cut before the shares are levelled
    ],
)
def test_what_cuts_the_tail_off_leaves_just_the_head(settings: dict[str, Any], tokens: set[int]) -> None:
    assert set(draws(**settings)) == tokens


def test_temperature_sharpens_and_levels_the_shares() -> None:
    for temperature in (0.5, 2.0):
        powers = [share ** (1 / temperature) for share in SHARES]
        found = draws(count=2000, temperature=temperature)
        for token, power in enumerate(powers):
            expected = 2000 * power / sum(powers)
            assert found[token] == pytest.approx(expected, abs=4 * math.sqrt(expected) + 1)


def test_temperature_zero_takes_the_likeliest() -> None:
    assert set(draws(count=50, temperature=0.0)) == {0}
    assert set(draws(count=50, temperature=0.0, repeat_penalty=1.5)) == {0}


@pytest.mark.parametrize("token", [0, 3])
def test_a_seed_decides_alone(token: int) -> None:
    logits = np.log(np.array(SHARES, np.float32))
    one, other = ([s.draw(logits) for s in samplers(100)] for _ in range(2))
    assert one == other
    assert token in one


@pytest.mark.parametrize(("penalty", "then"), [(1.0, [0, 0, 0]), (1.05, [0, 0, 0]), (1.5, [0, 1, 0]), (4.0, [0, 1, 2])])
def test_a_token_that_was_drawn_is_held_back_by_the_penalty(penalty: float, then: list[int]) -> None:
    """A logit above zero is divided by it: 3 by 1.5 is below 2.5; when both were drawn, the first leads again."""
    logits = np.array([3.0, 2.5, 1.5, 0.0, 0.0, 0.0], np.float32)
    for sampler in samplers(1, temperature=0.0, repeat_penalty=penalty):
        assert [sampler.draw(logits) for _ in then] == then


def test_the_penalty_shifts_the_shares_when_drawing() -> None:
    """Token 0 has the logit 2, then 2 / 2: its share falls from e²/(e²+5) to e/(e+5)."""
    logits = np.array([2.0, 0, 0, 0, 0, 0], np.float32)
    second = []
    for sampler in samplers(2000, repeat_penalty=2.0):
        if sampler.draw(logits) == 0:
            second.append(sampler.draw(logits) == 0)
    assert sum(second) / len(second) == pytest.approx(math.e / (math.e + 5), abs=0.05)
