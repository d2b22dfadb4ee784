"""Ours beside the published numbers."""

import math
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from aikd.errors import UserError
from aikd.results.aggregate import Summary
from aikd.results.intervals import confidence_interval, welch_p
from aikd.results.pairs import write_published
from aikd.study import queries
from aikd.study.catalogue import DATA_SETS
from aikd.study.load import check_study
from aikd.study.resolve import prepared_folder, resolve_data
from tests.conftest import DEMO, PAPER, changed, parsed

T = 4.302652729911275
"""97.5 % quantile of Student's t with 2 degrees of freedom, from a printed table: 4.3027."""


@pytest.fixture
def written(folder):
    """Writes a table beside the published one; its tex, csv and md, the last without aligning spaces."""

    def write(study, name):
        tex, csv, md = write_published(queries.table(study, name), folder.results, folder.data, folder.out)
        assert [p.name for p in (tex, csv, md)] == [
            f"{name}_published.{kind}" for kind in ("tex", "csv", "md")
        ]
        return tex.read_text(), pd.read_csv(csv), re.sub(" +", " ", md.read_text())

    return write


@pytest.fixture
def give(folder):
    """Gives the runs of a method on CIFAR-100 and ResNet-18 the values of a metric, seed after seed."""

    def metrics(method, metric, *values):
        for seed, value in enumerate(values):
            folder.metrics(f"cifar100/preact_resnet18/{method}/seed{seed}", **{metric: value})

    return metrics


def study(**changes):
    """CIFAR-100 and ResNet-18 alone, with Baseline and AI-KD, and one table: a part of the paper's study."""
    part = {
        "data": {"cifar100": {"models": ["preact_resnet18"]}},
        "methods": {"baseline": {}, "aikd": {}},
        "tables": {"table_2": {"kind": "comparison", "published": 2, "metrics": ["top1_error"]}},
        "figures": {},
    }
    return check_study(changed(parsed(PAPER) | part, changes))


def test_a_cell_has_ours_theirs_their_difference_the_interval_and_whether_it_holds_theirs(give, written):
    give("aikd", "top1_error", 19.5, 20.0, 20.5)  # mean 20, standard deviation .5; published 19.87 ± .10
    tex, csv, md = written(study(), "table_2")
    half = T * 0.5 / math.sqrt(3)
    variances = 0.5**2 / 3, 0.1**2 / 3
    freedom = sum(variances) ** 2 / sum(v**2 / 2 for v in variances)
    p = 2 * stats.t.sf(0.13 / math.sqrt(sum(variances)), freedom)
    assert (
        f"| CIFAR-100 | AI-KD | 20.00 ± 0.50 | 19.87 ± 0.10† | +0.13 | 18.76 to 21.24 | yes | {p:.3f} |" in md
    )
    assert (
        r"19.87{\scriptsize\,$\pm$\,0.10}\rlap{\textsuperscript{$\dagger$}} & +0.13 & 18.76 to 21.24" in tex
    )
    assert (
        r"    $\dagger$ $\pm$ 0.10 here, but $\pm$ 0.07 in Tables 4 to 7, which repeat the mean.\par" in tex
    )
    row = csv[csv["Method"] == "AI-KD"].iloc[0]
    expected = {
        "mean": 20,
        "std": 0.5,
        "n": 3,
        "published_mean": 19.87,
        "published_std": 0.1,
        "difference": 0.13,
    }
    expected |= {"low": 20 - half, "high": 20 + half, "p": p}
    assert {key: row[key] for key in expected} == pytest.approx(expected)
    assert row["within"]
    assert row["note"].startswith("± 0.10 here")


def test_a_published_mean_outside_the_interval_is_counted(give, written):
    give("aikd", "top1_error", 19.0, 19.01, 19.02)
    give("baseline", "top1_error", 23.9, 24.0, 24.1)
    _, csv, md = written(study(), "table_2")
    assert "| AI-KD | 19.01 ± 0.01 | 19.87 ± 0.10† | −0.86 | 18.99 to 19.03 | no |" in md
    assert csv["within"].tolist() == [True, False]
    assert "1 of 2 published means lie within our interval." in md


