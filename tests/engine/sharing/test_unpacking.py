"""Archives of results go where they belong or nowhere: hostile, damaged and differing ones write nothing."""

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.common.configfile import load_configfile

from aikd.cli import main
from aikd.engine.sharing import unpacking
from aikd.engine.sharing.packing import pack
from aikd.engine.sharing.snakemake_records import record_path
from aikd.engine.sharing.unpacking import unpack
from aikd.errors import UserError
from aikd.records import read_metrics, read_predictions
from aikd.study.load import load_study, named_extensions
from aikd.study.resolve import prepared_folder, resolve_data
from tests.conftest import DIGITS
from tests.engine.exports import image_folder
from tests.engine.sharing.conftest import BASELINE, FILES, PSKD, STUDY, Home

RUN = f"results/shared/runs/{PSKD}"


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {info.name: (tar.extractfile(info) or io.BytesIO()).read() for info in tar}


def written(path: Path, contents: dict[str, bytes], *special: tarfile.TarInfo) -> Path:
    """An archive of these members."""
    with tarfile.open(path, "w") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in special:
            tar.addfile(info)
    return path


def stating(
    contents: dict[str, bytes], change: Callable[[dict[str, Any]], None] = lambda _: None
) -> dict[str, bytes]:
    """The same members, of which the first states the hashes of the others as they are, then changed."""
    stated = json.loads(contents["aikd-archive.json"])
    stated["files"] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for name, content in contents.items()
        if name != "aikd-archive.json"
    }
    change(stated)
    return {"aikd-archive.json": json.dumps(stated).encode()} | {
        name: content for name, content in contents.items() if name != "aikd-archive.json"
    }


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "zip"])
def test_results_come_back_byte_for_byte(made: Home, tmp_path: Path, ending: str) -> None:
    pack(made.study, made.results, made.root / "data", tmp_path / f"a.{ending}", root=made.root)
    unpack(tmp_path / f"a.{ending}", tmp_path / "there")
    found = files(tmp_path / "there")
    assert found.pop("results/shared/study.yaml") == made.study.read_bytes()
    records = {name: found.pop(name) for name in list(found) if name.startswith(".snakemake/metadata/")}
    assert found.keys() == {
        f"results/shared/runs/{run}/{name}" for run in (BASELINE, PSKD) for name in FILES
    } | {f"data/{DIGITS}/manifest.json"}
    assert all(content == (made.root / name).read_bytes() for name, content in found.items())
    assert {json.loads(r)["of"] for r in records.values()} == {
        f"results/shared/runs/{run}/{name}"
        for run in (BASELINE, PSKD)
        for name in (*FILES, "model.safetensors")
    }
    for run in (BASELINE, PSKD):
        assert read_metrics(tmp_path / "there/results/shared", run) is not None
        assert read_predictions(tmp_path / "there/results/shared", run) is not None


def test_everything_written_has_the_same_time(archive: Path, tmp_path: Path) -> None:
    unpack(archive, tmp_path)
    times = {
        path.stat().st_mtime_ns for part in ("results", "data") for path in (tmp_path / part).rglob("*.*")
    }
    assert len(times) == 1


def test_unpacking_twice_changes_nothing(archive: Path, tmp_path: Path) -> None:
    unpack(archive, tmp_path)
    for path in tmp_path.rglob("*"):
        os.utime(path, (1, 1))
    record = record_path(tmp_path, f"{RUN}/metrics.json")
    record.write_text("{}")
    again = unpack(archive, tmp_path)
    assert (again.written, again.kept) == ([], 10)
    assert {path.stat().st_mtime for path in tmp_path.rglob("*") if path != record} == {1}
    assert record.read_text() == "{}"


