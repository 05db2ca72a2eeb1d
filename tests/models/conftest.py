"""Models for the tests: a very small llama that llama.cpp loads in milliseconds, and the embedded one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

WIDTH, CONTEXT = 32, 128
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_letters() -> list[str]:
    """The 256 letters that stand for bytes in byte-pair vocabularies, in the order of the bytes."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in shown else chr(next(others)) for b in range(256)]


def write_model(path: Path, *, architecture: str = "llama", metadata: dict[str, Any] | None = None) -> Path:
    """One block, 32 wide, F32, weights from a fixed seed; ``metadata`` adds or replaces keys of text or number."""
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *byte_letters(), "Ġt", "he"]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3, *[1] * (len(tokens) - 3)])
    writer.add_token_merges(["Ġ t", "h e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    for key, value in (metadata or {}).items():
        writer.add_string(key, value) if isinstance(value, str) else writer.add_uint32(key, value)
    random = np.random.default_rng(7)
    writer.add_tensor("token_embd.weight", random.standard_normal((len(tokens), WIDTH), np.float32))
    for name in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]:
        writer.add_tensor(f"blk.0.{name}.weight", random.standard_normal((WIDTH, WIDTH), np.float32))
    for name in ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"]:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Writes a very small model into the test's own folder."""

    def make(name: str = "tiny.gguf", **options: Any) -> Path:
        return write_model(tmp_path / name, **options)

    return make


@pytest.fixture
def tiny(make_model: Callable[..., Path]) -> Path:
    """A sound small model."""
    return make_model()


@pytest.fixture(scope="session")
def embedded() -> Path:
    """The embedded model's file as its package ships it."""
    from llmos.models import catalog

    return catalog.embedded()
