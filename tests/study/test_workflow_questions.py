"""What Snakemake asks of a study: files, settings and targets."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aikd.commands.results import _spec
from aikd.errors import UserError
from aikd.study import extensions, queries, specs
from aikd.study.check import RULES
from aikd.study.resolve import resolve, resolve_data
from aikd.study.run import Run
from aikd.workflow import Workflow, code
from tests.conftest import DEMO, PAPER, ROOT, changed, parsed

PATH = "digits/preact_resnet18/aikd/omega=1/seed1"


@pytest.fixture(scope="module")
def paper() -> Workflow:
    return Workflow(parsed(PAPER))


@pytest.fixture(scope="module")
def demo() -> Workflow:
    return Workflow(parsed(DEMO))


def wildcards(path: str) -> SimpleNamespace:
    dataset, run = path.split("/", 1)
    return SimpleNamespace(dataset=dataset, run=run)


def name(target: str) -> SimpleNamespace:
    return SimpleNamespace(name=target)


# Where results go


def test_the_paper_writes_to_results_and_any_other_study_to_a_folder_of_its_name(
    paper: Workflow, demo: Workflow
) -> None:
    assert (paper.results, paper.runs) == ("results", "results/runs")
    assert (demo.results, demo.runs) == ("results/demo", "results/demo/runs")


@pytest.mark.parametrize(
    ("target", "files"),
    [
        ("table_5", ["tables/table_5.tex", "tables/table_5.csv", "tables/table_5.md"]),
        ("figure_4", ["figures/figure_4.pdf", "figures/figure_4.png"]),
        ("figure_7b", ["figures/figure_7b.pdf", "figures/figure_7b.png"]),
        (
            "figure_7",
            [f"figures/figure_7{part}.{kind}" for part in "ab" for kind in ("pdf", "png")],
        ),
        ("table_8", []),
    ],
)
def test_a_target_stands_for_its_files(
    paper: Workflow, demo: Workflow, target: str, files: list[str]
) -> None:
    found = [file for file in paper.files_of(target) if "_published" not in file]
    assert found == [f"results/{file}" for file in files]
    assert demo.files_of(target) == [f"results/demo/{file}" for file in files]


def test_a_table_of_the_paper_comes_with_the_published_numbers_beside_ours(
    paper: Workflow, demo: Workflow
) -> None:
    beside = [file for file in paper.files_of("table_5") if "_published" in file]
    assert beside == [f"results/tables/table_5_published.{kind}" for kind in ("tex", "csv", "md")]
    assert not [file for file in demo.files_of("table_5") if "_published" in file]


def test_targets_are_all_tables_and_figures_and_the_figure_in_two_parts(
    paper: Workflow, demo: Workflow
) -> None:
    expected = [f"table_{n}" for n in range(1, 8)] + [
        "figure_4",
        "figure_5",
        "figure_6",
        "figure_7a",
        "figure_7b",
    ]
    assert sorted(paper.targets()) == sorted([*expected, "figure_7"])
    assert paper.targets() == demo.targets()


# What things are made of


def test_tables_and_figures_are_made_of_metrics() -> None:
    rows = [{"settings": {"omega": weight}} for weight in (0, 0.1, 1)]
    inputs = Workflow(changed(parsed(DEMO), {"tables/table_5/rows": rows})).inputs(name("table_5"))
    weights = ("omega=0/", "", "omega=1/")
    runs = [f"digits/preact_resnet18/aikd/{weight}seed{seed}" for weight in weights for seed in range(3)]
    assert inputs == [f"results/demo/runs/{run}/metrics.json" for run in runs]


def test_preparing_asks_for_more_memory_with_each_attempt(paper: Workflow) -> None:
    asked = SimpleNamespace(dataset="cub200")
    assert [paper.prepare_memory(asked, attempt) for attempt in (1, 2, 3)] == [1500, 2700, 3900]


def test_preparing_an_extensions_data_set_has_room_for_it_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("noise.py").write_text(
        "from aikd.extend import DataSet, Transform, data_set\n\n"
        "FACTS = DataSet(label='N', category='coarse', classes=10, train=90_000, test=10_000,\n"
        "    transform=Transform(size=96))\n\n\n"
        "@data_set('noise', FACTS)\n"
        "def noise(): ...\n"
    )
    study = {"name": "own", "extensions": ["noise.py"], "methods": {"baseline": {}}}
    study |= {"data": {"noise": {"models": ["resnet18"]}}, "models": {"resnet18": {"label": "R"}}}
    found = Workflow(study).prepare_memory(SimpleNamespace(dataset="noise"), 1)
    assert found == 300 + 1200 + 2 * 100_000 * 3 * 96**2 // 10**6
    extensions.activate([])


def test_t_sne_is_made_of_predictions_of_students_and_their_superior_model(demo: Workflow) -> None:
    methods = ("cskd", "baseline", "tfkd", "pskd", "aikd")
    files = [f"results/demo/runs/digits/preact_resnet18/{m}/seed0/predictions.safetensors" for m in methods]
    assert demo.inputs(name("figure_6")) == files


def test_the_table_of_data_sets_is_made_of_their_manifests(paper: Workflow) -> None:
    sets = ("cifar100", "tiny_imagenet", "cub200", "stanford_dogs", "mit67", "fgvc_aircraft")
    found = paper.inputs(name("table_1"))
    assert found == [paper.manifest(SimpleNamespace(dataset=dataset)) for dataset in sets]
    for dataset, path in zip(sets, found, strict=True):
        assert re.fullmatch(rf"data/{dataset}/[0-9a-f]{{12}}/manifest\.json", path)


def test_data_are_looked_for_where_training_looks_for_them(paper: Workflow) -> None:
    for path in ("cub200/resnet18/aikd/seed0", "cifar100/preact_resnet18/baseline/seed1"):
        asked = wildcards(path)
        settings = json.loads(paper.settings(asked))
        assert paper.manifest(asked) == f"data/{settings['data']['prepared']}/manifest.json"


def test_data_are_prepared_under_the_name_that_their_settings_have(paper: Workflow) -> None:
    digest = paper.manifest_of("cub200").split("/")[2]
    asked = SimpleNamespace(dataset="cub200", digest=digest)
    assert json.loads(paper.data_settings(asked)) == resolve_data(paper.study, "cub200")
    with pytest.raises(SystemExit, match=rf"data/cub200/0123456789ab/\S+: not what the study .*{digest}"):
        paper.data_settings(SimpleNamespace(dataset="cub200", digest="0123456789ab"))
    with pytest.raises(SystemExit, match="cub: the study has no such data set; it has: cifar100, "):
        paper.data_settings(SimpleNamespace(dataset="cub", digest=digest))


@pytest.mark.parametrize("file", [PAPER, DEMO])
def test_every_input_belongs_to_a_run_that_is_trained(file: Any) -> None:
    workflow = Workflow(parsed(file))
    trained = set(workflow.metrics(workflow.all_runs(), file=""))
    asked = {
        f"{path.rsplit('/', 1)[0]}/"
        for target in [*workflow.study.tables, *workflow.study.figures]
        for path in workflow.inputs(name(target))
        if path.startswith(workflow.runs)
    }
    assert asked == trained


def test_no_run_is_named_twice(paper: Workflow) -> None:
    runs = json.loads(paper.runs_json())["runs"]
    assert runs == paper.all_runs()
    assert len(runs) == len(set(runs)) == 312


# Training


def test_settings_are_the_resolved_run_as_one_text(demo: Workflow) -> None:
    text = demo.settings(wildcards(PATH))
    assert json.loads(text) == resolve(demo.study, Run.from_path(PATH))
    assert "\n" not in text
    assert text == Workflow(parsed(DEMO)).settings(wildcards(PATH))


def test_settings_do_not_depend_on_the_order_of_keys_in_the_study() -> None:
    data = parsed(DEMO)
    backwards = {key: data[key] for key in reversed(data)}
    backwards["recipe"] = {key: data["recipe"][key] for key in reversed(data["recipe"])}
    assert Workflow(backwards).settings(wildcards(PATH)) == Workflow(data).settings(wildcards(PATH))


@pytest.mark.parametrize(
    ("method", "superior"),
    [
        ("aikd/omega=1", "baseline"),
        ("tfkd", "baseline"),
        ("aikd/mixup", "baseline"),
        ("aikd/alpha_g=0,omega=0", None),
        ("pskd", None),
        ("cskd", None),
        ("baseline", None),
    ],
)
def test_a_run_waits_for_the_superior_model_of_its_seed(
    demo: Workflow, method: str, superior: str | None
) -> None:
    found = demo.superior(wildcards(f"digits/densenet121_3x3/{method}/seed2"))
    model = f"results/demo/runs/digits/densenet121_3x3/{superior}/seed2/model.safetensors"
    assert found == ([model] if superior else [])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("digits/preact_resnet18/aikd/omega=0.1/seed0", "canonical"),
        ("digits/preact_resnet18/akd/seed0", "did you mean 'aikd'?"),
        ("digits/resnet18/aikd/seed0", "allowed: preact_resnet18, densenet121_3x3"),
        ("cifar100/preact_resnet18/aikd/seed0", "allowed: digits"),
    ],
)
def test_a_run_that_cannot_be_ends_the_program_with_a_message(demo: Workflow, path: str, words: str) -> None:
    for question in (demo.settings, demo.superior):
        with pytest.raises(SystemExit) as end:
            question(wildcards(path))
        assert words in str(end.value.code)


def test_a_study_with_a_mistake_makes_no_workflow() -> None:
    with pytest.raises(UserError, match=r"recipe\.epoch: unknown key"):
        Workflow(changed(parsed(DEMO), {"recipe/epoch": 3}))


# Resources


def test_time_grows_with_the_work_and_with_the_attempt(paper: Workflow) -> None:
    runs = [wildcards(f"cifar100/preact_resnet18/{method}/seed0") for method in ("baseline", "tfkd", "aikd")]
    times = [paper.runtime(run, 1) for run in runs]
    assert times == sorted(set(times))
    assert [paper.runtime(runs[0], attempt) for attempt in (1, 2, 3)] == [
        times[0],
        2 * times[0],
        3 * times[0],
    ]
    assert 10 < paper.predict_runtime(runs[0], 1) < times[0] / 10


def test_time_follows_the_speed_that_the_study_states() -> None:
    run = wildcards("cifar100/densenet121_3x3/baseline/seed0")
    slow, fast = (
        Workflow(changed(parsed(PAPER), {"device_tflops": speed})).runtime(run, 1) for speed in (1, 1000)
    )
    operations = 300 * 50_000 * 3 * 1.8e9
    assert slow - fast == pytest.approx(1.5 * operations / 1e12 / 60, rel=0.1)


def test_no_job_asks_for_more_time_than_a_cluster_allows() -> None:
    run = wildcards("tiny_imagenet/densenet121_3x3/aikd/seed0")
    free, limited = (Workflow(changed(parsed(PAPER), {"longest_job": most})) for most in (None, 1440))
    assert free.runtime(run, 1) > 1440
    assert [limited.runtime(run, attempt) for attempt in (1, 2)] == [1440, 1440]
    assert [limited.predict_runtime(run, attempt) for attempt in (1, 2)] == [
        free.predict_runtime(run, attempt) for attempt in (1, 2)
    ]


def test_what_a_run_needs_is_worked_out_once_however_often_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def counting(study: Any, run: Run) -> dict[str, Any]:
        asked.append(run.path)
        return resolve(study, run)

    monkeypatch.setattr("aikd.workflow.resolve", counting)
    workflow = Workflow(parsed(PAPER))
    for _ in range(3):
        for run in map(wildcards, workflow.all_runs()):
            for need in (workflow.memory, workflow.runtime, workflow.predict_runtime):
                assert need(run, 1) > 0
    assert sorted(asked) == sorted(workflow.all_runs())
    assert workflow.needs_of.cache_info().misses == 312


# Specs for the command line


@pytest.mark.parametrize("file", [PAPER, DEMO])
def test_the_command_line_reads_every_spec_that_the_workflow_writes(file: Any) -> None:
    kinds = {
        "datasets": specs.DataSetsSpec,
        "numbers": specs.TableSpec,
        "reliability": specs.ReliabilitySpec,
        "tsne": specs.TsneSpec,
        "heatmap": specs.HeatmapSpec,
        "curves": specs.CurvesSpec,
    }
    workflow = Workflow(parsed(file))
    for target in [*workflow.study.tables, *workflow.study.figures]:
        text = workflow.spec_json(name(target))
        assert "\n" not in text
        assert _spec(text, kinds) == queries.spec(workflow.study, target)


# Code that results depend on


def test_code_names_files_relative_to_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    files = code("metrics.py", "results/figures/*.py")
    assert files == sorted(files)
    assert "aikd/metrics.py" in files
    assert "aikd/results/figures/heatmap.py" in files
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_every_pattern_in_the_rules_names_code_that_exists() -> None:
    for pattern in (
        "metrics.py",
        "calibration.py",
        "results/aggregate.py",
        "results/*.py",
        "study/metrics.py",
    ):
        assert code(pattern), pattern


def test_a_table_that_the_study_does_not_have_ends_in_one_line(demo: Workflow) -> None:
    with pytest.raises(
        SystemExit, match=r"^table_9: the study has no such table or figure; it has: table_1, "
    ):
        demo.inputs(name("table_9"))


def test_no_rule_of_the_workflow_can_be_mistaken_for_a_table() -> None:
    rules = (ROOT / "workflow" / "rules").glob("*.smk")
    named = re.findall(
        r"^(?:rule (\w+)|use rule \w+ as (\w+))", "\n".join(p.read_text() for p in rules), re.MULTILINE
    )
    assert {a or b for a, b in named} | {"all"} == RULES


def test_what_steers_a_job_without_deciding_its_result_is_passed_on(demo: Workflow) -> None:
    knobs = {"evaluate_every": 5, "save_every": 7, "runs_per_gpu": 3}
    chosen = Workflow(changed(parsed(DEMO), knobs))
    assert chosen.train_options(None, 1) == "--evaluate-every 5 --save-every 7 --runs-per-gpu 3"
    some = wildcards("digits/preact_resnet18/aikd/seed0")
    assert chosen.predict_options(some, 1) == "--runs-per-gpu 3"
    compiled = Workflow(changed(parsed(DEMO), {"compile": True}))
    assert compiled.train_options(None, 1) == f"{demo.train_options(None, 1)} --compile"
    assert compiled.predict_options(some, 1) == demo.predict_options(some, 1)
    assert demo.predict_options(some, 1) == "--runs-per-gpu 1"


def test_predicting_names_the_file_of_a_network_that_is_an_extensions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my net.py").write_text("from aikd.extend import model\n@model('net')\ndef net(*_): ...\n")
    own = {"extensions": ["my net.py"], "models/net": {"label": "Net"}}
    models = {"data/digits/models": ["preact_resnet18", "densenet121_3x3", "net"]}
    chosen = Workflow(changed(parsed(DEMO), own | models))
    options = [
        chosen.predict_options(wildcards(f"digits/{m}/cskd/seed0"), 1) for m in models["data/digits/models"]
    ]
    assert options == [*2 * ["--runs-per-gpu 1"], "--runs-per-gpu 1 --extension 'my net.py'"]
    extensions.activate([])
