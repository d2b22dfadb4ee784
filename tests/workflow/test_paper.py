"""The paper's study as a plan: what a dry run of config.yaml would do."""

import pytest

from tests.workflow.conftest import Project

pytestmark = pytest.mark.workflow


def test_the_paper_is_312_runs_and_no_superior_model_is_trained_twice(fresh: Project) -> None:
    planned = fresh.planned("--resources", "gpu=2", study=None)
    assert planned == {
        "download": 9,
        "prepare": 6,
        "pretrain": 36,
        "train": 276,
        "predict": 312,
        "calibrate": 312,
        "table": 7,
        "published": 7,
        "figure": 5 + 12 + 4,  # learning curves: of each data set and network, of each ablation
        "all_runs": 1,
        "classes": 1,
        "report": 1,
        "paper": 1,
        "claims": 1,
    }


@pytest.mark.parametrize(
    ("target", "runs"),
    [
        ("table_2", 180),
        ("table_3", 180),
        ("table_4", 15),
        ("table_5", 27),
        ("table_6", 21),
        ("table_7", 15),
        ("figure_7", 87),
    ],
)
def test_a_single_target_trains_what_it_needs(fresh: Project, target: str, runs: int) -> None:
    planned = fresh.planned(target, study=None)
    assert planned["pretrain"] + planned["train"] == runs


def test_table_1_trains_nothing(fresh: Project) -> None:
    assert fresh.planned("table_1", study=None) == {"download": 9, "prepare": 6, "table": 1, "published": 1}


def test_an_override_on_the_command_line_is_part_of_the_study(fresh: Project) -> None:
    assert fresh.planned("table_4", "--config", "seeds=[0]", study=None)["pretrain"] == 1


def test_a_run_that_no_table_asks_for_can_be_asked_for(fresh: Project) -> None:
    model = "results/runs/mit67/resnet18/aikd/critic.norm=layer,omega=0.3/mixup/seed7/model.safetensors"
    assert fresh.planned(model, study=None) == {"download": 3, "prepare": 1, "pretrain": 1, "train": 1}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("recipe={epoch: 3}", "recipe.epoch: unknown key (did you mean 'epochs'?)"),
        ("methods={aikd: {settings: {omega: -1}}}", "methods.aikd.settings.omega: found -1"),
        ("seeds=[]", "seeds: found []"),
    ],
)
def test_a_wrong_study_is_one_message_before_any_job(fresh: Project, override: str, message: str) -> None:
    done = fresh.snakemake("--config", override, study=None)
    assert done.returncode != 0
    assert message in done.stdout
    assert "Traceback" not in done.stdout
    assert not (fresh.root / "results").exists()


def test_an_unknown_run_is_one_message(fresh: Project) -> None:
    done = fresh.snakemake(
        "-n", "results/runs/mit67/resnet18/aikd/omgea=1/seed0/model.safetensors", study=None
    )
    assert done.returncode != 0
    assert "omgea" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("options", [["-n"], ["--summary"], []])
def test_an_unknown_target_is_one_message_with_the_nearest_name(fresh: Project, options: list[str]) -> None:
    done = fresh.snakemake("table_44", *options, study=None)
    assert done.returncode != 0
    said = [line for line in done.stdout.splitlines() if line.startswith("table_44: ")]
    assert len(said) == 1, done.stdout
    assert said[0].startswith("table_44: the study has no such target (did you mean 'table_4'?); it has: ")
    assert "Traceback" not in done.stdout
    assert "MissingRuleException" not in done.stdout
    names = said[0].partition("it has: ")[2].split(", ")
    assert {"all", "claims", "report", "learning_curves", "prepare_cub200", "figure_7", "table_2"} <= {*names}
    assert not {"train", "predict", "table"} & {*names}  # of which a name alone does not say what


def test_rules_can_be_listed_without_a_target(fresh: Project) -> None:
    done = fresh.snakemake("--list-rules", study=None)
    assert done.returncode == 0, done.stdout
    assert "table_2" in done.stdout


@pytest.mark.parametrize("study", [None, "twice.yaml"])
def test_a_key_that_stands_twice_is_refused_before_snakemake_keeps_the_second(
    fresh: Project, study: str | None
) -> None:
    file, before = fresh.root / (study or "config.yaml"), (fresh.root / "config.yaml").read_text()
    file.write_text(f"{before}\nrecipe: {{epochs: 3, milestones: [1]}}\n")
    try:
        done = fresh.snakemake("-n", "table_4", study=study)
    finally:  # others plan in this copy, too
        (fresh.root / "config.yaml").write_text(before)
    assert done.returncode != 0
    assert f"{file.name}: not YAML: line " in done.stdout
    assert "the key 'recipe' stands twice" in done.stdout
    assert "Traceback" not in done.stdout
