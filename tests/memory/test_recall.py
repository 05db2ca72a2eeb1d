import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmos.memory import checks, embedders, searching, turns
from llmos.memory import remembering as module
from llmos.memory.clusters import ClusterIndex
from llmos.memory.database import Database
from llmos.memory.embedder import StaticEmbedder
from llmos.memory.embedders import active_name
from llmos.memory.faults import BadPath, DamagedRow, Full
from llmos.memory.keywords import Keywords
from llmos.memory.recall import Passage, Recall
from llmos.memory.vectors import IndexBroken
from llmos.memory.words import TOKENIZE

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


def damage(database, table, change, row):
    """Change a row as a disk would: its checksum stays as it was."""
    with database.transaction() as connection:
        ((kept,),) = connection.execute(f"SELECT digest FROM {table} WHERE {row}").fetchall()
        connection.create_function("digest", -1, lambda *_: kept, deterministic=True)
        connection.execute(f"UPDATE {table} SET {change} WHERE {row}")
        checks.install(connection)


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
    recall.sync()
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


def test_many_are_remembered_step_by_step_and_seen_at_once(recall, monkeypatch):
    counted = []
    monkeypatch.setattr(module, "STEP", 2)
    monkeypatch.setattr(turns.time, "sleep", lambda _: counted.append(elsewhere(lambda: recall.count(**ANN))))
    handles = recall.remember([Passage(f"passage {n}") for n in range(9)], **ANN)
    assert counted == [0] * 4
    assert recall.forget([*handles[:3], handles[0]], collection="default", **ANN) == 9
    assert recall.count(**ANN) == 0


