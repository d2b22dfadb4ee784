"""`aikd export` and `aikd classify` as people call them."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aikd.cli import main
from aikd.engine.exported import FACTS, load
from aikd.files import write_json
from tests.engine.exports import Trained

pytestmark = pytest.mark.usefixtures("on_the_cpu")


def test_classify_goes_on_after_bad_images(
    photographs: Trained, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = photographs.files[0]
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:300])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image")
    Image.fromarray(np.ones((60, 60), np.float32)).save(tmp_path / "float.tiff")
    Image.new("RGB", (1, 30000)).save(tmp_path / "strip.png")
    bad = [*sorted(tmp_path.iterdir()), tmp_path / "missing.png"]
    assert main(["classify", str(folder), *map(str, bad), str(good), "--json"]) == 1
    shown = capsys.readouterr()
    (line,) = shown.out.splitlines()
    assert json.loads(line)["image"] == str(good)
    assert {found["name"] for found in json.loads(line)["classes"]} == {"a cat", "dog"}
    *lines, last = shown.err.splitlines()
    assert len(lines) == len(bad)
    for path, said in zip(bad, lines, strict=True):
        assert said.startswith(f"aikd classify: {path}: ")
    assert last == "aikd classify: 6 of 7 images could not be classified"
    assert "Traceback" not in shown.err


def test_classify_looks_into_folders_and_prints_as_many_classes_as_wanted(
    photographs: Trained, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = photographs.root / "images" / "test"
    assert main(["classify", str(folder), str(images), "--top", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == [str(path) for path in photographs.files]
    right = sum(
        Path(path).parent.name == guess.split("%  ")[1]
        for path, guess in zip(*[iter(lines)] * 2, strict=True)
    )
    scores = json.loads((photographs.results / "runs" / photographs.run / "metrics.json").read_text())
    assert 100 * (1 - right / 14) == pytest.approx(scores["metrics"]["top1_error"])


def test_classify_says_how_many_files_of_a_folder_it_passes_over(
    photographs: Trained, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(photographs.files[0], tmp_path / "one.JPG")
    (tmp_path / "deep/.hidden").mkdir(parents=True)
    for name in ("notes.txt", "deep/photo.heic", ".hidden.txt", "deep/.hidden/a.txt"):
        (tmp_path / name).touch()
    assert main(["classify", str(folder), str(tmp_path), "--json"]) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 1
    assert said.err == (
        f"aikd classify: {tmp_path}: 2 files passed over by their names; images end in .bmp, .gif, .jpeg, .jpg, .pgm, "
        ".png, .ppm, .tif, .tiff, .webp\n"
    )


def test_names_that_are_no_text_are_no_hindrance(
    photographs: Trained, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        odd = Path(shutil.copy(photographs.files[1], tmp_path / "x\udcff.png"))
    except OSError:
        pytest.skip("this file system takes text only")
    for form in ([], ["--json"]):
        assert main(["classify", str(folder), str(odd), *form]) == 0
        assert "udcff.png" in capsys.readouterr().out


ODD = "red \x1b[31m\x9b2J\x7f\n\u202e é 猫.png"
ESCAPED = r"red \x1b[31m\x9b2J\x7f\n\u202e é 猫.png"


def test_names_do_not_steer_the_terminal(
    photographs: Trained, copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = json.loads((copied / FACTS).read_text())
    write_json(copied / FACTS, facts | {"class_names": [ODD, "dog"]})
    good, bad = tmp_path / "good" / ODD, tmp_path / "bad" / ODD
    for path in (good, bad):
        path.parent.mkdir()
    shutil.copy(photographs.files[1], good)
    bad.write_text("no image")
    assert main(["classify", str(copied), str(good), str(bad)]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == str(good.parent / ESCAPED)
    assert any(line.endswith(f"%  {ESCAPED}") for line in said.out.splitlines())
    assert said.err.splitlines()[0].startswith(f"aikd classify: {bad.parent / ESCAPED}: not an image")
    assert main(["classify", str(copied), str(good), "--json"]) == 0
    (line,) = (said := capsys.readouterr()).out.splitlines()
    assert line.isprintable()
    assert "é 猫" in line
    assert json.loads(line)["image"] == str(good)
    assert ODD in {found["name"] for found in json.loads(line)["classes"]}
    assert main(["classify", str(tmp_path / "none\x1b[31m"), str(good)]) == 1
    assert capsys.readouterr().err.startswith(f"aikd classify: {tmp_path}/none\\x1b[31m: no exported model")


def test_what_is_no_ordinary_file_is_refused(
    photographs: Trained, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(pipe := tmp_path / "pipe.png")
    (link := tmp_path / "link.png").symlink_to(photographs.files[0])
    (device := tmp_path / "zero.png").symlink_to("/dev/zero")
    assert main(["classify", str(folder), str(pipe), str(device), str(link)]) == 1
    first, second, _ = capsys.readouterr().err.splitlines()
    assert first == f"aikd classify: {pipe}: cannot be read (not an ordinary file)"
    assert second == f"aikd classify: {device}: cannot be read (not an ordinary file)"


def test_export_and_classify_by_hand(
    photographs: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(json.dumps(photographs.study.model_dump(mode="json", exclude_defaults=True)))
    monkeypatch.chdir(photographs.root)
    where = ["--study", str(study), "--results", "results", "--to", str(tmp_path / "cats")]
    assert main(["export", photographs.run, *where, "--temperature", "oracle"]) == 0
    assert "2 classes, temperature" in (said := capsys.readouterr().err)
    assert "(oracle)" in said or "an end of the range" in said
    few = f"{photographs.run}: its temperature comes from 14 images; from fewer than 500 it is easily off by a tenth\n"
    assert (few in said) == ("(oracle)" in said)
    assert main(["export", photographs.run, *where]) == 1
    assert "exists already" in capsys.readouterr().err
    # Nothing but the export is needed.
    monkeypatch.chdir(tmp_path)
    model = load("cats")
    assert len(model.classify(photographs.files[0])) == 2
