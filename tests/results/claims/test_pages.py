"""The claims as files."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from aikd.cli import main
from aikd.results.claims import figure as plot
from aikd.results.claims import pages
from aikd.results.claims.ledger import Finding, ledger
from aikd.results.figures import style
from aikd.study import queries
from aikd.study.load import check_study, load_study
from aikd.study.schema import Study
from aikd.workflow import KNOBS, Workflow
from tests.conftest import DEMO, PAPER, ROOT, changed, parsed
from tests.results.conftest import Folder

DOCS = (ROOT / "docs/claims.md").read_text(encoding="utf-8")


def filled(study: Study, root: Path) -> Path:
    """A folder with all metrics of a study's runs; returns its results."""
    folder, rng = Folder(root), np.random.default_rng(0)
    for run in queries.runs_of(study):
        error = 20 + len(run.method) + rng.normal(0, 0.05)
        folder.metrics(
            run.path, top1_error=error, top5_error=error / 4, f1=1 - error / 100, ece=8 + rng.random(),
            ece_crossfit=1.5 + rng.random(), gap=rng.normal(-6, 0.3),
        )  # fmt: skip
    return folder.results


DEMO_STUDY, PAPER_STUDY = load_study(DEMO), load_study(PAPER)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the demonstration."""
    return filled(DEMO_STUDY, tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def demo_files(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What is written of the demonstration: CSV, Markdown, PDF and PNG."""
    return pages.write_claims(DEMO_STUDY, demo, tmp_path_factory.mktemp("written"))


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the paper's study."""
    return filled(PAPER_STUDY, tmp_path_factory.mktemp("paper"))


@pytest.fixture(scope="module")
def found(paper: Path) -> list[Finding]:
    return ledger(PAPER_STUDY, paper)


@pytest.fixture(scope="module")
def figure(found: list[Finding]) -> Figure:
    return drawn(found)


def section(title: str) -> str:
    """A part of docs/claims.md."""
    return DOCS.split(f"## {title}\n")[1].split("\n## ")[0]


# CSV


def test_the_files_are_where_the_workflow_wants_them(demo_files: list[Path]) -> None:
    wanted = Workflow(parsed(DEMO)).claims_files()
    names = [str(path.relative_to(demo_files[0].parent)) for path in demo_files]
    assert sorted(f"results/demo/{name}" for name in names) == sorted(wanted)
    assert demo_files[2].read_bytes().startswith(b"%PDF")


def test_the_file_has_the_documented_columns_and_a_row_a_claim(demo_files: list[Path]) -> None:
    frame = pd.read_csv(demo_files[0])
    documented = [name for cell in re.findall(r"^\| (`.+?`) \|", section("Columns"), re.MULTILINE)
                  for name in re.findall(r"`(\w+)`", cell)]  # fmt: skip
    assert list(frame.columns) == documented
    assert frame["claim"].is_unique
    assert set(frame["verdict"]) == {"holds", "fails", "inconclusive", "not run"}
    run = frame[frame["verdict"] != "not run"]
    assert run[["effect", "n", "comparisons", "decided_by", "scope"]].notna().all(axis=None)
    assert frame[frame["verdict"] == "not run"]["reason"].notna().all()
    assert set(run["scope"]) == {"other"}
    assert run["published_effect"].isna().all()  # the paper has no digits


def test_what_a_row_says_fits_together(found: list[Finding]) -> None:
    frame = pd.DataFrame([pages.record(finding) for finding in found])
    assert set(frame["scope"]) == {"paper"}
    tested = frame[frame["p"].notna()]
    assert (tested["p_holm"] >= tested["p"] - 1e-12).all()
    decided = tested[tested["verdict"].isin(["holds", "fails"])]
    assert (decided["p_holm"] <= 0.05).all()
    assert (tested[tested["verdict"] == "inconclusive"]["p_holm"] > 0.05).all()
    low, high = frame["claimed_low"].fillna(-np.inf), frame["claimed_high"].fillna(np.inf)
    inside = (frame["effect"] > low) & (frame["effect"] < high)
    assert inside[frame["verdict"] == "holds"].all()
    assert not inside[frame["verdict"] == "fails"].any()
    row = frame.set_index("claim").loc["cub_r18_over_second"]
    assert (row["published_effect"], row["stated"], row["published_verdict"]) == (
        pytest.approx(4.34),
        4.34,
        "holds",
    )


# Markdown


