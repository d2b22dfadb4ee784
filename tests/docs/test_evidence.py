"""Tables of the documents that are made of finished runs."""

import json
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from aikd.errors import UserError
from aikd.study import queries
from aikd.study.load import check_study
from aikd.study.resolve import resolve
from aikd.study.specs import Group
from docs.tools.evidence import mechanics, together
from docs.tools.paired import by_seed, differences, main
from tests.conftest import ROOT, changed, parsed

ERRORS = {
    "No Adv": (68.0, 70.0, 69.0),
    "better": (67.0, 68.9, 68.1),
    "like it": (68.5, 69.5, 69.1),
    "begun": (71.0, None, None),
    "never run": (None, None, None),
}


def paths(label: str) -> list[str]:
    number = [*ERRORS, "a", "none yet"].index(label)
    return [f"cifar100/resnet18/aikd/omega={number}/seed{seed}" for seed in range(3)]


def table(results: Path, reference: str = "No Adv") -> dict[str, list[str]]:
    found = {label: by_seed(results, paths(label), "top1_error") for label in ERRORS}
    lines = differences(found, reference, "top1_error").splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {label: rest for label, *rest in cells}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for label, errors in ERRORS.items():
        for path, error in zip(paths(label), errors, strict=True):
            if error is not None:
                file = tmp_path / "runs" / path / "metrics.json"
                file.parent.mkdir(parents=True)
                file.write_text(json.dumps({"run": path, "metrics": {"top1_error": error}, "bins": {}}))
    return tmp_path


def test_differences_are_paired_with_students_interval_and_holms_correction(results: Path) -> None:
    found = table(results)
    assert found["No Adv"] == ["3", "69.00 ± 1.00", "", "", "", ""]
    test = stats.ttest_rel(ERRORS["better"], ERRORS["No Adv"])
    other = stats.ttest_rel(ERRORS["like it"], ERRORS["No Adv"])
    low, high = test.confidence_interval(0.95)
    assert test.pvalue < other.pvalue < 1
    assert found["better"] == [
        "3", "68.00 ± 0.95", "−1.00", f"−{-low:.2f} to −{-high:.2f}", f"{test.pvalue:.3f}", f"{2 * test.pvalue:.3f}",
    ]  # fmt: skip
    assert found["like it"][-2:] == [f"{other.pvalue:.3f}"] * 2  # the largest of two is not multiplied


def test_what_one_seed_came_to_has_no_interval_and_no_test(results: Path) -> None:
    found = table(results)
    assert found["begun"] == ["1", "71.00", "+3.00", "–", "–", ""]
    assert found["never run"] == ["0", "–", "", "", "", ""]


def test_the_reference_is_a_row(results: Path) -> None:
    with pytest.raises(UserError, match="no row 'No Adversary'; there are: No Adv, better"):
        table(results, "No Adversary")


def test_results_that_lie_elsewhere_can_be_compared_and_an_empty_folder_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = str(ROOT / "workflow/studies/critic.yaml")
    asked = [study, "readings", "No Adv", "holdout_top1_error"]
    main([*asked, "--results", str(ROOT / "docs/evidence/critic")])
    assert "| No Adv | 3 |" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"no run of readings has metrics there yet"):
        main([*asked, "--results", str(tmp_path)])


def test_seeds_of_two_studies_are_put_together_in_the_rows_that_both_have() -> None:
    first = {"a": {0: 1.0, 1: 2.0}, "b": {0: 5.0}, "No Adv": {0: 3.0, 1: 4.0}}
    second = {"No Adv": {4: 6.0, 5: 7.0}, "a": {5: 8.0}}
    assert together([first, second]) == {"a": {0: 1, 1: 2, 5: 8}, "No Adv": {0: 3, 1: 4, 4: 6, 5: 7}}
    assert together([first]) == first
    with pytest.raises(AssertionError, match="a seed is in two"):
        together([first, {"a": {1: 2.0}}])


def test_what_a_critic_did_is_the_mean_over_seeds_and_epochs(tmp_path: Path) -> None:
    names = "distance,gradient_norm,adversarial_cosine,adversarial_share,logit_norm"
    errors = {"a": (61.0, 62.0, 66.0), "No Adv": (60.0, 60.0, 60.0)}
    for label, distances in {"a": (-1.0, -2.0, 4.5), "No Adv": (None, None, None)}.items():
        for path, distance, error in zip(paths(label), distances, errors[label], strict=True):
            file = tmp_path / "runs" / path / "history.csv"
            file.parent.mkdir(parents=True)
            head, first, second = (names, "1,0.8,0.5,0.5,9", f"{distance},1.1,-0.25,0.25,12")
            if distance is None:
                head, first, second = "logit_norm", "6", "7"
            columns = f"epoch,learning_rate,loss,{head},train_error,test_error"
            file.write_text(f"{columns}\n1,1,1,{first},50,\n2,1,1,{second},50,40\n")
            metrics = {"run": path, "metrics": {"holdout_top1_error": error}, "bins": {}}
            (file.parent / "metrics.json").write_text(json.dumps(metrics))
    groups = [Group(label, tuple(paths(label))) for label in ("No Adv", "a", "none yet")]
    text = mechanics(groups, tmp_path, "No Adv")
    # A third of the epochs has a distance below 0; (9 + 12) / 2 is 4 more than (6 + 7) / 2.
    assert text.splitlines()[2:] == ["| a | 3 | 2 | 33 | +0.12 | 38 | +4.0 | +3.00 |"]


@pytest.mark.parametrize("file", sorted((ROOT / "docs/evidence").glob("*")), ids=lambda file: file.name)
def test_evidence_is_of_runs_that_the_study_still_asks_for_with_just_their_settings(file: Path) -> None:
    raw = parsed(ROOT / f"workflow/studies/{file.name}.yaml")
    study = check_study(changed(raw, {"data/cifar100/accept_other": True}))  # the archive was rebuilt
    asked = {run.path: resolve(study, run) for run in queries.runs_of(study)}
    runs = [path.parent for path in (file / "runs").rglob("train.json")]
    assert runs
    for run in runs:
        summary = json.loads((run / "train.json").read_text())
        assert summary["run"] == run.relative_to(file / "runs").as_posix()
        assert summary["settings"] == json.loads(json.dumps(asked[summary["run"]]))
        history = pd.read_csv(run / "history.csv")
        assert list(history["epoch"]) == list(range(1, study.recipe.epochs + 1))
        metrics = json.loads((run / "metrics.json").read_text())["metrics"]
        assert metrics["top1_error"] == pytest.approx(history["test_error"].iloc[-1], abs=0.05)