def test_f1_is_a_fraction_on_both_sides(give, written):
    give("aikd", "f1", 0.799, 0.8, 0.801)
    _, csv, md = written(study(**{"tables/table_2/metrics": ["f1"]}), "table_2")
    assert "| AI-KD | 0.800 ± 0.001 | 0.801 ± 0.001 | −0.001 | 0.798 to 0.802 | yes |" in md
    assert csv["difference"][1] == pytest.approx(-0.001)


def test_a_single_run_has_a_difference_but_no_interval(give, written):
    give("aikd", "top1_error", 19.9)
    _, csv, md = written(study(seeds=[0]), "table_2")
    assert "| AI-KD | 19.90 | 19.87 ± 0.10† | +0.03 | -- | -- | -- |" in md
    assert "Single runs: n = 1 seed." in md
    assert csv[["low", "high", "within", "p"]].isna().all(axis=None)


def test_fewer_seeds_than_planned_are_stated(give, written):
    give("aikd", "top1_error", 19.0, 20.0)
    give("baseline", "top1_error", 23.0, 24.0, 25.0)
    assert (
        "| AI-KD | 19.50 ± 0.71<sup>(2)</sup> | 19.87 ± 0.10† | −0.37 | 13.15 to 25.85 | yes |"
        in (written(study(), "table_2")[2])
    )


def test_a_missing_result_stands_beside_the_published_number(written):
    _, csv, md = written(study(), "table_2")
    assert "| AI-KD | -- | 19.87 ± 0.10† | -- | -- | -- | -- |" in md
    assert "No results yet." in md
    assert "A dash marks a number that is missing or was not published." in md
    assert csv["n"].tolist() == [0, 0]
    assert csv["published_mean"].tolist() == [23.97, 19.87]


def test_without_a_published_spread_there_is_an_interval_but_no_welch_test(folder, written):
    part = study(**{"tables/table_2": {"kind": "comparison", "published": 3, "metrics": ["ece"]}})
    for seed, value in enumerate((14.0, 14.1, 14.2)):
        folder.metrics(f"cifar100/preact_resnet18/aikd/seed{seed}", ece=value)
    assert (
        "| AI-KD | 14.10 ± 0.10 | 14.10 | 0.00 | 13.85 to 14.35 | yes | -- |" in written(part, "table_2")[2]
    )


def test_after_temperature_scaling_the_last_of_the_six_published_values_counts(folder, written):
    table = {"kind": "comparison", "published": 3, "metrics": ["ece"], "calibrated": ["aikd"]}
    for scheme in ("crossfit", "oracle"):
        part = study(**{"tables/table_2": table, "calibration": {"scheme": scheme}})
        for seed, value in enumerate((2.0, 3.0, 4.0)):
            folder.metrics(f"cifar100/preact_resnet18/aikd/seed{seed}", ece=14.0, **{f"ece_{scheme}": value})
        md = written(part, "table_2")[2]
        assert "| AI-KD + TS | 3.00 ± 1.00 | 2.95 | +0.05 |" in md
        assert "Of the six values printed for each data set" in md


def test_whether_a_mean_lies_within_is_judged_by_what_is_printed(give, written):
    # The interval ends at 19.8676, printed 19.87 like the published mean, of which no third decimal is known.
    half = T * 0.01 / math.sqrt(3)
    give("aikd", "top1_error", *(19.8676 - half + shift for shift in (-0.01, 0.0, 0.01)))
    _, csv, md = written(study(), "table_2")
    assert "to 19.87 | yes |" in md
    assert csv["high"][1] == pytest.approx(19.8676)


def test_another_reading_is_compared_and_another_experiment_is_not(written):
    methods = {
        "baseline": {},
        "reading": {"method": "aikd", "label": "Reading", "settings": {"critic.input": "probabilities"}},
        "warmer": {"method": "aikd", "label": "Warmer", "settings": {"tau_g": 5}},
        "heavier": {"method": "aikd", "label": "Heavier", "settings": {"omega": 0.5}},
    }
    _, csv, _ = written(study(methods=methods), "table_2")
    theirs = csv.set_index("Method")["published_mean"]
    assert theirs["Reading"] == 19.87
    assert theirs[["Warmer", "Heavier"]].isna().all()


