import pytest
from llmos.memory.database import Database


@pytest.fixture
def path(tmp_path):
    return tmp_path / "llmos.db"


@pytest.fixture
def database(path):
    found = Database(path)
    yield found
    found.close()
