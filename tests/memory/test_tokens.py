"""The tokenizer outside the engine must agree with llama.cpp's, token for token."""

import ctypes
import random
import string

import pytest
from llmos.memory import tokens as module
from llmos.memory.faults import Damaged
from llmos.memory.tokens import PATTERNS, BytePairTokens


def small(**change):
    tokens = ["a", "b", "c", "Ġ", "ab", "abc", "<|end|>"]
    given = {"tokens": tokens, "kinds": [1] * 6 + [3], "pre": "smollm", "merges": ["a b", "ab c"]} | change
    return BytePairTokens(**given)


def test_pairs_are_merged_in_order():
    assert small().encode("abc cab") == [5, 3, 2, 4]
    assert small().count("abc cab") == 4


def test_control_tokens_are_recognised_in_markup_only():
    tokens = small(tokens=["a", "b", "c", "Ġ", "ab", "abc", "<b>", "<", ">"], kinds=[1] * 6 + [3, 1, 1])
    assert tokens.encode("a<b>", markup=True) == [0, 6]
    assert tokens.encode("a<b>") == [0, 7, 1, 8]


def test_tokens_of_the_models_user_are_recognised_everywhere():
    tokens = small(tokens=["a", "b", "c", "Ġ", "ab", "abc", "<b>", "<c>", "<", ">"], kinds=[1] * 6 + [3, 4, 1, 1])
    assert tokens.encode("a<b><c>", markup=True) == [0, 6, 7]
    assert tokens.encode("a<b><c>") == [0, 8, 1, 9, 7]


def test_a_byte_without_a_token_is_left_out():
    assert small().encode("a\x04b") == [0, 1]
    assert small().encode("😀ab\ud800") == [4]


def test_a_run_of_white_space_that_tiktoken_cannot_match_is_cut(monkeypatch):
    text = "ab" + " " * 1_200_000 + "c" + " " * 10 + "a"
    assert small().encode(text) == [4, *[3] * 1_200_000, 2, *[3] * 10, 0]
    monkeypatch.setattr(module, "LONGEST_RUN", 4)
    tokens = small(tokens=["a", "b", "c", "Ġ", "ĠĠ"], kinds=[1] * 5, merges=["Ġ Ġ"])
    assert tokens.encode("ab" + " " * 9 + "c") == [0, 1, 4, 4, 4, 4, 3, 2]


def test_an_unproved_pre_tokenizer_is_refused():
    with pytest.raises(Damaged, match="mystery"):
        small(pre="mystery")


@pytest.mark.parametrize(
    ("tokens", "merges"),
    [
        (["a", "b", "c", "Ġ", "bc", "ab"], ["a b", "b c"]),  # of "abc", the list joins a and b, the ranks b and c
        (["a", "b", "c", "Ġ", "bc", "ab", "abc"], ["b c", "a b", "ab c"]),  # b and c join first, "abc" never comes
        (["a", "b", "c", "Ġ", "ab", "abc"], ["a b"]),  # no merge makes "abc", so llama.cpp never does
        (["a", "b", "c", "Ġ", "abc", "ab"], ["a b"]),
        (["a", "b", "c", "Ġ", "ab"], ["b c", "a b"]),  # a merge into nothing
    ],
)
def test_a_vocabulary_that_is_not_in_merge_order_is_refused(tokens, merges):
    with pytest.raises(Damaged, match="merge order"):
        small(tokens=tokens, kinds=[1] * len(tokens), merges=merges)


def test_a_token_may_have_two_merges():
    tokens = ["a", "b", "Ġ", "ab", "ba", "aba"]
    assert small(tokens=tokens, kinds=[1] * 6, merges=["a b", "b a", "ab a", "a ba"]).encode("aba") == [5]


@pytest.mark.parametrize("names", [["<a>", "<a>b"], ["x<a>", "<a>"], ["<a>b", "b<c"]])
def test_control_tokens_that_overlap_are_refused(names):
    with pytest.raises(Damaged, match="overlaps"):
        small(tokens=["a", "b", "c", "ab", *names], kinds=[1] * 4 + [3, 3], merges=["a b"])


def test_names_of_control_tokens_are_as_long_as_they_are_in_earnest():
    plain = ["a", "b", "c", "ab"]
    name = f"<{'x' * 254}>"
    assert small(tokens=[*plain, name], kinds=[1] * 4 + [3], merges=["a b"]).encode(name, markup=True) == [4]
    with pytest.raises(Damaged, match="has 300000 characters"):  # would take days
        small(tokens=[*plain, "<" + "x" * 299_999], kinds=[1] * 4 + [3], merges=["a b"])
    many = [f"<{number:0254}>" for number in range(1100)]
    with pytest.raises(Damaged, match="281600 characters together"):
        small(tokens=[*plain, *many], kinds=[1] * 4 + [3] * 1100, merges=["a b"])


def test_a_vocabulary_in_another_script_is_refused():
    with pytest.raises(Damaged, match="letters"):
        small(tokens=["a", "▁b"], kinds=[1, 1], merges=None)


WORDS = [
    word
    for line in (
        "the quick brown fox isn't we'll THEY'RE naïve Straße été über señor",
        "東京 大阪 你好世界 안녕하세요 привет мир مرحبا",
        "שלום नमस्ते สวัสดี γειά 🙂 👩\u200d👩\u200d👧 🇩🇪 ½ ² ① 3.14 1,000,000 2026-11-23 http://a.example/x?y=1",
        "foo_bar() {} [] <|im_end|> <|im_start|> <|endoftext|> def main(self): return None; \\n \t \u00a0 \u3000",
        "\ufeff e\u0301 \u200b",
    )
    for word in line.split(" ")
]


