"""Least squares over the vectors of tokens: sums of tokens are to be what a teacher says of whole texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = NDArray[np.float32]
STEPS = 25  # of the conjugate gradients; figures do not change after some twenty


def mean_of_tokens(texts: Sequence[Sequence[int]], size: int) -> "csr_array":
    """Shape (len(texts), size): times the vectors of ``size`` tokens it gives the mean of each text's."""
    from scipy.sparse import csr_array

    counts = np.array([len(tokens) for tokens in texts])
    shares = np.repeat(1 / np.maximum(counts, 1), counts).astype(np.float32)
    columns = np.fromiter((token for tokens in texts for token in tokens), np.int64, counts.sum())
    return csr_array((shares, columns, np.concatenate([[0], counts.cumsum()])), shape=(len(texts), size))


def principal(vectors: Floats, dim: int) -> Floats:
    """Shape (width, dim): the directions in which the vectors, less their mean, differ most."""
    centred = vectors - vectors.mean(0)
    directions: Floats = np.linalg.svd(centred.T @ centred)[2][:dim].T
    return directions


def mapping(means: Floats, wanted: Floats) -> Floats:
    """The matrix that brings ``means`` nearest to ``wanted``."""
    found: Floats = np.linalg.lstsq(means, wanted, rcond=None)[0]
    return found


def refine(mix: "csr_array", wanted: Floats, start: Floats, stay: Floats) -> Floats:
    """Vectors X that make ``|mix X - wanted|² + stay |X - start|²`` least, by conjugate gradients.

    ``stay`` (tokens,) says how strongly a token is held at its start; one that no text holds keeps it.
    """
    back: Any = mix.T.tocsr()
    hold = stay[:, None].astype(np.float32)

    def apply(x: Floats) -> Floats:
        product: Floats = back @ (mix @ x) + hold * x
        return product

    scale = (mix.multiply(mix).sum(0)[:, None] + hold).astype(np.float32)
    x = start.astype(np.float32)
    rest = back @ wanted + hold * x - apply(x)
    way = rest / scale
    size = (rest * way).sum(0)
    for _ in range(STEPS):
        ahead = apply(way)
        step = size / np.maximum((way * ahead).sum(0), 1e-30)
        x += step * way
        rest -= step * ahead
        next_way = rest / scale
        new = (rest * next_way).sum(0)
        way = next_way + (new / np.maximum(size, 1e-30)) * way
        size = new
    return x