def test_what_an_interruption_left_out_is_added(archive: Path, tmp_path: Path) -> None:
    unpack(archive, tmp_path)
    (tmp_path / RUN / "metrics.json").unlink()
    record_path(tmp_path, f"{RUN}/metrics.json").unlink()
    assert unpack(archive, tmp_path).written == [f"{RUN}/metrics.json"]
    assert record_path(tmp_path, f"{RUN}/metrics.json").exists()


def test_results_that_differ_are_not_overwritten_and_nothing_is_written(
    archive: Path, tmp_path: Path
) -> None:
    mine = tmp_path / RUN / "train.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("{}")
    with pytest.raises(
        UserError, match=r"1 files are there already and differ: .*train\.json; nothing was unpacked"
    ):
        unpack(archive, tmp_path)
    assert files(tmp_path) == {f"{RUN}/train.json": b"{}"}


def test_a_link_where_a_file_belongs_is_a_difference(archive: Path, tmp_path: Path) -> None:
    place, outside = tmp_path / "project" / RUN, tmp_path / "outside"
    place.mkdir(parents=True)
    (place / "train.json").symlink_to(outside)
    with pytest.raises(UserError, match="differ"):
        unpack(archive, tmp_path / "project")
    assert not outside.exists()


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
@pytest.mark.parametrize(
    "name", [f"{RUN}/{name}" for name in FILES] + ["results/shared/study.yaml", "snakemake-records.json"]
)
def test_a_byte_that_is_not_as_stated_is_noticed_before_anything_is_written(
    archive: Path, tmp_path: Path, name: str, place: float
) -> None:
    contents = members(archive)
    damaged = bytearray(contents[name])
    damaged[int(place * len(damaged))] ^= 1
    bad = written(tmp_path / "bad.tar", contents | {name: bytes(damaged)})
    with pytest.raises(UserError, match=r"is damaged: its SHA-256 is not the one in aikd-archive\.json"):
        unpack(bad, tmp_path / "there")
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "zip"])
def test_an_archive_that_was_cut_off_is_refused(made: Home, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    pack(made.study, made.results, made.root / "data", path, root=made.root)
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    with pytest.raises(UserError):
        unpack(path, tmp_path / "there")
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/tmp/outside",
        "results/../../outside",
        "results/shared/../../../outside",
        "results/shared/tables/table_1.md",
        f"results/other/runs/{PSKD}/train.json",
        f"{RUN}/.state/state.safetensors",
        f"{RUN}/../../../../../../../outside",
        "aikd/cli.py",
        "Snakefile",
        ".snakemake/metadata/x",
        "data/../../x/0123456789ab/manifest.json",
        "data/digits/0123456789ab/test_images.npy",
        "data/.folders/../../../outside.json",
        "results/shared/study.yaml\n",
        "C:\\outside",
    ],
)
def test_what_does_not_belong_into_results_is_refused(archive: Path, tmp_path: Path, name: str) -> None:
    bad = written(tmp_path / "bad.tar", stating(members(archive) | {name: b"{}"}))
    with pytest.raises(UserError, match="no part of an archive of results"):
        unpack(bad, tmp_path / "a/b/c/there")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.tar"]


@pytest.mark.parametrize(
    "run", ["../net/baseline/seed0", "../../baseline/seed0", ".x/net/baseline/seed0", "baseline/seed0"]
)
def test_runs_that_are_none_are_refused(archive: Path, tmp_path: Path, run: str) -> None:
    contents = members(archive)
    contents |= {f"results/shared/runs/{run}/{name}": b"{}" for name in FILES}
    bad = written(tmp_path / "bad.tar", stating(contents, lambda stated: stated["runs"].append(run)))
    with pytest.raises(UserError):
        unpack(bad, tmp_path / "a/b/c/there")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.tar"]


