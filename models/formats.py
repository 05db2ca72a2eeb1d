"""Tables of the GGUF format and of the architectures that the pinned llama.cpp knows.

They are written down so that a file can be judged before any C code sees it; the tests compare them with what
the installed library itself says.
"""

from typing import NamedTuple


class Block(NamedTuple):
    """A tensor type: ``size`` bytes hold ``elements`` values."""

    name: str
    elements: int
    size: int


BLOCKS = {
    0: Block("F32", 1, 4),
    1: Block("F16", 1, 2),
    2: Block("Q4_0", 32, 18),
    3: Block("Q4_1", 32, 20),
    6: Block("Q5_0", 32, 22),
    7: Block("Q5_1", 32, 24),
    8: Block("Q8_0", 32, 34),
    9: Block("Q8_1", 32, 36),
    10: Block("Q2_K", 256, 84),
    11: Block("Q3_K", 256, 110),
    12: Block("Q4_K", 256, 144),
    13: Block("Q5_K", 256, 176),
    14: Block("Q6_K", 256, 210),
    15: Block("Q8_K", 256, 292),
    16: Block("IQ2_XXS", 256, 66),
    17: Block("IQ2_XS", 256, 74),
    18: Block("IQ3_XXS", 256, 98),
    19: Block("IQ1_S", 256, 50),
    20: Block("IQ4_NL", 32, 18),
    21: Block("IQ3_S", 256, 110),
    22: Block("IQ2_S", 256, 82),
    23: Block("IQ4_XS", 256, 136),
    24: Block("I8", 1, 1),
    25: Block("I16", 1, 2),
    26: Block("I32", 1, 4),
    27: Block("I64", 1, 8),
    28: Block("F64", 1, 8),
    29: Block("IQ1_M", 256, 56),
    30: Block("BF16", 1, 2),
    34: Block("TQ1_0", 256, 54),
    35: Block("TQ2_0", 256, 66),
    39: Block("MXFP4", 32, 17),
    40: Block("NVFP4", 64, 36),
    41: Block("Q1_0", 128, 18),
    42: Block("Q2_0", 64, 18),
}
"""Tensor types by their number in the file (ggml's ``type_traits``)."""

FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K",
    19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL",
    26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0",
    37: "TQ2_0", 38: "MXFP4_MOE", 39: "NVFP4", 40: "Q1_0", 41: "Q2_0",
}  # fmt: skip
"""Names of ``general.file_type`` (llama.h, ``llama_ftype``)."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


RECURRENT = _names("arwkv7 mamba mamba2 rwkv6 rwkv6qwen2 rwkv7")
"""No key-value cache at all: a state that cannot be cut back to an earlier position."""

HYBRID = _names(
    """
    bailingmoe3 deepseek4 falcon-h1 glm5-next granitehybrid jamba kimi-k3 kimi-linear lfm2 lfm2moe minimax-01
    nemotron_h nemotron_h_moe plamo2 qwen35 qwen35moe qwen3next qwen4exp
    """
)
"""Some layers recurrent: a stream can be emptied but not trimmed."""

DIFFUSION = _names("dream llada llada-moe rnd1")
"""Write all tokens of an answer at once; an engine that draws one after another cannot serve them."""

ENCODERS = _names(
    """
    bert eurobert gemma-embedding jina-bert-v2 jina-bert-v3 llama-embed modern-bert neo-bert nomic-bert
    nomic-bert-moe t5encoder
    """
)
"""Embed text and cannot write any."""

OTHERS = {
    "clip": "a projector for images, not a language model",
    "wavtokenizer-dec": "a decoder of sound, not a language model",
    "qwen3tts": "a speaker of text, not a language model",
    "pockettts": "a speaker of text, not a language model",
    "eagle3": "a draft head that works only beside its model",
    "dflash": "a draft head that works only beside its model",
    "gemma4-assistant": "a draft head that works only beside its model",
    "t5": "an encoder-decoder, which the engine does not serve",
}
"""Known to llama.cpp, but nothing that this engine can generate with: name → what it is."""

DECODERS = _names(
    """
    afmoe apertus arcee arctic baichuan bailingmoe bailingmoe2 bitnet bloom chameleon chatglm codeshell cogvlm
    cohere2 cohere2moe command-r dbrx deci deepseek deepseek2 deepseek2-ocr deepseek32 dots1 dots3note ernie4_5
    ernie4_5-moe exaone exaone-moe exaone4 falcon gemma gemma2 gemma3 gemma3n gemma4 glm-dsa glm4 glm4moe gpt-oss
    gpt2 gptj gptneox granite granite_swa granitemoe graniteswitch grok grovemoe hrm_text hunyuan-dense hunyuan-moe
    hunyuan_vl hy_v3 hy_v4 internlm2 jais jais2 laguna llama llama4 maincoder maple mellum mimo2 minicpm minicpm3
    minimax-m2 minimax-m3 mistral3 mistral4 mpt muse-glimmer nanbeige nemotron olmo olmo2 olmoe openelm orion
    paddleocr pangu-embedded phi2 phi3 phimoe plamo plamo3 plm qwen qwen2 qwen2moe qwen2vl qwen3 qwen3moe qwen3vl
    qwen3vlmoe refact seed_oss smallthinker smollm3 spark2_5 stablelm starcoder starcoder2 step35 talkie xverse
    """
)
"""Plain attention, one token after another: everything that the engine offers works."""

SERVED = DECODERS | ENCODERS | RECURRENT | HYBRID

TOKENIZERS = _names("bert gemma4 gpt2 hybriddna llama plamo2 rwkv t5 whitespace")
"""Values of ``tokenizer.ggml.model``; "none" has no text at all and is not served."""