def test_the_page_counts_verdicts_says_on_what_and_lists_what_was_not_run(demo_files: list[Path]) -> None:
    frame, text = pd.read_csv(demo_files[0]), demo_files[1].read_text(encoding="utf-8")
    counts = frame["verdict"].value_counts()
    assert (
        f"Of {len(frame)} claims {counts['holds']} hold here, {counts['fails']} fail, {counts['inconclusive']} are "
        f"inconclusive, and {counts['not run']} were not run."
    ) in text
    assert "This study has none of the paper's data sets" in text
    table, missing = text.split("## Not run")
    assert "CIFAR-100 with" not in table.split("Effect: by")[1]
    assert "on Digits (10 epochs) with ResNet-18 (width 8, blocks 1-1-1-1)" in table
    named = re.findall(r"`([\w.]+)`", missing)
    assert sorted(named) == sorted(frame[frame["verdict"] == "not run"]["claim"])
    rows = [line for line in table.splitlines() if re.match(r"\| (holds|fails|inconclusive) ", line)]
    assert len(rows) == len(frame) - counts["not run"]


def test_a_line_of_the_page_by_hand(folder: Any) -> None:
    for method, errors in (("aikd", (2.0, 3.0, 4.0)), ("aikd/omega=0", (3.0, 4.1, 4.9))):
        for seed, error in enumerate(errors):
            others = dict.fromkeys(("top5_error", "f1", "ece", "ece_crossfit", "gap"), 0.5)
            folder.metrics(f"digits/preact_resnet18/{method}/seed{seed}", top1_error=error, **others)
    text = re.sub(" +", " ", pages.claims_text(DEMO_STUDY, folder.results))
    [line] = [line for line in text.splitlines() if "adversarial loss lowers AI-KD's Top-1" in line]
    # Differences 1, 1.1, .9: mean 1, error .1/√3, t = 17.32, p = .0033; the only claim under its heading that was run.
    assert line.endswith(
        "| AI-KD against No Adv | +1.00 | +0.75 to +1.25 | above 0 | 3 | 0.003 | 0.003 | -- |"
    )
    assert line.startswith("| holds |")


# Figure


def drawn(found: list[Finding]) -> Figure:
    with style.styled():
        return plot.draw(found)


def test_the_figure_has_a_row_a_claim_coloured_by_its_verdict(found: list[Finding], figure: Figure) -> None:
    groups = list(dict.fromkeys(finding.bound.claim.group for finding in found))
    rows = sorted(found, key=lambda finding: groups.index(finding.bound.claim.group))
    assert sum(len(axes.get_yticks()) for axes in figure.axes) == len(rows) == 154
    points = [line for axes in figure.axes for line in axes.lines if line.get_markersize() == 3.4]
    colours = [to_hex(str(line.get_color())) for line in points]
    assert colours == [to_hex(plot.LOOKS[finding.verdict][0]) for finding in rows]
    effects = [float(np.atleast_1d(np.asarray(line.get_xdata(), float))[0]) for line in points]
    assert effects == [finding.estimate.mean for finding in rows if finding.estimate]


def test_published_effects_stand_beside_ours(found: list[Finding], figure: Figure) -> None:
    diamonds = [line for axes in figure.axes for line in axes.lines if line.get_marker() == "D"]
    assert len(diamonds) == sum(finding.published is not None for finding in found) == 154 - 27


def test_all_that_a_panel_shows_lies_in_it(figure: Figure) -> None:
    for axes in figure.axes:
        low, high = axes.get_xlim()
        for line in (line for line in axes.lines if line.get_marker() in ("o", "s", "X", "D")):
            [x] = np.atleast_1d(np.asarray(line.get_xdata(), float))
            assert low < x < high
    places = [axes.get_position() for axes in figure.axes]
    assert min(place.y0 for place in places) > 0
    assert max(place.x1 for place in places) < 1


def test_without_any_run_there_are_files_nevertheless(tmp_path: Path) -> None:
    csv, md, *_ = pages.write_claims(DEMO_STUDY, tmp_path / "results", tmp_path / "out")
    assert set(pd.read_csv(csv)["verdict"]) == {"not run"}
    assert "no metrics yet" in md.read_text(encoding="utf-8")


