import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmos.memory import remembering as module
from llmos.memory.database import Database
from llmos.memory.embedder import StaticEmbedder
from llmos.memory.faults import BadPath
from llmos.memory.keywords import TOKENIZE, Keywords
from llmos.memory.recall import Passage, Recall
from llmos.memory.clusters import ClusterIndex
from llmos.memory.vectors import IndexBroken

SHIPPED = Path(__file__).parents[2] / "models" / "shipped"
ANN = {"owner": "ann", "app": "support"}
ARTICLES = [
    Passage("Shoes may be returned within thirty days.", key="returns", title="Returns", tags=("orders", "money")),
    Passage("Express parcels cost nine pounds.", key="express", title="Delivery", tags=("orders",), label="trusted"),
    Passage("Our shops open at nine in the morning.", key="hours", source="shops.md", meta={"page": 3}),
    Passage("我们在三十天内接受退货。", key="zh"),
]


class Letters:
    """An embedder that counts letters."""

    def __init__(self, name="letters"):
        self.name = name
        self.dim = 26
        self.embedded = []

    def embed(self, texts):
        self.embedded += texts
        counts = np.array([[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts], dtype=np.float32)
        counts = counts.reshape(-1, 26)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), np.float32(1))


@pytest.fixture
def database():
    opened = Database(Path(":memory:"))
    yield opened
    opened.close()


@pytest.fixture
def recall(database):
    made = Recall(database, Letters(), clock=lambda: 12.0)
    yield made
    made.close()


def keys(hits):
    return [hit.key for hit in hits]


def test_what_was_remembered_is_found_as_it_was(recall):
    handles = recall.remember(ARTICLES, **ANN)
    assert handles == ["default/returns", "default/express", "default/hours", "default/zh"]
    hit = recall.search("when do the shops open?", k=1, **ANN)[0]
    assert (hit.handle, hit.key, hit.text) == ("default/hours", "hours", "Our shops open at nine in the morning.")
    assert (hit.title, hit.source, hit.tags, hit.meta, hit.label) == ("", "shops.md", (), {"page": 3}, "untrusted")
    assert hit.created == 12.0
    assert 0 < hit.score <= 1
    assert (hit.why.keyword, hit.why.vector) == (1, 1)
    assert 0 < hit.why.similarity <= 1
    assert 0 < hit.why.coverage <= 1
    assert recall.get(hit.handle, **ANN).text == hit.text


def test_words_are_found_by_their_stem_and_in_chinese(recall):
    recall.remember(ARTICLES, **ANN)
    assert recall.search("RETURNING a shoe", **ANN)[0].key == "returns"
    assert recall.search("退货", **ANN)[0].key == "zh"
    assert recall.search("退货", **ANN)[0].why.keyword == 1


def test_the_shipped_embedder_finds_what_shares_no_word(database):
    recall = Recall(database, StaticEmbedder(SHIPPED / "embedder.npz"))
    recall.remember(ARTICLES, **ANN)
    hit = recall.search("sending footwear back", **ANN)[0]
    assert hit.key == "returns"
    assert hit.why.keyword is None
    assert hit.why.vector == 1
    recall.close()


def test_remembering_twice_changes_nothing_and_a_new_text_replaces_the_old(recall):
    first = recall.remember(ARTICLES, **ANN)
    embedded = len(recall.embedder.embedded)
    assert recall.remember(ARTICLES, **ANN) == first
    assert len(recall.embedder.embedded) == embedded
    assert recall.count(**ANN) == 4
    recall.remember([Passage("Shoes may be returned within a year.", key="returns")], **ANN)
    assert recall.count(**ANN) == 4
    assert recall.get("default/returns", **ANN).text == "Shoes may be returned within a year."
    assert recall.search("thirty", **ANN)[0].why.keyword is None


def test_without_a_key_the_same_text_is_the_same_passage(recall):
    one, two, three = recall.remember([Passage("same"), Passage("same"), Passage("other")], **ANN)
    assert one == two != three
    assert recall.count(**ANN) == 2


def test_owners_apps_and_collections_do_not_see_each_other(recall):
    recall.remember(ARTICLES, **ANN)
    before = recall.search("when may shoes be returned", **ANN)
    for place in ({"owner": "bob", "app": "support"}, {"owner": "ann", "app": "chat"}, {**ANN, "collection": "b"}):
        assert recall.search("shoes", **place) == []
        recall.remember([Passage(f"Shoes returned, number {n}", key=f"k{n}") for n in range(50)], **place)
        assert {hit.key[0] for hit in recall.search("shoes", **place)} == {"k"}
    assert recall.get("default/returns", owner="bob", app="support") is None
    assert recall.forget(["default/returns"], owner="bob", app="support") == 0
    # Not even by the rarity of a word: scores are those of before.
    assert recall.search("when may shoes be returned", **ANN) == before


