"""The remote models of a home."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ValidationError

from ..disk import replace_text
from ..faults import Damaged, NoSuchModel
from .place import Place


class _Listed(BaseModel):
    """The file."""

    places: list[Place] = []


class Remotes:
    """Listed in one file. Their names and those of the catalog's other models differ; whoever adds one sees to that."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def listing(self) -> list[Place]:
        """All, in the order they were added."""
        return self._read().places

    def get(self, name: str) -> Place | None:
        """The one of that name."""
        return next((place for place in self.listing() if place.name == name), None)

    def add(self, place: Place) -> None:
        """List it; one of the same name makes room."""
        others = [one for one in self.listing() if one.name != place.name]
        self._write([*others, place])

    def remove(self, name: str) -> Place:
        """Take it off the list. Raises `NoSuchModel`."""
        place = self.get(name)
        if place is None:
            raise NoSuchModel(f"no remote model {name!r}", hint="llmos model list")
        self._write([one for one in self.listing() if one.name != name])
        return place

    def _read(self) -> _Listed:
        try:
            return _Listed.model_validate_json(self._file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return _Listed()
        except (OSError, ValidationError) as problem:
            raise Damaged(f"{self._file} cannot be read", hint="delete it, then add the models again") from problem

    def _write(self, places: list[Place]) -> None:
        replace_text(self._file, _Listed(places=places).model_dump_json(indent=2) + "\n")
