"""Files are whole or not there."""

import contextlib
import errno
import json
import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from aikd.errors import UserError
from aikd.files import leftovers, new_folder, read_json, replacing, write_json, write_text, write_together


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def write_half(path: Path) -> None:
    path.write_text("ne")
    raise KeyboardInterrupt


def test_the_old_content_stands_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["table.csv"]


@pytest.mark.parametrize("before", [True, False], ids=["after an old file", "without an old file"])
def test_an_error_leaves_things_as_they_were(tmp_path: Path, before: bool) -> None:
    path = tmp_path / "table.csv"
    if before:
        path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        write_half(temporary)
    assert names(tmp_path) == ["table.csv"] * before
    assert not before or path.read_text() == "old"


def test_nothing_written_is_an_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["figure_4.pdf", "model.safetensors"])
def test_the_temporary_file_has_the_suffix_is_hidden_and_lies_beside(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with replacing(path) as temporary:
        assert temporary.suffix == path.suffix
        assert temporary.name.startswith(".")
        assert temporary != path
        assert temporary.parent == path.parent
        temporary.touch()


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a/b/file.txt", "text")
    assert (tmp_path / "a/b/file.txt").read_text() == "text"


def test_content_is_on_the_disk_before_it_takes_the_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    synced = []

    def fsync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size, path.read_text()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(path, "longer than before")
    content, name = synced
    assert content == (path.stat().st_ino, len("longer than before"), "old")
    assert (name[0], name[2]) == (tmp_path.stat().st_ino, "longer than before")


@pytest.mark.parametrize(("number", "fails"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_file_system_that_cannot_sync_folders_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fails: bool
) -> None:
    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=os.strerror(number)) if fails else contextlib.nullcontext():
        write_text(tmp_path / "file.txt", "new")
    assert (tmp_path / "file.txt").read_text() == "new"


def test_leftovers_are_what_a_killed_process_left_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with replacing(path) as temporary:
        shutil.copy(__file__, temporary)
        expected = [temporary]
        for name in (".model.safetensors", ".model.12.csv", "model.12.safetensors", ".models.12.safetensors"):
            (tmp_path / name).touch()
        assert leftovers(path) == expected
    assert leftovers(path) == []


def test_abandoned_temporary_files_go_with_the_next_writing_and_young_ones_stay(tmp_path: Path) -> None:
    path = tmp_path / "table[1].csv"
    old, young, other = (
        tmp_path / f".{name}.csv" for name in ("table[1].4711", "table[1].abc123", "table1.4711")
    )
    for file in (old, young, other):
        file.touch()
    for file in (old, other):
        os.utime(file, (time.time() - 25 * 3600,) * 2)
    write_text(path, "new")
    assert sorted(names(tmp_path)) == sorted([young.name, other.name, path.name])


def test_writers_of_one_file_at_the_same_time_do_not_meet(tmp_path: Path) -> None:
    """Two threads, or two processes of the same number on two machines: the last one to finish wins, whole."""
    path = tmp_path / "table.csv"
    with replacing(path) as first:
        first.write_text("first, longer")
        with replacing(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first, longer"
    assert names(tmp_path) == ["table.csv"]


def test_the_umask_which_all_threads_share_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        os, "umask", lambda _: pytest.fail("another thread's file would have other permissions")
    )
    write_text(tmp_path / "file.txt", "new")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_files_written_together_all_stay_old_where_one_cannot_be_written(tmp_path: Path, place: int) -> None:
    paths = [tmp_path / name for name in ("one", "two", "three")]
    write_together(dict.fromkeys(paths, b"old"))
    lost = tmp_path / "lost" / "file"
    lost.parent.write_text("a file where the folder should be")
    order = [*paths[:place], lost, *paths[place:]]
    with pytest.raises(FileExistsError):
        write_together(dict.fromkeys(order, b"new"))
    assert [path.read_bytes() for path in paths] == [b"old"] * 3
    assert sorted(names(tmp_path)) == ["lost", "one", "three", "two"]


def test_an_error_is_not_hidden_by_what_cannot_be_tidied_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlink(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "file") as temporary:
        write_half(temporary)


def test_an_error_names_the_file_and_not_the_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(temporary: Path, _: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(temporary))

    monkeypatch.setattr(Path, "replace", replace)
    path = tmp_path / "file"
    with pytest.raises(OSError, match=r"cannot be written \(Read-only file system\)") as error:
        write_text(path, "new")
    assert (error.value.errno, error.value.filename) == (errno.EROFS, str(path))


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error, replacing(tmp_path / "file"):
        (tmp_path / "archive.tgz").read_bytes()
    assert error.value.filename == str(tmp_path / "archive.tgz")


def test_a_reader_that_holds_the_old_file_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with path.open() as reader:
        write_text(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_text_is_utf_8_with_plain_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "file.md", "τ_G ↓\nsecond\n")
    assert (tmp_path / "file.md").read_bytes() == "τ_G ↓\nsecond\n".encode()


def test_json_is_readable_comes_back_and_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    data = {"label": "ω", "values": [1, 0.1, 1e-30, None, True], "nested": {"b": 1, "a": 2}}
    for name in ("one.json", "two.json"):
        write_json(tmp_path / name, data)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert read_json(tmp_path / "one.json") == data
    text = (tmp_path / "one.json").read_text(encoding="utf-8")
    assert text.startswith('{\n  "label": "ω",\n')
    assert text.endswith("}\n")


@pytest.mark.parametrize("data", [{"value": float("nan")}, {"value": float("inf")}, {"value": object()}])
def test_what_is_no_json_is_not_written(tmp_path: Path, data: dict[str, object]) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"value": 1})
    with pytest.raises((ValueError, TypeError)):
        write_json(path, data)
    assert json.loads(path.read_text()) == {"value": 1}
    assert names(tmp_path) == ["file.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "not readable JSON ("),
        (b'{"a": 1', "not readable JSON ("),
        (b"\xff{}", "not readable JSON ("),
        (b"[1]", "expected a JSON object, found list"),
        (b"3", "expected a JSON object, found int"),
        (b"null", "expected a JSON object, found NoneType"),
    ],
)
def test_json_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "file.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_json(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert len(str(error.value).splitlines()) == 1


