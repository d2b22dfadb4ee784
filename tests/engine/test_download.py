"""Archives from their addresses, by hand and from mirrors; receipts, pins and several processes."""

import errno
import fcntl
import gzip
import io
import json
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import pytest

from aikd.cli import main
from aikd.engine.transfer import Reporter
from aikd.errors import UserError
from tests.engine.archive_server import (
    CONTENT,
    NAME,
    OTHER,
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

# The ordinary case


def test_archive_is_fetched_verified_and_receipted(server: Server, tmp_path: Path) -> None:
    receipt = fetch(archive(server.url()), tmp_path)
    assert_complete(tmp_path)
    assert receipt == {
        "name": NAME,
        "size": 1_500_000,
        "sha256": sha256(CONTENT),
        "md5": md5(CONTENT),
        "verified": True,
        "verified_against": f"md5:{md5(CONTENT)} (us)",
        "pin": None,
    }


def test_second_call_verifies_what_is_there_and_asks_nobody(server: Server, tmp_path: Path) -> None:
    wanted = archive(server.url())
    first = fetch(wanted, tmp_path)
    assert fetch(wanted, tmp_path) == first
    assert len(server.requests) == 1


def test_bytes_are_kept_as_they_are_although_the_server_calls_them_encoded(
    server: Server, tmp_path: Path
) -> None:
    content = gzip.compress(CONTENT, mtime=0)
    url = server.url(f"/{NAME}", Answer(content, headers={"Content-Encoding": "x-gzip"}))
    fetch(archive(url, content=content), tmp_path)
    assert_complete(tmp_path, content)
    assert server.requests[0][1]["Accept-Encoding"] == "identity"


def test_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    new = server.url("/new")
    fetch(archive(server.url("/old", Answer(status=302, headers={"Location": new}))), tmp_path)
    assert_complete(tmp_path)


# No published checksum


def test_without_a_published_checksum_the_first_file_is_pinned(server: Server, tmp_path: Path) -> None:
    wanted = archive(server.url(f"/{NAME}", Answer(), Answer(OTHER)), checksum=None, size=None)
    first = fetch(wanted, tmp_path)
    assert (first["verified"], first["pin"]) == (True, sha256(CONTENT))
    assert fetch(wanted, tmp_path) == first
    (tmp_path / NAME).unlink()
    with pytest.raises(UserError, match=sha256(CONTENT)):
        fetch(wanted, tmp_path)


def test_pin_outlives_an_accepted_other_file(server: Server, tmp_path: Path) -> None:
    wanted = archive(server.url(), checksum=None)
    fetch(wanted, tmp_path)
    (tmp_path / NAME).write_bytes(OTHER)
    other = fetch(wanted, tmp_path, accept_other=True)
    assert (other["verified"], other["sha256"], other["pin"]) == (False, sha256(OTHER), sha256(CONTENT))
    with pytest.raises(UserError, match=f"remove {tmp_path / NAME}.json"):
        fetch(wanted, tmp_path)


def test_the_receipt_is_the_same_from_wherever_the_file_came(server: Server, tmp_path: Path) -> None:
    fetch(archive(server.url()), tmp_path / "published")
    fetch(archive("http://nowhere.invalid/"), tmp_path / "mirrored", mirror=str(tmp_path / "published"))
    (tmp_path / "placed").mkdir()
    shutil.copy(tmp_path / "published" / NAME, tmp_path / "placed")
    fetch(archive("http://nowhere.invalid/"), tmp_path / "placed")
    receipts = {
        (tmp_path / place / f"{NAME}.json").read_bytes() for place in ("published", "mirrored", "placed")
    }
    assert len(receipts) == 1


def test_a_study_says_which_mirror_and_whether_another_file_will_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/lists.tar").write_bytes(OTHER)
    study = tmp_path / "study.yaml"
    head = f"name: mine\nmirror: {tmp_path / 'mirror'}\nmodels: {{resnet18: {{label: R}}}}\nmethods: {{baseline: {{}}}}"
    for accept, code in (("false", 1), ("true", 0)):
        study.write_text(f"{head}\ndata: {{stanford_dogs: {{models: [resnet18], accept_other: {accept}}}}}\n")
        command = ["download", "lists.tar", "--data", str(tmp_path / "data"), "--study", str(study)]
        assert main(command) == code
    assert (tmp_path / "data/downloads/lists.tar").read_bytes() == OTHER
    assert "only the mirror was asked" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not readable JSON"),
        ("{}", "not a receipt, as it lacks 'name'"),
        ("[]", "expected a JSON object"),
    ],
)
def test_a_damaged_receipt_says_what_helps(server: Server, tmp_path: Path, content: str, words: str) -> None:
    fetch(archive(server.url()), tmp_path)
    note = tmp_path / f"{NAME}.json"
    good = note.read_bytes()
    note.write_text(content)
    with pytest.raises(UserError, match=f"^{note}: {words}.*; remove it, and download the archive again"):
        fetch(archive(server.url()), tmp_path)
    note.unlink()
    fetch(archive("http://nowhere.invalid/"), tmp_path)
    assert note.read_bytes() == good


