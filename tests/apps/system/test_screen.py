import io
import os
from types import SimpleNamespace

import pytest
from llmos.apps.system import screen as module
from llmos.apps.system.screen import Screen


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    shown = Terminal()
    monkeypatch.setattr(module, "sys", SimpleNamespace(stdout=shown))
    monkeypatch.setattr(module.shutil, "get_terminal_size", lambda: os.terminal_size((20, 24)))
    return shown


def written(terminal, *pieces):
    screen = Screen()
    for piece in pieces:
        screen.write(piece)
    screen.close()
    return terminal.getvalue()


def test_lines_break_between_words_however_they_come(terminal):
    text = "The conservator estimates the photographs"
    assert written(terminal, *text) == "The conservator\nestimates the\nphotographs"


def test_what_fits_stays_as_it_is(terminal):
    assert written(terminal, "  a  b\n\n\tc", " \n") == "  a  b\n\n\tc\n"


def test_a_line_may_be_full(terminal):
    assert written(terminal, "x" * 20, " y") == "x" * 20 + "\ny"


def test_a_script_without_spaces_does_not_wait_for_one(terminal):
    screen = Screen()
    screen.write("日本語" * 5)
    assert terminal.getvalue() == "日本語" * 5


def test_control_characters_do_not_reach_a_terminal(terminal):
    assert written(terminal, "a\x1b[31mb\n") == "a[31mb\n"


def test_the_line_that_tells_how_far_it_is_goes_when_words_come(terminal):
    screen = Screen()
    screen.tell("part 1 of 2\x1b")
    assert "part 1 of 2\x1b[0m" in terminal.getvalue()
    screen.write("Word ")
    assert terminal.getvalue().endswith("\r\x1b[KWord")
    screen.tell("part 2 of 2")
    assert "part 2" not in terminal.getvalue()


def test_elsewhere_all_is_passed_on_as_it_comes(capsys):
    screen = Screen()
    screen.tell("part 1 of 2")
    screen.write("a\x1b[31m " + "long " * 50)
    screen.close()
    assert capsys.readouterr().out == "a\x1b[31m " + "long " * 50
