"""A text of any length into parts that the model reads one at a time."""

from ...syscalls.api import Sys

PART = 700  # tokens; longer parts make this model lose the thread, shorter ones cost more prompts


async def split(sys: Sys, units: list[str], most: int = PART) -> list[list[str]]:
    """Neighbouring sentences together, by halves, until each part has at most ``most`` tokens.

    A single sentence that is too long (a text without full stops) is cut between words, and between letters at last.
    """
    if (await sys.count(" ".join(units))).tokens <= most:
        return [units]
    if len(units) == 1:
        pieces: list[str] = units[0].split()
        if len(pieces) == 1:
            middle = len(units[0]) // 2
            return [*await split(sys, [units[0][:middle]], most), *await split(sys, [units[0][middle:]], most)]
        middle = len(pieces) // 2
        units = [" ".join(pieces[:middle]), " ".join(pieces[middle:])]
    sizes = [len(unit) for unit in units]
    at = min(range(1, len(units)), key=lambda place: abs(2 * sum(sizes[:place]) - sum(sizes)))
    return [*await split(sys, units[:at], most), *await split(sys, units[at:], most)]
