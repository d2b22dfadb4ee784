"""Tables and figures as plain data over runs."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from aikd.study import queries, specs
from aikd.study.load import check_study
from aikd.study.run import Run
from aikd.study.schema import Study
from tests.conftest import PAPER, changed, numbers, parsed

FAMILIES = ("ResNet-18", "DenseNet-121")
METHODS = ("Baseline", "CS-KD", "TF-KD", "PS-KD", "AI-KD")
DATA = ("CIFAR-100", "Tiny-ImageNet", "CUB-200-2011", "Stanford Dogs", "MIT-67", "FGVC Aircraft")


def texts(data: Any) -> Iterator[str]:
    """Every text inside JSON."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, list | tuple):
        for item in data:
            yield from texts(item)
    elif isinstance(data, dict):
        yield from texts(list(data.values()))


def seeds(cell: specs.Cell) -> list[int]:
    return [Run.from_path(path).seed for path in cell.paths]


def test_every_table_and_figure_survives_json(study: Study) -> None:
    for name in [*study.tables, *study.figures]:
        spec = queries.spec(study, name)
        assert type(spec).from_json(json.loads(json.dumps(spec.to_json()))) == spec, name


def test_runs_are_all_run_paths_in_a_spec_each_once(study: Study) -> None:
    for name in [*study.tables, *study.figures]:
        spec = queries.spec(study, name)
        paths = [text for text in texts(spec.to_json()) if re.search(r"/seed\d+$", text)]
        assert spec.runs == list(dict.fromkeys(paths)), name
        assert (name == "table_1") is (spec.runs == [])


