"""What an app hands over, as it crosses a socket and lies on disk: plain JSON values."""

from typing import Any

from pydantic import BaseModel


def plain(value: Any) -> Any:
    """A model in plain values; everything else as it is."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