@pytest.mark.parametrize("results", ["..", "/tmp", "results/..", "results/a/b", "aikd", "results/.x", ""])
def test_results_go_below_results_alone(archive: Path, tmp_path: Path, results: str) -> None:
    bad = written(
        tmp_path / "bad.tar", stating(members(archive), lambda stated: stated.update(results=results))
    )
    with pytest.raises(UserError, match="allowed: results/NAME"):
        unpack(bad, tmp_path / "there")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_no_files(archive: Path, tmp_path: Path, kind: bytes) -> None:
    contents = members(archive)
    name = f"{RUN}/history.csv"
    gone = contents.pop(name)
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    stated = stating(contents | {name: gone})
    del stated[name]
    bad = written(tmp_path / "bad.tar", stated, info)
    with pytest.raises(UserError, match="lacks 1 of"):
        unpack(bad, tmp_path / "there")
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda stated: stated.update(format=2), "format is 2, this version reads 1"),
        (lambda stated: stated.update(extra=1), "extra: unknown key"),
        (lambda stated: stated["files"].pop(f"{RUN}/metrics.json"), r"lacks .*metrics\.json"),
        (lambda stated: stated["files"][f"{RUN}/metrics.json"].update(sha256="x"), "sha256: found"),
        (lambda stated: stated["files"][f"{RUN}/metrics.json"].update(size=-1), "size: found"),
    ],
)
def test_contents_that_are_not_allowed_are_refused(
    archive: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    bad = written(tmp_path / "bad.tar", stating(members(archive), change))
    with pytest.raises(UserError, match=words):
        unpack(bad, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_other_archives_are_told_from_those_of_results(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lacks 1 of 1 files: aikd-archive\.json"):
        unpack(written(tmp_path / "a.tar", {"README": b""}), tmp_path / "there")
    with pytest.raises(UserError, match="no such file"):
        unpack(tmp_path / "none.tar", tmp_path / "there")
    with pytest.raises(UserError, match="not readable JSON"):
        unpack(written(tmp_path / "b.tar", {"aikd-archive.json": b"{"}), tmp_path / "there")


def test_without_room_nothing_is_unpacked(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match="but 1,000 are free; nothing was unpacked"):
        unpack(archive, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_records_are_where_snakemake_looks_for_them(tmp_path: Path) -> None:
    from snakemake.persistence.file import FilePersistence

    class Bare(FilePersistence):
        def __init__(self) -> None:
            self._max_len = None

    for length in (10, 180, 190, 191, 400, 1000):
        output = "results/" + "a/ä=?" * (length // 5)
        (tmp_path / ".snakemake/metadata").mkdir(parents=True, exist_ok=True)
        wanted = Bare()._record_path(str(tmp_path / ".snakemake/metadata"), output)
        assert record_path(tmp_path, output) == Path(wanted)


def test_a_study_of_ones_own_images_is_read_where_they_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(made.root, here)
    image_folder(here / "pictures", "small")
    study = yaml.safe_load(STUDY)
    study["data"]["mine"] = {"models": ["net"], "folder": "pictures"}
    (here / "mine.yaml").write_text(yaml.safe_dump(study))
    monkeypatch.chdir(here)
    wanted = resolve_data(load_study(Path("mine.yaml")), "mine")
    manifest = here / "data" / prepared_folder(wanted) / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text('{"name": "mine"}')
    assert main(["archive", "--study", "mine.yaml", "--to", "a.zip"]) == 0
    there.mkdir()
    monkeypatch.chdir(there)
    Path("Snakefile").touch()
    capsys.readouterr()
    assert main(["unpack", str(here / "a.zip")]) == 0
    assert "no checkout" not in capsys.readouterr().err
    from aikd.study import schema

    schema.look.cache_clear()
    found = resolve_data(load_study(Path("results/shared/study.yaml")), "mine")
    assert found == wanted
    assert (there / "data" / prepared_folder(found) / "manifest.json").exists()
    # A folder that is there is looked at.
    schema.look.cache_clear()
    image_folder(there / "pictures", "tiny")
    assert resolve_data(load_study(Path("results/shared/study.yaml")), "mine") != wanted
    schema.look.cache_clear()


def with_study(archive: Path, target: Path, change: dict[str, Any], more: dict[str, bytes]) -> Path:
    """The archive with another study and other files, and the hashes of these."""
    study = yaml.safe_dump(yaml.safe_load(STUDY) | change).encode()
    return written(target, stating(members(archive) | {"results/shared/study.yaml": study} | more))


def test_an_archive_does_not_run_what_came_with_it(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, ran = f"{RUN}/history.csv", tmp_path / "ran"
    hostile = {name: f"open({str(ran)!r}, 'w').close()".encode()}
    bad = with_study(archive, tmp_path / "bad.tar", {"extensions": [name]}, hostile)
    (there := tmp_path / "there").mkdir()
    monkeypatch.chdir(there)
    assert main(["unpack", str(bad)]) == 1
    said = capsys.readouterr().err
    assert f"study.yaml: extensions.0: {name}: an extension must end in .py" in said
    assert len(said.splitlines()) == 1
    assert files(there) == {}
    # Nor does a study that got there otherwise.
    for file, content in (members(archive) | members(bad)).items():
        (there / file).parent.mkdir(parents=True, exist_ok=True)
        (there / file).write_bytes(content)
    assert main(["check", "results/shared/study.yaml"]) == 1
    assert "must end in .py" in capsys.readouterr().err
    assert not ran.exists()


def test_extensions_of_an_archives_study_are_named_and_not_run(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (there := tmp_path / "there").mkdir()
    monkeypatch.chdir(there)
    Path("mine.py").write_text("open('ran', 'w').close()")
    good = with_study(archive, tmp_path / "good.tar", {"extensions": ["mine.py", "a\x1b[2Jb.py"]}, {})
    assert main(["unpack", str(good)]) == 0
    said = capsys.readouterr().err
    assert "no checkout of the project" in said
    assert "WARNING" in said
    assert "mine.py, a\\x1b[2Jb.py" in said
    assert "read them first" in said
    assert not Path("ran").exists()


def test_snakemakes_own_reading_of_what_is_accepted_runs_nothing(tmp_path: Path) -> None:
    """Its loader takes YAML for a template where one key says so, and that key is none of a study's."""
    study = "name: \"?open('{}', 'w').close()\"\nseeds: [0]\n"
    file = tmp_path / "study.yaml"
    for text, ran in ((study, False), ("__use_yte__: true\n" + study, True)):
        file.write_text(text.format(tmp_path / "ran"))
        load_configfile(str(file))
        assert (tmp_path / "ran").exists() == ran
    with pytest.raises(UserError, match="__use_yte__"):
        named_extensions(file.read_bytes(), "study.yaml")


@pytest.mark.parametrize(
    ("study", "words"),
    [
        (b"a: [", "study.yaml: not YAML"),
        (b"[]", "study.yaml: a study is a mapping of keys, found list"),
        (b"extensions: mine.py", "study.yaml: extensions: .*list of names"),
        (b"extensions: [1]", "study.yaml: extensions: .*list of names"),
        (b"a: " + b"[" * 20_000, "study.yaml: nested too deeply"),
        (b"a: \xff", "study.yaml: cannot be read"),
        (b"extensions: []\nextensions: [results/a.py]", "stands twice"),
        (b"__use_yte__: true\nname: \"?open('ran', 'w').close()\"", 'study.yaml: key: found "__use_yte__"'),
        (b"x: &a {__use_yte__: true}\n<<: *a", 'study.yaml: key: found "(x|__use_yte__)"'),
    ],
)
def test_a_study_that_is_none_is_refused(archive: Path, tmp_path: Path, study: bytes, words: str) -> None:
    contents = members(archive) | {"results/shared/study.yaml": study}
    bad = written(tmp_path / "bad.tar", stating(contents))
    with pytest.raises(UserError, match=words) as error:
        unpack(bad, tmp_path / "there")
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "there").exists()
