"""`llmos serve` as a program: its first line, its end, and its port."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.programs


@contextmanager
def start(tmp_path, *words):
    line = [sys.executable, "-m", "llmos.apps.system.main", "--home", str(tmp_path), "--model", "scripted", "serve"]
    server = subprocess.Popen([*line, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield server
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_serves_and_ends_in_order(tmp_path, number):
    with start(tmp_path, "--port", "0", "--json", "--context", "512", "--streams", "2") as server:
        told = json.loads(server.stdout.readline())
        assert (told["streams"], told["window"], told["pid"]) == (2, 512, server.pid)
        body = json.dumps({"messages": [{"role": "user", "content": "hello"}]}).encode()
        with urllib.request.urlopen(f"{told['url']}/v1/chat/completions", body) as answer:
            assert json.load(answer)["choices"][0]["message"]["content"] == "hello"
        os.kill(server.pid, number)
        _, said = server.communicate(timeout=20)
        assert server.returncode == 128 + number
        assert "Traceback" not in said


def test_a_taken_port_and_a_stranger_at_the_door(tmp_path):
    with start(tmp_path / "one", "--port", "0", "--json", "--host", "127.0.0.1") as server:
        url = json.loads(server.stdout.readline())["url"]
        with start(tmp_path / "two", "--port", url.rpartition(":")[2]) as other:
            _, said = other.communicate(timeout=60)
            assert other.returncode == 69
            assert "--port 0" in said
        server.terminate()
        server.communicate(timeout=20)
    with start(tmp_path / "three", "--port", "0", "--host", "0.0.0.0") as server:
        said = ""
        while "no password" not in said and (line := server.stderr.readline()):
            said += line
        server.terminate()
        server.communicate(timeout=20)
    assert "curl http" in said
    assert "no password" in said