def test_labels_may_change_but_a_narrower_network_has_no_published_number(written):
    renamed = {
        "models/preact_resnet18/label": "Net",
        "data/cifar100/label": "C100",
        "methods/aikd": {"label": "X"},
    }
    assert written(study(**renamed), "table_2")[1]["published_mean"].tolist() == [23.97, 19.87]
    narrow = study(**{"models/preact_resnet18/width": 16})
    assert written(narrow, "table_2")[1]["published_mean"].isna().all()
    other = {"models": {"mine": {"label": "ResNet-18", "architecture": "preact_resnet18"}}}
    own_name = study(**other, **{"data/cifar100/models": ["mine"]})
    assert written(own_name, "table_2")[1]["published_mean"].tolist() == [23.97, 19.87]


def test_a_table_that_remakes_none_of_the_paper_s_cannot_be_set_beside_it(folder):
    for name in ("table_1", "table_2"):
        spec = queries.table(check_study(parsed(DEMO)), name)
        with pytest.raises(UserError, match=f"^{name}: the study does not say which table of the paper"):
            write_published(spec, folder.results, folder.data, folder.out)


def test_table_2_has_a_part_for_each_metric_and_network(folder, paper, written):
    folder.all_metrics(queries.table(paper, "table_2").runs)
    tex, csv, md = written(paper, "table_2")
    labels = re.findall(r"\\label\{(.+?)\}", tex)
    assert labels == ["tab:table_2_published", *(f"tab:table_2_published_{part}" for part in (2, 3, 4))]
    titles = re.findall(r"Beside Table 2 of the paper(?:, continued)?: (.+?)\. Mean", md)
    expected = [
        f"{m}, {f}" for m in ("Top-1 error (%) ↓", "F1 (macro) ↑") for f in ("ResNet-18", "DenseNet-121")
    ]
    assert titles == expected
    assert len(csv) == 120
    assert csv.columns[:5].tolist() == ["Metric", "Model", "Method", "column", "metric"]
    assert md.count("Welch") == 1


def test_settings_are_shown_as_columns_and_never_blank(folder, paper, written):
    folder.all_metrics(queries.table(paper, "table_6").runs)
    _, _, md = written(paper, "table_6")
    assert "| Metric | α<sub>CE</sub> | α<sub>G</sub> | α<sub>P</sub> | Ours |" in md
    assert "| Top-1 error (%) ↓ | 0.6 | 0.1 | 0.3 |" in md
    assert "| | 0.6 | 0.2 | 0.2 |" in md


def test_table_1_sets_what_was_prepared_beside_the_published_counts(folder, paper, written):
    for name, d in DATA_SETS.items():
        if name not in ("mit67", "digits"):
            prepared = prepared_folder(resolve_data(paper, name))
            folder.manifest(prepared, classes=d.classes, train=d.train, test=d.test)
    tex, csv, md = written(paper, "table_1")
    assert "| CIFAR-100 | Classes | 100 | 10† | +90 |" in md
    assert "| | Train | 50,000 | 50,000 | 0 |" in md
    assert "| | Valid | 3,333 | 3,334‡ | −1 |" in md
    assert "| MIT-67 | Classes | -- | 67 | -- |" in md
    assert csv[csv["Count"] == "Valid"]["Difference"].tolist()[-1] == -1
    assert r"CIFAR-100 & Classes & 100 & 10\rlap{\textsuperscript{$\dagger$}} & +90 \\" in tex


