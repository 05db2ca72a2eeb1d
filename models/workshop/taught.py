"""What a teacher says of texts: computed once, and kept in a file for the next try."""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from rich.progress import track

from ..embedding import GGUFEmbedder
from .fitting import Floats

_STEP = 1000  # texts between two writes of the file


class Taught:
    """Vectors by text. The file (float16) belongs to one teacher: give another teacher another file."""

    def __init__(self, teacher: GGUFEmbedder, path: Path | None = None) -> None:
        self._teacher = teacher
        self._path = path
        self._known: dict[bytes, Floats] = {}
        if path is not None and path.exists():
            with np.load(path) as file:
                self._known = dict(zip(map(bytes, file["keys"]), file["vectors"], strict=True))

    def vectors(self, texts: Sequence[str]) -> Floats:
        """Shape (len(texts), dim). The missing ones are computed, short ones first, while a bar shows how far it is."""
        keys = [blake2b(text.encode(), digest_size=8).digest() for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        todo = sorted(missing.items(), key=lambda item: (len(item[1]), item[1]))
        for start in track(range(0, len(todo), _STEP), "asking the teacher", disable=not todo):
            part = todo[start : start + _STEP]
            made = self._teacher.embed([text for _, text in part]).astype(np.float16)
            self._known.update(zip((key for key, _ in part), made, strict=True))
            self._save()
        return np.stack([self._known[key] for key in keys]).astype(np.float32)

    def _save(self) -> None:
        if self._path is not None:
            keys = np.array([np.frombuffer(key, np.uint8) for key in self._known])
            np.savez(self._path.with_suffix(".part.npz"), keys=keys, vectors=np.stack(list(self._known.values())))
            self._path.with_suffix(".part.npz").replace(self._path)
