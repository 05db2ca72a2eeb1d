"""Fetching model files from a hub that speaks Hugging Face's protocol.

A file is asked for at ``/OWNER/REPO/resolve/REVISION/FILE``; the answer to HEAD tells its size and, for large files,
its SHA-256 (``X-Linked-Size``, ``X-Linked-Etag``), and redirects to where the bytes are. The token is shown to
the hub alone.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import httpx

from .disk import make_room, writing
from .faults import NoSuchModel, Remote

OnBytes = Callable[[int, int], None]
"""Told the bytes that are here and the bytes of the whole (0 where the hub does not say)."""

PUBLIC = "https://huggingface.co"
_SOURCE = re.compile(r"hf:([\w.-]+)/([\w.-]+):((?:[\w.+-]+/)*[\w.+-]+\.gguf)(?:@([\w./+-]+))?", re.ASCII)
_SHA256 = re.compile("[0-9a-f]{64}")
_REDIRECTS = 5
_TIMEOUT = httpx.Timeout(60.0, connect=15.0)


class Source(NamedTuple):
    """One file of a hub."""

    owner: str
    repository: str
    file: str
    revision: str

    @classmethod
    def parse(cls, text: str) -> Source:
        """From ``hf:OWNER/REPO:FILE[@REVISION]``; raises `NoSuchModel` for anything else."""
        match = _SOURCE.fullmatch(text)
        if match is None or any(set(part) <= {"."} for part in re.split("[/:@]", text)):
            raise NoSuchModel(f"{text!r} names no file of a hub", hint="write hf:OWNER/REPO:FILE.gguf")
        return cls(match[1], match[2], match[3], match[4] or "main")


class _Remote(NamedTuple):
    """What the hub says about a file."""

    size: int  # bytes, 0 where it does not say
    etag: str

    @property
    def sha256(self) -> str | None:
        return self.etag if _SHA256.fullmatch(self.etag) else None


def pull(
    source: str,
    target_dir: Path,
    progress: OnBytes | None = None,
    endpoint: str | None = None,
    token: str | None = None,
) -> Path:
    """Fetch ``hf:OWNER/REPO:FILE[@REVISION]`` into ``target_dir/OWNER/REPO/`` and return its path.

    What an earlier call left unfinished is continued; nothing bears the final name before size and hash are right.
    ``endpoint`` defaults to HF_ENDPOINT or the public hub, ``token`` to HF_TOKEN.
    Raises `NoSuchModel`, `Remote` (network, permission, wrong bytes) and `Full`.
    """
    wanted = Source.parse(source)
    hub = _Hub(endpoint or os.environ.get("HF_ENDPOINT") or PUBLIC, token or os.environ.get("HF_TOKEN") or "")
    path = f"{wanted.owner}/{wanted.repository}/resolve/{quote(wanted.revision, safe='')}/{wanted.file}"
    target = target_dir / wanted.owner / wanted.repository / wanted.file
    with hub.client:
        remote = hub.look(path)
        if _is_whole(target, remote):
            return target
        # The mark of the version is in the name, so that no two versions are ever joined.
        mark = re.sub(r"\W", "", remote.etag)[:16]
        part = target.with_name(f"{target.name}.{mark}.part" if mark else f"{target.name}.part")
        have = part.stat().st_size if mark and part.exists() else 0
        have = have if have <= remote.size else 0
        make_room(target.parent, max(remote.size - have, 0))
        hub.fetch(path, part, have, remote.size, progress or _silent)
    _verify(part, remote)
    with writing(target):
        part.replace(target)
    return target


class _NoSuchRange(Remote):
    """The hub does not have the bytes from there on."""


class _Hub:
    """Requests with redirects followed by hand: each hop is checked, and only the hub itself sees the token."""

    def __init__(self, endpoint: str, token: str) -> None:
        self._base = httpx.URL(endpoint.rstrip("/") + "/")
        self._token = token
        self.client = httpx.Client(timeout=_TIMEOUT, headers={"User-Agent": "llmos", "Accept-Encoding": "identity"})

    def look(self, path: str) -> _Remote:
        """Size and mark of a file."""
        with self._answer("HEAD", path, {}) as answer:
            size = answer.headers.get("X-Linked-Size") or (
                answer.headers.get("Content-Length") if answer.is_success else None
            )
            etag = answer.headers.get("X-Linked-Etag") or answer.headers.get("ETag") or ""
        return _Remote(int(size) if size and size.isdigit() else 0, etag.removeprefix("W/").strip('"'))

    def fetch(self, path: str, part: Path, have: int, size: int, progress: OnBytes) -> None:
        """Append to ``part``, which holds ``have`` bytes, what is missing; never more than ``size``."""
        if size and have == size:
            return
        try:
            self._append(path, part, have, size, progress)
        except _NoSuchRange:
            if not have:
                raise
            with writing(part):  # else every later call would ask for the same again
                part.unlink(missing_ok=True)
            self._append(path, part, 0, size, progress)

    def _append(self, path: str, part: Path, have: int, size: int, progress: OnBytes) -> None:
        with self._answer("GET", path, {"Range": f"bytes={have}-"} if have else {}) as answer, writing(part):
            goes_on = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            done = have if goes_on else 0
            with part.open("ab" if goes_on else "wb") as file:
                for chunk in answer.iter_raw():
                    done += len(chunk)
                    if size and done > size:
                        part.unlink()
                        raise Remote(f"more than the announced {size} bytes came", hint="run it again")
                    file.write(chunk)
                    progress(done, size)

    @contextmanager
    def _answer(self, method: str, path: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """The last answer of a chain of redirects; for HEAD the hub's own, as other places sign links for GET alone."""
        url = self._base.join(path)
        try:
            for _ in range(_REDIRECTS):
                self._check_safe(url)
                own = {"Authorization": f"Bearer {self._token}"} if self._token and self._is_hub(url) else {}
                with self.client.stream(method, url, headers=headers | own) as answer:
                    next_url = url.join(answer.headers["Location"]) if answer.has_redirect_location else None
                    told = method == "HEAD" and "X-Linked-Size" in answer.headers
                    if next_url is None or told or (method == "HEAD" and not self._is_hub(next_url)):
                        _check_status(answer, path)
                        yield answer
                        return
                    url = next_url
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            reason = str(problem) or type(problem).__name__
            raise Remote(f"{url.host}: {reason}", hint="run it again: it goes on where it stopped") from problem
        raise Remote(f"{self._base.host} redirects without end", hint="try again later")

    def _is_hub(self, url: httpx.URL) -> bool:
        return (url.scheme, url.host, url.port) == (self._base.scheme, self._base.host, self._base.port)

    def _check_safe(self, url: httpx.URL) -> None:
        if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.host)):
            raise Remote(f"{url.scheme}://{url.host} is not encrypted", hint="name an endpoint that begins with https:")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_status(answer: httpx.Response, path: str) -> None:
    code, host = answer.status_code, answer.url.host
    if answer.is_success or answer.has_redirect_location:
        return
    if code == 404:
        raise NoSuchModel(f"{host} has no {path}", hint="check owner, repository, file and revision")
    if code in (401, 403):
        raise Remote(f"{host} does not show {path}", hint="check the name; for a closed model set HF_TOKEN")
    kind = _NoSuchRange if code == 416 else Remote
    raise kind(f"{host} answers {code} {answer.reason_phrase}", hint="try again later")


def _is_whole(target: Path, remote: _Remote) -> bool:
    """Whether the file is here already, as far as the hub lets us know."""
    if not target.is_file() or target.stat().st_size != remote.size:
        return False
    return remote.sha256 is None or _hash(target) == remote.sha256


def _verify(part: Path, remote: _Remote) -> None:
    size = part.stat().st_size
    if remote.size and size < remote.size:
        raise Remote(f"{size} of {remote.size} bytes came", hint="run it again: it goes on where it stopped")
    if remote.sha256 is not None and _hash(part) != remote.sha256:
        part.unlink()
        raise Remote("the file is not the one that the hub announced", hint="run it again")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _silent(done: int, total: int) -> None:
    """Nobody watches."""
