import re
import shutil
from dataclasses import replace

import pandas as pd
import pytest

from aikd.errors import UserError
from aikd.results.tables import mean_text, ranks, write_table
from aikd.study import queries
from aikd.study.load import check_study
from aikd.study.specs import Cell, DataSetRow, DataSetsSpec, Row, TableSpec
from tests.conftest import DEMO, changed, parsed


def paths(method, seeds=3):
    return tuple(f"digits/preact_resnet18/{method}/seed{seed}" for seed in range(seeds))


def table(metric, *methods, seeds=3, blocks=None, headers=("Method",)):
    """A table with one row a method and one column."""
    rows = tuple(
        Row((method,), (blocks or [0] * len(methods))[i], (Cell(metric, paths(method, seeds)),))
        for i, method in enumerate(methods)
    )
    return TableSpec("table_9", "Caption.", headers, ("Digits",), rows)


@pytest.fixture
def written(folder):
    """Writes a table and gives back its tex, csv and md, the last without the spaces that align its columns."""

    def write(spec):
        tex, csv, md = write_table(spec, folder.results, folder.data, folder.out)
        assert [path.suffix for path in (tex, csv, md)] == [".tex", ".csv", ".md"]
        return tex.read_text(), pd.read_csv(csv), re.sub(" +", " ", md.read_text())

    return write


def give(folder, method, metric, *values):
    for run, value in zip(paths(method), values, strict=False):
        folder.metrics(run, **{metric: value})


def test_cells_are_mean_and_standard_deviation_with_the_decimals_of_the_metric(folder, written):
    give(folder, "baseline", "top1_error", 23.0, 24.0, 25.5)  # mean 24.1667, std 1.2583
    tex, csv, md = written(table("top1_error", "baseline"))
    assert "| baseline | 24.17 ± 1.26 |" in md
    assert r"baseline & 24.17{\scriptsize\,$\pm$\,1.26} \\" in tex
    assert csv["mean"][0] == pytest.approx(72.5 / 3)
    give(folder, "baseline", "f1", 0.75, 0.76, 0.7715)  # mean 0.7605, std 0.010759
    assert "0.760 ± 0.011" in written(table("f1", "baseline"))[2]


def test_single_seed_has_no_spread(folder, written):
    give(folder, "baseline", "ece", 4.0)
    tex, csv, md = written(table("ece", "baseline", seeds=1))
    assert "| baseline | 4.00 |" in md
    assert "Single runs: n = 1 seed." in md
    assert csv["n"][0] == 1
    assert pd.isna(csv["std"][0])
    assert r"\pm" not in tex


def test_best_is_bold_and_second_underlined(folder, written):
    for method, value in {"baseline": 3.0, "pskd": 1.0, "aikd": 2.0}.items():
        give(folder, method, "ece", value)
    tex, csv, md = written(table("ece", "baseline", "pskd", "aikd", seeds=1))
    assert "| pskd | **1.00** |" in md
    assert "| aikd | <u>2.00</u> |" in md
    assert "| baseline | 3.00 |" in md
    assert r"pskd & \textbf{1.00} \\" in tex
    assert r"aikd & \underline{2.00} \\" in tex
    assert csv["rank"].tolist()[1:] == [1, 2]
    assert pd.isna(csv["rank"][0])


@pytest.mark.parametrize(
    ("numbers", "best", "expected"),
    [
        ([3, 1, 2], "low", [None, 1, 2]),
        ([3, 1, 2], "high", [1, None, 2]),
        ([-3, 1, -0.5], "zero", [None, 2, 1]),
        ([-1, 1, 2], "zero", [1, 1, 2]),
        ([1, 1, 2, 2, 3], "low", [1, 1, 2, 2, None]),
        ([None, 5, 4], "low", [None, 2, 1]),
        ([None, 5], "low", [None, None]),
        ([5], "low", [None]),
        ([None, None], "low", [None, None]),
    ],
)
def test_ranks(numbers, best, expected):
    assert ranks(numbers, best) == expected


def test_means_that_print_alike_tie(folder, written):
    for method, value in {"baseline": 20.0049, "pskd": 19.9951, "aikd": 20.006}.items():
        give(folder, method, "top1_error", value)
    _, csv, md = written(table("top1_error", "baseline", "pskd", "aikd", seeds=1))
    assert csv["rank"].tolist() == [1, 1, 2]
    assert md.count("**20.00**") == 2


