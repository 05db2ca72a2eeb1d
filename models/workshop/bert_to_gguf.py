"""Writes an embedding model of the BERT family as GGUF, so that llmos can use it (`models/embedding.py`).

    pip install gguf
    python -m llmos.models.workshop.bert_to_gguf FOLDER OUT.gguf [--format F16]

FOLDER is laid out as sentence-transformers lays it out: config.json, vocab.txt, model.safetensors, and, where the
pooling and the longest text are not the usual ones, 1_Pooling/config.json and sentence_bert_config.json. Nothing else
is read, no code of the folder is run, and neither torch nor transformers is needed.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

FORMATS = ("F32", "F16", "Q8_0")  # of the matrices; vectors stay F32
_UNUSED = ("pooler.", "cls.", "embeddings.position_ids")  # tensors beside the encoder
_TYPES = {"F32": "<f4", "F16": "<f2"}
_SPECIAL = {"bos": "[CLS]", "eos": "[SEP]", "sep": "[SEP]", "unk": "[UNK]", "pad": "[PAD]", "mask": "[MASK]"}


def tensors(path: Path) -> Iterator[tuple[str, Any]]:
    """Name and values (float32) of each tensor of a safetensors file: a head in JSON, then the bytes."""
    data = np.memmap(path, np.uint8, "r")
    start = 8 + int(data[:8].view("<u8")[0])
    for name, entry in json.loads(data[8:start].tobytes()).items():
        if name == "__metadata__" or name.removeprefix("bert.").startswith(_UNUSED):
            continue
        begin, end = (start + offset for offset in entry["data_offsets"])
        raw = data[begin:end].tobytes()
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        elif entry["dtype"] in _TYPES:
            values = np.frombuffer(raw, _TYPES[entry["dtype"]]).astype("<f4")
        else:
            raise SystemExit(f"{path}: {name} is stored as {entry['dtype']}; save the model as float32")
        yield name.removeprefix("bert."), values.reshape(entry["shape"])


def spelled(token: str) -> str:
    """A word piece as llama.cpp spells it: a mark before the beginnings of words instead of one before the rest."""
    if token.startswith("[") and token.endswith("]"):
        return token
    return token[2:] if token.startswith("##") else "\u2581" + token


def convert(folder: Path, out: Path, form: str = "F16") -> None:
    """Write ``out``. Raises `SystemExit` with the reason where the folder holds another kind of model."""
    import gguf

    config = _read(folder / "config.json")
    if config.get("model_type") != "bert" or config.get("position_embedding_type", "absolute") != "absolute":
        raise SystemExit(f"{folder}: {config.get('model_type')!r} with its positions is no BERT")
    longest = config["max_position_embeddings"]
    longest = min(longest, _read(folder / "sentence_bert_config.json", {}).get("max_seq_length", longest))
    pooling = _pooling(folder)
    writer = gguf.GGUFWriter(out, "bert")
    writer.add_name(folder.name if folder.name != "model" else folder.parent.name)
    writer.add_context_length(longest)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)
    writer.add_file_type(gguf.LlamaFileType[{"F32": "ALL_F32"}.get(form, f"MOSTLY_{form}")])
    _add_vocabulary(writer, (folder / "vocab.txt").read_text().splitlines(), config["type_vocab_size"])
    _add_tensors(writer, folder / "model.safetensors", config["num_hidden_layers"], longest, form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _pooling(folder: Path) -> Any:
    import gguf

    says = _read(folder / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})
    kinds = {"mean_tokens": gguf.PoolingType.MEAN, "cls_token": gguf.PoolingType.CLS}
    chosen = [kind for name, kind in kinds.items() if says.get(f"pooling_mode_{name}")]
    if len(chosen) != 1:
        raise SystemExit(f"{folder}: neither the mean of the tokens nor the first token is the vector of a text")
    return chosen[0]


def _add_tensors(writer: Any, path: Path, layers: int, longest: int, form: str) -> None:
    """Matrices in the format ``form``; positions that no text reaches are left out."""
    import gguf

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, layers)
    for name, values in tensors(path):
        place = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if place is None:
            raise SystemExit(f"{path}: a BERT has no {name}")
        matrix = values.ndim > 1 and name.startswith(("encoder.", "embeddings.word"))
        kind = gguf.GGMLQuantizationType[form if matrix else "F32"]
        kept = values[:longest] if name == "embeddings.position_embeddings.weight" else values
        writer.add_tensor(place, gguf.quants.quantize(np.ascontiguousarray(kept), kind), raw_dtype=kind)


def _add_vocabulary(writer: Any, tokens: list[str], types: int) -> None:
    writer.add_token_type_count(types)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([spelled(token) for token in tokens])
    writer.add_token_types([3 if token in _SPECIAL.values() else 1 for token in tokens])  # 3: control
    for role, token in _SPECIAL.items():
        getattr(writer, f"add_{role}_token_id")(tokens.index(token))


def _read(path: Path, otherwise: dict[str, Any] | None = None) -> dict[str, Any]:
    if otherwise is not None and not path.exists():
        return otherwise
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as problem:
        raise SystemExit(f"{path} cannot be read: {problem}") from problem
    return found if isinstance(found, dict) else {}


def main() -> None:
    """Read the command line and convert."""
    parser = argparse.ArgumentParser(description="Write an embedding model of the BERT family as GGUF.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--format", choices=FORMATS, default="F16")
    options = parser.parse_args()
    convert(options.folder, options.out, options.format)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
