"""Resuming, retrying and refusing, against a server that can do everything wrong."""

import io
import multiprocessing
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aikd.engine.transfer import Patience, Reporter
from tests.engine.archive_server import (
    CONTENT,
    NAME,
    OTHER,
    QUICK,
    Answer,
    Server,
    archive,
    assert_complete,
    fetch,
    md5,
    refusal,
    sha256,
    start_part,
)

# Resuming


def test_cut_connection_is_continued_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    url = server.url(f"/{NAME}", Answer(cut=600_000, etag='"1"'), Answer(etag='"1"'))
    fetch(archive(url), tmp_path)
    assert_complete(tmp_path)
    assert server.ranges() == [None, "bytes=600000-"]
    assert server.requests[1][1]["If-Range"] == '"1"'


def test_part_of_an_earlier_process_is_continued(server: Server, tmp_path: Path) -> None:
    start_part(tmp_path, CONTENT[:1_000_000])
    fetch(archive(server.url()), tmp_path)
    assert_complete(tmp_path)
    assert server.ranges() == ["bytes=1000000-"]


def test_part_is_continued_at_another_address_when_a_checksum_will_tell(
    server: Server, tmp_path: Path
) -> None:
    urls = server.url("/first", Answer(cut=500_000, etag='"a"'), Answer(status=404)), server.url("/second")
    fetch(archive(*urls), tmp_path)
    assert_complete(tmp_path)
    path, headers = server.requests[-1]
    assert (path, headers["Range"], "If-Range" in headers) == ("/second", "bytes=500000-", False)


@pytest.mark.parametrize("validator", [{"etag": '"{}"'}, {"modified": "Mon, 0{} Jun 2026 00:00:00 GMT"}])
def test_file_that_changed_between_attempts_is_started_anew(
    server: Server, tmp_path: Path, validator: dict[str, str]
) -> None:
    old, new = ({key: text.format(i) for key, text in validator.items()} for i in (1, 2))
    url = server.url(f"/{NAME}", Answer(OTHER, cut=700_000, **old), Answer(**new))  # type: ignore[arg-type]
    fetch(archive(url), tmp_path)
    assert_complete(tmp_path)
    assert len(server.requests) == 2


@pytest.mark.parametrize("validator", [{"etag": '"{}"'}, {"modified": "Mon, 0{} Jun 2026 00:00:00 GMT"}])
def test_two_files_are_never_joined_though_the_server_passes_over_if_range(
    server: Server, tmp_path: Path, validator: dict[str, str]
) -> None:
    """No checksum could tell, as any file is accepted."""
    old, new = ({key: text.format(i) for key, text in validator.items()} for i in (1, 2))
    answers = Answer(CONTENT, cut=700_000, **old), Answer(OTHER, careless=True, **new)  # type: ignore[arg-type]
    mirror = server.url(f"/{NAME}", *answers).removesuffix(f"/{NAME}")
    fetch(archive("http://nowhere.invalid/"), tmp_path, mirror=mirror, accept_other=True)
    assert (tmp_path / NAME).read_bytes() == OTHER
    assert server.ranges() == [None, "bytes=700000-", None]


def test_weak_etag_is_no_validator(server: Server, tmp_path: Path) -> None:
    url = server.url(f"/{NAME}", Answer(cut=700_000, etag='W/"1"'), Answer(etag='W/"1"'))
    fetch(archive(url), tmp_path)
    assert "If-Range" not in server.requests[1][1]


def test_server_that_ignores_ranges_starts_from_zero(server: Server, tmp_path: Path) -> None:
    url = server.url(f"/{NAME}", Answer(cut=700_000, ranges=False), Answer(ranges=False))
    fetch(archive(url), tmp_path)
    assert_complete(tmp_path)


def test_wrong_part_costs_one_more_download_not_the_address(server: Server, tmp_path: Path) -> None:
    start_part(tmp_path, OTHER[:1_000_000])
    fetch(archive(server.url()), tmp_path)
    assert_complete(tmp_path)
    assert server.ranges() == ["bytes=1000000-", None]


@pytest.mark.parametrize("part", [OTHER, OTHER + b"more", CONTENT + b"more"])
def test_wrong_complete_part_and_too_long_part_are_dropped(
    server: Server, tmp_path: Path, part: bytes
) -> None:
    start_part(tmp_path, part)
    fetch(archive(server.url()), tmp_path)
    assert_complete(tmp_path)
    assert server.ranges() == [None]


def test_complete_part_needs_no_request(server: Server, tmp_path: Path) -> None:
    start_part(tmp_path, CONTENT)
    fetch(archive(server.url()), tmp_path)
    assert_complete(tmp_path)
    assert server.requests == []