def test_a_folder_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_json(tmp_path, "delete it")
    assert str(error.value) == f"{tmp_path}: Is a directory"


def test_advice_on_json_is_for_damage_only(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    with pytest.raises(UserError, match=r"no such file$"):
        read_json(path, "delete it")
    for content in ("{", "[]"):
        path.write_text(content)
        with pytest.raises(UserError, match=r"; delete it$"):
            read_json(path, "delete it")


# Folders


def test_a_new_folder_is_there_at_the_end_with_all_that_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "export"
    with new_folder(path) as temporary:
        (temporary / "inside").mkdir()
        (temporary / "inside" / "file").write_text("new")
        assert not path.exists()
    assert (path / "inside" / "file").read_text() == "new"
    assert names(path.parent) == ["export"]


def test_a_folder_that_fails_half_way_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "export") as temporary:
        write_half(temporary / "file")
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["full folder", "file", "link to nothing"])
def test_what_is_there_is_no_place_for_a_new_folder(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "export"
    if kind == "full folder":
        path.mkdir()
        (path / "mine").touch()
    elif kind == "file":
        path.touch()
    else:
        path.symlink_to(tmp_path / "nothing")
    with pytest.raises(UserError, match="exists already"), new_folder(path):
        pytest.fail("written")
    assert names(tmp_path) == ["export"]


def test_a_folder_that_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "export"
    with pytest.raises(UserError, match="exists already"), new_folder(path):
        write_text(path / "mine", "")
    assert names(path) == ["mine"]
    assert names(tmp_path) == ["export"]


def test_without_room_the_folder_that_was_asked_for_is_named(tmp_path: Path) -> None:
    path = tmp_path / "export"
    with pytest.raises(OSError, match="no room, the disk is full") as nameless, new_folder(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="no room") as inside, new_folder(path) as temporary:
        raise OSError(errno.ENOSPC, "no room, the disk is full", str(temporary / "file"))
    assert nameless.value.filename == inside.value.filename == str(path)
    assert names(tmp_path) == []
