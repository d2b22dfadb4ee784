"""Fills a partial file from an address: continues where it broke off, retries with back-off, shows progress."""

import os
import random
import shutil
import sys
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

import requests
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from aikd.engine.archives import Expected, Found, measure
from aikd.errors import UserError
from aikd.files import naming, read_json, write_json
from aikd.messages import say

CHUNK = 1 << 18
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which asking again may help."""


@dataclass(frozen=True)
class Patience:
    """How long to go on; times in seconds."""

    tries: int = 5
    """Failures in a row, without one new byte, after which an address is given up."""
    first: float = 1.0
    """Wait after the first failure; it doubles with each further one."""
    longest: float = 60.0
    """No wait is longer, even if the server asks for it."""
    connect: float = 15.0
    """To connect."""
    read: float = 60.0
    """Between two pieces of an answer."""

    def wait(self, failures: int, retry_after: str | None) -> float:
        """Seconds to wait: what the server asks for, else exponential back-off with jitter."""
        if retry_after is not None:
            try:
                return float(min(self.longest, Retry().parse_retry_after(retry_after)))
            except InvalidHeader:
                pass
        return min(self.longest, self.first * 2.0 ** (failures - 1)) * random.uniform(0.5, 1)


PATIENCE = Patience()


class Reporter:
    """Progress on a stream: one line that rewrites itself on a terminal, elsewhere a line every few seconds."""

    def __init__(self, stream: TextIO | None = None, every: float = 5.0) -> None:
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.every = 0.1 if self.terminal else every
        self.last = time.monotonic()
        self.open = False

    def say(self, text: str) -> None:
        """A line that stays."""
        say("\n" * self.open + text, self.stream)
        self.open = False

    def progress(self, name: str, done: int, total: int | None, rate: float) -> None:
        """How far a transfer is, if the last such line is old enough; sizes in bytes, rate in bytes a second."""
        if time.monotonic() - self.last < self.every:
            return
        self.last = time.monotonic()
        text = f"{name}: {done / 1e6:.1f} MB"
        if total:
            text = f"{name}: {done / total:.0%} of {total / 1e6:.1f} MB"
            if self.terminal:
                text += f" [{'#' * (20 * done // total):.<20}]"
        text += f", {rate / 1e6:.2f} MB/s"
        if self.terminal:
            say(f"\r{text}\x1b[K", self.stream, end="")
        else:
            say(text, self.stream)
        self.open = self.terminal


class RefusedError(Exception):
    """An address will not give the archive: asking again is no use."""


class BrokenError(Exception):
    """A transfer failed in a way that may pass."""

    def __init__(self, text: str, retry_after: str | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Part:
    """A partial file, and how to fill it.

    Args:
        target: the name of the complete file. Beside it stand `.<name>.part` and `.<name>.part.json`, a note of
            the address it came from, to resume with.
        any_content: take whatever comes, not only what is expected.
    """

    def __init__(
        self, target: Path, expected: Expected, any_content: bool, report: Reporter, patience: Patience
    ) -> None:
        self.target, self.path = target, target.with_name(f".{target.name}.part")
        self.note = target.with_name(f".{target.name}.part.json")
        self.expected, self.any_content = expected, any_content
        self.total = None if any_content else expected.archive.size
        self.report, self.patience = report, patience
        self.session = requests.Session()
        self.resumed = False
        """Whether it holds bytes of an earlier answer."""

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def drop(self) -> None:
        """Start anew."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the complete file its name."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.replace(self.target)
        self.note.unlink(missing_ok=True)

    def fill(self, url: str) -> Found:
        """The whole file from one address, a URL or a path; verified.

        Raises:
            RefusedError: the address does not give it.
        """
        if not url.startswith(("http://", "https://")):
            return self._copied(Path(url).expanduser())
        while True:
            self.resumed = True
            self._fetch(url)
            found = measure(self.path)
            problem = self.expected.problem(found)
            if problem is None or self.any_content:
                return found
            self.drop()
            if not self.resumed:
                raise RefusedError(problem)
            self.report.say(f"{self.expected.archive.name}: the continued file is wrong; starting anew")

    def _copied(self, source: Path) -> Found:
        """A file of this machine; what was transferred before goes only once a good one is there."""
        if not source.is_file():
            raise RefusedError("no such file" if source.parent.is_dir() else "no such folder")
        copy = self.path.with_name(f"{self.path.name}.copy")
        try:
            with naming(self.path, copy):
                shutil.copyfile(source, copy)
            found = measure(copy)
            problem = self.expected.problem(found)
            if problem and not self.any_content:
                raise RefusedError(problem)
            self.drop()
            copy.replace(self.path)
        finally:
            copy.unlink(missing_ok=True)
        return found

    def _fetch(self, url: str) -> None:
        """Transfer until the file is complete, with ever longer waits while nothing new arrives."""
        failures, most = 0, self.size
        if self.total and self.size > self.total:
            self.drop()
        while self.size != self.total:
            try:
                self._transfer(url)
                break
            except BrokenError as error:
                failures = 1 if self.size > most else failures + 1
                most = max(most, self.size)
                if failures >= self.patience.tries:
                    raise RefusedError(f"{error} ({failures} times in a row)") from None
                wait = self.patience.wait(failures, error.retry_after)
                self.report.say(f"{url}: {error}; trying again in {wait:.0f} s")
                time.sleep(wait)

    def _transfer(self, url: str) -> None:
        """Ask once, and append to the part what comes."""
        start, validator = self._resume_point(url)
        # Servers like to declare .tar.gz as an encoded .tar: ask for no encoding, and undo none.
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-"} | ({"If-Range": validator} if validator else {})
        try:
            timeout = self.patience.connect, self.patience.read
            with self.session.get(url, headers=headers, stream=True, timeout=timeout) as response:
                self._check(response, start)
                self._check_same(response, validator)
                self._save(url, response, start if response.status_code == 206 else 0)
        except (requests.RequestException, HTTPError) as error:
            hopeless = isinstance(error, (ValueError, requests.TooManyRedirects))  # a bad address, a circle
            raise (RefusedError if hopeless else BrokenError)(_cause(error)) from None

    def _resume_point(self, url: str) -> tuple[int, str | None]:
        """How many bytes to keep, and the validator that tells the server of which file they are."""
        try:
            note = read_json(self.note)
        except UserError:
            note = {}
        validator = note.get("validator") if note.get("url") == url else None
        # Without a validator only a checksum tells whether two different files were joined.
        checked = self.expected.checksum and not self.any_content
        return (self.size, validator) if validator or checked else (0, None)

    def _check(self, response: requests.Response, start: int) -> None:
        status, answer = response.status_code, f"answered {response.status_code} {response.reason}"
        if status in BUSY:
            raise BrokenError(answer, response.headers.get("Retry-After"))
        content_range = response.headers.get("Content-Range", "")
        if status == 416 or (status == 206 and not content_range.startswith(f"bytes {start}-")):
            self.drop()
            raise BrokenError(f"{answer} to bytes {start}- with Content-Range {content_range or 'missing'}")
        if status not in (200, 206):
            raise RefusedError(answer)
        if "html" in response.headers.get("Content-Type", ""):
            raise RefusedError("answered with an HTML page instead of the archive")

    def _check_same(self, response: requests.Response, validator: str | None) -> None:
        """Refuse the rest of another file than the one begun, from a server that does not heed If-Range."""
        if response.status_code == 206 and validator not in (None, _validator(response)):
            self.drop()
            raise BrokenError("the file has changed since the transfer began")

    def _save(self, url: str, response: requests.Response, start: int) -> None:
        total = _announced(response) or self.total
        if self.total and total != self.total:
            raise RefusedError(f"announces {total:,} bytes, expected {self.total:,}")
        pieces = response.raw.stream(CHUNK, decode_content=False)
        first = next(pieces, b"")
        if not start:
            if first.lstrip(b"\xef\xbb\xbf \t\r\n")[:9].lower().startswith((b"<!doctype", b"<html")):
                raise RefusedError("answered with an HTML page instead of the archive")
            self.drop()
            write_json(self.note, {"url": url, "validator": _validator(response)})
        self.resumed = start > 0
        began, done = time.monotonic(), start
        with naming(self.path), self.path.open("ab") as file:
            for piece in chain([first], pieces):
                file.write(piece)
                done += len(piece)
                rate = (done - start) / max(time.monotonic() - began, 1e-3)
                self.report.progress(self.expected.archive.name, done, total, rate)
        if total and done < total:
            raise BrokenError(f"the connection ended after {done:,} of {total:,} bytes")


def _announced(response: requests.Response) -> int | None:
    """Size of the whole file in bytes, as the server tells it."""
    if response.status_code == 206:
        total = response.headers["Content-Range"].rpartition("/")[2]
    else:
        total = response.headers.get("Content-Length", "")
    return int(total) if total.isdecimal() else None


def _validator(response: requests.Response) -> str | None:
    """What If-Range may name: a strong ETag, else the time of the last change."""
    etag: str = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified") if etag.startswith("W/") else etag


def _cause(error: BaseException) -> str:
    """The innermost reason, without the layers that wrap it."""
    while True:
        inner = getattr(error, "reason", None) or next(iter(error.args), None)
        if not isinstance(inner, BaseException):
            return str(error) or type(error).__name__
        error = inner
