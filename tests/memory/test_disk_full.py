"""A disk that is really full: a small tmpfs, in a mount namespace of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOUNTED = 'mount -t tmpfs -o size=6m none "$1" && shift && exec "$@"'
APART = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNTED, "sh"]


@pytest.fixture
def small(tmp_path):
    """A command's beginning: the rest is run where the folder ``disk`` is a disk of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        tried = subprocess.run([*APART, folder, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if tried.returncode:
        pytest.skip(f"no mount namespaces here: {tried.stderr.strip()}")
    return [*APART, folder], folder


@pytest.mark.programs
def test_every_kind_of_write_fails_whole_and_goes_on_when_there_is_room(small):
    command, folder = small
    program = [*command, sys.executable, "-m", "tests.memory.small_disk", folder]
    found = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == ["memory", "print", "write", "append", "remember", "add", "save", "now", "boot"]