def test_blocks_compete_apart(folder, written):
    for method, value in {"baseline": 1.0, "cskd": 2.0, "pskd": 3.0, "aikd": 4.0}.items():
        give(folder, method, "f1", value)
    _, csv, _ = written(table("f1", "baseline", "cskd", "pskd", "aikd", seeds=1, blocks=[0, 0, 1, 1]))
    assert csv["rank"].tolist() == [2, 1, 2, 1]


def test_gap_near_zero_is_best_and_keeps_its_sign(folder, written):
    give(folder, "baseline", "gap", -0.004)
    give(folder, "aikd", "gap", -12.5)
    tex, _, md = written(table("gap", "baseline", "aikd", seeds=1))
    assert "| baseline | **0.00** |" in md
    assert "| aikd | <u>−12.50</u> |" in md
    assert r"\underline{$-$12.50}" in tex
    assert mean_text(-0.004, 2) == "0.00"


def test_missing_cells_are_dashes_and_seeds_are_stated(folder, written):
    give(folder, "baseline", "ece", 1.0, 2.0, 3.0)
    give(folder, "pskd", "ece", 5.0)
    tex, csv, md = written(table("ece", "baseline", "pskd", "aikd"))
    assert "| pskd | <u>5.00</u><sup>(1)</sup> |" in md
    assert r"\underline{5.00}$^{(1)}$" in tex
    assert "| aikd | -- |" in md
    assert "| baseline | **2.00 ± 1.00** |" in md
    assert "n = 1–3 of 3 seeds; a superscript states n where it is below 3." in md
    assert "A dash marks a missing result." in md
    assert csv["n"].tolist() == [3, 1, 0]
    assert pd.isna(csv["mean"][2])


def test_caption_states_equal_numbers_of_seeds_once(folder, written):
    for method in ("baseline", "aikd"):
        give(folder, method, "ece", 1.0, 2.0)
    tex, _, md = written(table("ece", "baseline", "aikd"))
    sentence = "standard deviation over n = 2 of 3 seeds. Best in bold, second best underlined."
    assert f"Caption. Mean ± sample {sentence}\n" in md
    assert rf"\caption{{Caption. Mean $\pm$ sample {sentence}}}" in tex
    assert "<sup>" not in md


def test_table_without_results_says_so(written):
    _, csv, md = written(table("ece", "baseline", "aikd"))
    assert md.startswith("Caption. No results yet.\n")
    assert csv["n"].tolist() == [0, 0]


def test_csv_keeps_every_digit_and_names_its_columns(folder, paper, written):
    spec = queries.table(paper, "table_6")
    folder.all_metrics(spec.runs)
    _, csv, md = written(spec)
    columns = ["alpha_ce", "alpha_g", "alpha_p", "column", "metric", "scheme", "mean", "std", "n", "rank"]
    assert list(csv.columns) == columns
    assert len(csv) == 12
    values = [
        pd.read_json(folder.results / "runs" / run / "metrics.json", typ="series")["metrics"]["top1_error"]
        for run in spec.rows[0].cells[0].paths
    ]
    assert csv["mean"][0] == sum(values) / 3
    assert "| α<sub>CE</sub> | α<sub>G</sub> | α<sub>P</sub> | Top-1 error (%) ↓ |" in md
    assert "| 0.6 | 0.1 | 0.3 |" in md
    assert "| 0.6 | 0.2 | 0.2 |" in md  # settings are never blanked


def test_repeated_headers_are_blank_and_rules_stand_between_blocks(folder, paper, written):
    spec = queries.table(paper, "table_2")
    folder.all_metrics(spec.runs)
    tex, csv, _ = written(spec)
    body = tex.split(r"\midrule", 1)[1]
    assert body.count("Top-1 error") == 1
    assert body.count("DenseNet-121") == 2
    assert body.count(r"\cmidrule{2-9}") == 2
    assert body.count(r"\midrule") == 1
    assert len(csv) == 2 * 2 * 5 * 6
    assert "multirow" not in tex
    assert tex.startswith(r"\begin{table*}")
    assert r"\shortstack[r]{Stanford\\Dogs}" in tex
    narrow, _, _ = written(queries.table(paper, "table_6"))
    assert narrow.startswith(r"\begin{table}")
    assert r"Top-1 error (\%) $\downarrow$ &" in narrow


