"""Encodings are told from the bytes, and what is no text is not taken for one."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmos.memory.ingest import nature
from llmos.memory.ingest.nature import examine

TEXT = "Grüße aus Zürich: 30 € für Schuhe. " * 20


def encoding(data):
    return examine(io.BytesIO(data)).encoding


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (TEXT.encode(), "utf-8"),
        (TEXT.encode("utf-8-sig"), "utf-8-sig"),
        (TEXT.encode("utf-16"), "utf-16"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "utf-16"),
        (TEXT.encode("utf-16-le"), "utf-16-le"),
        (TEXT.encode("utf-16-be"), "utf-16-be"),
        (TEXT.encode("utf-32"), "utf-32"),
        (TEXT.encode("windows-1252"), "windows-1252"),
        (TEXT.replace("€", "\x81").encode("latin-1"), "latin-1"),
        (b"plain", "utf-8"),
        (b"colours: \x1b[31mred\x1b[0m\n", "utf-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ""),
        (bytes(range(256)) * 9, ""),
        (b"\x01\x02\x03\x04 text", ""),
    ],
)
def test_encodings(data, name):
    assert encoding(data) == name


def test_a_few_wrong_bytes_do_not_turn_utf8_into_something_else():
    found = examine(io.BytesIO(TEXT.encode() + b"\xff" + TEXT.encode()))
    assert (found.encoding, found.broken) == ("utf-8", True)
    cut = examine(io.BytesIO(TEXT.encode() + "€".encode()[:2]))
    assert (cut.encoding, cut.broken) == ("utf-8", True)


def test_a_letter_across_two_blocks_is_one(monkeypatch):
    monkeypatch.setattr(nature, "BLOCK", 3)
    assert examine(io.BytesIO(TEXT.encode())) == nature.Nature(examine(io.BytesIO(TEXT.encode())).digest, "utf-8")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_every_text_is_read_as_what_it_was_written(text):
    assert encoding(text.encode()) in ("utf-8", "utf-8-sig")
    assert encoding(text.encode("utf-16")) == "utf-16"


def test_digests_tell_contents_apart():
    assert examine(io.BytesIO(b"a")).digest == examine(io.BytesIO(b"a")).digest != examine(io.BytesIO(b"b")).digest
