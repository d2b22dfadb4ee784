"""`aikd plan` as people and scripts call it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from aikd.cli import main
from aikd.commands.plan import _doubts, _si, _time
from aikd.workflow import Workflow
from tests.conftest import DEMO, PAPER

LINE = re.compile(r"^(\w+) +(\d+) +(\d+) +(\d+) +(\d+) +.+ (h|min|s|years)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def asked(capsys: pytest.CaptureFixture[str], *arguments: str, study: Path = DEMO) -> dict[str, Any]:
    assert main(["plan", *arguments, "--study", str(study), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_table_and_the_json_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--study", str(PAPER)]) == 0
    text = capsys.readouterr().out
    found = asked(capsys, study=PAPER)
    counts = {name: tuple(map(int, numbers)) for name, *numbers, _ in LINE.findall(text)}
    keys = ("runs", "done", "shared", "left")
    assert counts == {row["target"]: tuple(row[key] for key in keys) for row in found["targets"]}
    assert counts["all"] == (312, 0, 183, 312)
    lines = text.splitlines()
    assert len({len(line) for line in lines if LINE.match(line)}) == 1, "columns are aligned"
    assert lines[0].endswith(" at 5 TFLOP/s (assumed: the study's device_tflops)")
    assert lines.index("") == 5, "of legend"
    assert max(map(len, lines)) <= 120
    columns = lines[6].split()
    assert all(
        any(line.startswith(f"{name}:") or f"; {name}:" in line for line in lines[:5])
        for name in ("overhead", "shared", "left", "images", "memory", "chain")
    )
    assert columns[-3:] == ["time", "overhead", "chain"]


def test_a_faster_device_and_more_of_them_take_less_time(capsys: pytest.CaptureFixture[str]) -> None:
    slow = asked(capsys, "table_2", "--device-tflops", "0.001")["targets"][0]
    fast = asked(capsys, "table_2", "--device-tflops", "0.01")["targets"][0]
    four = asked(capsys, "table_2", "--device-tflops", "0.001", "--devices", "4")["targets"][0]
    assert slow["hours"] == pytest.approx(slow["parallel"])
    assert slow["hours"] > 1.5 * fast["hours"]
    assert four["hours"] == slow["hours"]
    assert max(slow["hours"] / 4.001, slow["chain"]) < four["parallel"] < slow["hours"] / 3


def test_hours_beside_the_operations_do_not_depend_on_the_rate(capsys: pytest.CaptureFixture[str]) -> None:
    slow = asked(capsys, "all", study=PAPER)
    fast = asked(capsys, "all", "--device-tflops", "50", study=PAPER)
    assert (slow["device"]["assumed"], fast["device"]["assumed"]) == (True, False)
    [slow], [fast] = slow["targets"], fast["targets"]
    assert slow["overhead"] == pytest.approx(fast["overhead"])
    operations = slow["hours"] - slow["overhead"]
    assert operations == pytest.approx(10 * (fast["hours"] - fast["overhead"]))
    # The critic's operations, which are few, are in its overhead.
    assert 0.999 * slow["flops"] < operations * 3600 * 5e12 <= slow["flops"]
    assert main(["plan", "all", "--study", str(PAPER), "--device-tflops", "50"]) == 0
    assert " at 50 TFLOP/s (--device-tflops)\n" in capsys.readouterr().out


def test_what_has_to_be_fetched_and_prepared(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = {d["name"]: d for d in asked(capsys, study=PAPER)["data"]}
    assert sum(d["download"] for d in data.values()) == 7_707_313_742
    assert data["cifar100"] == {
        "name": "cifar100",
        "download": 169_001_437,
        "prepared": False,
        "disk": 184_320_000,
    }
    downloads = tmp_path / "data/downloads"
    downloads.mkdir(parents=True)
    (downloads / "images.tar.json").touch()
    manifest = tmp_path / Workflow(yaml.safe_load(PAPER.read_text(encoding="utf-8"))).manifest_of("cub200")
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"arrays": {"train_labels.npy": {}}}))
    assert not {d["name"]: d for d in asked(capsys, study=PAPER)["data"]}["cub200"]["prepared"]
    (manifest.parent / "train_labels.npy").touch()
    data = {d["name"]: d for d in asked(capsys, study=PAPER)["data"]}
    assert data["stanford_dogs"]["download"] == 481_280
    assert data["cub200"] == {"name": "cub200", "download": 0, "prepared": True, "disk": 0}
    assert asked(capsys)["data"][0]["download"] == 0  # digits come with a library


def test_an_unknown_target_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "table_9", "--study", str(DEMO)]) == 1
    assert re.fullmatch(
        rf"aikd plan: {DEMO}: target: found \"table_9\".* allowed: table_1, .*, all\n",
        capsys.readouterr().err,
    )


@pytest.mark.parametrize("value", ["0", "-1", "fast", "inf", "nan"])
def test_a_speed_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], value: str) -> None:
    with pytest.raises(SystemExit):
        main(["plan", "--study", str(DEMO), f"--device-tflops={value}"])
    assert f"found '{value}', allowed are numbers above 0" in capsys.readouterr().err


def test_planning_does_not_wait_for_torch() -> None:
    code = "import sys; from aikd.cli import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "plan", "--study", str(DEMO)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_measuring_has_a_gpu_to_itself(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a run that trains on it, a GPU would seem slower than it is."""
    held: list[str] = []

    @contextmanager
    def leased(what: str) -> Iterator[str]:
        held.append(what)
        yield "GPU-1"
        held.clear()

    def measure(runs: Any, threads: int) -> Any:
        assert held == ["plan --measure"]
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("aikd.engine.lease.leased", leased)
    monkeypatch.setattr("aikd.engine.measuring.measure", measure)
    assert main(["plan", "table_2", "--study", str(DEMO), "--measure"]) == 1
    assert "aikd plan: plan --measure: CUDA out of memory. Does something" in capsys.readouterr().err