def test_calibrated_row_reads_the_calibrated_metric(folder, paper, written):
    spec = queries.table(paper, "table_3")
    folder.all_metrics(spec.runs)
    _, csv, _ = written(spec)
    calibrated = csv[csv["Method"] == "AI-KD + TS"]
    assert set(calibrated["scheme"]) == {"crossfit"}
    assert set(calibrated["metric"]) == {"ece"}
    assert len(calibrated) == 2 * 6


def test_markdown_is_aligned_for_terminals(folder):
    give(folder, "baseline", "top1_error", 23.0, 24.0, 25.5)
    _, _, md = write_table(table("top1_error", "baseline", "aikd"), folder.results, folder.data, folder.out)
    assert md.read_text().splitlines()[2:] == [
        "| Method   |       Digits |",
        "| :------- | -----------: |",
        "| baseline | 24.17 ± 1.26 |",
        "| aikd     |           -- |",
    ]


def test_data_sets_come_from_what_was_prepared(folder, written):
    folder.manifest("cifar100/a", classes=100, train=50_000, test=10_000)
    rows = (
        DataSetRow("cifar100", "CIFAR-100", "coarse", "cifar100/a"),
        DataSetRow("mit67", "MIT-67", "fine-grained", "mit67/a"),
    )
    tex, csv, md = written(DataSetsSpec("table_1", "The data sets.", rows))
    assert "| Coarse | CIFAR-100 | 100 | 50,000 | 10,000 |" in md
    assert "| Fine-grained | MIT-67 | -- | -- | -- |" in md
    assert r"Coarse & CIFAR-100 & 100 & 50,000 & 10,000 \\" in tex
    assert csv.iloc[0].tolist() == ["coarse", "CIFAR-100", 100, 50_000, 10_000]
    assert csv.iloc[1][["Classes", "Train", "Valid"]].isna().all()


def test_manifest_without_counts_is_an_error_that_names_it(folder, written):
    path = folder.manifest("cifar100/a", classes=100, train="many", test=10_000)
    with pytest.raises(UserError, match="train must be a whole number, found 'many'") as raised:
        written(DataSetsSpec("table_1", "", (DataSetRow("cifar100", "CIFAR-100", "coarse", "cifar100/a"),)))
    assert str(path) in str(raised.value)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_all_tables_compile_with_booktabs_alone_and_fit_a_page(folder, paper):
    for name in paper.tables:
        spec = queries.table(paper, name)
        if name != "table_1":
            folder.all_metrics(spec.runs)
        write_table(spec, folder.results, folder.data, folder.out)
    awkward = table("ece", "[100 %] my_method & #1 $x$ ~^{}\\ <α_P>", headers=("*Method",))
    write_table(awkward, folder.results, folder.data, folder.out)
    assert "Overfull" not in folder.compiled()


def test_a_top_5_error_that_is_always_0_is_a_dash_and_said(folder, written):
    for method in ("baseline", "aikd"):
        give(folder, method, "top5_error", 0.0, 0.0)
    spec = table("top5_error", "baseline", "aikd", seeds=2)
    assert "0.00 ± 0.00" in written(spec)[2]
    tex, csv, md = written(replace(spec, few_classes=(("digits", "Digits"),)))
    assert "| baseline | -- |" in md
    assert "No Top-5 error of Digits: among 5 classes or fewer it is always 0." in md
    assert "missing" not in md
    assert "No results yet" not in md
    assert "0.00" not in tex
    assert csv["mean"].isna().all()


@pytest.mark.parametrize(("classes", "few"), [(5, (("digits", "Digits"),)), (6, ())])
def test_data_of_few_classes_are_known_where_a_top_5_error_is_asked_for(classes, few):
    counts = {"counts": {"classes": classes, "train": 100, "test": 100}, "accept_other": True}
    study = check_study(changed(parsed(DEMO), {f"data/digits/{key}": value for key, value in counts.items()}))
    assert queries.table(study, "table_3").few_classes == few
    assert queries.table(study, "table_4").few_classes == few  # Top-1 and Top-5
    assert queries.table(study, "table_2").few_classes == ()