def test_a_receipt_of_an_earlier_version_is_read(server: Server, tmp_path: Path) -> None:
    receipt = fetch(archive(server.url()), tmp_path)
    note = tmp_path / f"{NAME}.json"
    note.write_text(json.dumps(receipt | {"url": "https://example.org"}))
    assert fetch(archive(server.url()), tmp_path) == receipt


# By hand, and mirrors


def test_a_link_to_nothing_is_named_and_nothing_is_downloaded(server: Server, tmp_path: Path) -> None:
    (tmp_path / NAME).symlink_to(tmp_path / "unmounted" / NAME)
    assert f"{tmp_path / NAME}: a link to nothing" in refusal(archive(server.url()), tmp_path)
    assert server.requests == []


def test_a_mirror_s_missing_folder_is_told_from_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    for folder, words in (("mirror", "no such file"), ("miror", "no such folder")):
        assert words in refusal(
            archive("http://nowhere.invalid/"), tmp_path / "data", mirror=str(tmp_path / folder)
        )


def test_a_mirror_costs_nothing_of_what_was_transferred_before_unless_it_has_the_file(
    server: Server, tmp_path: Path
) -> None:
    data, mirror = tmp_path / "data", tmp_path / "mirror"
    for folder in (data, mirror):
        folder.mkdir()
    start_part(data, CONTENT[:1000], server.url())
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    refusal(archive(server.url()), data, mirror=str(tmp_path / "miror"))
    (mirror / NAME).write_bytes(OTHER)
    refusal(archive(server.url()), data, mirror=str(mirror))
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before
    (mirror / NAME).write_bytes(CONTENT)
    assert fetch(archive(server.url()), data, mirror=str(mirror))["verified"]
    assert_complete(data)


def test_right_file_placed_by_hand_is_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(CONTENT)
    receipt = fetch(archive(server.url()), tmp_path)
    assert (receipt["verified"], server.requests) == (True, [])


def test_link_to_the_right_file_is_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(CONTENT)
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    assert fetch(archive(server.url()), tmp_path)["verified"]


def test_wrong_file_placed_by_hand_is_refused_and_left_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(OTHER[:1000])
    message = refusal(archive(server.url()), tmp_path)
    for fact in [str(tmp_path / NAME), "1,500,000 bytes", md5(CONTENT), "1,000 bytes", md5(OTHER[:1000])]:
        assert fact in message
    assert "accept_other" in message
    assert (tmp_path / NAME).read_bytes() == OTHER[:1000]
    assert server.requests == []


