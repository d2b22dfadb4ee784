"""What goes into an archive of results, and that equal results give equal bytes."""

import hashlib
import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from aikd.cli import main
from aikd.engine.sharing.contents import Contents
from aikd.engine.sharing.packing import pack
from aikd.errors import UserError
from tests.conftest import DIGITS
from tests.engine.sharing.conftest import BASELINE, FILES, PSKD, Home


def packed(home: Home, target: Path, **options: Any) -> Contents:
    return pack(home.study, home.results, home.root / "data", target, root=home.root, **options)


def members(archive: Path) -> dict[str, bytes]:
    """Names and contents, by the library alone."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            return {name: zipped.read(name) for name in zipped.namelist()}
    with tarfile.open(archive) as tar:
        found = {}
        for info in tar:
            file = tar.extractfile(info)
            assert file is not None
            found[info.name] = file.read()
        return found


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "zip"])
def test_an_archive_holds_the_runs_without_models_and_says_the_hash_of_each_file(
    home: Home, tmp_path: Path, ending: str
) -> None:
    contents = packed(home, tmp_path / f"a.{ending}")
    found = members(tmp_path / f"a.{ending}")
    first, *names = found
    wanted = {f"results/shared/runs/{run}/{name}" for run in (BASELINE, PSKD) for name in FILES}
    wanted |= {"results/shared/study.yaml", f"data/{DIGITS}/manifest.json", "snakemake-records.json"}
    assert (first, set(names)) == ("aikd-archive.json", wanted)
    stated = json.loads(found[first])["files"]
    assert stated == {
        name: {"sha256": hashlib.sha256(found[name]).hexdigest(), "size": len(found[name])} for name in names
    }
    for name in names:
        source = home.study if name.endswith("study.yaml") else home.root / name
        if name != "snakemake-records.json":
            assert found[name] == source.read_bytes()
    assert (contents.runs, contents.wanted, contents.left_out) == ([BASELINE, PSKD], 2, {})


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "zip"])
def test_the_same_results_give_the_same_bytes(home: Home, tmp_path: Path, ending: str) -> None:
    packed(home, tmp_path / f"a.{ending}")
    for path in home.root.rglob("*"):
        os.utime(path, (1, 1))
        if path.is_file():
            path.chmod(0o600)
    packed(home, tmp_path / f"b.{ending}")
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    with (
        tarfile.open(tmp_path / f"a.{ending}")
        if ending != "zip"
        else zipfile.ZipFile(tmp_path / "a.zip") as archive
    ):
        if isinstance(archive, tarfile.TarFile):
            assert {(i.uid, i.gid, i.uname, i.gname, i.mtime) for i in archive} == {(0, 0, "", "", 0)}


def test_models_come_along_where_they_are_wanted(home: Home, tmp_path: Path) -> None:
    packed(home, tmp_path / "a.tar", models=True)
    found = members(tmp_path / "a.tar")
    for run in (BASELINE, PSKD):
        assert (
            found[f"results/shared/runs/{run}/model.safetensors"]
            == home.file(run, "model.safetensors").read_bytes()
        )


def test_predictions_may_be_those_of_figures_alone(home: Home, tmp_path: Path) -> None:
    packed(home, tmp_path / "a.tar", all_predictions=False)
    found = [name for name in members(tmp_path / "a.tar") if name.endswith("predictions.safetensors")]
    assert found == [f"results/shared/runs/{BASELINE}/predictions.safetensors"]


def test_records_are_those_of_the_files_and_of_the_models_that_stay(home: Home, tmp_path: Path) -> None:
    packed(home, tmp_path / "a.tar")
    records = json.loads(members(tmp_path / "a.tar")["snakemake-records.json"])
    outputs = {
        f"results/shared/runs/{run}/{n}" for run in (BASELINE, PSKD) for n in (*FILES, "model.safetensors")
    }
    assert records.keys() == outputs
    assert all(record["of"] == output for output, record in records.items())


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("train.json", "not trained"),
        ("history.csv", "lacks history.csv"),
        ("predictions.safetensors", "lacks predictions.safetensors"),
        ("metrics.json", "lacks metrics.json"),
    ],
)
def test_a_run_that_is_not_finished_is_left_out_and_named(
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str,
    why: str,
) -> None:
    home.file(PSKD, file).unlink()
    monkeypatch.chdir(home.root)
    assert main(["archive", "--study", "mine.yaml", "--to", str(tmp_path / "a.tar")]) == 0
    said = capsys.readouterr().err
    assert f"left out: {PSKD}: {why}\n" in said
    assert ": 1 of 2 runs of shared, " in said
    assert not [name for name in members(tmp_path / "a.tar") if PSKD in name]


def test_runs_left_out_for_one_reason_are_counted_and_the_first_named(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = home.study.read_text().replace("seeds: [0]", "seeds: [0, 1, 2]")
    home.study.write_text(study)
    home.file(PSKD, "metrics.json").unlink()
    monkeypatch.chdir(home.root)
    assert main(["archive", "--study", "mine.yaml", "--to", str(tmp_path / "a.tar")]) == 0
    others = [f"digits/net/{method}/seed{seed}" for method in ("baseline", "pskd") for seed in (1, 2)]
    assert capsys.readouterr().err.splitlines()[:-1] == [
        "left out: 4 runs: not trained",
        *(f"    {run}" for run in others[:3]),
        "    and 1 more",
        f"left out: {PSKD}: lacks metrics.json",
    ]


def test_an_archive_says_which_targets_it_makes(home: Home, tmp_path: Path) -> None:
    whole = packed(home, tmp_path / "a.tar")
    assert whole.targets == {"table_2": 0, "figure_6": 0, "all": 0}
    home.file(PSKD, "metrics.json").unlink()
    part = packed(home, tmp_path / "b.tar")
    assert part.targets == {"table_2": 1, "figure_6": 0, "all": 1}


def test_what_can_be_made_without_the_runs_left_out_is_named(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, names = "--cores 2 --configfile results/shared/study.yaml", ("whole", "part")
    packed(home, tmp_path / "whole.tar")
    home.file(PSKD, "metrics.json").unlink()
    packed(home, tmp_path / "part.tar")
    said = {}
    for name in names:
        assert main(["unpack", str(tmp_path / f"{name}.tar"), "--to", str(tmp_path / name)]) == 0
        lines = capsys.readouterr().err.splitlines()
        said[name] = [line for line in lines[1:] if "no checkout" not in line]
    assert said["whole"] == [f"all tables and figures in {tmp_path}/whole: snakemake {study}"]
    assert said["part"] == [
        "1 runs are not in it, so Snakemake would train them",
        "complete without them: figure_6; not complete: all lacks 1, table_2 lacks 1",
        f"what is complete in {tmp_path}/part: snakemake figure_6 {study}",
    ]


def test_a_run_that_is_not_as_the_study_says_is_left_out(home: Home, tmp_path: Path) -> None:
    home.study.write_text(
        home.study.read_text().replace("pskd: {}", "pskd: {}").replace("0.1, mile", "0.2, mile")
    )
    with pytest.raises(UserError, match=r"not trained as the study says: recipe\.learning_rate was 0\.1"):
        packed(home, tmp_path / "a.tar")
    assert not (tmp_path / "a.tar").exists()


def test_a_model_that_is_wanted_and_not_there_leaves_its_run_out(home: Home, tmp_path: Path) -> None:
    home.file(PSKD, "model.safetensors").unlink()
    assert packed(home, tmp_path / "a.tar").left_out == {}
    assert packed(home, tmp_path / "b.tar", models=True).left_out == {PSKD: "lacks model.safetensors"}
    home.file(BASELINE, "model.safetensors").write_bytes(b"another")
    with pytest.raises(UserError, match=r"model\.safetensors: is not the model that train\.json"):
        packed(home, tmp_path / "c.tar", models=True)


def test_damaged_predictions_are_named_and_nothing_is_written(home: Home, tmp_path: Path) -> None:
    path = home.file(PSKD, "predictions.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"predictions\.safetensors: damaged"):
        packed(home, tmp_path / "a.tar")
    assert [p.name for p in tmp_path.iterdir()] == ["home"]


def test_an_archive_is_not_overwritten_and_its_ending_must_be_known(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        packed(home, tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_text() == "mine"
    with pytest.raises(UserError, match=r"allowed: \.tar\.gz, \.tgz, \.tar, \.zip"):
        packed(home, tmp_path / "a.rar")


def test_data_that_is_not_prepared_here_is_named(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home.root / "data" / DIGITS / "manifest.json").unlink()
    monkeypatch.chdir(home.root)
    assert main(["archive", "--study", "mine.yaml", "--to", str(tmp_path / "a.zip")]) == 0
    assert "left out: data.digits: not prepared here" in capsys.readouterr().err
