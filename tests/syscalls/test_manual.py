from pathlib import Path

import llmos
from llmos.syscalls.api import Sys
from llmos.syscalls.manual import manual
from llmos.syscalls.table import TABLE

ROOT = Path(llmos.__file__).parent


def test_the_manual_in_docs_is_that_of_the_table():
    assert (ROOT / "docs" / "syscalls.md").read_text() == manual(), "run make docs"


def test_every_call_has_words_and_every_field_a_unit_or_a_plain_name():
    for name, entry in TABLE.items():
        assert entry.request.__doc__, name
        assert entry.reply.__doc__, name
        assert entry.handler.__doc__, name


def test_every_call_of_the_table_can_be_made_through_sys():
    import inspect

    source = inspect.getsource(Sys)
    assert [name for name in TABLE if f'"{name}"' not in source] == []