def test_range_that_the_server_cannot_satisfy_is_dropped(server: Server, tmp_path: Path) -> None:
    start_part(tmp_path, CONTENT + b"more")
    fetch(archive(server.url(), size=None), tmp_path)
    assert_complete(tmp_path)
    assert server.ranges() == [f"bytes={len(CONTENT) + 4}-", None]


def test_answer_with_another_range_than_asked_is_not_appended(server: Server, tmp_path: Path) -> None:
    answers = Answer(lie="bytes 7-1499999/1500000", etag='"1"'), Answer(etag='"1"')
    url = server.url(f"/{NAME}", *answers)
    start_part(tmp_path, CONTENT[:1000], url, '"1"')
    fetch(archive(url, checksum=None, size=None), tmp_path)
    assert_complete(tmp_path)
    assert server.ranges() == ["bytes=1000-", None]


def test_without_validator_and_checksum_nothing_is_continued(server: Server, tmp_path: Path) -> None:
    start_part(tmp_path, OTHER[:1000])
    fetch(archive(server.url(), checksum=None), tmp_path)
    assert_complete(tmp_path)
    assert server.ranges() == [None]


def test_killed_process_leaves_a_part_that_the_next_one_continues(server: Server, tmp_path: Path) -> None:
    wanted = archive(server.url(f"/{NAME}", Answer(pause=0.3, etag='"1"'), Answer(etag='"1"')))
    process = multiprocessing.get_context("fork").Process(target=fetch, args=(wanted, tmp_path))
    process.start()
    part = tmp_path / f".{NAME}.part"
    deadline = time.monotonic() + 10
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    kept = part.stat().st_size
    assert 0 < kept < len(CONTENT)
    assert not (tmp_path / NAME).exists()
    fetch(wanted, tmp_path)
    assert_complete(tmp_path)
    assert server.ranges() == [None, f"bytes={kept}-"]


# Retrying


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_server_is_asked_again(server: Server, tmp_path: Path, status: int) -> None:
    url = server.url(f"/{NAME}", *[Answer(status=status)] * 3, Answer())
    fetch(archive(url), tmp_path)
    assert_complete(tmp_path)
    assert len(server.requests) == 4


def test_address_is_given_up_after_failures_in_a_row_and_the_next_one_tried(
    server: Server, tmp_path: Path
) -> None:
    busy, good = server.url("/busy", Answer(status=503)), server.url("/good")
    fetch(archive(busy, good), tmp_path)
    assert server.requests[-1][0] == "/good"
    assert [path for path, _ in server.requests] == ["/busy"] * QUICK.tries + ["/good"]


def test_progress_renews_patience(server: Server, tmp_path: Path) -> None:
    url = server.url(f"/{NAME}", *[Answer(cut=200_000, etag='"1"')] * 7, Answer(etag='"1"'))
    fetch(archive(url), tmp_path)
    assert_complete(tmp_path)
    assert len(server.requests) == 8 > QUICK.tries


def test_connection_that_never_gets_further_is_given_up(server: Server, tmp_path: Path) -> None:
    url = server.url(f"/{NAME}", Answer(cut=1000, ranges=False))
    assert f"({QUICK.tries} times in a row)" in refusal(archive(url), tmp_path)
    assert len(server.requests) == QUICK.tries


def test_silent_server_is_a_failure_too(server: Server, tmp_path: Path) -> None:
    patience = Patience(tries=2, first=0.001, connect=5, read=0.1)
    url = server.url(f"/{NAME}", Answer(pause=2.0))
    assert "timed out" in refusal(archive(url), tmp_path, patience=patience)


def test_closed_port_is_named_as_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/{NAME}"
        message = refusal(archive(url), tmp_path)
    assert url in message
    assert "refused" in message.lower()


def test_missing_file_and_bad_address_are_not_asked_again(server: Server, tmp_path: Path) -> None:
    message = refusal(archive(server.url("/gone", Answer(status=404)), "http://"), tmp_path)
    assert "answered 404 Not Found" in message
    assert len(server.requests) == 1


def test_waits_double_up_to_a_limit_with_jitter() -> None:
    patience = Patience(first=1, longest=10)
    for failures, nominal in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (50, 10)]:
        waits = [patience.wait(failures, None) for _ in range(50)]
        assert nominal / 2 <= min(waits) < max(waits) <= nominal


@pytest.mark.parametrize(
    ("asked", "shortest", "longest"),
    [
        ("3", 3, 3),
        ("3600", 10, 10),
        ("Mon, 01 Jun 2020 00:00:00 GMT", 0, 0),
        ("Mon, 01 Jun 2099 00:00:00 GMT", 10, 10),
        ("soon", 0.5, 1),
    ],
)
def test_wish_of_the_server_to_wait_is_granted_up_to_the_limit(
    asked: str, shortest: float, longest: float
) -> None:
    assert shortest <= Patience(first=1, longest=10).wait(1, asked) <= longest


