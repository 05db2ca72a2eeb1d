import hashlib
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from llmos.models import hub
from llmos.models.faults import Full, NoSuchModel, Remote

CONTENT = bytes(range(256)) * 40
SOURCE = "hf:some.one/a-model:sub/tiny.gguf@v1"
PATH = "/some.one/a-model/resolve/v1/sub/tiny.gguf"


class Server(ThreadingHTTPServer):
    """A hub with one file, whose bytes lie under /cdn of another server; ``seen`` are the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.announced = hashlib.sha256(CONTENT).hexdigest()
        self.cdn = self.url  # where the hub sends for the bytes
        self.cut: int | None = None  # bytes after which the connection breaks
        self.ranges = True
        self.times = 1  # that the bytes are sent, with no length given beforehand if often
        self.refuses = 0  # requests for bytes that are answered with 416
        self.status: int | None = None
        self.moved: dict[str, str] = {}
        self.seen: list[tuple[str, str, str | None, str | None]] = []
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub_ = self.server
        hub_.seen.append((self.command, self.path, self.headers["Range"], self.headers["Authorization"]))
        if hub_.status is not None:
            self._head(hub_.status, {"Content-Length": "0"})
        elif self.path in hub_.moved:
            self._head(307, {"Location": hub_.moved[self.path], "Content-Length": "0"})
        elif self.path == PATH:
            mark = {"X-Linked-Size": str(len(hub_.content)), "X-Linked-Etag": f'"{hub_.announced}"'}
            self._head(302, {"Location": f"{hub_.cdn}/cdn?sign=x", "Content-Length": "0", **mark})
        elif self.path.startswith("/cdn") and self.command == "GET":
            self._send()
        else:
            self._head(404, {"Content-Length": "0"})

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self) -> None:
        content, asked = self.server.content, self.headers["Range"]
        if self.server.refuses:
            self.server.refuses -= 1
            self._head(416, {"Content-Length": "0"})
            return
        if self.server.times > 1:
            self._head(200, {"Connection": "close"})
            with suppress(ConnectionError):
                for _ in range(self.server.times):
                    self.wfile.write(content)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
        size = len(content)
        span = {"Content-Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
        self._head(206 if start else 200, {"Content-Length": str(size - start), **span})
        self.wfile.write(content[start : self.server.cut or size])


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


@pytest.fixture
def pull(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("HF_TOKEN", raising=False)

    def run(source: str = SOURCE, **options: Any) -> Path:
        return hub.pull(source, tmp_path, endpoint=server.url, **options)

    return run


def _files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_fetches_through_the_redirect_and_checks(pull: Any, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = pull(progress=lambda done, total: told.append((done, total)))
    assert path == tmp_path / "some.one/a-model/sub/tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert _files(tmp_path) == ["tiny.gguf"]


def test_what_is_here_is_not_fetched_again(pull: Any, server: Server) -> None:
    pull()
    server.seen.clear()
    pull()
    assert [seen[0] for seen in server.seen] == ["HEAD"]


@pytest.mark.parametrize("ranges", [True, False])
def test_goes_on_after_a_cut(pull: Any, server: Server, tmp_path: Path, ranges: bool) -> None:
    server.cut, server.ranges = 5000, ranges
    with pytest.raises(Remote) as caught:
        pull()
    assert "goes on where it stopped" in caught.value.hint
    (part,) = _files(tmp_path)
    assert part.endswith(".part")
    server.cut = None
    assert pull().read_bytes() == CONTENT
    assert server.seen[-1][:3] == ("GET", "/cdn?sign=x", "bytes=5000-")
    assert _files(tmp_path) == ["tiny.gguf"]


def test_ctrl_c_leaves_what_can_be_continued(pull: Any, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(progress=interrupt)
    (part,) = _files(tmp_path)
    assert part.endswith(".part")
    assert pull().read_bytes() == CONTENT


def test_a_new_version_is_not_joined_to_an_old_part(pull: Any, server: Server) -> None:
    server.cut = 5000
    with pytest.raises(Remote):
        pull()
    server.content, server.cut = CONTENT[::-1], None
    server.announced = hashlib.sha256(server.content).hexdigest()
    assert pull().read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT + b"x"])
def test_wrong_bytes_are_thrown_away(pull: Any, server: Server, tmp_path: Path, content: bytes) -> None:
    server.content = content
    with pytest.raises(Remote, match="not the one that the hub announced"):
        pull()
    assert _files(tmp_path) == []


def test_no_more_is_written_than_was_announced(pull: Any, server: Server, tmp_path: Path) -> None:
    server.times = 500
    told: list[int] = []
    with pytest.raises(Remote, match=f"more than the announced {len(CONTENT)} bytes"):
        pull(progress=lambda done, _: told.append(done))
    assert max(told, default=0) <= len(CONTENT)
    assert _files(tmp_path) == []


def test_a_part_that_the_hub_cannot_continue_is_begun_anew(pull: Any, server: Server, tmp_path: Path) -> None:
    server.cut = 5000
    with pytest.raises(Remote):
        pull()
    server.cut, server.refuses = None, 1
    server.seen.clear()
    assert pull().read_bytes() == CONTENT
    assert [seen[2] for seen in server.seen if seen[1].startswith("/cdn")] == ["bytes=5000-", None]
    assert _files(tmp_path) == ["tiny.gguf"]


def test_it_is_begun_anew_once_only(pull: Any, server: Server) -> None:
    server.cut = 5000
    with pytest.raises(Remote):
        pull()
    server.refuses = 2
    server.seen.clear()
    with pytest.raises(Remote, match="answers 416"):
        pull()
    assert [seen[2] for seen in server.seen if seen[1].startswith("/cdn")] == ["bytes=5000-", None]


def test_the_token_is_for_the_hub_alone(pull: Any, server: Server) -> None:
    other = Server()
    server.cdn = other.url
    try:
        pull(token="secret")
    finally:
        other.stop()
    assert {seen[3] for seen in server.seen} == {"Bearer secret"}
    assert [seen[3] for seen in other.seen] == [None]


def test_a_repository_that_moved(pull: Any, server: Server) -> None:
    old = "/old/a-model/resolve/main/tiny.gguf"
    server.moved[old] = PATH
    assert pull("hf:old/a-model:tiny.gguf").read_bytes() == CONTENT


def test_a_revision_with_slashes(pull: Any, server: Server) -> None:
    server.moved["/a/b/resolve/refs%2Fpr%2F1/c.gguf"] = PATH
    assert pull("hf:a/b:c.gguf@refs/pr/1").read_bytes() == CONTENT


def test_redirects_without_end(pull: Any, server: Server) -> None:
    server.moved[PATH] = PATH
    with pytest.raises(Remote, match="redirects without end"):
        pull()


@pytest.mark.parametrize("place", ["http://example.org", "ftp://127.0.0.1"])
def test_bytes_come_encrypted_or_from_this_machine(pull: Any, server: Server, place: str) -> None:
    server.cdn = place
    with pytest.raises(Remote, match="not encrypted"):
        pull()


@pytest.mark.parametrize(
    ("status", "fault", "reason"),
    [(404, NoSuchModel, "has no"), (401, Remote, "does not show"), (403, Remote, "show"), (503, Remote, "answers 503")],
)
def test_answers_of_the_hub(pull: Any, server: Server, status: int, fault: type[Exception], reason: str) -> None:
    server.status = status
    with pytest.raises(fault, match=reason):
        pull()


def test_nobody_answers(server: Server, tmp_path: Path) -> None:
    url = server.url
    server.socket.close()
    with pytest.raises(Remote, match="refused"):
        hub.pull(SOURCE, tmp_path, endpoint=url)


def test_too_little_room(pull: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(Full, match="are needed"):
        pull()
    assert _files(tmp_path) == []


def test_a_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "some.one").write_text("a file in the way")
    with pytest.raises(Full, match="cannot write"):
        hub.pull(SOURCE, tmp_path, endpoint=server.url)


@pytest.mark.parametrize(
    "source",
    [
        "tiny.gguf",
        "hf:a/b",
        "hf:a/b:c.safetensors",
        "hf:a/b:../c.gguf",
        "hf:../b:c.gguf",
        "hf:a/b:/c.gguf",
        "hf:a/b:c.gguf@",
    ],
)
def test_sources_that_name_no_file(source: str, tmp_path: Path) -> None:
    with pytest.raises(NoSuchModel, match="names no file"):
        hub.pull(source, tmp_path)
