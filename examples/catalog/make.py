"""Write items.csv and ratings.csv: an invented bookshop and its invented readers.

    python make.py [FOLDER]        # the folder of this file, if none is given

The books are written by hand in books.toml; chance only puts them in order, prices them and chooses a closing
sentence. The ratings come from a small model of readers (see `rate`). The seed is fixed: every run writes the
same bytes.
"""

import csv
import math
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

SEED = 1887
USERS = 360
HISTORY = (5, 60)                   # fewest and most ratings of one reader
OPENING_DAY = 1_640_995_200         # 1 January 2022, in seconds since 1970
DAY = 86_400

# What draws a kind of reader: categories and tags. A reader is mostly of one kind, and partly of another.
READERS = {
    "armchair detective": "crime puzzle cosy",
    "night reader": "thriller crime dark fast",
    "dreamer": "fantasy epic war animals",
    "stargazer": "science-fiction space machines science",
    "time traveller": "historical-novel history war art",
    "romantic": "love-story love music cosy",
    "people watcher": "family-novel family slow growing-up",
    "joker": "humour funny village politics",
    "wanderer": "travel-and-adventure travel mountain sea",
    "naturalist": "nature-and-science nature science animals",
    "cook": "cooking food village",
    "parent": "young-readers growing-up friendship short",
}


@dataclass(frozen=True)
class Book:
    """One row of items.csv; `quality` (how good) and `fame` (how widely read) show in the ratings only."""

    id: str
    title: str
    category: str
    tags: tuple[str, ...]
    description: str
    price: str
    quality: float
    fame: float

    def draw(self, taste: dict[str, float]) -> float:
        """How much a reader of this taste is drawn to the book, 0 to about 5; the category counts double."""
        return 2 * taste.get(self.category.replace(" ", "-"), 0) + sum(taste.get(tag, 0) for tag in self.tags)


def read_books(rng: Random) -> list[Book]:
    """All the books of books.toml, shuffled so that an id says nothing of the category."""
    shelves = tomllib.loads(Path(__file__).with_name("books.toml").read_text("utf-8"))["shelf"]
    entries = [(shelf, book) for shelf in shelves for book in shelf["books"]]
    rng.shuffle(entries)
    books = []
    for number, (shelf, entry) in enumerate(entries, start=1):
        title, premise, tags = entry.split(" | ")
        low, high = shelf["price_eur"]
        books.append(Book(
            f"b{number:03}", title, shelf["category"], tuple(tags.split(", ")),
            description=f"{premise} {rng.choice(shelf['closings'])}",
            price=f"{rng.randint(low, high) - 0.1:.2f}",
            quality=rng.gauss(0, 0.35),
            fame=rng.gauss(0, 0.6),
        ))
    return books


def new_taste(rng: Random) -> dict[str, float]:
    """Weights of categories and tags: one kind of reader in full, a second in part."""
    taste: dict[str, float] = {}
    for kind, weight in zip(rng.sample(sorted(READERS), 2), (1.0, rng.uniform(0.2, 0.8)), strict=True):
        for word in READERS[kind].split():
            taste[word] = max(weight, taste.get(word, 0))
    return taste


def rate(rng: Random, books: list[Book], user: int) -> Iterable[tuple[int, str, float, int]]:
    """One reader's ratings, oldest first: (user, item, rating, seconds since 1970).

    Which books are read follows taste, fame and chance: the highest sums with Gumbel noise, which is a draw without
    replacement in proportion to exp(sum). How they are rated follows taste, quality, the reader's mildness and mood.
    """
    taste, mildness = new_taste(rng), rng.gauss(0, 0.3)
    count = max(HISTORY[0], min(HISTORY[1], round(rng.lognormvariate(2.6, 0.7))))
    chance = {book: -math.log(-math.log(rng.random())) for book in books}
    chosen = sorted(books, key=lambda book: -(book.draw(taste) + book.fame + chance[book]))[:count]
    rng.shuffle(chosen)
    when = OPENING_DAY + rng.randrange(2 * 365 * DAY)
    for book in chosen:
        liking = 2.9 + 0.45 * book.draw(taste) + book.quality + mildness + rng.gauss(0, 0.5)
        yield user, book.id, max(1.0, min(5.0, round(2 * liking) / 2)), when
        when += rng.randrange(3_600, 20 * DAY)


def write(path: Path, header: str, rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file with this header, in UTF-8, with line ends alike on every system."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(header.split(","))
        out.writerows(rows)


def main(folder: Path) -> None:
    """Write both files into the folder."""
    rng = Random(SEED)
    books = read_books(rng)
    write(folder / "items.csv", "id,title,category,tags,description,price_eur", (
        (book.id, book.title, book.category, " ".join(book.tags), book.description, book.price) for book in books))
    write(folder / "ratings.csv", "user,item,rating,timestamp", (
        row for user in range(1, USERS + 1) for row in rate(rng, books, user)))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