def test_retry_after_reaches_the_wait(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("aikd.engine.transfer.time.sleep", waits.append)
    url = server.url(f"/{NAME}", Answer(status=429, headers={"Retry-After": "7"}), Answer())
    fetch(archive(url), tmp_path, patience=Patience(first=1, longest=10))
    assert waits[0] == 7


# What is not the archive


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<html>please log in</html>", headers={"Content-Type": "text/html; charset=utf-8"}),
        Answer(b"\n <!DOCTYPE html><title>gone</title>", length=False),
        Answer(b"<HTML>" + CONTENT[6:]),
    ],
)
def test_html_instead_of_the_archive_is_named_and_a_part_survives_it(
    server: Server, tmp_path: Path, answer: Answer
) -> None:
    answer.ranges = False
    start_part(tmp_path, CONTENT[:1000])
    url = server.url(f"/{NAME}", answer)
    assert f"{url}: answered with an HTML page instead of the archive" in refusal(archive(url), tmp_path)
    assert (tmp_path / f".{NAME}.part").read_bytes() == CONTENT[:1000]


def test_wrong_content_is_refused_with_what_was_expected_and_found(server: Server, tmp_path: Path) -> None:
    url = server.url(f"/{NAME}", Answer(OTHER))
    message = refusal(archive(url), tmp_path)
    for fact in [url, "1,500,000 bytes", md5(CONTENT), md5(OTHER), str(tmp_path / NAME), "mirror"]:
        assert fact in message
    assert list(tmp_path.iterdir()) == []


def test_announced_wrong_size_is_refused_before_it_is_fetched(server: Server, tmp_path: Path) -> None:
    url = server.url(f"/{NAME}", Answer(CONTENT[:-1]))
    assert "announces 1,499,999 bytes, expected 1,500,000" in refusal(archive(url), tmp_path)
    assert not (tmp_path / f".{NAME}.part").exists()


def test_body_that_ends_early_without_announcement_is_noticed(server: Server, tmp_path: Path) -> None:
    url = server.url(f"/{NAME}", Answer(CONTENT[:1_000_000], length=False), Answer())
    fetch(archive(url), tmp_path)
    assert_complete(tmp_path)


def test_wrong_address_hands_over_to_the_next(server: Server, tmp_path: Path) -> None:
    urls = server.url("/wrong", Answer(OTHER)), server.url("/right")
    fetch(archive(*urls), tmp_path)
    assert [path for path, _ in server.requests] == ["/wrong", "/right"]
    assert_complete(tmp_path)


def test_message_lists_every_address_with_its_answer(server: Server, tmp_path: Path) -> None:
    urls = server.url("/a", Answer(status=403)), server.url("/b", Answer(OTHER)), "nonsense://x"
    lines = refusal(archive(*urls), tmp_path).splitlines()
    assert [line.split(": ")[0].strip() for line in lines[1:4]] == list(urls)


def test_sha256_is_verified_like_md5(server: Server, tmp_path: Path) -> None:
    good = f"sha256:{sha256(CONTENT)}"
    assert refusal(archive(server.url(), checksum=f"sha256:{'0' * 64}"), tmp_path).count("0" * 64)
    receipt = fetch(archive(server.url(), checksum=good), tmp_path)
    assert (receipt["verified_against"], receipt["md5"]) == (f"{good} (us)", None)


# Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "every", "pattern"),
    [
        (io.StringIO, 0.0, r"birds\.tgz: 100% of 1\.5 MB, [\d.]+ MB/s\n"),
        (Terminal, 0.0, r"\rbirds\.tgz: 100% of 1\.5 MB \[#{20}\], [\d.]+ MB/s\x1b\[K\n"),
    ],
)
def test_progress_is_lines_or_on_a_terminal_one_line(
    server: Server, tmp_path: Path, stream: Callable[[], io.StringIO], every: float, pattern: str
) -> None:
    report = Reporter(stream(), every)
    report.every = 0.0
    url = server.url()
    fetch(archive(url), tmp_path, report=report)
    text = report.stream.getvalue()  # type: ignore[attr-defined]
    assert re.search(pattern, text)
    assert text.endswith(
        f"verified, from {url}; 1,500,000 bytes, md5 {md5(CONTENT)}, sha256 {sha256(CONTENT)}\n"
    )


def test_lines_of_progress_keep_their_distance(server: Server, tmp_path: Path) -> None:
    stream = io.StringIO()
    fetch(archive(server.url()), tmp_path, report=Reporter(stream, every=3600))
    assert len(stream.getvalue().splitlines()) == 1
