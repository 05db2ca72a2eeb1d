import numpy as np
import pytest
from llmos.apps.recommend.app import Recommend
from llmos.apps.recommend.ease import Ease
from llmos.apps.recommend.rank import Ranker
from llmos.apps.recommend.reasons import reasons
from llmos.apps.recommend.table import Item, Ratings, read_items, read_ratings
from llmos.syscalls.api import BadInput, NotFound

ITEMS = """id,title,category,tags,about
a,Apple pie,cakes,"sweet, warm","A pie with apples, as it should be baked in every house in autumn."
b,Banana bread,cakes,sweet,
c,Carrot soup,soups,warm,
d,Dill soup,soups,warm,
n,New soup,soups,warm,
"""
# Everybody who likes a cake likes the other cake, and so with the soups.
RATINGS = "user,item,rating\n" + "".join(
    f"{user},{item},{rating}\n"
    for user in range(6)
    for item, rating in (("a", 5), ("b", 5), ("c", 1)) + ((("d", 1),) if user else ())
) + "".join(f"s{user},{item},5\n" for user in range(4) for item in "cd") + "me,c,5\nme,a,1\n"  # fmt: skip


def tables():
    return read_items("items.csv", ITEMS), read_ratings("ratings.csv", RATINGS)


@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
def test_ease_is_its_closed_form(shape):
    random = np.random.default_rng(0)
    ratings = (random.random(shape) < 0.3) * random.normal(size=shape)
    inverse = np.linalg.inv(ratings.T @ ratings + 5 * np.eye(shape[1]))
    weights = np.eye(shape[1]) - inverse / np.diag(inverse)
    model = Ease(ratings, 5)
    assert np.allclose(np.diag(weights), 0)
    assert np.allclose(model.scores(ratings[3]), ratings[3] @ weights)
    assert np.allclose(model.pull(4), weights[:, 4])


def test_items_have_tags_and_a_text():
    items, _ = tables()
    assert items["a"].tags == ("cakes", "sweet", "warm")
    assert "autumn" in items["a"].text


def test_ids_may_be_named_as_others_name_them():
    ratings = read_ratings("r.csv", "\ufeffuserId,item_id,Rating,when\n1,a,3,now\n1,a,4,now\n")
    assert ratings.users == {"1": {"a": 4.0}}


