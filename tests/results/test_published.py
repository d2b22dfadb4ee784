"""The paper's numbers: all there, and each found by the one cell of the study that remakes it."""

import csv
import math
from collections import Counter
from pathlib import Path

import pytest

from aikd.results import pairs, published
from aikd.results.aggregate import Summary
from aikd.results.pairs import footnotes
from aikd.results.published import Published
from aikd.study import queries
from aikd.study.fields import flatten
from aikd.study.methods import METHODS, VARIED

FILE = Path(published.__file__).with_name("published.csv")
NAMES = {"CUB-200-2011": "CUB200-2011", "MIT-67": "MIT67"}
METRICS = {
    "top1_error": "Top-1 error (%)",
    "top5_error": "Top-5 error (%)",
    "f1": "F1 macro",
    "ece": "ECE (%)",
}


def rows():
    with FILE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def by_labels(table, pair):
    """The paper's names of a cell, from what the study's tables print and not from its runs."""
    header, metric = pair.row.header, METRICS[pair.ours.cell.metric]
    if table in (2, 3):
        _, model, method = header
        method, plus, scaled = method.partition(" + ")
        return model, NAMES.get(pair.column, pair.column), method, plus.strip() + scaled, metric
    variant = {
        4: lambda: "full" if header == ("AI-KD",) else header[0],
        5: lambda: f"omega={float(header[0]):.2f}",
        6: lambda: "alpha_CE={};alpha_G={};alpha_P={}".format(*header),
        7: lambda: "aug=" + (header[0].removeprefix("+ ") if header != ("AI-KD",) else "none"),
    }[table]()
    method = "Baseline" if variant == "Baseline" else "AI-KD"
    return "ResNet-18", "CIFAR-100", method, variant, metric


def test_every_table_of_the_paper_has_all_its_numbers():
    counts = Counter(int(row["table"]) for row in rows() if row["mean"])
    # Data sets × counts; data sets × networks × (methods, or methods and TS); rows × metrics.
    expected = {1: 6 * 3, 2: 6 * 2 * (5 + 5), 3: 6 * 2 * (5 + 6), 4: 5 * 2, 5: 8 * 2, 6: 6 * 2, 7: 4 * 2}
    assert counts == expected
    assert sum(counts.values()) == 316
    assert {table: len(published.numbers(table)) for table in range(2, 8)} | {
        1: len(published.counts())
    } == counts


def test_numbers_are_in_the_units_of_our_metrics_and_rows_have_what_they_need():
    for row in (row for row in rows() if row["mean"] and row["table"] != "1"):
        mean, std = float(row["mean"]), float(row["std"] or 0)
        assert (0 < mean < 1) is (row["metric"] == "F1 macro"), row
        assert (row["std"] == "") is (row["metric"] == "ECE (%)"), row
        assert std < mean / 5, row
    assert all(row["note"] for row in rows() if not row["mean"])


@pytest.mark.parametrize("table", range(2, 8))
def test_each_cell_of_the_study_has_one_published_number_and_each_number_one_cell(folder, paper, table):
    found = pairs.pairs(queries.table(paper, f"table_{table}"), folder.results)
    assert [pair.row.header for pair in found if pair.theirs is None] == []
    matched = Counter(id(pair.theirs) for pair in found)
    assert set(matched.values()) == {1}
    assert matched.keys() == {id(number) for number in published.numbers(table).values()}


@pytest.mark.parametrize("table", range(2, 8))
def test_cells_found_by_their_runs_are_those_that_their_labels_name(folder, paper, table):
    stored = {
        tuple(row[key] for key in ("model", "dataset", "method", "variant", "metric")): row
        for row in rows()
        if row["mean"] and row["table"] == str(table)
    }
    for pair in pairs.pairs(queries.table(paper, f"table_{table}"), folder.results):
        row = stored[by_labels(table, pair)]
        assert pair.theirs.summary.mean == float(row["mean"])
        assert pair.theirs.note == row["note"]
        assert pair.theirs.summary.std == pytest.approx(float(row["std"] or math.nan), nan_ok=True)


def test_each_count_of_table_1_belongs_to_a_data_set_of_the_study(paper):
    spec = queries.table(paper, "table_1")
    expected = {(row.dataset, count) for row in spec.rows for count in ("classes", "train", "test")}
    assert published.counts().keys() == expected
    assert published.counts()["cub200", "train"].summary.mean == 5994


def test_settings_that_the_paper_varies_are_settings_of_ai_kd():
    assert flatten(METHODS["aikd"].defaults.model_dump()).keys() >= VARIED


def test_equal_notes_share_a_sign_and_signs_do_not_run_out():
    numbers = [Published(Summary(1.0, 0.1, 3), f"note {i % 7}", ("remark",)) for i in range(14)]
    marks, notes = footnotes([None, Published(Summary(1.0, 0.1, 3), "", ()), *numbers])
    assert list(marks.values()) == ["†", "‡", "§", "¶", "‖", "††", "‡‡"]
    assert notes[5:] == ("†† note 5", "‡‡ note 6", "remark")