def test_nothing_is_left_of_what_was_forgotten_or_never_became_so(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STEP", 2)
    database = Database(tmp_path / "memory.db")
    recall = Recall(database, Letters())
    recall.remember([Passage(f"passage {n}", tags=("t",)) for n in range(9)], **ANN)
    recall.remembering([Passage(f"another {n}") for n in range(9)], **ANN)  # and the program dies before it is written
    recall.forget(["default/x"], collection="default", **ANN)
    recall.close()
    again = Recall(database, Letters())
    again.sync()
    for table in ("passages", "vectors", "passage_tags", "passage_terms"):
        assert database.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
    assert not again.check()
    assert database.rows("SELECT count(*) FROM collections") == [(0,)]
    again.close()
    database.close()


def test_what_is_remembered_while_a_collection_is_forgotten_stays(recall, database):
    recall.remember(ARTICLES[:2], **ANN)
    one, other = (recall.forgetting(collection="default", **ANN) for _ in range(2))
    single = recall.forgetting(["default/returns"], **ANN)
    assert (one.count, other.count, single.count) == (2, 0, 0)
    recall.remember(ARTICLES[2:], **ANN)
    for change in (one, other, single):
        with database.transaction() as connection:
            change.write(connection)
        recall.settled(change)
    recall.sync()
    assert sorted(keys(recall.search("nine", k=9, collection=None, **ANN))) == ["hours"]
    assert recall.count(**ANN) == 2
    assert not recall.check()


def test_passages_outlive_the_program_and_another_embedder_embeds_them_anew(tmp_path):
    for name in ("letters", "other", "other"):
        database = Database(tmp_path / "memory.db")
        recall = Recall(database, Letters(name))
        if name == "letters":
            recall.remember(ARTICLES, **ANN)
        recall.sync()
        assert recall.search("when do the shops open?", **ANN)[0].why.vector == 1
        assert active_name(database) == name
        recall.close()
        database.close()
    assert recall.embedder.embedded == [" when do the shops open?"]


def test_another_embedder_takes_over_when_it_has_been_through_everything(recall, database, monkeypatch):
    recall.remember(ARTICLES, **ANN)
    other, seen = Letters("other"), []
    embed = other.embed

    def meanwhile(texts):
        if not seen:
            seen.append(elsewhere(lambda: recall.search("shoes returned", **ANN)[0].key))
            elsewhere(lambda: recall.remember([Passage("a kettle", key="kettle")], **ANN))
            seen.append((recall.embedder.name, active_name(database)))
        return embed(texts)

    monkeypatch.setattr(other, "embed", meanwhile)
    recall.use(other)
    recall.sync()
    assert seen == ["returns", ("letters", "letters")]
    assert (recall.embedder.name, active_name(database)) == ("other", "other")
    assert recall.search("a kettle", **ANN)[0].why.vector == 1
    assert database.rows("SELECT embedder, count(*) FROM vectors GROUP BY embedder") == [(1, 5), (2, 5)]
    with pytest.raises(BadPath, match="in use"):
        recall.drop("other")
    recall.drop("letters")
    assert database.rows("SELECT embedder, count(*) FROM vectors GROUP BY embedder") == [(2, 5)]
    assert not recall.check()


def test_a_change_of_embedder_goes_on_after_a_crash(tmp_path, monkeypatch):
    monkeypatch.setattr(embedders, "STEP", 2)
    database = Database(tmp_path / "memory.db")
    recall = Recall(database, Letters())
    recall.remember([Passage(f"passage {n}") for n in range(9)], **ANN)

    class Dying(Letters):
        def embed(self, texts):
            if len(self.embedded) >= 4:
                raise Full("no room")
            return super().embed(texts)

    recall.use(Dying("other"))
    with pytest.raises(Full):
        recall.sync()
    recall.close()
    other = Letters("other")
    again = Recall(database, Letters(active_name(database)))
    again.use(other)
    again.sync()
    assert again.embedder is other
    assert len(other.embedded) == 5
    again.close()
    database.close()


def test_a_large_collection_is_searched_through_its_index_with_the_same_result(tmp_path, recall):
    database = Database(tmp_path / "large.db")
    asked = []

    def factory():
        index = ClusterIndex(tmp_path / "index")
        search = index.search
        index.search = lambda *arguments: asked.append(arguments) or search(*arguments)
        asked.append("opened")
        return index

    large = Recall(database, Letters(), factory, index_from=100, clock=lambda: 12.0)
    words = np.random.default_rng(3).integers(97, 123, (300, 6)).astype(np.uint8)
    passages = [
        Passage(w.tobytes().decode(), key=f"k{n}", tags=("odd" if n % 2 else "even",)) for n, w in enumerate(words)
    ]
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
        assert large.search(query, tags=["even"], **ANN) == recall.search(query, tags=["even"], **ANN) != []
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


def test_an_index_that_breaks_is_made_anew_and_no_search_fails(tmp_path, recall, monkeypatch):
    database = Database(tmp_path / "large.db")
    index = ClusterIndex(tmp_path / "index")
    large = Recall(database, Letters(), lambda: index, index_from=3, clock=lambda: 12.0)
    for made in (recall, large):
        made.remember(ARTICLES, **ANN)
    large.sync()
    search = index.search
    breaking = iter([True, False, False])

    def flaky(*arguments):
        if next(breaking):
            raise IndexBroken("no")
        return search(*arguments)

    monkeypatch.setattr(index, "search", flaky)
    for _ in range(3):
        assert large.search("shoes", **ANN) == recall.search("shoes", **ANN)
        large.sync()
    assert next(breaking, None) is None
    large.close()
    database.close()


def test_collections_are_searched_together_and_time_is_a_filter(database):
    now = iter(range(100))
    recall = Recall(database, Letters(), clock=lambda: float(next(now)))
    for n, article in enumerate(ARTICLES):
        recall.remember([article], collection=f"c{n}", **ANN)
    hits = recall.search("nine", k=9, collection=None, **ANN)
    assert {(hit.handle, hit.collection) for hit in hits} >= {("c1/express", "c1"), ("c2/hours", "c2")}
    assert {hit.key for hit in recall.search("nine", k=9, collection=None, since=1, until=2, **ANN)} == {"express"}
    assert {hit.key for hit in recall.search("nine", k=9, collection=None, since=2, **ANN)} == {"hours"}
    assert recall.search("nine", collection=None, until=0, **ANN) == []
    assert keys(recall.search("shoes", collection=None, any_tags=["money", "x"], **ANN)) == ["returns"]
    assert recall.collections(**ANN) == {"c0": 1, "c1": 1, "c2": 1, "c3": 1}
    recall.close()


def test_a_broad_filter_gives_what_a_narrow_one_gives(recall, monkeypatch):
    words = np.random.default_rng(5).integers(97, 123, (200, 6)).astype(np.uint8)
    recall.remember([Passage(w.tobytes().decode(), tags=(f"t{n % 3}",)) for n, w in enumerate(words)], **ANN)
    asked = [{"tags": ["t1"]}, {"any_tags": ["t0", "t2"]}, {"labels": ["untrusted"]}]
    few = [recall.search("tuvwxyz", k=20, **ask, **ANN) for ask in asked]
    monkeypatch.setattr(searching, "FEW", 3)
    assert [recall.search("tuvwxyz", k=20, **ask, **ANN) for ask in asked] == few
    assert [len(hits) for hits in few] == [20, 20, 20]


def test_diversity_lets_what_repeats_give_way(recall):
    same = [Passage(f"shoes may be returned within thirty days{'!' * n}", source="a.md") for n in range(5)]
    recall.remember([*same, Passage("returned parcels with shoes cost nine pounds", source="b.md")], **ANN)
    asked = {"query": "shoes returned within days", "k": 2, **ANN}
    assert [hit.source for hit in recall.search(**asked, diversity=0)] == ["a.md", "a.md"]
    assert [hit.source for hit in recall.search(**asked, diversity=0.9)] == ["a.md", "b.md"]
    assert len(recall.search(**{**asked, "k": 9}, diversity=1)) == 6


@pytest.mark.parametrize(
    ("table", "change", "row", "wrong"),
    [("passages", "text = 'other'", "key = 'returns'", "passage 1 is damaged"),
     ("vectors", "vector = zeroblob(104)", "passage = 1", "the vector of passage 1 by embedder 1 is damaged"),
     ("collections", "words = 7", "id = 1", "collections 1 is damaged")],
)  # fmt: skip
def test_a_damaged_row_is_never_an_answer(recall, database, table, change, row, wrong):
    recall.remember(ARTICLES, **ANN)
    right = recall.search("shoes", **ANN)
    damage(database, table, change, row)
    assert wrong in recall.check()
    try:
        found = recall.search("shoes", **ANN)
    except DamagedRow:
        found = []
    assert [hit.text for hit in found if hit.key == "returns"] in ([], [right[0].text])
    if table == "passages":
        with pytest.raises(DamagedRow):
            recall.get("default/returns", **ANN)
        recall.remember(ARTICLES[:1], **ANN)
        assert recall.get("default/returns", **ANN).text == ARTICLES[0].text


def test_words_vectors_and_index_are_made_anew_by_one_command(tmp_path):
    database = Database(tmp_path / "memory.db")
    recall = Recall(database, Letters(), lambda: ClusterIndex(tmp_path / "index"), index_from=3, clock=lambda: 12.0)
    recall.remember(ARTICLES, **ANN)
    recall.sync()
    right = [recall.search(query, **ANN) for query in ("shoes", "退货", "nine")]
    database.run("DELETE FROM passage_tags")
    database.run("DELETE FROM vectors WHERE passage = 2")
    words = ("delete", 1, "Returns", "Shoes may be returned within thirty days.")
    database.run("INSERT INTO passage_words (passage_words, rowid, title, text) VALUES (?, ?, ?, ?)", words)
    wrong = recall.check()
    assert {"passage 2 has no vector", "the words of passage 1 are not as stored"} < set(wrong)
    told = []
    recall.rebuild(told.append)
    assert told[-1].done <= told[-1].total
    assert not recall.check()
    assert [recall.search(query, **ANN) for query in ("shoes", "退货", "nine")] == right
    assert keys(recall.search("shoes", tags=["money"], **ANN)) == ["returns"]
    recall.close()
    database.close()


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
