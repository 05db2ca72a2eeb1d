import math
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmos.memory.checks import damaged_rows, digest, examine, install, protected, verify
from llmos.memory.faults import Damaged, DamagedRow

VALUES = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.binary(max_size=20), st.text(max_size=20)
)
COVERED = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b REAL, digest INTEGER AS (digest(id, a, b)) STORED)"


@pytest.fixture
def connection():
    found = sqlite3.connect(":memory:")
    install(found)
    yield found
    found.close()


@given(st.lists(VALUES, max_size=4))
def test_python_and_sql_agree_about_a_row_that_went_through_a_table(values):
    values = [v for v in values if not (isinstance(v, str) and any("\ud800" <= c <= "\udfff" for c in v))]
    with sqlite3.connect(":memory:") as connection:
        install(connection)
        names = ", ".join(f"c{n}" for n in range(len(values) + 1))
        connection.execute(f"CREATE TABLE t ({names})")
        connection.execute(f"INSERT INTO t VALUES ({', '.join('?' * (len(values) + 1))})", [1, *values])
        (found,) = connection.execute(f"SELECT digest({names}) FROM t").fetchone()
    connection.close()
    assert found == digest(1, *values)


@given(st.lists(VALUES, max_size=4), st.lists(VALUES, max_size=4))
def test_different_rows_have_different_digests(first, second):
    def as_stored(value):
        if isinstance(value, float):
            return None if math.isnan(value) else int(value) if value.is_integer() else value
        return value

    equal = list(map(as_stored, first)) == list(map(as_stored, second))
    assert (digest(*first) == digest(*second)) == equal


def test_values_next_to_each_other_do_not_run_together():
    assert len({digest("ab", ""), digest("a", "b"), digest("", "ab"), digest("ab"), digest(b"ab", b"")}) == 5
    assert digest(1) == digest(1.0) != digest("1")
    assert digest(math.nan) == digest(None)


def test_a_column_keeps_its_digest_through_every_change(connection):
    connection.execute(COVERED)
    connection.execute("INSERT INTO t (a, b) VALUES ('x', 1)")
    connection.execute("INSERT INTO t (a, b) VALUES ('y', 0.1)")
    connection.execute("UPDATE t SET a = 'z', b = NULL WHERE id = 2")
    for number, a, b, stored in connection.execute("SELECT id, a, b, digest FROM t").fetchall():
        verify("t", number, stored, number, a, b)
    with pytest.raises(DamagedRow, match="t 1 is damaged") as caught:
        verify("t", 1, stored, 1, "x", 1.5)
    assert (caught.value.table, caught.value.key) == ("t", 1)
    assert isinstance(caught.value, Damaged)


def test_rows_that_were_changed_behind_its_back_are_named(tmp_path):
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as connection:
        install(connection)
        connection.execute("CREATE TABLE plain (a, digest)")
        connection.execute(
            "CREATE TABLE t (pid, name, a, digest INTEGER AS (digest(pid, name, a)) STORED, PRIMARY KEY (pid, name))"
            " WITHOUT ROWID"
        )
        connection.execute("INSERT INTO t VALUES (1, 'x', 'the first'), (1, 'y', 'the second')")
    connection.close()
    data = path.read_bytes()
    path.write_bytes(data.replace(b"the second", b"the sekond"))
    with sqlite3.connect(path) as connection:
        install(connection)
        found = protected(connection)
        assert found == {"t": ("pid || '/' || name", ["pid", "name", "a"])}
        assert list(damaged_rows(connection, "t", *found["t"])) == ["1/y"]
        assert list(examine(connection)) == ["t 1/y is damaged: its checksum is not that of its content"]
    connection.close()
