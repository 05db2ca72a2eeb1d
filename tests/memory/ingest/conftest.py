"""Files of every kind, made by their own writers or byte by byte."""

import io

import docx
import pytest
from llmos.memory.ingest.blocks import Document
from llmos.memory.ingest.kinds import kind_of, reader
from llmos.memory.ingest.nature import examine
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject


@pytest.fixture
def read():
    """``read(name, bytes)``: (kind, blocks, notes) as the child would have them."""

    def blocks(name, data):
        file = io.BytesIO(data.encode() if isinstance(data, str) else data)
        nature = examine(file)
        file.seek(0)
        document = Document(file, name, len(file.getvalue()), nature.encoding)
        kind = kind_of(document, file.getvalue()[:8])
        return kind, list(reader(kind)(document)), document.notes

    return blocks


@pytest.fixture
def pdf():
    """``pdf(pages, …)``: a PDF with these lines on its pages."""

    def make(pages, *, password="", outline=(), blank=False):
        writer = PdfWriter()
        font = DictionaryObject({
            NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        })  # fmt: skip
        for lines in pages:
            page = writer.add_blank_page(612, 792)
            page[NameObject("/Resources")] = DictionaryObject(
                {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
            )
            shown = " ".join(f"({line}) Tj 0 -14 Td" for line in lines)
            stream = DecodedStreamObject()
            stream.set_data(f"BT /F1 12 Tf 50 700 Td {shown} ET".encode("latin-1"))
            if not blank:
                page[NameObject("/Contents")] = writer._add_object(stream)
        for title, page in outline:
            writer.add_outline_item(title=title, page_number=page)
        if password:
            writer.encrypt(password, algorithm="RC4-128")
        file = io.BytesIO()
        writer.write(file)
        return file.getvalue()

    return make


@pytest.fixture
def word():
    """``word(build)``: the bytes of a Word document that ``build(document)`` filled."""

    def make(build):
        document = docx.Document()
        build(document)
        file = io.BytesIO()
        document.save(file)
        return file.getvalue()

    return make
