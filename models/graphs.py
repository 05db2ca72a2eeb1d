"""Which slices of a step llama.cpp computes together, and how to let that be many.

llama.cpp computes streams in one graph where they follow one another and take equally many tokens. It would cut a batch
of others itself, and by the shortest slice in it: beside a slice of 31 tokens one of 32 falls apart into 31 and 1, and
a cut of 1 gives other bits. What a stream computes would depend on its neighbours; so other slices go apart.
"""

from collections.abc import Iterable, Sequence

from .engine import Slice

# What a graph of single tokens costs, in units of one with one stream: that one reads the weights as fast as memory
# gives them, larger ones take another path (docs/decisions/0006-what-a-step-costs.md).
_BASE, _EACH = 1.6, 0.4


def graphs(slices: Iterable[Slice]) -> list[list[Slice]]:
    """The slices in groups that are one graph each, by stream."""
    found: list[list[Slice]] = []
    for part in sorted(slices, key=lambda s: s.stream):
        last = found[-1][-1] if found else None
        if last and last.stream + 1 == part.stream and len(last.tokens) == len(part.tokens):
            found[-1].append(part)
        else:
            found.append([part])
    return found


def bridges(slices: Sequence[Slice]) -> list[int]:
    """Idle streams between decoding ones that should take a token along, so that two graphs become one.

    That token is thrown away again; it only pays where the gap is small against the groups at its sides.
    """
    if any(len(s.tokens) != 1 for s in slices):
        return []
    found: list[int] = []
    size, last = 0, -1  # of the group so far, and its last stream
    for group in graphs(slices):
        gap = group[0].stream - last - 1
        if size and _cost(size + gap + len(group)) < _cost(size) + _cost(len(group)):
            found += range(last + 1, group[0].stream)
            size += gap + len(group)
        else:
            size = len(group)
        last = group[-1].stream
    return found


def _cost(streams: int) -> float:
    return 1.0 if streams == 1 else _BASE + _EACH * streams