SLIPS = [
    (1, "| 10† |", "† CIFAR-100 has 100 classes."),
    (1, "| 3,334‡ |", "‡ The official test list has 3,333 images"),
    (1, "| MIT-67 |", "MIT67: the official lists have these totals, but 77 to 83 images a class"),
    (1, "| Tiny-ImageNet |", "Tiny-ImageNet is cited as the CIFAR report"),
    (2, "| 19.87 ± 0.10† |", "† ± 0.10 here, but ± 0.07 in Tables 4 to 7"),
    (2, "| CS-KD |", "by 1.43 points on CIFAR-100 with ResNet-18; by the table it is 21.67 − 19.87 = 1.80"),
    (2, "| 0.581 ± 0.002† |", "† CS-KD and AI-KD tie"),
    (2, "| 0.617 ± 0.002† |", "† TF-KD and AI-KD tie"),
    (2, "| 18.61 ± 1.16‡ |", "‡ ± 1.16 points do not fit the F1"),
    (2, "| 0.821 ± 0.002‡ |", "‡ ± 0.002 does not fit the Top-1 error"),
    (2, "| 34.69 ± 0.09† |", "† ± 0.09 points do not fit the F1"),
    (2, "| 0.650 ± 0.007‡ |", "‡ ± 0.007 does not fit the Top-1 error"),
    (3, "| 4.06 ± 0.11† |", "† 4.06 ± 0.11 stands for both PS-KD on CIFAR-100 and CS-KD on FGVC Aircraft"),
    (3, "| 8.17 ± 0.06† |", "† In bold, and the best by the text, although PS-KD has 7.90."),
    (3, "| 13.18 ± 0.34‡ |", "‡ 13.18 ± 0.34 stands for both CUB200-2011 and MIT67"),
    (3, "| AI-KD + TS |", "The caption promises standard deviations, but the ECE has none"),
    (3, "| AI-KD + TS |", "The text calls AI-KD over-confident"),
    (3, "| AI-KD + TS |", "Of the six values printed for each data set the last is AI-KD after"),
    (4, "| 19.87 ± 0.07† |", "† ± 0.07 here, but ± 0.10 in Table 2"),
    (4, "| 21.26 ± 0.06 |", "progressive loss with +1.80 and the guide loss with +2.71; by the table it is"),
    (5, "| 0.1 |", "† ± 0.07 here, but ± 0.10 in Table 2"),
    (5, "| 20.42 ± 0.04‡ |", "‡ The rows ω = 0.75 and ω = 1 are the same in all four numbers."),
    (5, "| 5.27 ± 0.29‡ |", "‡ The rows ω = 0.75 and ω = 1 are the same in all four numbers."),
    (5, "| 0.75 |", "The text names five values of ω (0, 0.01, 0.1, 0.5, 1); the table has eight."),
    (6, "| 19.87 ± 0.07† |", "† ± 0.07 here, but ± 0.10 in Table 2"),
    (7, "| 19.87 ± 0.07† |", "† ± 0.07 here, but ± 0.10 in Table 2"),
    (7, "| 4.90 ± 0.01‡ |", "‡ Worse than the 4.81 of AI-KD alone"),
]


@pytest.mark.parametrize("table", range(1, 8))
def test_slips_of_the_paper_are_footnotes_of_the_part_in_which_they_stand(paper, written, table):
    _, _, md = written(paper, f"table_{table}")
    parts = re.split(r"\n(?=Beside Table)", md)
    for _, cell, note in (slip for slip in SLIPS if slip[0] == table):
        assert any(cell in part and note in part for part in parts), (cell, note)
        assert [part for part in parts if note in part and cell not in part] == [], (cell, note)
    notes = {line for line in md.split("\n\n") if line and "|" not in line and "eside Table" not in line}
    listed = [note for number, _, note in SLIPS if number == table]
    assert [line for line in notes if not any(note in line for note in listed)] == []


@pytest.mark.parametrize("n", range(2, 7))
def test_intervals_and_welch_s_test_are_those_of_the_samples(n):
    rng = np.random.default_rng(n)
    ours, theirs = rng.normal(20, 1, n), rng.normal(21, 0.3, 3)
    low, high = confidence_interval(Summary.of(list(ours)))
    expected = stats.ttest_1samp(ours, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    p = welch_p(Summary.of(list(ours)), Summary.of(list(theirs)))
    assert p == pytest.approx(stats.ttest_ind(ours, theirs, equal_var=False).pvalue)


def test_numbers_that_do_not_vary_have_no_welch_test():
    assert welch_p(Summary(20.0, 0.0, 3), Summary(21.0, 0.0, 3)) is None
    assert welch_p(Summary(20.0, 0.0, 3), Summary(20.0, 0.1, 3)) == pytest.approx(1)
    assert welch_p(Summary(20.0, math.nan, 1), Summary(20.0, 0.1, 3)) is None


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_all_pairs_compile_with_booktabs_alone_and_fit_a_page(folder, paper):
    for name in paper.tables:
        spec = queries.table(paper, name)
        if name != "table_1":
            folder.all_metrics(spec.runs)
        write_published(spec, folder.results, folder.data, folder.out)
    said = folder.compiled()
    assert "Overfull" not in said
    assert "Float too large" not in said
