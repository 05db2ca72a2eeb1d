"""HTML: the text of a page below its headings, without what stands on every page of a site."""

import codecs
import re
from collections.abc import Iterator
from typing import Literal

from selectolax.lexbor import LexborHTMLParser, LexborNode

from .blocks import Block, Document, Refused
from .plain import Headings

_BOILERPLATE = (
    "script, style, noscript, template, svg, math, iframe, object, canvas, nav, header, footer, aside, form, button,"
    " select, textarea, dialog, [hidden], [aria-hidden=true], [role=navigation], [role=banner], [role=contentinfo],"
    " [role=complementary], [role=search]"
)
_KEPT_HEADER = "article > header, main > header, section > header"  # the head of the text, not of the site
_BLOCK_TAGS = """
address article blockquote body caption center dd details div dl dt fieldset figcaption figure h1 h2 h3 h4 h5 h6 hr li
main ol p pre section summary table tbody tfoot thead tr ul
"""
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_CELLS = frozenset({"td", "th"})
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w:-]+)", re.IGNORECASE)
_MAIN_SHARE = 0.4  # of the page's text that <main> or <article> must hold to stand for the page
_LINK_WORDS = 25  # a block of nothing but links is dropped up to this length


def read(document: Document) -> Iterator[Block]:
    """Paragraphs below their headings; a page has no lines that a reader would know."""
    tree = LexborHTMLParser(_decoded(document))
    if tree.body is None:
        raise Refused("empty", "holds no text")
    named = tree.css_first("title")
    title = " ".join(named.text().split()) if named else ""
    kept = {node.mem_id for node in tree.css(_KEPT_HEADER)}
    for node in tree.css(_BOILERPLATE):
        if node.mem_id not in kept:
            node.decompose()
    yield from _Page(title).blocks(_root(tree.body))


def _decoded(document: Document) -> str:
    """By the file's own word where it has one, then by what its bytes are."""
    data = document.file.read()
    encoding = document.encoding
    said = _CHARSET.search(data[:2048])
    if said and encoding in ("latin-1", "windows-1252"):
        try:
            encoding = codecs.lookup(said[1].decode()).name
        except LookupError:
            document.notes.append(f"the encoding {said[1].decode()} that it names is not known")
    return data.decode(encoding, "replace")


def _root(body: LexborNode) -> LexborNode:
    """The one element that holds the text, where the page says so."""
    whole = len(body.text())
    for selector in ("main", "[role=main]", "article"):
        found = body.css(selector)
        if len(found) == 1 and len(found[0].text()) >= _MAIN_SHARE * whole:
            return found[0]
    return body


class _Page:
    """Collects text between the beginnings and ends of blocks."""

    def __init__(self, title: str) -> None:
        self._headings = Headings()
        self._heading = self._headings.enter(0, title)
        self._title = title
        self._text: list[str] = []
        self._linked = 0  # characters of it that stand in links
        self._plain = 0
        self._links = self._verbatim = 0  # elements of that kind that are open

    def blocks(self, root: LexborNode) -> Iterator[Block]:
        for way, node in _walk(root):
            tag = node.tag or ""
            if way == "text":
                self._add(node.text_content or "")
            elif tag == "a":
                self._links += 1 if way == "in" else -1
            elif tag == "br" and way == "in":
                self._text.append("\n")
            elif tag in _CELLS and way == "out":
                self._text.append(" | ")
            elif tag in _BLOCKS:
                yield from self._turn(tag, way)
        yield from self._over()

    def _turn(self, tag: str, way: str) -> Iterator[Block]:
        """A block begins or ends: so does the paragraph; the text of a heading is none."""
        level = int(tag[1]) if len(tag) == 2 and tag[1].isdigit() else 0
        if level and way == "out":
            text = " ".join("".join(self._text).split())
            self._clear()
            if text != self._title:
                self._heading = self._headings.enter(level, text)
            return
        yield from self._over()
        if tag == "pre":
            self._verbatim += 1 if way == "in" else -1
        if tag == "li" and way == "in":
            self._text.append("- ")

    def _add(self, text: str) -> None:
        self._text.append(text if self._verbatim else re.sub(r"\s+", " ", text))
        size = len(text.strip())
        self._linked += size if self._links else 0
        self._plain += 0 if self._links else size

    def _over(self) -> Iterator[Block]:
        text = "".join(self._text).strip(" \n|")
        only_links = self._linked > 9 * self._plain and len(text.split()) < _LINK_WORDS
        self._clear()
        if text not in ("", "-") and not only_links:
            yield Block(text, self._heading)

    def _clear(self) -> None:
        self._text, self._linked, self._plain = [], 0, 0


def _walk(root: LexborNode) -> Iterator[tuple[Literal["in", "out", "text"], LexborNode]]:
    """Every element when it begins and when it ends, and the text between; however deep."""
    node, end = root, root.mem_id
    while True:
        if node.is_text_node:
            yield "text", node
        else:
            yield "in", node
            child = node.first_child
            if child is not None:
                node = child
                continue
            yield "out", node
        while node.mem_id != end and node.next is None:
            parent = node.parent
            assert parent is not None
            node = parent
            yield "out", node
        if node.mem_id == end:
            return
        following = node.next
        assert following is not None
        node = following
