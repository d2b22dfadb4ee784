"""The command line: exit codes, messages, and what is imported when."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from aikd.cli import main
from aikd.study.resolve import resolve
from aikd.study.run import Run
from aikd.study.schema import Study
from tests.conftest import DEMO, DIGITS, PAPER, ROOT, changed, parsed

RUN = "digits/preact_resnet18/aikd/omega=0.25/mixup/seed1"
COMMANDS = [
    "check",
    "plan",
    "status",
    "why",
    "settings",
    "schema",
    "prepare",
    "train",
    "predict",
    "calibrate",
    "table",
    "figure",
    "collect",
    "export",
    "classify",
    "archive",
    "unpack",
]
HEAVY = ["torch", "torchvision", "pandas", "scipy", "sklearn", "matplotlib", "seaborn", "numpy", "snakemake"]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, check=False)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The message of a command that a user can mend."""
    assert main(arguments) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert shown.err.startswith(f"aikd {arguments[0]}: ")
    return shown.err


# check, settings


def test_check_counts_the_runs_of_each_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(PAPER)]) == 0
    shown = capsys.readouterr()
    first, *lines = shown.out.splitlines()
    assert first == f"{PAPER}: study 'paper' is valid; results go to results/"
    counts = {line.split()[0]: int(line.split()[1]) for line in lines if line.endswith("runs")}
    assert counts["all"] == 312
    assert (counts["table_1"], counts["table_2"], counts["table_5"], counts["figure_7"]) == (0, 180, 27, 87)
    assert 180 < counts["claims"] <= 312
    assert "data.cub200: prepared data in data/cub200/83b79c10c5dd" in lines
    assert shown.err == ""


def test_check_reads_config_yaml_of_the_folder_unless_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["check"]) == 0
    assert capsys.readouterr().out.startswith("config.yaml: study 'paper'")
    assert main(["check", "workflow/studies/demo.yaml"]) == 0
    assert "results go to results/demo/" in capsys.readouterr().out


def test_check_takes_the_study_as_other_commands_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(DEMO)]) == 0
    said = capsys.readouterr().out
    assert main(["check", "--study", str(DEMO)]) == 0
    assert capsys.readouterr().out == said
    with pytest.raises(SystemExit, match="2"):
        main(["check", str(PAPER), "--study", str(DEMO)])
    assert "not allowed with" in capsys.readouterr().err


def test_check_names_file_and_key_of_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(DEMO.read_text(encoding="utf-8").replace("  epochs: ", "  epoch: "), encoding="utf-8")
    message = refused(capsys, "check", str(file))
    assert message.startswith(f"aikd check: {file}: recipe.epoch: unknown key (did you mean 'epochs'?)")
    assert message.count("\n") == 1
    assert "no-such.yaml: cannot be read" in refused(capsys, "check", str(tmp_path / "no-such.yaml"))


def test_settings_prints_what_training_is_given(demo: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", RUN, "--study", str(DEMO)]) == 0
    shown = capsys.readouterr().out
    assert json.loads(shown) == resolve(demo, Run.from_path(RUN))
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (
            "digits/preact_resnet18/aikd/omega=0.1/seed1",
            "canonical path of this run is 'digits/preact_resnet18/aikd/seed1'",
        ),
        ("digits/preact_resnet18/aikd", "expected DATASET/MODEL/METHOD"),
        ("digit/preact_resnet18/aikd/seed0", "found \"digit\" (did you mean 'digits'?); allowed: digits"),
        ("digits/resnet18/aikd/seed0", 'found "resnet18"'),
        ("digits/preact_resnet18/akd/seed0", "did you mean 'aikd'?"),
    ],
)
def test_settings_of_a_run_that_cannot_be_are_refused(
    capsys: pytest.CaptureFixture[str], run: str, words: str
) -> None:
    assert words in refused(capsys, "settings", run, "--study", str(DEMO))


