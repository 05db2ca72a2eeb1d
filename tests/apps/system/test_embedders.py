"""Choosing what makes the vectors, from the command line to a search."""

import asyncio
import json

import gguf
import numpy as np
import pytest
from llmos.apps.system.boot import boot
from llmos.apps.system.embedders import chosen_embedder, shipped, vectors_of
from llmos.apps.system.main import run
from llmos.memory.recall import Passage
from llmos.models.catalog import SHIPPED, Catalog
from llmos.models.embedding import GGUFEmbedder
from llmos.models.scripted import ScriptedEngine

pytestmark = pytest.mark.programs

WIDTH = 32
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def small(tmp_path):
    """An embedding model of one layer that knows letters."""
    random = np.random.default_rng(7)
    writer = gguf.GGUFWriter(tmp_path / "small.gguf", "bert")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(WIDTH)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_token_type_count(2)
    writer.add_tokenizer_model("bert")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"\u2581{letter}" for letter in LETTERS)]
    writer.add_token_list(tokens)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_unk_token_id(1)
    shapes = {"token_embd": len(tokens), "position_embd": 64, "token_types": 2}
    shapes |= {f"blk.0.{name}": WIDTH for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down")}
    for name, rows in shapes.items():
        writer.add_tensor(f"{name}.weight", random.standard_normal((rows, WIDTH), np.float32))
    for name in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "small.gguf"


@pytest.fixture
def llmos(home, monkeypatch, capfd):
    monkeypatch.setenv("LLMOS_HOME", str(home.root))

    def call(*words):
        code = run([str(word) for word in words])
        told = capfd.readouterr()
        return code, told.out, told.err

    return call


def listed(llmos):
    return [json.loads(line) for line in llmos("memory", "embedder", "list", "--json")[1].splitlines()]


def test_an_embedder_is_added_and_chosen(llmos, small, home):
    assert [row["in_use"] for row in listed(llmos)] == [True]
    assert "llmos memory embedder use small" in llmos("model", "add", small)[1]
    assert llmos("memory", "embedder", "use", "small")[0] == 0
    first, second = listed(llmos)
    assert (first["name"], first["in_use"], first["dimensions"]) == (SHIPPED, False, 256)
    assert (second["name"], second["in_use"], second["dimensions"], second["tokens"]) == ("small", True, WIDTH, 64)
    with chosen_embedder(home.root) as embedder:
        assert isinstance(embedder, GGUFEmbedder)
        assert embedder.name == second["vectors"] == vectors_of(Catalog(home.root).get("small"))
    assert "* small" in llmos("memory", "embedder", "list")[1].replace("  ", " ")
    assert llmos("memory", "embedder", "use", SHIPPED)[0] == 0
    with chosen_embedder(home.root) as embedder:
        assert embedder is shipped()


def test_what_cannot_be_chosen(llmos, small):
    assert llmos("model", "add", small)[0] == 0
    code, _, told = llmos("memory", "embedder", "use", "smollm2-135m")
    assert code != 0
    assert "writes text" in told
    assert llmos("memory", "embedder", "use", "nothing")[0] != 0
    assert llmos("memory", "embedder", "use", "small")[0] == 0
    data = bytearray(small.read_bytes())
    data[-4 * WIDTH :] = b"\xff" * 4 * WIDTH
    small.write_bytes(data)
    assert llmos("memory", "embedder", "use", "small")[0] != 0
    small.unlink()
    code, _, told = llmos("memory", "embedder", "list")
    assert code == 0
    code, _, told = llmos("--model", "scripted", "app", "run", "chat", "hello")
    assert code != 0
    assert "embedder use shipped" in told


async def test_memory_is_searched_by_the_one_before_until_the_chosen_one_is_ready(llmos, small, home):
    passages = [Passage("the parcel is late", key="late"), Passage("shoes", key="shoes")]
    place = {"owner": "ann", "app": "chat"}
    async with boot(home, engine=ScriptedEngine()) as running:
        running.machine.parts.recall.remember(passages, **place)
    assert llmos("model", "add", small)[0] == llmos("memory", "embedder", "use", "small")[0] == 0
    for chosen in ("small", SHIPPED):
        assert llmos("memory", "embedder", "use", chosen)[0] == 0
        async with boot(home, engine=ScriptedEngine()) as running:
            recall = running.machine.parts.recall
            assert recall.search("lateness of a package", **place)[0].why.vector is not None  # no word is the same
            while recall.embedder is not running.machine.parts.embedder:
                await asyncio.sleep(0.01)
            hit = recall.search("parcel", **place)[0]
            vector, query = recall.embedder.embed(["the parcel is late", "parcel"])
            assert (hit.key, recall.embedder.name) == ("late", running.machine.parts.embedder.name)
            assert hit.why.similarity == pytest.approx(float(vector @ query), abs=1e-6)
