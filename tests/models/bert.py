"""A very small BERT in the layout of sentence-transformers, and what its vectors should be, computed in NumPy."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, HEADS, LAYERS, POSITIONS, LONGEST = 32, 4, 2, 64, 24
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "shoe", "##s", "parcel", "late", "the", "is", "."]
WORDS = {"shoes": [5, 6], "shoe": [5], "parcel": [7], "late": [8], "the": [9], "is": [10], ".": [11]}

Arrays = dict[str, Any]


def weights(seed: int = 7) -> Arrays:
    """Tensors by the names of transformers, random."""
    random = np.random.default_rng(seed)

    def some(*shape: int) -> Any:
        return (random.standard_normal(shape) / math.sqrt(shape[-1])).astype("<f4")

    made = {f"embeddings.{kind}_embeddings.weight": some(rows, WIDTH)
            for kind, rows in (("word", len(VOCABULARY)), ("position", POSITIONS), ("token_type", 2))}  # fmt: skip
    layer = {"attention.self.query": (WIDTH, WIDTH), "attention.self.key": (WIDTH, WIDTH),
             "attention.self.value": (WIDTH, WIDTH), "attention.output.dense": (WIDTH, WIDTH),
             "intermediate.dense": (2 * WIDTH, WIDTH), "output.dense": (WIDTH, 2 * WIDTH)}  # fmt: skip
    norms = ["embeddings.LayerNorm"]
    for n in range(LAYERS):
        for name, shape in layer.items():
            made[f"encoder.layer.{n}.{name}.weight"] = some(*shape)
            made[f"encoder.layer.{n}.{name}.bias"] = some(shape[0])
        norms += [f"encoder.layer.{n}.{place}.LayerNorm" for place in ("attention.output", "output")]
    for name in norms:
        made[f"{name}.weight"], made[f"{name}.bias"] = 1 + some(WIDTH), some(WIDTH)
    return made


def write_folder(folder: Path, tensors: Arrays, pooling: str = "mean_tokens", **config: Any) -> Path:
    """The model as sentence-transformers would save it."""
    (folder / "1_Pooling").mkdir(parents=True)
    settings = {"model_type": "bert", "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": LAYERS,
                "num_attention_heads": HEADS, "max_position_embeddings": POSITIONS, "layer_norm_eps": 1e-12,
                "type_vocab_size": 2, **config}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{pooling}": True}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": LONGEST}))
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    head, data = {}, b""
    for name, values in {**tensors, "pooler.dense.bias": np.zeros(WIDTH, "<f4")}.items():
        places = [len(data), len(data) + values.nbytes]
        head[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": places}
        data += values.tobytes()
    text = json.dumps(head).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    return folder


def expected(tensors: Arrays, text: str, pooling: str = "mean_tokens") -> Any:
    """The unit vector of a text of known words."""
    pieces = [piece for word in text.lower().split() for piece in WORDS[word]]
    tokens = [2, *pieces[: LONGEST - 2], 3]

    def dense(x: Any, name: str) -> Any:
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    def norm(x: Any, name: str) -> Any:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    def split(x: Any) -> Any:
        return x.reshape(len(tokens), HEADS, -1).transpose(1, 0, 2)

    part = "embeddings.{}_embeddings.weight".format
    x = tensors[part("word")][tokens] + tensors[part("position")][: len(tokens)] + tensors[part("token_type")][0]
    x = norm(x, "embeddings.LayerNorm")
    erf = np.vectorize(math.erf)
    for n in range(LAYERS):
        place = f"encoder.layer.{n}."
        query, key, value = (split(dense(x, f"{place}attention.self.{name}")) for name in ("query", "key", "value"))
        scores = np.exp(query @ key.transpose(0, 2, 1) / math.sqrt(WIDTH / HEADS))
        seen = (scores / scores.sum(-1, keepdims=True) @ value).transpose(1, 0, 2).reshape(len(tokens), WIDTH)
        x = norm(x + dense(seen, f"{place}attention.output.dense"), f"{place}attention.output.LayerNorm")
        inner = dense(x, f"{place}intermediate.dense")
        inner = inner * (1 + erf(inner / math.sqrt(2))) / 2
        x = norm(x + dense(inner, f"{place}output.dense"), f"{place}output.LayerNorm")
    vector = x.mean(0) if pooling == "mean_tokens" else x[0]
    return vector / np.linalg.norm(vector)
