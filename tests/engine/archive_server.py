"""A local server that behaves, and misbehaves, like those on the way to real archives; and what its tests share."""

import hashlib
import io
import json
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from aikd.engine.archives import Archive
from aikd.engine.download import download
from aikd.engine.transfer import Patience, Reporter
from aikd.errors import UserError

CONTENT = random.Random(1).randbytes(1_500_000)
OTHER = random.Random(2).randbytes(1_500_000)
NAME = "birds.tgz"
QUICK = Patience(tries=4, first=0.001, longest=0.05, connect=5, read=5)


@dataclass
class Answer:
    """How the server answers one request; each is used once, the last one for good."""

    content: bytes = CONTENT
    status: int | None = None
    """Instead of the file."""
    cut: int | None = None
    """Close the connection after so many bytes of the body."""
    ranges: bool = True
    etag: str | None = None
    modified: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    length: bool = True
    """Whether to announce the length; without, the end of the connection is the end of the file."""
    pause: float = 0.0
    """Seconds between pieces of 100,000 bytes."""
    lie: str | None = None
    """The Content-Range to give instead of the true one."""
    careless: bool = False
    """Whether to pass over If-Range."""


class Server(ThreadingHTTPServer):
    """Serves /birds.tgz, each path with its own list of answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []

    def url(self, path: str = f"/{NAME}", *answers: Answer) -> str:
        """The address of a path that answers so."""
        self.answers[path] = list(answers) or [Answer()]
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def ranges(self) -> list[str | None]:
        """The Range header of each request so far."""
        return [headers.get("Range") for _, headers in self.requests]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        answers = self.server.answers.get(self.path, [Answer(status=404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        start = self._start(answer)
        if answer.status:
            self._head(answer.status, 0, answer.headers)
        elif start >= len(answer.content):
            self._head(416, 0, {"Content-Range": f"bytes */{len(answer.content)}"})
        else:
            self._file(answer, start)

    def _file(self, answer: Answer, start: int) -> None:
        headers = dict(answer.headers)
        headers |= {"ETag": answer.etag} if answer.etag else {}
        headers |= {"Last-Modified": answer.modified} if answer.modified else {}
        if start:
            last = len(answer.content)
            headers["Content-Range"] = answer.lie or f"bytes {start}-{last - 1}/{last}"
        body = answer.content[start:]
        self._head(206 if start else 200, len(body) if answer.length else None, headers)
        self._body(body[: answer.cut], answer)
        if answer.cut is not None or not answer.length:
            self.close_connection = True

    def _start(self, answer: Answer) -> int:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = None if answer.careless else self.headers.get("If-Range")
        if not wanted or not answer.ranges or condition not in (None, answer.etag, answer.modified):
            return 0
        return int(wanted[1])

    def _head(self, status: int, length: int | None, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _body(self, body: bytes, answer: Answer) -> None:
        try:
            for i in range(0, len(body), 100_000):
                self.wfile.write(body[i : i + 100_000])
                time.sleep(answer.pause)
        except OSError:
            self.close_connection = True


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server at work, which no proxy hides."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def archive(*urls: str, content: bytes = CONTENT, **facts: Any) -> Archive:
    """An archive as published, whose true bytes are `content`."""
    known = {
        "size": len(content),
        "checksum": f"md5:{md5(content)}",
        "size_from": "us",
        "checksum_from": "us",
    }
    return Archive(name=NAME, urls=list(urls), **(known | facts))


def fetch(wanted: Archive, folder: Path, **options: Any) -> dict[str, Any]:
    """Download; returns the receipt as it stands on disk."""
    options = {"mirror": None, "patience": QUICK, "report": Reporter(io.StringIO())} | options
    receipt = download(wanted, folder, **options)
    saved: dict[str, Any] = json.loads((folder / f"{NAME}.json").read_text())
    assert saved == vars(receipt)
    return saved


def refusal(wanted: Archive, folder: Path, **options: Any) -> str:
    """The message of a download that must fail, and must leave neither archive nor receipt."""
    with pytest.raises(UserError) as caught:
        fetch(wanted, folder, **options)
    assert not (folder / f"{NAME}.json").exists()
    return str(caught.value)


def start_part(folder: Path, content: bytes, url: str | None = None, validator: str | None = None) -> None:
    """What an interrupted download leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f".{NAME}.part").write_bytes(content)
    if url:
        (folder / f".{NAME}.part.json").write_text(json.dumps({"url": url, "validator": validator}))


def assert_complete(folder: Path, content: bytes = CONTENT) -> None:
    """The archive is there, and nothing partial is."""
    assert (folder / NAME).read_bytes() == content
    assert list(folder.glob("*.part*")) == []
