import os
import stat

import pytest
from llmos.apps.system.texts import write_text
from llmos.kernel.errors import BadInput, OSFault, Unavailable


def test_a_link_is_followed(tmp_path):
    (tmp_path / "far").mkdir()
    file, link = tmp_path / "far" / "a.txt", tmp_path / "link"
    link.symlink_to(file)
    for text in ("made through it", "and replaced"):
        write_text(link, text, append=False)
        assert link.is_symlink()
        assert file.read_text() == text


def test_a_circle_of_links_stays_one(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(OSFault, match="link"):
        write_text(link, "x", append=False)
    assert link.is_symlink()


def test_a_device_stays_one(tmp_path):
    write_text(tmp_path.joinpath("/dev/null"), "gone", append=False)
    link = tmp_path / "nothing"
    link.symlink_to("/dev/null")
    write_text(link, "gone too", append=False)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert link.is_symlink()


def test_a_pipe_is_written_to_and_one_that_nobody_reads_is_an_error(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(Unavailable, match="nobody reads"):
        write_text(pipe, "x", append=False)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "through", append=False)
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_the_mode_stays(tmp_path, mode):
    file = tmp_path / "a.txt"
    file.touch()
    file.chmod(mode)
    write_text(file, "new", append=False)
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("new", mode)
    assert os.listdir(tmp_path) == ["a.txt"]


def test_errors_name_the_path_that_was_given(tmp_path):
    with pytest.raises(OSFault, match=f"No such file or directory \\({tmp_path}/no/a.txt\\)"):
        write_text(tmp_path / "no" / "a.txt", "x", append=False)
    with pytest.raises(BadInput, match="is a folder"):
        write_text(tmp_path, "x", append=False)
    assert not os.listdir(tmp_path)
