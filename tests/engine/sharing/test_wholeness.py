"""Runs in an archive are whole by the same check as where they were packed, or nothing is written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from aikd.cli import main
from aikd.engine.sharing.packing import pack
from aikd.engine.sharing.unpacking import unpack
from aikd.errors import UserError
from tests.engine.sharing.conftest import BASELINE, PSKD, Home
from tests.engine.sharing.test_unpacking import members, stating, written

RUN = f"results/shared/runs/{PSKD}"
OTHER = f"results/shared/runs/{BASELINE}"
DEEP = b'{"a": ' * 200_000 + b"1" + b"}" * 200_000
Files = dict[str, bytes]


def without(name: str) -> Callable[[Files], Files]:
    return lambda files: {key: content for key, content in files.items() if key != f"{RUN}/{name}"}


def being(name: str, content: bytes) -> Callable[[Files], Files]:
    return lambda files: files | {f"{RUN}/{name}": content}


def others(name: str) -> Callable[[Files], Files]:
    """The file of the other run in its place."""
    return lambda files: files | {f"{RUN}/{name}": files[f"{OTHER}/{name}"]}


def saying(name: str, **change: Any) -> Callable[[Files], Files]:
    return lambda files: (
        files | {f"{RUN}/{name}": json.dumps(json.loads(files[f"{RUN}/{name}"]) | change).encode()}
    )


def other_predictions(**change: str) -> Callable[[Files], Files]:
    """With another metadata; none: with other logits than those of the digest."""

    def changed(files: Files) -> Files:
        content = files[f"{RUN}/predictions.safetensors"]
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        tensors = load(content)
        if not change:
            tensors["logits"] = tensors["logits"] + np.float32(1)
        return files | {f"{RUN}/predictions.safetensors": save(tensors, header["__metadata__"] | change)}

    return changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("predictions.safetensors"), r"predictions\.safetensors: is missing"),
        (being("predictions.safetensors", b""), r"predictions\.safetensors: damaged"),
        (being("predictions.safetensors", b"garbage" * 100), r"predictions\.safetensors: damaged"),
        (being("predictions.safetensors", save({"logits": np.zeros((2, 2))})), "lacks features, labels"),
        (
            being("predictions.safetensors", b"\x00\x09\x3d" + bytes(5) + DEEP),
            "predictions.safetensors: damaged",
        ),
        (others("predictions.safetensors"), f"holds the predictions of {BASELINE}, not of {PSKD}"),
        (other_predictions(), r"predictions\.safetensors: damaged \(its content is not"),
        (other_predictions(model="0" * 64), r"predictions\.safetensors: was made of the model 0000"),
        (other_predictions(data="0" * 64), r"predictions\.safetensors: was made of the data 0000"),
        (being("metrics.json", b"{}"), r"metrics\.json: is of the run None"),
        (being("metrics.json", b"["), r"metrics\.json: not readable JSON"),
        (being("metrics.json", DEEP), r"metrics\.json: not readable JSON \(nested too deeply\)"),
        (others("metrics.json"), f"metrics.json: is of the run {BASELINE}"),
        (saying("metrics.json", model="0" * 64), r"metrics\.json: was made of the model 0000"),
        (being("train.json", b"{}"), r"train\.json: is of the run None"),
        (others("train.json"), f"train.json: is of the run {BASELINE}"),
        (being("train.json", DEEP), r"train\.json: not readable JSON \(nested too deeply\)"),
        (saying("train.json", model="0" * 64), r"\.(json|safetensors): was made of the model"),
        (being("model.safetensors", b"another"), r"model\.safetensors: is not the model that train\.json"),
        (lambda files: files | {"snakemake-records.json": DEEP}, "records.json: not readable JSON"),
        (lambda files: files | {"aikd-archive.json": DEEP}, "archive.json: not readable JSON"),
    ],
)
def test_runs_that_are_not_whole_are_refused_before_anything_is_written(
    archive: Path, tmp_path: Path, change: Callable[[Files], Files], words: str
) -> None:
    files = change(members(archive))
    named = files if files["aikd-archive.json"] == DEEP else stating(files)
    # Whatever order the files come in.
    for order in (list, lambda items: [items[0], *reversed(items[1:])]):
        bad = written(tmp_path / "bad.tar", dict(order(list(named.items()))))
        with pytest.raises(UserError, match=words) as error:
            unpack(bad, tmp_path / "there")
        assert str(error.value).startswith(str(bad))
        assert len(str(error.value).splitlines()) == 1
        assert not (tmp_path / "there").exists()


def test_predictions_may_be_left_out_where_the_archive_says_so(
    made: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "figures.tar"
    contents = pack(
        made.study, made.results, made.root / "data", archive, all_predictions=False, root=made.root
    )
    assert contents.no_predictions == [PSKD]
    assert main(["unpack", str(archive), "--to", str(tmp_path / "there")]) == 0
    assert "without the predictions of 1 of them" in capsys.readouterr().err
    assert not (tmp_path / "there" / RUN / "predictions.safetensors").exists()
    assert (tmp_path / "there" / OTHER / "predictions.safetensors").exists()
    # Of others it may not lack them.
    name = f"{OTHER}/predictions.safetensors"
    fewer = {key: content for key, content in members(archive).items() if key != name}
    with pytest.raises(UserError, match=f"{name}: is missing"):
        unpack(written(tmp_path / "bad.tar", stating(fewer)), tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_records_that_can_be_read_can_be_written(archive: Path, tmp_path: Path) -> None:
    # As deep as Python reads JSON here, and deeper.
    name = f"{RUN}/metrics.json"
    for depth in (100, *range(900, 1001, 5), 200_000):
        records = b'{"%s": {"a": %s1%s}}' % (name.encode(), b"[" * depth, b"]" * depth)
        some = written(tmp_path / "some.tar", stating(members(archive) | {"snakemake-records.json": records}))
        said = refusal(some, tmp_path / str(depth))
        assert (said == "") == (tmp_path / str(depth)).exists()
        assert said == "" or "snakemake-records.json: not readable JSON" in said
        assert (said == "") is (depth == 100) or 900 <= depth <= 1000


def refusal(archive: Path, target: Path) -> str:
    try:
        unpack(archive, target)
    except UserError as error:
        return str(error)
    return ""
