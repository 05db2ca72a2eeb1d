"""Sizes as people write and read them."""

from ...kernel.errors import BadInput

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_DIGITS = 20  # of a number of bytes; whatever is longer is too much


def size(text: str) -> int:
    """Bytes from ``256M``; raises `BadInput`."""
    number, unit = text.strip().upper().removesuffix("IB").removesuffix("B"), ""
    if number[-1:] in _UNITS:
        number, unit = number[:-1], number[-1:]
    if not number.isdecimal():
        raise BadInput(f"{text!r} is no size", hint="for example 256M or 1G")
    return int(number[:_DIGITS]) * _UNITS[unit]


def shown_size(count: int) -> str:
    """Bytes for a human: ``3.4 MiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
