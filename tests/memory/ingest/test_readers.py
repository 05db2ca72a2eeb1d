"""What each kind of file says, and what is left out."""

import io
import json
import zipfile

import pytest
from llmos.memory.ingest import plain, records, tables
from llmos.memory.ingest import word as word_module
from llmos.memory.ingest.blocks import Refused


def texts(blocks):
    return [block.text for block in blocks]


def test_text_has_paragraphs_and_their_lines(read):
    kind, blocks, _ = read("note", "One.\nStill one.\n\n\nTwo.\n")
    assert kind == "text"
    assert [(b.text, b.where["line"]) for b in blocks] == [("One.\nStill one.", 1), ("Two.", 5)]


def test_an_endless_line_is_cut_and_nothing_of_it_lost(read, monkeypatch):
    monkeypatch.setattr(plain, "LONGEST", 1000)
    _, blocks, _ = read("a.log", "x" * 5500 + "\nend")
    assert sum(text.count("x") for text in texts(blocks)) == 5500
    assert max(map(len, texts(blocks))) <= 2002
    assert blocks[-1].text.endswith("end")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "windows-1252"])
def test_text_in_other_encodings(read, encoding):
    _, [block], _ = read("a.txt", "Grüße für 30 €".encode(encoding))
    assert block.text == "Grüße für 30 €"


MARKDOWN = """---
title: "The shop"
tags: [a]
---
Welcome.

# Returns #
Thirty days.

Fees
----
None.
```sh
# no heading

llmos --help
```
### Deep
x

Delivery
========
Nine pounds.
#hashtag
"""


def test_markdown_has_sections(read):
    kind, blocks, _ = read("shop.md", MARKDOWN)
    assert kind == "markdown"
    assert [(b.heading, b.text) for b in blocks] == [
        (("The shop",), "Welcome."),
        (("The shop", "Returns"), "Thirty days."),
        (("The shop", "Returns", "Fees"), "None.\n```sh\n# no heading\n\nllmos --help\n```"),
        (("The shop", "Returns", "Fees", "Deep"), "x"),
        (("The shop", "Delivery"), "Nine pounds.\n#hashtag"),
    ]
    assert [b.where["line"] for b in blocks] == [5, 8, 12, 19, 23]


def test_a_rule_at_the_top_is_no_front_matter_without_its_end(read):
    _, blocks, _ = read("a.md", "---\nOne.\n\nTwo.\n")
    assert texts(blocks) == ["---\nOne.", "Two."]


PAGE = b"""<!doctype html><html><head><title>Returns | Shop</title><style>p {}</style></head><body>
<header>Shop</header><nav><a href=/>Home</a> <a href=/x>Offers</a></nav>
<main><header><h1>Returns</h1></header><p>Within <b>thirty</b>
days&nbsp;of   delivery.</p><script>alert("no")</script>
<h2>Fees</h2><ul><li>Shoes: <a href=#>none</a></li><li>Boots: 3 &euro;</li></ul>
<table><tr><th>Kind<th>Days</tr><tr><td>Boots<td>30</tr></table>
<pre>a
  b</pre><p hidden>Secret</p><div><a href=1>More</a> <a href=2>about us</a></div></main>
<footer>Imprint</footer></body></html>"""


def test_html_without_what_stands_on_every_page(read):
    kind, blocks, _ = read("page.html", PAGE)
    assert kind == "html"
    assert [(b.heading[1:], b.text) for b in blocks] == [
        (("Returns",), "Within thirty days of delivery."),
        (("Returns", "Fees"), "- Shoes: none"),
        (("Returns", "Fees"), "- Boots: 3 €"),
        (("Returns", "Fees"), "Kind | Days"),
        (("Returns", "Fees"), "Boots | 30"),
        (("Returns", "Fees"), "a\n  b"),
    ]
    assert {b.heading[0] for b in blocks} == {"Returns | Shop"}


def test_html_says_its_own_encoding(read):
    _, [block], _ = read("a.html", '<meta charset="koi8-r"><p>Привет, мир'.encode("koi8-r"))
    assert block.text == "Привет, мир"
    _, [block], notes = read("a.html", b"<meta charset=klingon><p>Gr\xfc\xdfe")
    assert (block.text, notes) == ("Grüße", ["the encoding klingon that it names is not known"])


def test_a_page_of_thousands_of_elements_one_in_another(read):
    _, [block], _ = read("deep.html", "<div>" * 5_000 + "bottom")
    assert block.text == "bottom"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", 'kind,price\nBoots,"9,50"\nShoes,7\n'),
        ("a.csv", "kind;price\r\nBoots;9,50\r\nShoes;7\r\n"),
        ("a.tsv", "kind\tprice\nBoots\t9,50\nShoes\t7\n"),
        ("a.csv", '\ufeffkind,price\nBoots,"9,50"\n,\nShoes,7'),
    ],
)
def test_csv_records_carry_the_names_of_their_columns(read, name, data):
    kind, blocks, _ = read(name, data)
    assert kind == "csv"
    assert texts(blocks) == ["kind: Boots; price: 9,50", "kind: Shoes; price: 7"]
    assert blocks[0].where == {"record": 1}


def test_csv_without_names_of_columns(read):
    _, blocks, _ = read("a.csv", "1,2\n3,4\n")
    assert texts(blocks) == ["column 1: 1; column 2: 2", "column 1: 3; column 2: 4"]
    _, blocks, _ = read("a.csv", "kind,price\nBoots,9,new\n")
    assert texts(blocks) == ["kind: Boots; price: 9; column 3: new"]