@pytest.mark.parametrize("when", [None, {"data": ["digits"], "settings": {"weight": 3.0}}])
def test_settings_are_those_of_the_path_and_what_the_study_would_add_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], when: dict[str, Any] | None
) -> None:
    run = "digits/preact_resnet18/cskd/seed0"
    study = changed(parsed(DEMO), {"methods/cskd": {"when": [when] if when else []}})
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    assert main(["settings", run, "--study", str(tmp_path / "study.yaml")]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["settings"]["weight"] == 1
    other = "digits/preact_resnet18/cskd/weight=3/seed0"
    note = f"{run}: no table or figure of the study needs it; of this method on these data it needs {other}\n"
    assert shown.err == (note if when else "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["settings", "digits/preact_resnet18/aikd/seed0"],
        ["settings", "digits"],
        ["why", "digits/preact_resnet18/aikd/seed0"],
        ["status", "digits/preact_resnet18/aikd/seed0"],
        ["train", "digits/preact_resnet18/aikd/seed0"],
        ["export", "digits/preact_resnet18/aikd/seed0", "--to", "no-such-folder"],
        ["plan", "tabel_2"],
        ["status", "tabel_2"],
        ["why", "tabel_2"],
    ],
)
def test_what_the_study_lacks_is_refused_with_its_name_and_how_to_name_another(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(ROOT)
    found = "target" if "tabel_2" in arguments else "data"
    message = refused(capsys, *arguments)
    assert message.startswith(f"aikd {arguments[0]}: config.yaml: {found}: found ")
    assert message.endswith("; for another study: --study FILE\n")
    message = refused(capsys, *(word.replace("digits", "digit") for word in arguments), "--study", str(DEMO))
    assert message.startswith(f"aikd {arguments[0]}: {DEMO}: {found}: found ")
    assert "--study FILE" not in message


# The commands that rules call


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["calibrate", RUN], "predictions.safetensors"),
        (["predict", RUN], "train.json"),
        (["collect", "--runs", "nonsense", "--to", "results"], "nonsense: not JSON ("),
        (["collect", "--runs", "[1]", "--to", "results"], "[1]: expected a JSON object, found list"),
        (
            ["collect", "--runs", "@no-such.json", "--to", "results"],
            "@no-such.json: cannot be read (No such file",
        ),
        (["collect", "--runs", "{}", "--to", "results"], 'expected {"runs": [paths of runs]}, found {}'),
        (
            ["table", "--spec", '{"kind": "pie"}', "--to", "tables"],
            'kind: found "pie"; allowed: datasets, numbers',
        ),
        (
            ["table", "--spec", '{"kind": "numbers"}', "--to", "tables"],
            "--spec: numbers: lacks name",
        ),
        (
            ["figure", "--spec", "{}", "--to", "figures"],
            "--spec: kind: found null; allowed: reliability, tsne, heatmap, curves",
        ),
        (["train", "--settings", "@no-such.json"], "@no-such.json: cannot be read (No such file"),
        (["train", "--settings", "[1]"], "found list; `aikd settings RUN` prints what is meant"),
        (["train", "--settings", "{}"], "--settings: lacks run; `aikd settings RUN` prints what is meant"),
        (["prepare", "--settings", '{"name": "digits"}'], "lacks source, counts, sides"),
        (["prepare", "digit", "--study", str(DEMO)], "did you mean 'digits'?"),
    ],
)
def test_commands_refuse_what_they_cannot_use_and_write_nothing(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in refused(capsys, *arguments)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_error_of_the_system_is_a_message_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(28, os.strerror(28), "schema.json")

    monkeypatch.setattr(Study, "model_json_schema", full)
    assert refused(capsys, "schema") == "aikd schema: schema.json: No space left on device\n"


def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Study, "model_json_schema", broken)
    with pytest.raises(ZeroDivisionError):
        main(["schema"])


# The program


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["calibrate"], ["table", "--to", "x"]])
def test_wrong_usage_ends_with_2_and_the_usage(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("usage: aikd")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str) -> None:
    for arguments in (["--help"], [command, "--help"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
        assert command in capsys.readouterr().out


def test_the_module_runs_as_a_program_and_passes_its_exit_code_on() -> None:
    assert python("-m", "aikd", "check", str(DEMO)).returncode == 0
    failed = python("-m", "aikd", "settings", "non/sense")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith("aikd settings: config.yaml: run 'non/sense': expected ")
    assert failed.stderr.count("\n") == 1


@pytest.mark.parametrize(("arguments", "code"), [(["schema"], 0), (["settings", "non/sense"], 1)])
def test_the_process_ends_with_all_written_and_nothing_taken_apart(arguments: list[str], code: int) -> None:
    ends = "import atexit, sys; atexit.register(print, 'taken apart', file=sys.stderr)"
    ended = python("-c", f"{ends}; sys.argv[1:] = {arguments}; from aikd.__main__ import run; run()")
    plain = python("-m", "aikd", *arguments)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, plain.stdout, plain.stderr)
    assert plain.stdout.endswith("}\n") or code


def test_helping_checking_and_planning_import_nothing_heavy() -> None:
    code = f"""
import contextlib, io, sys
from aikd.cli import main
from aikd.workflow import Workflow
for command in {COMMANDS}:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main([command, "--help"])
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    assert main(["check"]) == main(["schema"]) == main(["settings", {RUN!r}, "--study", {str(DEMO)!r}]) == 0
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = python("-c", code)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_calibration_s_help_does_not_wait_for_libraries() -> None:
    code = f"""
import runpy, sys
sys.argv = ["aikd", "calibrate", "--help"]
try:
    runpy.run_module("aikd", run_name="__main__", alter_sys=True)
finally:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    done = python("-c", code)
    assert "--folds" in done.stdout
    assert (done.stderr.strip(), done.returncode) == ("[]", 0)


def test_settings_of_a_data_set_are_what_prepare_takes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["settings", "digits", "--study", str(DEMO)]) == 0
    printed = capsys.readouterr().out
    assert main(["prepare", "--settings", printed, "--data", str(tmp_path / "a")]) == 0
    assert main(["prepare", "digits", "--study", str(DEMO), "--data", str(tmp_path / "b")]) == 0
    manifests = [(tmp_path / folder / DIGITS / "manifest.json").read_bytes() for folder in "ab"]
    assert manifests[0] == manifests[1]
    assert "901 training and 896 evaluation images of 10 classes" in capsys.readouterr().err