def letters(rng, count):
    """Any characters there are, the planes weighted alike."""
    planes = ((0, 0x2FFF), (0x3000, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x1FFFF), (0x20000, 0x10FFFF))
    return "".join(chr(rng.randint(*rng.choice(planes))) for _ in range(count))


def lines(count: int, seed: int = 11):
    """Mixed text: words of many scripts, code, digits, control names, runs of blanks, and plain random letters."""
    rng = random.Random(seed)
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(1, 14)):
            kind = rng.random()
            if kind < 0.6:
                parts.append(rng.choice(WORDS))
            elif kind < 0.75:
                parts.append("".join(rng.choices(string.printable, k=rng.randint(1, 9))))
            elif kind < 0.85:
                parts.append("".join(rng.choices(" \t\n\r", k=rng.randint(1, 5))))
            elif kind < 0.93:
                parts.append(str(rng.randint(0, 10**9)))
            else:
                parts.append(letters(rng, 5))
        yield rng.choice(["", " ", "  "]).join(parts)


KEPT = []  # llama.cpp keeps a pointer to its log's callback


@pytest.fixture(scope="module")
def words():
    from llmos.models.catalog import embedded
    from llmos.models.gguf import vocabulary

    return vocabulary(embedded())


@pytest.fixture(scope="module")
def llama_tokens():
    """Gives llama.cpp's tokenizer of a file's vocabulary, without weights."""
    import llama_cpp

    models = []
    KEPT.append(llama_cpp.llama_log_callback(lambda level, text, data: None))
    llama_cpp.llama_log_set(KEPT[0], ctypes.c_void_p(0))

    def load(path):
        parameters = llama_cpp.llama_model_default_params()
        parameters.vocab_only = True
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        assert model, f"llama.cpp cannot load {path}"
        models.append(model)
        vocab = llama_cpp.llama_model_get_vocab(model)

        def encode(text, markup):
            data = text.encode()
            room = len(data) + 8
            found = (llama_cpp.llama_token * room)()
            return found[: llama_cpp.llama_tokenize(vocab, data, len(data), found, room, False, markup)]

        return encode

    yield load
    for model in models:
        llama_cpp.llama_model_free(model)


def same(engine, tokens, texts):
    """How many tokens were compared."""
    total = 0
    for text in texts:
        for markup in (False, True):
            ours = tokens.encode(text, markup=markup)
            assert ours == engine(text, markup), (text, markup)
            total += len(ours)
    return total


@pytest.mark.model
def test_ten_thousand_lines_give_the_same_tokens_as_llama_cpp(words, llama_tokens):
    from llmos.models.catalog import embedded

    tokens = BytePairTokens(words.tokens, words.kinds, words.pre, words.merges)
    assert same(llama_tokens(embedded()), tokens, lines(10_000)) > 500_000


@pytest.mark.model
@pytest.mark.parametrize("pre", sorted(PATTERNS))
def test_each_pre_tokenizer_splits_as_llama_cpp_does(pre, words, llama_tokens, tmp_path):
    """With the embedded model's vocabulary; its digits stand alone, so that numbers show, some must merge."""
    tokens, kinds = [*words.tokens, "12", "123", "1234"], [*words.kinds, 1, 1, 1]
    merges = [*words.merges, "1 2", "12 3", "123 4"]
    engine = llama_tokens(vocabulary_file(tokens, kinds, merges, pre, tmp_path / "vocabulary.gguf"))
    ours = BytePairTokens(tokens, kinds, pre, merges)
    same(engine, ours, lines(1_500, seed=13))
    same(engine, ours, ("1234567 12 123'S 1234\r\n\r\n12345", "'Re12 'vE1234x  12   123  x1234  "))


@pytest.mark.model
@pytest.mark.parametrize("pre", sorted(PATTERNS))
def test_characters_are_of_the_same_class_as_for_llama_cpp(pre, llama_tokens, tmp_path):
    """With a vocabulary in which what meets within a piece merges, so that each border between pieces shows."""
    letter = {byte: letter for letter, byte in module._LETTERS.items()}
    pairs = [(chr(first), letter[byte]) for first in b"a1!" for byte in range(0x21, 0xF5)]
    pairs += [(letter[byte], "a") for byte in [*b"stmdrevlSTMDREVL", *range(0x80, 0xC0)]]
    tokens = [letter[byte] for byte in range(256)] + [left + right for left, right in pairs]
    merges = [f"{left} {right}" for left, right in pairs]
    kinds = [1] * len(tokens)
    engine = llama_tokens(vocabulary_file(tokens, kinds, merges, pre, tmp_path / "vocabulary.gguf"))
    ours = BytePairTokens(tokens, kinds, pre, merges)
    # New in Unicode 16, the first in 15.1; then characters of all planes.
    drawn = "\U0002ebf0\u1c89\ua7cb\U000105c0\U00010d40\U00013460\U0001e5f1" + letters(random.Random(14), 5_000)
    same(engine, ours, (f"a{c}1{c}!{c}\n \n {c}" for c in drawn))
    endings = [a + b for a in ["", *"rvlRVL"] for b in "stmdelSTMDELſK"]
    same(engine, ours, (f"x'{ending}a" for ending in endings))


def vocabulary_file(tokens, kinds, merges, pre, path):
    """A model that is nothing but a vocabulary."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    for key in ("context_length", "embedding_length", "block_count", "feed_forward_length", "head_count"):
        getattr(writer, f"add_{key}")(64)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path
