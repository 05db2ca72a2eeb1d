"""Which reader takes a file: by its ending, and by how it begins where the ending says nothing."""

from importlib import import_module
from pathlib import PurePath
from typing import cast

from .blocks import Document, Reader, Refused

_ENDINGS = {
    "markdown": ".md .markdown .mdown .mkd",
    "html": ".html .htm .xhtml",
    "csv": ".csv .tsv",
    "jsonl": ".jsonl .ndjson",
    "json": ".json",
    "pdf": ".pdf",
    "word": ".docx .docm",
}
KINDS = {ending: kind for kind, endings in _ENDINGS.items() for ending in endings.split()}
_OTHERS = ".doc .rtf .odt .epub .xls .xlsx .ods .ppt .pptx .odp .pages .numbers"
_FOREIGN = frozenset(_OTHERS.split())

_READERS = {  # where each is found; its libraries are loaded when the first file of its kind comes
    "text": ("plain", "read"),
    "markdown": ("markdown", "read"),
    "html": ("html", "read"),
    "csv": ("tables", "read"),
    "jsonl": ("records", "read_lines"),
    "json": ("records", "read_whole"),
    "pdf": ("pdf", "read"),
    "word": ("word", "read"),
}
_NO_TEXT = frozenset({"pdf", "word"})  # kinds whose bytes are none


def kind_of(document: Document, head: bytes) -> str:
    """One of the kinds; raises `Refused` for what none of them can read."""
    ending = PurePath(document.name).suffix.lower()
    if ending in _FOREIGN:
        raise Refused("unsupported", f"{ending} cannot be read", "save it as .docx, .pdf, .html or .csv")
    kind = KINDS.get(ending) or ("pdf" if head.startswith(b"%PDF-") else "text")
    if not document.encoding and kind not in _NO_TEXT:
        raise Refused("binary", "is no text", "save it as .docx, .pdf, .html or text" if ending in KINDS else "")
    return kind


def reader(kind: str) -> Reader:
    """The function that reads files of a kind."""
    module, name = _READERS[kind]
    return cast(Reader, getattr(import_module(f".{module}", __package__), name))
