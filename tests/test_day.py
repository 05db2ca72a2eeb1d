"""Many turns leave nothing in memory. LLMOS_TURNS=2880 makes it a day with a turn each half minute (some minutes)."""

import os
import sys
import tracemalloc
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from day import day, growth

TURNS = int(os.environ.get("LLMOS_TURNS", "240"))


@pytest.mark.long
async def test_the_program_does_not_grow_with_the_turns_of_a_conversation():
    tracemalloc.start()
    try:
        found = await day(TURNS)
    finally:
        tracemalloc.stop()
    assert found[-1].out > TURNS  # nearly all that was said is out of the window
    # Bytes a turn: what is kept of pages that are out would show, while what the streams hold goes up and down.
    assert growth(found, "traced") < (700 if TURNS < 2000 else 300)
    if TURNS >= 2000:
        assert growth(found, "resident") < 4000
    assert growth(found, "database") < 6000