def test_where_nothing_can_be_checked_a_text_says_so_and_no_figure(tmp_path: Path) -> None:
    for kind in ("pdf", "png"):  # of a study that had more in it
        stale = tmp_path / "out/figures" / f"claims.{kind}"
        stale.parent.mkdir(parents=True, exist_ok=True)
        stale.touch()
    written = pages.write_claims(DEMO_STUDY, tmp_path / "results", tmp_path / "out")
    assert [path.name for path in written] == ["claims.csv", "claims.md"]
    assert list((tmp_path / "out/figures").iterdir()) == []
    text = written[1].read_text(encoding="utf-8")
    waiting = re.search(r"of the runs behind (\d+) claims there are no metrics", text)
    assert waiting
    assert int(waiting[1]) == (pd.read_csv(written[0])["reason"] == "no metrics yet").sum() > 5
    assert "can be compared" not in text
    tables = {"table_2": {"kind": "comparison", "caption": "", "metrics": ["top1_error"]}}
    alone = parsed(DEMO) | {"methods": {"baseline": {}}, "tables": tables, "figures": {}}
    text = pages.claims_text(check_study(alone), tmp_path / "results")
    assert (
        "Nothing in this study can be compared with what the paper claims. The reasons stand below." in text
    )
    assert Workflow(alone).claims_files() == ["results/demo/claims.csv", "results/demo/claims.md"]


def test_the_figure_says_what_is_corrected_and_what_is_not(figure: Figure) -> None:
    [legend] = figure.legends
    assert "published" in [text.get_text() for text in legend.get_texts()]
    assert (
        "Intervals are not corrected for the number of claims; verdicts are" in legend.get_title().get_text()
    )


def room(figure: Figure) -> float:
    """Pixels between the names of claims and what stands to their left, where there is least."""
    figure.draw_without_rendering()
    found = []
    for axes in figure.axes:
        left = min(label.get_window_extent().x0 for label in axes.get_yticklabels())
        others = [a for a in figure.axes if a.get_position().x1 <= axes.get_position().x0]
        found.append(left - max([figure.bbox.x0, *(a.get_window_extent().x1 for a in others)]))
    return min(found)


def test_names_of_claims_have_room_before_their_panels(figure: Figure) -> None:
    assert room(figure) > 0


def test_long_names_of_a_study_s_own_have_room_too(folder: Any) -> None:
    found = ledger(with_own("Mine, which has a long name", folder), folder.results)
    figure = drawn(found)
    assert room(figure) > 0
    [legend] = figure.legends  # of digits the paper has published nothing
    assert "published" not in [text.get_text() for text in legend.get_texts()]


def with_own(label: str, folder: Any) -> Study:
    """The demonstration with a method of its own, and metrics of all its runs."""
    own = {"method": "aikd", "label": label, "settings": {"critic.input": "probabilities"}}
    study = check_study(changed(parsed(DEMO), {"methods/mine": own}))
    for run in queries.runs_of(study):
        error = 20.0 + run.seed + len(run.path) / 100
        folder.metrics(
            run.path, top1_error=error, top5_error=1.0, f1=0.5, ece=8.0, ece_crossfit=1.5, gap=-6.0
        )
    return study


# Marks


def test_what_is_ours_and_what_the_paper_says_twice_is_marked(found: list[Finding]) -> None:
    text = re.sub(" +", " ", pages.page(PAPER_STUDY, found))
    by_heading = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    over, above = (
        by_heading["Section 4.3: over-confidence, ResNet-18"],
        by_heading["Figure 4: above the diagonal"],
    )
    assert "with ResNet-18: its confidence exceeds its accuracy.† |" in over
    assert "† Of the same number the paper claims the opposite, too (Section 4.3 and Figure 4)" in over
    assert "with ResNet-18: its accuracy exceeds its confidence.†‡ |" in above
    assert "† Our reading: “above the diagonal” is said of the mean over all images." in above
    assert "‡ Of the same number the paper claims the opposite, too (Section 4.3)" in above
    assert "by less than 0.5 points, on CIFAR-100 with ResNet-18.† |" in by_heading["Table 5: ω, Top-1 error"]
    assert "†" not in by_heading["Table 2: F1, ResNet-18"]
    ours = sum(bool(finding.bound.claim.ours) for finding in found)
    assert f"{ours} of the verdicts rest on a margin or reading of ours, and are marked." in text
    frame = pd.DataFrame([pages.record(finding) for finding in found]).set_index("claim")
    assert frame.loc["omega_insensitive.top1_error", "ours"] == "margin: 0.5 points"
    assert (frame["ours"] != "").sum() == ours
    assert frame.loc["overconfident_r18.mit67", "opposite"] == "Section 4.3 and Figure 4"


def test_a_study_s_own_methods_are_counted_apart(folder: Any) -> None:
    study = with_own("Mine", folder)
    text = pages.claims_text(study, folder.results)
    # Against AI-KD and the Baseline with two networks.
    assert re.search(r"^Of 154 claims 0 hold here", text, re.MULTILINE)
    assert re.search(
        r"^Of 4 comparisons of this study's own methods 0 hold here, 0 fail, 4 are", text, re.MULTILINE
    )


