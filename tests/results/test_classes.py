"""Class by class: counts against a slow loop, the model against closed forms and against chance."""

import math

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from scipy import stats

from aikd.errors import UserError
from aikd.results.classes import COLUMNS, Differences, all_equal, class_errors, write_classes
from aikd.study.specs import ClassesSpec, Contest, Group

BASE, OURS = (
    [f"digits/preact_resnet18/{method}/seed{seed}" for seed in range(3)] for method in ("baseline", "aikd")
)
IMAGES = np.array([40, 50, 60])


def predict(folder, run, labels, predicted, classes):
    path = folder.results / "runs" / run / "predictions.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    logits = np.eye(classes, dtype=np.float32)[predicted]
    arrays = {
        "logits": logits,
        "features": np.zeros((len(labels), 2), np.float16),
        "labels": np.array(labels),
    }
    save_file(arrays, path, metadata={"run": run, "dataset": "digits"})


def contest(base=BASE, ours=OURS):
    return Contest(
        "digits", "net", "digits/abc", Group("Baseline", tuple(base)), (Group("AI-KD", tuple(ours)),)
    )


@pytest.fixture
def filled(folder):
    """Six runs on 30 images of three classes; returns labels and what was predicted of each run."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 10)
    found = {}
    for run in (*BASE, *OURS):
        found[run] = np.where(rng.random(30) < 0.6, labels, rng.integers(0, 3, 30))
        predict(folder, run, labels, found[run], 3)
    return labels, found


def test_errors_are_those_of_a_slow_loop(folder, filled):
    labels, predicted = filled
    errors, images = class_errors(folder.results, BASE[0])
    for c in range(3):
        of_class = [p for p, label in zip(predicted[BASE[0]], labels, strict=True) if label == c]
        assert images[c] == len(of_class) == 10
        assert errors[c] == pytest.approx(100 * sum(p != c for p in of_class) / 10)
    assert class_errors(folder.results, "digits/net/pskd/seed0") is None


def test_file_has_one_row_a_class_with_means_and_paired_differences(folder, filled):
    labels, predicted = filled
    folder.write(folder.data / "digits/abc/manifest.json", {"class_names": ["zero", "one", "two"]})
    write_classes(ClassesSpec((contest(),)), folder.results, folder.data, folder.out)
    frame = pd.read_csv(folder.out / "classes.csv")
    assert list(frame) == list(COLUMNS)
    assert frame["class"].tolist() == ["zero", "one", "two"]
    wrong = {run: [100 * np.mean(p[labels == c] != c) for c in range(3)] for run, p in predicted.items()}
    base, ours = (np.mean([wrong[run] for run in runs], axis=0) for runs in (BASE, OURS))
    assert frame["reference_error"].to_numpy() == pytest.approx(base)
    assert frame["error"].to_numpy() == pytest.approx(ours)
    assert frame["difference"].to_numpy() == pytest.approx(ours - base)
    assert (frame["seeds"] == 3).all()
    assert (frame["low"] < frame["difference"]).all()
    assert (frame["p_adjusted"] >= frame["p"]).all()


def test_seeds_that_lack_a_run_are_left_out_of_both_sides(folder, filled):
    labels, predicted = filled
    missing = [*OURS[:2], "digits/preact_resnet18/aikd/seed9"]
    write_classes(ClassesSpec((contest(ours=missing),)), folder.results, folder.data, folder.out)
    frame = pd.read_csv(folder.out / "classes.csv")
    assert (frame["seeds"] == 2).all()
    wrong = [np.mean(predicted[run][labels == 1] != 1) for run in BASE[:2]]
    assert frame["reference_error"][1] == pytest.approx(100 * np.mean(wrong))
    assert frame["class"].tolist() == [0, 1, 2]  # no manifest, no names


def test_without_predictions_the_file_has_its_header_alone(folder):
    write_classes(ClassesSpec((contest(),)), folder.results, folder.data, folder.out)
    assert (folder.out / "classes.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_runs_on_other_images_are_not_compared(folder, filled):
    predict(folder, OURS[1], [0, 1, 2], [0, 1, 2], 3)
    with pytest.raises(UserError, match="evaluated on different images"):
        write_classes(ClassesSpec((contest(),)), folder.results, folder.data, folder.out)


def test_standard_error_is_the_quasi_binomial_one_worked_out_by_hand():
    """Two classes of 99 images, errors such that the share, after the half added, is 0.5 and 0.1."""
    images = np.array([99, 99])
    share = np.array([0.5, 0.1])
    middle = 100 * (100 * share - 0.5) / 99
    difference = np.array([[2.0, -1.0], [4.0, 1.0]])  # two seeds: means 3 and 0, residuals ±1 and ±1
    found = Differences.of(middle - difference / 2, middle + difference / 2, images)
    variance = 100**2 * share * (1 - share) / 99
    factor = (2 * 1 / variance[0] + 2 * 1 / variance[1]) / 2
    assert found.mean == pytest.approx([3.0, 0.0])
    assert found.std_error == pytest.approx(np.sqrt(factor * variance / 2))
    assert found.freedom == 2
    assert found.half_width == pytest.approx(found.std_error * 4.302652729911275)  # t, 0.975, 2 degrees
    assert found.p[0] == pytest.approx(2 * stats.t.sf(3 / found.std_error[0], 2))
    assert found.p[1] == 1.0
    # Benjamini and Hochberg by hand: the smaller of two doubles, the larger stays.
    assert found.p_adjusted == pytest.approx([min(1, 2 * found.p[0]), 1.0])


def test_a_single_seed_has_differences_and_nothing_else():
    found = Differences.of(np.array([[1.0, 2.0]]), np.array([[3.0, 1.0]]), np.array([100, 100]))
    assert found.mean.tolist() == [2.0, -1.0]
    assert np.isnan([found.std_error, found.half_width, found.p, found.p_adjusted]).all()
    assert all_equal(found.mean, found.std_error, found.freedom) is None


def test_runs_that_are_all_the_same_have_no_p():
    same = np.full((3, 4), 10.0)
    found = Differences.of(same, same, np.full(4, 50))
    assert np.isnan(found.p).all()
    assert np.isnan(found.p_adjusted).all()


def chance(rng, gain=0.0, seeds=3, classes=100, images=100):
    """Errors of two methods on classes from easy to hard; the second has `gain` fewer in some of them."""
    hard = rng.beta(2, 5, classes)
    easier = np.clip(hard - gain * (np.arange(classes) < classes // 10), 0.001, 1)
    reference, method = (100 * rng.binomial(images, p, (seeds, classes)) / images for p in (hard, easier))
    return Differences.of(reference, method, np.full(classes, images))


def test_where_no_class_differs_p_is_uniform_and_correction_leaves_none():
    rng = np.random.default_rng(1)
    found = [chance(rng) for _ in range(40)]
    p = np.concatenate([differences.p for differences in found])
    assert 0.04 < np.mean(p < 0.05) < 0.06
    # Errors are counts, so p comes in steps: its distribution is compared at a few places only.
    for level in (0.1, 0.25, 0.5, 0.75):
        assert np.mean(p < level) == pytest.approx(level, abs=0.03)
    assert sum((differences.p_adjusted < 0.05).any() for differences in found) <= 6  # 2 expected
    equal = [all_equal(d.mean, d.std_error, d.freedom) for d in found]
    assert stats.kstest(equal, "uniform").pvalue > 0.01


def test_classes_that_do_gain_are_found():
    found = chance(np.random.default_rng(2), gain=0.2)
    gained = np.arange(100) < 10
    assert (found.p_adjusted[gained] < 0.05).mean() > 0.5
    assert (found.p_adjusted[~gained] < 0.05).mean() < 0.05
    assert all_equal(found.mean, found.std_error, found.freedom) < 0.001


def test_a_gain_that_all_classes_share_is_no_difference_between_them():
    mean, error = np.full(20, -3.0), np.linspace(0.5, 2, 20)
    assert all_equal(mean, error, 40) == pytest.approx(1.0)
    assert all_equal(mean[:1], error[:1], 2) is None
    assert math.isclose(all_equal(np.array([1.0, -1.0]), np.ones(2), 4), stats.f.sf(2.0, 1, 4))