def test_filters_apply_before_the_ranking(recall):
    recall.remember([Passage("returned shoes " * 9, key=f"noise{n:03}") for n in range(150)], **ANN)
    recall.remember(ARTICLES, **ANN)
    ask = "returned shoes"
    assert keys(recall.search(ask, tags=["money", "orders"], **ANN)) == ["returns"]
    assert set(keys(recall.search(ask, tags=["orders"], **ANN))) == {"returns", "express"}
    assert keys(recall.search(ask, label="trusted", **ANN)) == ["express"]
    assert keys(recall.search(ask, source="shops.md", **ANN)) == ["hours"]
    assert recall.search(ask, source="shops.md", tags=["orders"], **ANN) == []
    recall.remember([Passage("shoes", key="odd", tags=('"', "🙂"))], **ANN)
    assert keys(recall.search(ask, tags=['"', "🙂"], **ANN)) == ["odd"]


def test_equal_passages_are_ordered_by_key_whatever_came_first(recall):
    for order in ("cab", "bca"):
        recall.remember([Passage("the very same words", key=key) for key in order], collection=order, **ANN)
        hits = recall.search("same words", collection=order, **ANN)
        assert keys(hits) == ["a", "b", "c"]
        assert keys(recall.search("same words", collection=order, k=2, **ANN)) == ["a", "b"]
        assert len({hit.score for hit in hits}) == 1


@pytest.mark.parametrize(
    "query",
    ["", " ", '"', "'", "*", "shoes*", "NEAR(a b)", "AND OR NOT", "title:", "-shoes", "(", ")", "^shoes", "a:b:c",
     "{title text}:x", "; DROP TABLE passages", "\0", "a\0b", "\ud800", "🙂", "\u202eabc", "%s%n", "ａｂｃ",
     "x" * 9999],
)  # fmt: skip
def test_any_text_is_a_query_and_a_passage(recall, query):
    recall.remember(ARTICLES, **ANN)
    recall.search(query, **ANN)
    for _ in range(2):
        odd = Passage(query, key=f"k{query}", title=query, source=query, tags=(query,), meta={"q": query}, label=query)
        (handle,) = recall.remember([odd], **ANN)
    recall.search(query, source=query, label=query, tags=[query], **ANN)
    kept = recall.get(handle, **ANN)
    assert kept.text == kept.title == query.encode(errors="replace").decode()
    assert recall.forget([f"default/k{query}", query, f"{query}/k"], **ANN) == 1
    assert recall.count(**ANN) == 4