def test_wrong_file_placed_by_hand_can_be_accepted_and_the_receipt_says_so(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(OTHER)
    receipt = fetch(archive("http://nowhere.invalid/"), tmp_path, accept_other=True)
    assert (receipt["verified"], receipt["sha256"]) == (False, sha256(OTHER))
    assert fetch(archive("http://nowhere.invalid/"), tmp_path, accept_other=True) == receipt
    with pytest.raises(UserError, match="not the published archive"):
        fetch(archive("http://nowhere.invalid/"), tmp_path)


@pytest.mark.parametrize("kind", ["directory", "base URL", "base URL with slash"])
def test_mirror_is_asked_instead_of_the_published_addresses(
    server: Server, tmp_path: Path, kind: str
) -> None:
    if kind == "directory":
        mirror = str(tmp_path / "mirror")
        (tmp_path / "mirror").mkdir()
        (tmp_path / "mirror" / NAME).write_bytes(CONTENT)
    else:
        mirror = server.url(f"/mirror/{NAME}").removesuffix(NAME if "slash" in kind else f"/{NAME}")
    stream = io.StringIO()
    fetch(archive(server.url("/published")), tmp_path / "data", mirror=mirror, report=Reporter(stream))
    assert_complete(tmp_path / "data")
    assert f", from {mirror.rstrip('/')}/{NAME}; " in stream.getvalue()
    assert "/published" not in [path for path, _ in server.requests]


@pytest.mark.parametrize("kind", ["directory", "base URL"])
def test_other_file_on_a_mirror_needs_consent(server: Server, tmp_path: Path, kind: str) -> None:
    (tmp_path / NAME).write_bytes(OTHER + b"!")
    mirror = str(tmp_path)
    if kind == "base URL":
        mirror = server.url(f"/{NAME}", Answer(OTHER + b"!")).removesuffix(f"/{NAME}")
    wanted, data = archive(server.url("/published")), tmp_path / "data"
    assert "1,500,001 bytes" in refusal(wanted, data, mirror=mirror)
    receipt = fetch(wanted, data, mirror=mirror, accept_other=True)
    assert_complete(data, OTHER + b"!")
    assert (receipt["verified"], receipt["sha256"]) == (False, sha256(OTHER + b"!"))


def test_published_address_with_another_file_is_refused_even_with_consent(
    server: Server, tmp_path: Path
) -> None:
    refusal(archive(server.url(f"/{NAME}", Answer(OTHER))), tmp_path, accept_other=True)


def test_other_file_of_a_mirror_is_never_joined_with_a_part(server: Server, tmp_path: Path) -> None:
    start_part(tmp_path, CONTENT[:1000])
    mirror = server.url(f"/{NAME}", Answer(OTHER)).removesuffix(f"/{NAME}")
    fetch(archive("http://nowhere.invalid/"), tmp_path, mirror=mirror, accept_other=True)
    assert_complete(tmp_path, OTHER)


def test_mirror_without_the_archive_is_named(tmp_path: Path) -> None:
    message = refusal(archive("http://nowhere.invalid/"), tmp_path / "data", mirror=str(tmp_path))
    assert f"{tmp_path / NAME}: no such file" in message
    assert "only the mirror was asked" in message


# What others left


def test_what_killed_downloads_left_is_removed_but_for_what_can_be_continued(
    server: Server, tmp_path: Path
) -> None:
    start_part(tmp_path, CONTENT[:1000])
    for name in (f".{NAME}.99.json", f"..{NAME}.part.99.json", f".{NAME}.lock"):
        (tmp_path / name).touch()
    fetch(archive(server.url()), tmp_path)
    assert server.ranges() == ["bytes=1000-"]
    assert {path.name for path in tmp_path.iterdir()} == {NAME, f"{NAME}.json"}


def test_a_part_is_of_no_use_once_the_archive_was_placed_by_hand(tmp_path: Path) -> None:
    start_part(tmp_path, CONTENT[:1000])
    (tmp_path / NAME).write_bytes(OTHER)
    wanted = archive("http://nowhere.invalid/")
    refusal(wanted, tmp_path)
    assert (tmp_path / f".{NAME}.part").exists()
    (tmp_path / NAME).write_bytes(CONTENT)
    fetch(wanted, tmp_path)
    assert_complete(tmp_path)


# Several processes


def test_two_processes_share_one_download(server: Server, tmp_path: Path) -> None:
    wanted = archive(server.url(f"/{NAME}", Answer(pause=0.01)))
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=fetch, args=(wanted, tmp_path)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(server.requests) == 1
    assert_complete(tmp_path)


@pytest.mark.parametrize(("code", "works"), [(errno.ENOLCK, True), (errno.EIO, False)])
def test_file_system_without_locks_will_do(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, works: bool
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(code, "no")

    monkeypatch.setattr(fcntl, "flock", refuse)
    if works:
        fetch(archive(server.url()), tmp_path)
    else:
        with pytest.raises(OSError, match="no"):
            fetch(archive(server.url()), tmp_path)