def test_csv_that_would_swallow_memory_is_refused(read, monkeypatch):
    monkeypatch.setattr(tables, "CELL", 1000)
    monkeypatch.setattr(tables, "LINE", 5000)
    with pytest.raises(Refused, match="field larger than field limit"):
        read("a.csv", 'a,b\n1,"never closed\n' + "x,y\n" * 1000)
    with pytest.raises(Refused, match="more than 5,000 characters"):
        read("a.csv", "a,b\n" + "1," * 3000)
    monkeypatch.setattr(tables, "COLUMNS", 9)
    with pytest.raises(Refused, match="record 1 has 10 columns"):
        read("a.csv", "a,b\n" + "1," * 9)


def test_json_lines(read):
    lines = [
        json.dumps({"title": "Returns", "text": "Thirty days.", "price": {"pounds": 3, "was": None}}),
        "{",
        "",
        "[1, 2]",
    ]
    kind, blocks, notes = read("a.jsonl", "\n".join(lines))
    assert kind == "jsonl"
    assert [(b.heading, b.text) for b in blocks] == [
        (("Returns",), "title: Returns\ntext: Thirty days.\nprice.pounds: 3"), ((), "1, 2"),
    ]  # fmt: skip
    assert notes == ["1 lines are no JSON and were left out, the first is line 2"]
    with pytest.raises(Refused, match="line 1 is no JSON"):
        read("a.jsonl", "no\nJSON")


def test_json_bombs_are_refused(read, monkeypatch):
    with pytest.raises(Refused, match="line 1 is no JSON"):
        read("a.jsonl", "[" * 100_000)
    _, [block], _ = read("a.json", "[" * 300 + '"deep"' + "]" * 300)
    assert "deep" in block.text
    monkeypatch.setattr(records, "RECORD", 2**17)
    with pytest.raises(Refused, match="line 1 has more than"):
        read("a.jsonl", '{"a": "' + "x" * 2**18)


def test_json_is_a_list_of_records_or_one(read):
    _, blocks, _ = read("a.json", '[{"name": "Boots"}, {"name": "Shoes"}]')
    assert [(b.heading, b.where) for b in blocks] == [(("Boots",), {"record": 1}), (("Shoes",), {"record": 2})]
    _, [block], _ = read("a.json", '{"a": {"b": [{"c": 1}, {"c": true}]}}')
    assert block.text == "a.b.c: 1\na.b.c: true"
    with pytest.raises(Refused, match="no JSON: Expecting"):
        read("a.json", "{")


def test_pdf_pages_without_their_headers(read, pdf):
    pages = [
        ["The Archive", f"Water came in room {n}, and the regi-", "ster was lost.", f"page {n}"] for n in range(1, 7)
    ]
    kind, blocks, _ = read("a.pdf", pdf(pages, outline=[("Damage", 1)]))
    assert kind == "pdf"
    assert [b.where["page"] for b in blocks] == [1, 2, 3, 4, 5, 6]
    assert blocks[1].text == "Water came in room 2, and the register was lost."
    assert [b.heading for b in blocks] == [(), *[("Damage",)] * 5]
    assert read("without-an-ending", pdf([["Hello"]]))[0] == "pdf"


def test_pdfs_that_cannot_be_read(read, pdf):
    with pytest.raises(Refused, match="is encrypted") as refused:
        read("a.pdf", pdf([["Secret"]], password="x"))
    assert refused.value.code == "encrypted"
    with pytest.raises(Refused, match="may be pictures"):
        read("a.pdf", pdf([["x"]], blank=True))


def test_word_has_headings_and_tables(read, word):
    def build(document):
        document.core_properties.title = "The shop"
        document.add_heading("Returns", 1)
        document.add_paragraph("Thirty days.")
        document.add_heading("Fees", 2)
        table = document.add_table(2, 2)
        for cell, text in zip(table._cells, ["Kind", "Fee", "Boots", "3"], strict=True):
            cell.text = text
        document.add_paragraph("")

    kind, blocks, _ = read("a.docx", word(build))
    assert kind == "word"
    assert [(b.heading, b.text) for b in blocks] == [
        (("The shop", "Returns"), "Thirty days."),
        (("The shop", "Returns", "Fees"), "Kind | Fee"),
        (("The shop", "Returns", "Fees"), "Boots | 3"),
    ]


def test_word_documents_that_cannot_be_read(read, monkeypatch):
    with pytest.raises(Refused, match="no Word document"):
        read("a.docx", b"PK\x03\x04 but no more")
    with pytest.raises(Refused, match="has a password, or is of the old format"):
        read("a.docx", b"\xd0\xcf\x11\xe0" + b"\0" * 512)
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as parts:
        parts.writestr("hello.txt", "hello")
    with pytest.raises(Refused, match="no Word document"):
        read("a.docx", other.getvalue())


def test_a_zip_bomb_is_weighed_before_it_is_opened(read, monkeypatch):
    monkeypatch.setattr(word_module, "UNPACKED", 2**20)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("word/document.xml", b"\0" * 2**21)
    with pytest.raises(Refused, match="unpacks to 2 MiB"):
        read("a.docx", bomb.getvalue())


@pytest.mark.parametrize(
    ("name", "code"), [("a.xlsx", "unsupported"), ("a.png", "binary"), ("a.md", "binary"), ("a", "binary")]
)
def test_what_no_reader_takes(read, name, code):
    with pytest.raises(Refused) as refused:
        read(name, b"\x89PNG\r\n\x1a\n\0\0\0\r")
    assert refused.value.code == code