@given(st.text(max_size=40), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
@settings(max_examples=60, deadline=None)
def test_forgetting_leaves_no_trace_in_the_words(query, text):
    database = Database(Path(":memory:"))
    recall = Recall(database, Letters())
    handles = recall.remember([Passage(text, title=query), Passage("the return of the shoe", title=text)], **ANN)
    recall.search(query, **ANN)
    assert recall.forget(handles, **ANN) == len(set(handles))
    assert database.rows("SELECT * FROM passage_terms") == database.rows("SELECT * FROM vectors") == []
    recall.close()
    database.close()


def test_forget_takes_handles_or_a_collection(recall):
    handles = recall.remember(ARTICLES, **ANN)
    assert recall.forget([handles[0], handles[0], "default/nothing", "nowhere/x", "odd"], **ANN) == 1
    assert recall.get(handles[0], **ANN) is None
    assert recall.forget(collection="default", **ANN) == 3
    assert recall.count(**ANN) == 0
    assert recall.search("shoes", **ANN) == []
    assert recall.forget(collection="nowhere", **ANN) == 0
    with pytest.raises(BadPath, match="a/b"):
        recall.remember(ARTICLES, collection="a/b", **ANN)


def test_all_or_nothing_is_remembered(recall, monkeypatch):
    monkeypatch.setattr(recall.embedder, "embed", lambda texts: np.zeros((1, 26), dtype=np.float32))
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        recall.remember(ARTICLES, **ANN)
    assert recall.count(**ANN) == 0


def test_what_fails_while_it_is_written_leaves_what_was_there(recall, monkeypatch):
    recall.remember(ARTICLES[:1], **ANN)

    def full(*_):
        raise OSError("no room")

    monkeypatch.setattr(module, "write_vectors", full)
    with pytest.raises(OSError, match="no room"):
        recall.remember([Passage("Never.", key="returns"), *ARTICLES[1:]], **ANN)
    assert recall.count(**ANN) == 1
    assert recall.get("default/returns", **ANN).text == ARTICLES[0].text


def elsewhere(act):
    """What another thread gets from ``act``; it must not have to wait for this one."""
    got = []
    thread = threading.Thread(target=lambda: got.append(act()), daemon=True)
    thread.start()
    thread.join(5)
    assert got, "the other thread was kept waiting"
    return got[0]


def test_nobody_waits_for_the_embedding(recall, monkeypatch):
    embed, counted = recall.embedder.embed, []

    def embed_slowly(texts):
        counted.append(elsewhere(lambda: recall.count(**ANN)))
        return embed(texts)

    monkeypatch.setattr(recall.embedder, "embed", embed_slowly)
    recall.remember(ARTICLES, **ANN)
    assert counted[0] == 0
    assert recall.count(**ANN) == 4


def test_what_others_change_during_the_embedding_is_seen(recall, monkeypatch):
    recall.remember(ARTICLES[:2], **ANN)
    embed = recall.embedder.embed

    def meanwhile(texts):
        monkeypatch.setattr(recall.embedder, "embed", embed)
        elsewhere(lambda: recall.forget(["default/returns"], **ANN))
        elsewhere(lambda: recall.remember([Passage("other", key="express"), Passage("other", key="hours")], **ANN))
        return embed(texts)

    monkeypatch.setattr(recall.embedder, "embed", meanwhile)
    recall.remember(ARTICLES, **ANN)
    for passage in ARTICLES:
        assert recall.get(f"default/{passage.key}", **ANN).text == passage.text
        assert recall.search(passage.text, k=1, **ANN)[0].key == passage.key


def test_many_are_forgotten_step_by_step_and_others_get_their_turn(recall, monkeypatch):
    counted = []
    monkeypatch.setattr(module, "FORGET_STEP", 2)
    monkeypatch.setattr(module.time, "sleep", lambda _: counted.append(elsewhere(lambda: recall.count(**ANN))))
    handles = recall.remember([Passage(f"passage {n}") for n in range(9)], **ANN)
    assert recall.forget([*handles[:3], handles[0]], collection="default", **ANN) == 9
    assert counted == [7, 4, 2]
    assert recall.count(**ANN) == 0


def test_passages_outlive_the_program_and_another_embedder_embeds_them_anew(tmp_path):
    for name in ("letters", "other", "other"):
        database = Database(tmp_path / "memory.db")
        recall = Recall(database, Letters(name))
        if name == "letters":
            recall.remember(ARTICLES, **ANN)
        assert recall.search("when do the shops open?", **ANN)[0].why.vector == 1
        assert database.rows("SELECT DISTINCT embedder FROM vectors") == [(name,)]
        recall.close()
        database.close()
    assert recall.embedder.embedded == ["when do the shops open?"]


def test_a_large_collection_is_searched_through_chromadb_with_the_same_result(tmp_path, recall):
    database = Database(tmp_path / "large.db")
    asked = []

    def factory():
        index = chroma(tmp_path / "index")()
        search = index.search
        index.search = lambda *arguments: asked.append(arguments) or search(*arguments)
        asked.append("opened")
        return index

    large = Recall(database, Letters(), factory, index_from=100, clock=lambda: 12.0)
    words = np.random.default_rng(3).integers(97, 123, (300, 6)).astype(np.uint8)
    passages = [Passage(row.tobytes().decode(), key=f"k{n}") for n, row in enumerate(words)]
    for made in (recall, large):
        made.remember(passages[:99], **ANN)
        made.search("abcdef", **ANN)
    assert not asked
    for made in (recall, large):
        made.remember(passages[99:], **ANN)
        made.forget(["default/k7", "default/k150"], **ANN)
    large.sync()
    for query in ("abcdef", "tuvwxyz", passages[42].text):
        assert large.search(query, **ANN) == recall.search(query, **ANN)
    assert asked[0] == "opened"
    assert len(asked) == 1 + 3
    large.close()
    database.close()


def test_without_a_working_index_search_is_exact(database, recall):
    def broken():
        raise IndexBroken("no room")

    recall.remember(ARTICLES, **ANN)
    other = Recall(database, Letters(), broken, index_from=2, clock=lambda: 12.0)
    other.sync()
    for query in ("shoes", "opening hours"):
        assert other.search(query, **ANN) == recall.search(query, **ANN) != []
    other.close()


def test_threads_share_it(recall):
    def work(number):
        for n in range(10):
            recall.remember([Passage(f"passage {n} of thread {number}")], **ANN)
            assert recall.search(f"thread {number}", **ANN)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recall.count(**ANN) == 40
    assert keys(recall.search("", **ANN)) == []


def test_queries_are_split_as_the_index_is(database):
    ((sql,),) = database.rows("SELECT sql FROM sqlite_master WHERE name = 'passage_words'")
    assert f"tokenize = '{TOKENIZE}'" in sql
    words = Keywords(database)
    assert words.terms("The Returns of the RETURNED café") == ["cafe", "return"]
    assert words.terms("to be or not to be") == ["be", "not", "or", "to"]
    assert words.terms("接受退货 ok") == ["ok", "受退", "接受", "退货"]
    words.close()
