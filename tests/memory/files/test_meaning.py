"""Files found by name, tag, words and meaning; the index follows the tree whatever happened in between."""

import threading
from contextlib import suppress
from itertools import product

import pytest
from llmos.apps.system.embedders import SHIPPED
from llmos.memory.embedder import StaticEmbedder
from llmos.memory.files import FileTree, find, forget_deleted
from llmos.memory.files.passages import APP, passages
from llmos.memory.recall import Recall


class Counting(StaticEmbedder):
    """The shipped embedder; counts the texts."""

    texts = 0

    def embed(self, texts):
        Counting.texts += len(texts)
        return super().embed(texts)


@pytest.fixture
def embedder():
    Counting.texts = 0
    return Counting(SHIPPED)


@pytest.fixture
def recall(database, embedder):
    found = Recall(database, embedder)
    yield found
    found.close()


@pytest.fixture
def ask(tree, recall):
    return lambda query, of=tree, **more: [found.path for found in find(of, recall, query, **more)]


@pytest.fixture
def tree(tree):
    tree.write("q3/report.txt", b"This quarter many parcels arrived late, because the depot was flooded.")
    tree.write("hats.md", b"# Hats\n\nHats are made of felt and straw.\n")
    tree.write("returns.md", b"# Returns\n\nShoes may be sent back within thirty days; refunds take a week.\n")
    tree.write("blob.bin", bytes(range(256)))
    return tree


def test_files_are_found_by_words_meaning_and_name(tree, recall, ask):
    assert ask("the report about the late parcels")[0] == "q3/report.txt"
    assert ask("packages that were delayed")[0] == "q3/report.txt"
    assert ask("money back")[0] == "returns.md"
    assert ask("blob")[0] == "blob.bin"
    assert ask("quux zyzzy") == []
    (best, *_) = find(tree, recall, "refunds")
    assert (best.line, best.text.splitlines()[0]) == (1, "# Returns")
    assert best.words > 0


def test_tags_and_folders_narrow_the_search(tree, ask):
    tree.tag("hats.md", ["shop", "old"])
    tree.tag("returns.md", ["shop"])
    assert ask("", tags=["shop"]) == ["hats.md", "returns.md"]
    assert ask("felt or shoes", tags=["old"]) == ["hats.md"]
    assert ask("felt or parcels", folder="q3/") == ["q3/report.txt"]
    assert ask("felt", k=1) == ["hats.md"]


def test_a_rename_embeds_nothing_anew_and_a_change_only_what_changed(tree, ask, embedder):
    ask("hats")
    before = Counting.texts
    tree.rename("q3", "2024")
    assert ask("late parcels")[0] == "2024/report.txt"
    assert Counting.texts == before + 1  # the query
    tree.append("hats.md", b"\n# Care\n\nKeep them dry.\n")
    assert ask("keep dry")[0] == "hats.md"
    assert Counting.texts == before + 3


def test_what_is_deleted_or_changed_is_not_found_by_what_it_was(tree, recall, ask):
    ask("felt")
    tree.delete("hats.md")
    tree.write("returns.md", b"Nothing may be sent back.")
    assert "hats.md" not in ask("felt straw hats")
    assert all(found.words == 0 for found in find(tree, recall, "thirty days shoes felt straw"))
    tree.rollback("hats.md", 1)
    assert ask("felt")[0] == "hats.md"


def test_what_is_deleted_can_be_forgotten_at_once(tree, recall, ask, database):
    ask("felt")
    tree.delete("hats.md")
    forget_deleted(tree, recall)
    assert recall.count(owner="ann", app=APP, collection=None) == 2
    assert database.one("SELECT count(*) FROM files_indexed") == (3,)
    tree.rollback("hats.md", 1)
    assert ask("felt")[0] == "hats.md"


def test_an_app_finds_only_its_own_and_the_owner_all(tree, ask):
    other = FileTree(tree.store, "ann", "bank")
    other.write("memo.txt", b"The late parcels are insured.")
    FileTree(tree.store, "bob", "shop").write("memo.txt", b"My late parcels.")
    mine = FileTree(tree.store, "ann")
    mine.write("own.txt", b"A note on late parcels.")
    assert ask("late parcels")[0] == "q3/report.txt"
    assert ask("late parcels", other) == ["memo.txt"]
    assert set(ask("late parcels", mine)) >= {"shop/q3/report.txt", "bank/memo.txt", "own.txt"}
    mine.rename("shop/q3/report.txt", "bank/report.txt")
    assert "q3/report.txt" not in ask("late parcels")
    assert set(ask("late parcels", other)) == {"memo.txt", "report.txt"}
    assert "bank/report.txt" in ask("late parcels", mine)


def test_a_search_that_was_cut_off_anywhere_is_made_good_by_the_next(tree, recall, ask, monkeypatch, database):
    ask("felt")
    words = b" ".join(b"w%d" % n for n in range(2000))
    for cut, between in product(range(5), (True, False)):
        for text in (b"straw " + words, b"Hats of felt, number %d %d" % (cut, between)):
            tree.write("hats.md", text)
            with monkeypatch.context() as broken, suppress(ZeroDivisionError):
                cut_after(broken, database, cut)
                ask("straw")
            if between or len(text) < 100:
                assert ask(text.decode()[:20])[0] == "hats.md"
        assert recall.count(owner="ann", app=APP, collection=None) == 3


def cut_after(broken, database, transactions):
    """This thread's next but ``transactions`` transaction of the database fails, as does each after it."""
    whole, left, me = database.transaction, [transactions], threading.get_ident()

    def counted():
        left[0] -= threading.get_ident() == me
        if left[0] < 0 and threading.get_ident() == me:
            raise ZeroDivisionError
        return whole()

    broken.setattr(database, "transaction", counted)


def test_passages_end_with_paragraphs_and_none_is_endless():
    text = "\n\n".join(f"# Part {n}\n\n" + "word " * 100 + "\n\n" + "more " * 100 for n in range(3))
    found = passages(1, text)
    assert [p.title for p in found] == ["Part 0", "Part 1", "Part 2"]
    assert [p.meta["line"] for p in found] == [1, 7, 13]
    assert all(len(p.text.split()) <= 320 for p in passages(1, "word " * 10_000 + "\n" + "x" * 100_000))
    assert "".join(p.text for p in passages(1, "x" * 100_000)).replace("\n", "") == "x" * 100_000
    assert passages(1, "\n \n") == []


def test_collections_are_those_of_no_app(tree, ask, database):
    ask("felt")
    assert database.rows("SELECT DISTINCT app FROM collections") == [(APP,)]
    assert "." in APP  # no app's name has one
