"""What a file is made of: its digest, and whether and how it is text. One pass, in blocks."""

import codecs
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import BinaryIO

BLOCK = 2**20
_SAMPLE = 4096
_BOMS = (  # the longer first: that of UTF-32 begins as that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_UNDEFINED = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")  # in Windows-1252


@dataclass(frozen=True)
class Nature:
    """``encoding`` is a name Python knows, or "" for what is no text; ``broken``: it is UTF-8 but for some bytes."""

    digest: str
    encoding: str
    broken: bool = False


def examine(file: BinaryIO) -> Nature:
    """Read a file from where it stands to its end."""
    digest, utf8 = blake2b(digest_size=16), _Utf8()
    head = file.read(BLOCK)
    block = head
    while block:
        digest.update(block)
        utf8.take(block)
        block = file.read(BLOCK)
    utf8.take(b"", final=True)
    return Nature(digest.hexdigest(), *_encoding(head, utf8))


class _Utf8:
    """Whether a stream of bytes is UTF-8, and where it is not, whether it is so for the most part."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.valid = True
        self.mostly = False  # it has letters that only UTF-8 writes so
        self.nul = False

    def take(self, block: bytes, final: bool = False) -> None:
        self.nul = self.nul or b"\0" in block
        if not self.valid:
            return
        try:
            self.mostly = not self._decoder.decode(block, final).isascii() or self.mostly
        except UnicodeDecodeError as problem:
            self.valid = False
            text = problem.object.decode("utf-8", "replace")
            bad = text.count("\ufffd")
            self.mostly = self.mostly or sum(not letter.isascii() for letter in text) > 5 * bad


def _encoding(head: bytes, utf8: _Utf8) -> tuple[str, bool]:
    for bom, name in _BOMS:
        if head.startswith(bom):
            return name, False
    sample = head[:_SAMPLE]
    if utf8.nul:
        return _wide(sample), False
    if len(_CONTROLS.findall(sample)) * 20 > len(sample):
        return "", False
    if utf8.valid or utf8.mostly:
        return "utf-8", not utf8.valid
    return "latin-1" if _UNDEFINED.search(head) else "windows-1252", False


def _wide(sample: bytes) -> str:
    """UTF-16 without a mark, where every other byte is zero, as in the alphabets of Europe; else no text."""
    pairs = len(sample) // 2
    high, low = sample[1::2].count(0), sample[::2].count(0)
    if pairs and high > 0.6 * pairs and low < 0.05 * pairs:
        return "utf-16-le"
    if pairs and low > 0.6 * pairs and high < 0.05 * pairs:
        return "utf-16-be"
    return ""