# The paper's own numbers, and the docs


def test_the_docs_show_what_the_published_numbers_say() -> None:
    page = pages.published_text()
    shown = page.split("## All claims")[0].split("\n\n", 1)[1].strip().replace("\n## ", "\n### ")
    assert shown in section("What the paper's own numbers say")


def test_the_published_page_and_file_agree(tmp_path: Path) -> None:
    csv, md = pages.write_published_claims(tmp_path)
    frame, text = pd.read_csv(csv), md.read_text(encoding="utf-8")
    assert text == pages.published_text()
    counts = frame["verdict"].value_counts()
    assert (
        f"Of {len(frame)} claims {counts['holds']} hold in the printed means, {counts['fails']} fail (from 5 slips of "
        "the paper, and 1 by a margin or reading of ours), and"
    ) in text
    failing = frame[frame["verdict"] == "fails"]
    assert set(frame[frame["verdict"] != "fails"]["cause"].dropna()) == set()
    assert failing["cause"].nunique() == 5 + 1
    rows = re.findall(r"^\| (\d) +\| fails ", text, re.MULTILINE)
    assert list(map(int, rows)) == sorted(failing["cause"])
    assert frame[frame["verdict"] == "fails"]["note"].notna().all()
    documented = re.search(r"`claims_published.csv` has (.+?)\.\n", section("Columns"), re.DOTALL)
    assert documented
    assert set(re.findall(r"`(\w+)`", documented[1])) <= set(frame.columns)


# The command


def test_the_command_prints_or_writes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["claims", "--published"]) == 0
    assert capsys.readouterr().out == pages.published_text()
    assert main(["claims", "--published", "--to", str(tmp_path)]) == 0
    assert (tmp_path / "claims_published.csv").exists()
    assert main(["claims", "--study", str(DEMO), "--results", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out.startswith("# Claims, checked in the study demo")


def test_a_study_given_as_json_is_the_study_and_the_same_study_gives_the_same_bytes(
    demo: Path, demo_files: list[Path], tmp_path: Path
) -> None:
    spec = Workflow(parsed(DEMO)).claims_spec(None)
    assert main(["claims", "--spec", spec, "--results", str(demo), "--to", str(tmp_path)]) == 0
    for path in demo_files:
        assert (tmp_path / path.relative_to(demo_files[0].parent)).read_bytes() == path.read_bytes(), (
            path.name
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--study", "nowhere.yaml"], "aikd claims: nowhere.yaml: cannot be read"),
        (["--spec", "{"], "aikd claims: {: not JSON"),
        (["--spec", '{"name": "x"}'], "aikd claims: data: missing, and required"),
    ],
)
def test_what_is_no_study_is_one_message(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["claims", *arguments]) == 1
    assert capsys.readouterr().err.startswith(message)


# The workflow


@pytest.mark.parametrize("file", [PAPER, DEMO, ROOT / "workflow/studies/laptop.yaml"])
def test_the_workflow_hands_on_the_whole_study_but_for_what_changes_no_result(file: Path) -> None:
    data = parsed(file)
    spec = Workflow(data).claims_spec(None)
    knobs = {"threads": 7, "evaluate_every": 3, "save_every": 2, "runs_per_gpu": 2, "compile": True}
    assert Workflow(changed(data, knobs)).claims_spec(None) == spec
    assert set(json.loads(spec)).isdisjoint(KNOBS)
    left = {key: value for key, value in load_study(file).model_dump().items() if key not in KNOBS}
    assert {
        key: value for key, value in Workflow(json.loads(spec)).study.model_dump().items() if key not in KNOBS
    } == left
    written_out = {"methods/aikd": {"settings": {"omega": 0.1, "critic": {"fc1": 64}}}}
    assert Workflow(changed(data, written_out)).claims_spec(None) == spec
    for change in ({"seeds": [0]}, {"methods/aikd": {"settings": {"critic": {"steps": 2}}}}):
        assert Workflow(changed(data, change)).claims_spec(None) != spec
    assert len(spec) < 100_000  # one argument of a command may have 128 KiB


def test_claims_are_made_of_metrics_and_are_part_of_all() -> None:
    w = Workflow(parsed(DEMO))
    files = w.claimed(None)
    assert files
    assert all(re.fullmatch(r"results/demo/runs/digits/.+/seed\d/metrics\.json", file) for file in files)
    assert w.claims_files()[0] == "results/demo/claims.csv"
