"""A text of any length into parts that the model reads one at a time."""

from ...syscalls.api import BadInput, Sys

PART = 700  # tokens; longer parts make this model lose the thread, shorter ones cost more prompts
MOST = 1_000_000  # tokens of a text, some 4 MB: what the limits in the manifest suffice for


async def split(sys: Sys, units: list[str], most: int = PART) -> list[list[str]]:
    """Neighbouring sentences together, in parts of about equal size and of at most ``most`` tokens.

    A single sentence that is too long (a text without full stops) is cut between words, and between letters at last.
    Raises `BadInput` for a text of more than `MOST` tokens, before anything else is done with it.
    """
    sizes = await sys.count_each(units)
    if sum(sizes) > MOST:
        raise BadInput(
            f"the text has {sum(sizes):,} tokens, and {MOST:,} are the most that are read",
            hint=f"give it as {-(-sum(sizes) // MOST)} files or more", tokens=sum(sizes),
        )  # fmt: skip
    while any(size + 1 > most for size in sizes):
        units = [piece for unit, size in zip(units, sizes, strict=True) for piece in _cut(unit, size + 1, most)]
        sizes = await sys.count_each(units)
    return _pack(units, [size + 1 for size in sizes], most)  # where two units meet there may be a token more


def _cut(unit: str, size: int, most: int) -> list[str]:
    """The unit, or pieces of it that are likely to have less than ``most`` tokens each."""
    if size <= most:
        return [unit]
    count, between = 1 + size * 5 // (most * 4), " "
    parts: list[str] | str = unit.split()
    if len(parts) < count:
        parts, between = unit, ""
    step = max(1, -(-len(parts) // count))
    return [between.join(parts[at : at + step]) for at in range(0, len(parts), step)]


def _pack(units: list[str], sizes: list[int], most: int) -> list[list[str]]:
    """Filled in order, each part as far as to its share of the whole."""
    share = sum(sizes) / max(1, -(-sum(sizes) // most))
    parts: list[list[str]] = [[]]
    filled = 0
    for unit, size in zip(units, sizes, strict=True):
        if parts[-1] and (filled + size > most or filled + size / 2 > share):
            parts.append([])
            filled = 0
        parts[-1].append(unit)
        filled += size
    return parts