def test_tables_may_name_what_they_are_about():
    assert list(read_items("m.csv", "movieId,title,genres\n7,Heat,Crime|Drama\n")) == ["7"]
    assert list(read_items("m.csv", "item_id,title\n7,Heat\n")) == ["7"]
    assert read_ratings("r.csv", "userId,movieId,rating,timestamp\n1,7,3,9\n").users == {"1": {"7": 3.0}}


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_items, "", "lacks the columns id, title"),
        (read_items, "id,name\n1,x\n", "lacks the column title"),
        (read_items, "imdbId,tmdbId,title\n1,2,x\n", "lacks the column id"),
        (read_items, "id,title\n", "holds no items"),
        (read_items, "id,title\n1,x\n\n1,y\n", "line 4: the id '1' stands twice"),
        (read_items, "id,title\n1,\n", "line 2: id or title is empty"),
        (read_items, "id,title\n1\n", "line 2: 1 values for 2 columns"),
        (read_items, 'id,title\n1,"x\n', "line 2: unexpected end of data"),
        (read_ratings, "user,rating\n1,2\n", "lacks the column item"),
        (read_ratings, "user,item,rating\n1,a,5\n1,b,five\n", "line 3: 'five' is no rating"),
        (read_ratings, "user,item,rating\n1,a,nan\n", "line 2: 'nan' is no rating"),
        (read_ratings, "user,item,rating\n,a,1\n", "line 2: user or item is empty"),
        (read_ratings, "user,item,rating\n", "holds no ratings"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(read, text, message):
    with pytest.raises(BadInput, match=message):
        read("t.csv", text)


def test_weights_run_from_dislike_to_like():
    ratings = Ratings({}, 1, 5)
    assert [ratings.weight(r) for r in (1, 3, 5)] == [-1, 0, 1]
    assert Ratings({}, 1, 1).weight(1) == 1


def rank(user, likes=(), k=10):
    ranker = Ranker(*tables())
    taste, known = ranker.taste(user, list(likes)), ranker.known(user, list(likes))
    wanted = ranker.wanted(ranker.base(taste), known, 100)
    texts = dict(zip(wanted, np.eye(26)[: len(wanted)], strict=True))
    return ranker, taste, ranker.rank(taste, known, texts, k)


def test_who_likes_one_soup_gets_the_other():
    ranker, _, picks = rank("me")
    assert next(ranker.items[p.item].id for p in picks) == "d"


def test_what_a_user_rated_is_never_proposed():
    ranker, _, picks = rank("me")
    assert {ranker.items[p.item].id for p in picks} == {"b", "d", "n"}
    assert [p.new for p in picks if ranker.items[p.item].id == "n"] == [True]


def test_somebody_new_is_served_from_what_they_like():
    ranker, _, picks = rank("", ["a"], k=1)
    assert [ranker.items[p.item].id for p in picks] == ["b"]


def test_a_new_item_is_scored_like_those_that_resemble_it():
    ranker = Ranker(*tables())
    taste = ranker.taste("me", [])
    for like in ("a", "d"):
        vectors = dict(enumerate(np.eye(5)))
        vectors[ranker.place["n"]] = vectors[ranker.place[like]]
        scores = {ranker.items[p.item].id: p.score for p in ranker.rank(taste, set(), vectors, 5)}
        assert (scores["n"] > 0) == (like == "d")


@pytest.mark.parametrize("k", [1, 5, 10])
def test_who_rated_nearly_all_is_not_served_from_what_nobody_rated(k):
    items = {key: Item(key, key) for key in map(str, range(60))}  # the last 20 are new
    random = np.random.default_rng(3)
    users = {f"u{n}": {str(at): 5.0 for at in random.choice(40, 12, replace=False)} for n in range(30)}
    users["me"] = {str(at): 5.0 for at in range(36)}
    ranker = Ranker(items, Ratings(users, 1, 5))
    taste, known = ranker.taste("me", []), ranker.known("me", [])
    # Each new item is the very image of the user's favourites, and unlike what is left.
    texts = {at: np.eye(5)[at - 35 if 36 <= at < 40 else 0] for at in range(60)}
    picks = ranker.rank(taste, known, texts, k)
    assert not any(pick.new for pick in picks[:4])
    assert len(picks) == k


def test_new_items_are_a_small_part_of_a_list_and_fill_it_up():
    items = {key: Item(key, key) for key in map(str, range(30))}
    others = {f"u{n}": {str(at): 1.0 for at in range(20)} for n in range(9)}  # whose dislike pulls all below the new
    ranker = Ranker(items, Ratings({"me": {"0": 1.0, "1": 3.0}, **others}, 1, 5))
    taste = ranker.taste("me", [])
    texts = dict(enumerate(np.eye(30)))
    assert sum(pick.new for pick in ranker.rank(taste, {0, 1}, texts, 10)) <= 2
    everything = ranker.rank(taste, {0, 1}, texts, 100)
    assert len(everything) == 28
    assert sum(pick.new for pick in everything) == 10


def test_reasons_are_true():
    ranker, taste, picks = rank("me")
    [soup] = [p for p in picks if ranker.items[p.item].id == "d"]
    company, likeness = reasons(ranker, soup, taste)
    assert company == "You liked Carrot soup, and 4 of the 5 people who liked it liked this too."
    assert likeness == "It shares soups and warm with Carrot soup, which you liked."


def test_an_item_without_a_link_to_the_user_has_a_plain_reason():
    ranker, _, picks = rank("nobody")
    [new] = [p for p in picks if p.new]
    assert reasons(ranker, new, np.zeros(5)) == ["It is new: nobody has rated it yet."]


async def run(sys, world, **args):
    world.files = {"in/items.csv": ITEMS, "in/ratings.csv": RATINGS}
    return await Recommend().main(sys, Recommend.Args(items="in/items.csv", ratings="in/ratings.csv", **args))


async def test_the_app_proposes_and_says_why(sys, world):
    result = await run(sys, world, user="me", k=2)
    assert next(p.id for p in result.proposals) == "d"
    assert [p.rank for p in result.proposals] == [1, 2]
    assert result.proposals[0].reason.startswith("You liked Carrot soup")
    assert "Dill soup" in Recommend().show(result)


async def test_a_user_who_knows_everything_gets_nothing(sys, world):
    result = await run(sys, world, user="0", likes=["d", "n"])
    assert result.proposals == []
    assert "Nothing is left" in Recommend().show(result)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"user": "ghost"}, "no ratings by the user 'ghost' .*such as 0, 1, 2"),
        ({"likes": ["zzz"]}, "no item with the id 'zzz'"),
    ],
)
async def test_who_is_not_there_is_not_found(sys, world, args, message):
    with pytest.raises(NotFound, match=message):
        await run(sys, world, **args)


async def test_somebody_must_be_named(sys, world):
    with pytest.raises(BadInput, match="nobody to propose for"):
        await run(sys, world)
