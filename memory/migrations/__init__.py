"""The store's versions: a script for each, in the order of their names. One that shipped is never changed."""

from functools import cache
from importlib.resources import files


@cache
def scripts() -> tuple[str, ...]:
    """SQL in order; a store's version is the number of those it has been through."""
    found = (path for path in files(__package__).iterdir() if path.name.endswith(".sql"))
    return tuple(path.read_text("utf-8") for path in sorted(found, key=lambda path: path.name))