def test_a_comparison_has_a_row_a_method_in_each_block_and_a_column_a_data_set(paper: Study) -> None:
    table = numbers(paper, "table_2")
    assert table.columns == DATA
    metrics = ("Top-1 error (%) ↓", "F1 (macro) ↑")
    expected = [(metric, family, method) for metric in metrics for family in FAMILIES for method in METHODS]
    assert [row.header for row in table.rows] == expected
    assert [row.block for row in table.rows] == [n // 5 for n in range(20)]
    assert {len(row.cells) for row in table.rows} == {6}
    cell = table.rows[6].cells[3]
    assert cell.metric == "top1_error"
    assert cell.paths == tuple(f"stanford_dogs/densenet121/cskd/weight=3/seed{seed}" for seed in range(3))


def test_only_calibration_metrics_have_a_row_after_temperature_scaling(paper: Study) -> None:
    table = numbers(paper, "table_3")
    scaled = [row for row in table.rows if row.cells[0].scheme != "none"]
    assert [row.header for row in scaled] == [("ECE (%) ↓", family, "AI-KD + TS") for family in FAMILIES]
    assert {cell.scheme for row in scaled for cell in row.cells} == {"crossfit"}
    assert len(table.rows) == 22
    for row in scaled:
        [plain] = [r for r in table.rows if r.header == (*row.header[:2], "AI-KD")]
        assert row.runs == plain.runs
        assert row.block == plain.block


def test_a_data_set_without_a_model_of_the_family_has_an_empty_cell() -> None:
    changes = {"data/mit67/models": ["resnet18"]}
    table = numbers(check_study(changed(parsed(PAPER), changes)), "table_2")
    missing = [row.header[1] for row in table.rows if not row.cells[4].paths]
    assert missing == ["DenseNet-121"] * 10


def test_an_ablation_shows_settings_as_columns_or_labels_as_rows(paper: Study) -> None:
    shown = {name: numbers(paper, name) for name in ("table_4", "table_5", "table_6")}
    headers = {name: [row.header for row in table.rows] for name, table in shown.items()}
    labels = ("AI-KD", "No Adv", "Only Progressive", "Only Guide", "Baseline")
    assert headers["table_4"] == [(label,) for label in labels]
    assert headers["table_5"] == [(w,) for w in ("0", "0.01", "0.05", "0.1", "0.25", "0.5", "0.75", "1")]
    assert headers["table_6"][1] == ("0.6", "0.2", "0.2")
    assert shown["table_6"].headers == ("alpha_ce", "alpha_g", "alpha_p")
    settings = [dict(Run.from_path(row.runs[0]).settings) for row in shown["table_4"].rows]
    assert settings == [{}, {"omega": 0}, {"alpha_g": 0, "omega": 0}, {"alpha_p": 0, "omega": 0}, {}]


def test_a_reliability_figure_has_a_panel_a_data_set_with_the_family_s_model(paper: Study) -> None:
    for name, number in (("figure_4", 0), ("figure_5", 1)):
        figure = queries.figure(paper, name)
        assert isinstance(figure, specs.ReliabilitySpec)
        assert [panel.title for panel in figure.panels] == list(DATA)
        for (dataset, entry), panel in zip(paper.data.items(), figure.panels, strict=True):
            assert [curve.label for curve in panel.curves] == [*METHODS, "AI-KD + TS"]
            assert [curve.scheme for curve in panel.curves] == ["none"] * 5 + ["crossfit"]
            for curve in panel.curves:
                runs = [Run.from_path(path) for path in curve.paths]
                assert {(run.dataset, run.model) for run in runs} == {(dataset, entry.models[number])}
                assert [run.seed for run in runs] == [0, 1, 2]


def test_t_sne_sets_each_student_beside_the_baseline_of_its_seed() -> None:
    study = check_study(changed(parsed(PAPER), {"figures/figure_6/seed": 4, "seeds": [5, 7, 9]}))
    figure = queries.figure(study, "figure_6")
    assert isinstance(figure, specs.TsneSpec)
    assert [column.label for column in figure.columns] == ["CS-KD", "TF-KD", "PS-KD", "AI-KD"]
    assert {column.superior for column in figure.columns} == {"cub200/resnet18/baseline/seed7"}
    assert figure.columns[0].path == "cub200/resnet18/cskd/weight=3/seed7"
    assert (figure.classes, figure.images_per_class, figure.seed) == (20, None, 4)


def test_a_heatmap_has_x_from_left_to_right_and_y_in_rows(paper: Study) -> None:
    figure = queries.figure(paper, "figure_7a")
    assert isinstance(figure, specs.HeatmapSpec)
    widths = ("16", "32", "64", "128")
    assert (figure.x_label, figure.x_values, figure.y_label, figure.y_values) == (
        "FC1",
        widths,
        "FC2",
        widths,
    )
    for y, row in zip((16, 32, 64, 128), figure.cells, strict=True):
        for x, cell in zip((16, 32, 64, 128), row, strict=True):
            critic = Run.from_path(cell.paths[0]).full_settings.model_dump()["critic"]
            assert (critic["fc1"], critic["fc2"], seeds(cell)) == (x, y, [0, 1, 2])


def test_curves_move_one_setting_and_leave_the_other_at_the_study_s_value(paper: Study) -> None:
    figure = queries.figure(paper, "figure_7b")
    assert isinstance(figure, specs.CurvesSpec)
    assert [line.label for line in figure.lines] == ["τ_G", "τ_P"]
    for line, setting in zip(figure.lines, ("tau_g", "tau_p"), strict=True):
        assert line.values == (1, 2, 3, 4, 5, 6, 7)
        for value, cell in zip(line.values, line.cells, strict=True):
            found = Run.from_path(cell.paths[0]).full_settings.model_dump()
            assert {key: found[key] for key in ("tau_g", "tau_p")} == {"tau_g": 3, "tau_p": 1} | {
                setting: value
            }


@pytest.mark.parametrize(
    ("target", "changes", "title"),
    [
        ("figure_7a", {}, "CIFAR-100, ResNet-18"),
        ("figure_7b", {"data/cifar100/label": "C100", "models/preact_resnet18/label": "Net"}, "C100, Net"),
        ("figure_6", {}, "CUB-200-2011, ResNet-18"),
    ],
)
def test_titles_name_data_set_and_model(target: str, changes: dict[str, Any], title: str) -> None:
    data = changed(parsed(PAPER), changes)
    data["figures"] = {target: data["figures"][target]}
    figure = queries.figure(check_study(data), target)
    assert getattr(figure, "title", None) == title
