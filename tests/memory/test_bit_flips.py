"""One bit turns in a store: what is read afterwards is the truth, or somebody is told; never a wrong answer in silence.

``LLMOS_FLIPS=1000 python -m pytest tests/memory/test_bit_flips.py`` is the long run.
"""
