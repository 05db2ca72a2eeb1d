"""From text to vectors: what every embedder promises, and the static one that llmos ships.

Made by models/workshop/make_embedder.py; models/shipped/embedder.md says how well it does and what it cannot do.
"""

import zlib
from collections.abc import Sequence
from functools import lru_cache
from hashlib import shake_128
from itertools import islice
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from .faults import DamagedFile, MissingFile
from .texts import in_pairs, pairs, sound

Vectors = NDArray[np.float32]

# A text longer than this is embedded by its beginning: the mean of more tokens says little about any of them,
# and the room needed for one text stays below 5 MB.
MAX_TOKENS = 4096


_PAIRS = 20_000  # of which the vectors are kept


class Embedder(Protocol):
    """Turns texts into vectors whose dot product is their cosine similarity."""

    name: str  # names the vectors: those of another name cannot be compared with them
    dim: int

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape (len(texts), dim), each row of length 1, or all zeros where a text has no known token.

        Safe to call from several threads. A text's row does not depend on the texts beside it, bit for bit.
        """
        ...


class StaticEmbedder:
    """The mean of a vector for each token: NumPy only, no model is run (file format: see make_embedder.py)."""

    def __init__(self, path: Path) -> None:
        """Load the file (some 50 ms). Raises `MissingFile` or `DamagedFile`."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays: dict[str, NDArray[Any]] = {name: archive[name] for name in archive.files}
            self.name = str(arrays["name"])
            self._table: NDArray[np.int8] = arrays["table"]
            self._scale: Vectors = arrays["scale"]
            self._pair_length = float(arrays["unknown"])
            tokenizer = zlib.decompress(arrays["tokenizer"].tobytes()).decode()
        except FileNotFoundError as error:
            raise MissingFile(path, "no embedder here", hint="reinstall llmos, or make it anew") from error
        except (KeyError, TypeError, ValueError, OSError, EOFError, BadZipFile, zlib.error) as error:
            raise DamagedFile(path, f"not an embedder: {error}", hint="reinstall llmos, or make it anew") from error
        self.dim = int(self._table.shape[1])
        self._tokenizer = Tokenizer.from_str(tokenizer)
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._unknown = self._tokenizer.token_to_id("[UNK]")
        self._vector_of_pair = lru_cache(_PAIRS)(self._draw)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`."""
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        whole = [sound(text) for text in texts]
        cut = [in_pairs(text) for text in whole]  # as the maker of the file does it too
        encodings = self._tokenizer.encode_batch_fast(cut, add_special_tokens=False)
        for row, encoding in enumerate(encodings):
            tokens = [token for token in encoding.ids if token != self._unknown]
            if tokens:
                # Scaled, then added row by row: no BLAS, whose order of adding depends on shape and processor.
                vectors[row] = (self._table[tokens] * self._scale[tokens, None]).sum(axis=0)
            if cut[row] != whole[row]:
                for pair in islice(pairs(whole[row]), MAX_TOKENS):
                    if (vector := self._vector_of_pair(pair)) is not None:
                        vectors[row] += vector
        length = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
        length[length == 0] = 1
        vectors /= length
        return vectors

    def _draw(self, pair: str) -> Vectors | None:
        """None for a pair that is a token, else a vector drawn by the pair itself.

        The same pair always has the same, and two have little in common: so texts meet in what both hold.
        """
        normal = self._tokenizer.normalizer.normalize_str(pair)
        if self._tokenizer.token_to_id(normal) is not None:
            return None
        bits = np.unpackbits(np.frombuffer(shake_128(normal.encode()).digest(-(-self.dim // 8)), np.uint8))[: self.dim]
        vector: Vectors = ((bits * 2.0 - 1) * self._pair_length / np.sqrt(self.dim)).astype(np.float32)
        return vector
