import pytest
from llmos.apps.system.embedders import shipped
from llmos.memory.context import Context
from llmos.memory.pageindex import PageIndex
from llmos.memory.pages import Kind, Page, PageStore


def measure(messages) -> int:
    return 2 + sum(3 + len(text) for _, text in messages)


@pytest.fixture(scope="module")
def embedder():
    return shipped()


@pytest.fixture
def index(database, embedder):
    found = PageIndex(database, embedder)
    yield found
    found.close()


def put_out(database, pid, texts):
    """A context of which all these pages are out."""
    context = Context(40_000, measure, PageStore(database, pid))
    for text in texts:
        context.add("user", text)
    context.window_for(39_990)
    write = context.changes()
    with database.transaction() as connection:
        write(connection)
    assert context.out == len(texts)
    return context


FACTS = [
    "My sister Ada has moved to Lisbon last spring.",
    "The boiler in the cellar was repaired for 200 euros. It works again.",
    "We went for a long walk. It rained. The code for the gate is 4711. Then we had soup.",
    "I would like to learn how to bake bread with rye.",
]


def test_by_words_by_meaning_and_by_a_sentence_amid_others(database, index):
    put_out(database, 1, FACTS)
    assert index.search(1, "Where does Ada live now?", 1) == ["p1"]
    assert index.search(1, "How expensive was fixing the heating?", 1) == ["p2"]
    assert index.search(1, "Which number opens the gate?", 1) == ["p3"]
    assert index.search(1, "baking loaves", 1) == ["p4"]


def test_what_is_skipped_or_dropped_is_not_found_and_another_takes_its_place(database, index):
    context = put_out(database, 1, FACTS)
    assert index.search(1, "Ada and the boiler", 1, skip={"p1"}) == ["p2"]
    context.drop("p2")
    write = context.changes()
    with database.transaction() as connection:
        write(connection)
    assert index.search(1, "Ada and the boiler", 4, skip={"p1"}) == []
    assert database.one("SELECT count(DISTINCT page) FROM page_terms") == (3,)


def test_what_left_since_is_found_too(database, index):
    context = put_out(database, 1, FACTS[:1])
    assert index.search(1, "bread", 3) == []
    context.add("user", FACTS[3])
    context.window_for(39_990)
    with database.transaction() as connection:
        context.changes()(connection)
    assert index.search(1, "bread", 3) == ["p2"]


def test_pages_of_others_neither_show_nor_count(database, index):
    put_out(database, 1, FACTS)
    alone = index.search(1, "the code for the boiler", 4)
    put_out(database, 2, [f"The code for the boiler is {n}." for n in range(30)])
    assert index.search(1, "the code for the boiler", 4) == alone
    assert index.search(3, "the code for the boiler", 4) == []


def test_an_embedder_that_changed_makes_its_vectors_anew(database, index, embedder):
    class Other:
        name, dim, embed = "another", embedder.dim, embedder.embed

    put_out(database, 1, FACTS)
    before = index.search(1, "Where does Ada live now?", 2)
    other = PageIndex(database, Other())
    assert other.search(1, "Where does Ada live now?", 2) == before
    assert database.rows("SELECT DISTINCT embedder FROM page_vectors") == [("another",)]
    other.close()


@pytest.mark.parametrize("query", ["", "   ", "the of and", '"', "* NEAR (", "\ud800", "中文 查询", "x" * 100_000])
def test_any_text_is_a_query(database, index, query):
    put_out(database, 1, FACTS)
    assert set(index.search(1, query, 3)) <= {"p1", "p2", "p3", "p4"}


def test_thousands_of_pages(database, index):
    texts = [f"The shelf {n} holds box {n * 7} with old letters." for n in range(3000)] + FACTS
    PageStore(database, 1).put(
        Page(f"p{n}", "user", Kind.DIALOGUE, text, 1, n, resident=False) for n, text in enumerate(texts, 1)
    )
    assert index.search(1, "Where does Ada live now?", 3)[0] == "p3001"
    assert index.search(1, "What stands on shelf 1234?", 1) == ["p1235"]
