"""kill -9 at random moments: nothing acknowledged is lost, nothing happens twice, everybody comes back.

``LLMOS_KILLS=500 python -m pytest tests/test_killing.py`` is the long run.
"""

import os

import pytest

from .killing import Harness, Lost

KILLS = int(os.environ.get("LLMOS_KILLS", "25"))
pytestmark = pytest.mark.programs


def test_everything_survives(tmp_path):
    kills = round_ = 0
    while kills < KILLS:
        harness = Harness(tmp_path / str(round_), seed=round_)
        harness.run(KILLS - kills)
        harness.check_end()
        kills, round_ = kills + harness.kills, round_ + 1
    assert kills >= KILLS


def try_all(folder, *, kills: int, hasty: bool) -> None:
    harness = Harness(folder, seed=1, hasty=hasty)
    harness.run(kills)
    harness.check_end()


def test_the_harness_finds_an_acknowledgement_before_the_commit(tmp_path):
    with pytest.raises(Lost):
        try_all(tmp_path, kills=100, hasty=True)
