"""Texts to learn from: sentences in folders, and translations that software carries along."""

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LANGUAGES = {"de": ("de",), "es": ("es",), "fr": ("fr",), "it": ("it",), "pt": ("pt", "pt_BR", "pt-BR"), "nl": ("nl",),
             "zh": ("zh", "zh_Hans", "zh-Hans", "zh_CN"), "ja": ("ja",)}  # fmt: skip
LONGEST = 400  # characters of a text: what is longer says too many things for the mean of its words
Pair = tuple[str, str]
"""A text in English, and the same in another language."""

_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}|%\([^)]*\)[a-z]|%[sd]|</?[a-zA-Z][^>]*>|\[%[^\]]*%\]|https?://\S+|&\w+;|[*`_&]+")


def sentences(folder: Path) -> Iterator[str]:
    """Every string of three words or more in the .jsonl, .csv, .tsv and .txt files of a folder, in their order."""
    for path in sorted(folder.rglob("*")):
        for value in _strings(path):
            text = " ".join(value.split())
            if len(text.split()) > 2 and 11 < len(text) <= LONGEST and not _CJK.search(text):
                yield text


def _strings(path: Path) -> Iterator[str]:
    if path.suffix == ".jsonl":
        for line in path.read_text().split("\n"):
            yield from (text for _, text in _leaves(json.loads(line or "null")))
    elif path.suffix in {".csv", ".tsv"}:
        with path.open(newline="") as file:
            rows = csv.reader(file) if path.suffix == ".csv" else csv.reader(file, "excel-tab", quoting=csv.QUOTE_NONE)
            yield from (cell for row in rows for cell in row)
    elif path.suffix == ".txt":
        yield from path.read_text().split("\n\n")


def _leaves(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each string in a JSON value, and where it stands."""
    if isinstance(value, str):
        yield place, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _leaves(inner, (*place, str(key)))


def translations(wheels: list[Path], language: str) -> list[Pair]:
    """Pairs from the message catalogues in wheels (.po, JSON files named after languages), and Babel's own names."""
    found: dict[Pair, None] = {}
    readers = [_messages, _json_files, _emoji]
    pairs = (pair for wheel in wheels for read in readers for pair in read(zipfile.ZipFile(wheel), LANGUAGES[language]))
    for english, other in (*pairs, *_names(language)):
        pair = _plain(english), _plain(other)
        if all(pair) and pair[0].lower() != pair[1].lower() and len(pair[0]) <= LONGEST:
            found[pair] = None
    return list(found)


def _plain(text: str) -> str:
    return " ".join(_PLACEHOLDER.sub(" ", text).split())


def _messages(wheel: zipfile.ZipFile, names: tuple[str, ...]) -> Iterator[Pair]:
    from babel.messages.pofile import read_po

    for path in sorted(wheel.namelist()):
        if path.endswith(".po") and set(Path(path).parts) & set(names):
            for message in read_po(io.BytesIO(wheel.read(path))):
                if not message.fuzzy:
                    ids, strings = (v if isinstance(v, (list, tuple)) else [v] for v in (message.id, message.string))
                    yield from ((a, b) for a, b in zip(ids, strings, strict=False) if a and b)


def _json_files(wheel: zipfile.ZipFile, names: tuple[str, ...]) -> Iterator[Pair]:
    paths = set(wheel.namelist())
    for path in sorted(paths):
        if path.endswith("/en.json"):
            english = dict(_leaves(json.loads(wheel.read(path))))
            for other in (path.removesuffix("en.json") + f"{name}.json" for name in names):
                if other in paths:
                    leaves = _leaves(json.loads(wheel.read(other)))
                    yield from ((english[place], text) for place, text in leaves if place in english)


def _emoji(wheel: zipfile.ZipFile, names: tuple[str, ...]) -> Iterator[Pair]:
    folder = "emoji/unicode_codes/"
    if f"{folder}emoji.json" in wheel.namelist() and f"{folder}emoji_{names[0]}.json" in wheel.namelist():
        english = json.loads(wheel.read(f"{folder}emoji.json"))
        for sign, name in json.loads(wheel.read(f"{folder}emoji_{names[0]}.json")).items():
            if "skin" not in english[sign]["en"]:
                yield english[sign]["en"].strip(":").replace("-", " ").replace("_", " "), name.strip(":")


def _names(language: str) -> Iterator[Pair]:
    """Countries, languages, currencies, months and days, from the Unicode locale data that Babel carries."""
    from babel import Locale

    english, other = Locale.parse("en"), Locale.parse(language)
    tables = [(getattr(english, kind), getattr(other, kind)) for kind in ("territories", "languages", "currencies")]
    tables += [(getattr(english, kind)["stand-alone"]["wide"], getattr(other, kind)["stand-alone"]["wide"])
               for kind in ("months", "days")]  # fmt: skip
    for names, others in tables:
        yield from ((names[key], others[key]) for key in names if key in others)