def test_measuring_names_each_network_and_times_every_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIKD_DEVICE", "cpu")
    monkeypatch.setattr("aikd.engine.measuring.SECONDS", 0.1)
    assert main(["plan", "table_2", "--study", str(DEMO), "--measure"]) == 0
    text = capsys.readouterr().out
    assert "what was measured here" in text
    for network in ("preact_resnet18, width 8", "densenet121_3x3, growth 8"):
        assert re.search(
            rf"^  {network}.*: [\d.]+ [MGT]FLOP/s in training, .* \(batch \d+; cpu, 1 threads\)$", text, re.M
        )
    [(_, runs, *_)] = LINE.findall(text)
    assert runs == "30"


@pytest.mark.parametrize(
    ("kinds", "hours", "words"),
    [
        ([{"waiting": 1.2, "trained": 1e9, "frozen": 3e9}], 100, []),
        ([{"waiting": None, "trained": 1e9, "frozen": 0.9e9}], 9_999, []),
        (
            [{"waiting": 1.0, "trained": 1, "frozen": 1}, {"waiting": 1.7, "trained": 1, "frozen": 1}],
            1,
            ["1.7 × its CPU"],
        ),
        ([{"waiting": 1.0, "trained": 6.57e9, "frozen": 1.03e9}], 1, ["^  warning: resnet: slower without"]),
        ([{"waiting": 1.0, "trained": 1e9, "frozen": 1e9}], 500_000, ["not for this study"]),
        (None, 500_000, ["not for this study"]),
    ],
)
def test_hours_that_nobody_should_plan_with_have_a_warning(
    kinds: list[dict[str, Any]] | None, hours: float, words: list[str]
) -> None:
    measured = kinds and [{"network": "resnet"} | kind for kind in kinds]
    found = _doubts({"device": {"measured": measured}, "targets": [{"hours": hours}]})
    assert len(found) == len(words)
    assert all(re.search(word, line) for word, line in zip(words, found, strict=True))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 "), (7, "7 "), (999.4, "999 "), (999.6, "1 k"), (1234, "1.23 k"), (2.4494e19, "24.5 E")],
)
def test_numbers_have_three_digits_and_a_prefix(value: float, text: str) -> None:
    assert _si(value) == text


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (0, "0 s"),
        (59 / 3600, "59 s"),
        (0.5, "30.0 min"),
        (1599.09, "1,599.1 h"),
        (9999.9, "9,999.9 h"),
        (87660, "10.0 years"),
    ],
)
def test_times_are_in_the_unit_that_people_would_choose(hours: float, text: str) -> None:
    assert _time(hours) == text
