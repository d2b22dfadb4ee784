"""The page, as text: what it says, of what is there and of what is not."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from aikd.cli import main
from aikd.errors import UserError
from aikd.results.report import classes
from aikd.results.report.page import page, write_report
from aikd.study import queries
from tests.conftest import DEMO, parsed
from tests.results.report_study import NASTY, fill, small


class Reader(HTMLParser):
    """Text, links, pictures and whether tags nest."""

    EMPTY = {"meta", "link", "img", "br"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.links, self.images, self.ids = "", [], [], []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if tag not in self.EMPTY:
            self.open.append(tag)
        if "href" in named and tag == "a":
            self.links.append(named["href"])
        if tag == "img":
            self.images.append(named)
        if "id" in named:
            self.ids.append(named["id"])

    def handle_startendtag(self, tag, attrs):
        pass  # of drawings

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.text += " " * (tag in ("td", "th", "p", "a", "summary", "h2", "h3", "h4"))

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished study: its description, its results and its data."""
    root = tmp_path_factory.mktemp("report")
    study = small()
    fill(study, root / "results", root / "data", norm=lambda seed: 0.05)
    return study, root / "results", root / "data"


@pytest.fixture(scope="module")
def text(done):
    return page(*done)


@pytest.fixture(scope="module")
def read(text):
    return Reader(text)


def test_it_says_first_what_was_run_and_how_far_that_is_from_the_paper(read):
    start = read.words[: read.words.index("Table 1")]
    # 2 networks × 5 methods × 3 seeds, and AI-KD with two further ω and two further τ.
    assert "45 of 45 training runs, seeds 0, 1, 2; 56.2 min of training in all" in start
    for deviation in (
        "Digits: not among the paper's data sets; epochs 20 instead of 300; batch size 48 instead of 128",
        "DenseNet-121 (densenet121_3x3): another size (growth 8; blocks 1, 2, 2, 1)",
    ):
        assert deviation in start
    assert "AI-KD's critic reads raw logits here" in start


def test_the_headline_is_the_paired_difference(done, read):
    _, results, _ = done
    frame = pd.read_csv(results / "all_runs.csv")
    frame = frame[frame["settings"].isna() & (frame["model"] == "preact_resnet18")]
    errors = frame.pivot(index="seed", columns="method", values="top1_error")
    difference = (errors["aikd"] - errors["baseline"]).mean()
    row = re.search(r"Digits, ResNet-18 AI-KD \d\S+ ± \S+ \d\S+ ± \S+ (\S+) ", read.words)
    assert row is not None
    assert float(row[1].replace("−", "-")) == pytest.approx(difference, abs=0.005)


def test_every_table_and_figure_and_the_published_numbers_are_there(read, text):
    assert {"table_1", "table_2", "table_5", "figure_4", "figure_7b"} <= set(read.ids)
    assert len(read.ids) == len(set(read.ids))
    assert read.words.count("Beside the published numbers") == 1
    assert len(read.images) == 2 + 3  # and curves of two networks and one ablation
    assert all(image["src"].startswith("data:image/png;base64,") and image["alt"] for image in read.images)
    assert '<strong title="best">' in text
    assert '<span class="second" title="second best">' in text


def test_every_run_is_there_with_its_curves(done, read, text):
    study, results, _ = done
    runs = queries.runs_of(study)
    assert text.count('<svg class="spark"') == len(runs) + 2 * sum(
        "gradient_norm" in _history(results, r) for r in runs
    )
    links = [link for link in read.links if link.startswith("runs/")]
    assert len(links) == len(runs)
    assert all((results / link).is_dir() for link in links)
    assert read.words.count("resumed 1×") == len(runs) / 3


def _history(results: Path, run) -> str:
    return (results / "runs" / run.path / "history.csv").read_text()


def test_a_critic_that_did_not_learn_is_seen_in_the_list_of_runs(read):
    """Its gradient norm, 0.05 where 1 is healthy, stands beside each AI-KD run that has one."""
    assert re.search(r"aikd/seed0 .{0,80}? 0\.500 0\.050 ", read.words)


def test_links_lead_to_what_is_there_or_will_be(done, read):
    _, results, _ = done
    for link in read.links:
        if link.startswith("#"):
            assert link[1:] in read.ids
        elif not link.startswith("tables/"):  # which another command writes
            assert (results / link).exists(), link


def test_names_and_captions_are_text_and_no_markup(text, read):
    assert "<script" not in text
    assert "alert('no')</script> 50 % _x_" in read.words
    assert NASTY not in text
    assert "class <0>" in read.text


def test_nothing_is_asked_of_a_network_and_nothing_can_run(text):
    assert "default-src 'none'" in text
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text)
    assert not re.search(r"@import|url\(", text)


def test_costs_and_provenance_are_there(read):
    assert "2.14.1 45" in read.words
    assert "abc123 45" in read.words
    assert re.search(r"Digits, ResNet-18 baseline 3 3\.8 min 1,23\d 0\.51 –", read.words)


def test_class_by_class_is_honest_about_many_classes(read):
    assert re.search(r"AI-KD \d+ of 10 \d+ \d+ 0\.5 \d+ \d\.\d{3}", read.words)
    assert "Most helped and most harmed" in read.words


def test_the_same_results_give_the_same_bytes(done, text):
    assert page(*done) == text


CLAIMS = (
    "claim,group,kind,text,scope,metric,verdict,ours,opposite,"
    "effect,low,high,n,p,p_holm,published_verdict,published_effect\n"
    "best,Table 2,best,AI-KD <wins> on α_CE,SCOPE,top1_error,holds,margin: 1 point,Figure 4,"
    "1.234,-0.5,2,3,0.01,0.04,holds,0.9\n"
    "other,Table 2,best,Not asked for,,f1,not run,,,,,,,,,holds,\n"
    "third,Text,best,It is even,SCOPE,f1,inconclusive,,,0.0123,0,0.02,3,0.5,1,,\n"
    "own.x,Own,own,Mine is better,SCOPE,f1,fails,,,0.0123,0,0.02,3,0.5,1,,\n"
)


@pytest.fixture
def judge(done):
    """Writes a file of claims, checked under the paper's conditions or others."""
    ledger = done[1] / "claims.csv"
    yield lambda scope="other": ledger.write_text(CLAIMS.replace("SCOPE", scope), encoding="utf-8")
    ledger.unlink()


def test_claims_stand_on_the_page_once_they_are_judged(done, judge):
    assert "Claims of the paper" not in page(*done)
    judge()
    words = Reader(page(*done)).words
    assert "Verdicts on the paper's claims: holds 1, inconclusive 1, not run 1." in words
    assert "Verdicts on comparisons of this study's own methods: fails 1." in words
    assert "Table 2: holds 1, not run 1" in words
    said = "AI-KD <wins> on αCE" + "Our margin: 1 point."
    said += "Of the same number the paper claims the opposite, too (Figure 4): at most one of them can hold."
    assert f"holds {said} 1.23 −0.50 to 2.00 3 0.010 0.040 holds 0.90" in words
    assert "inconclusive It is even 0.012 0.000 to 0.020 3 0.500 1.000 –" in words
    assert "Intervals are not corrected for the number of claims; verdicts are" in words
    assert "Not asked for" not in words
    ids = Reader(page(*done)).ids
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("scope", "before"), [("paper", "tables"), ("reduced", "figures"), ("other", "figures")]
)
def test_claims_lead_where_the_study_is_the_paper_s_and_else_follow_its_own_tables(
    done, judge, scope, before
):
    judge(scope)
    text = page(*done)
    sections = re.findall(r'<h2 id="(\w+)">', text)
    assert sections[sections.index("claims") + 1] == before
    assert re.findall(r'<a href="#(\w+)">', text.partition("</nav>")[0]) == sections


@pytest.mark.parametrize(
    ("scope", "words"),
    [("reduced", "says little about the paper"), ("other", "says nothing about the paper")],
)
def test_the_section_of_claims_begins_with_what_they_do_not_say(done, judge, scope, words):
    judge(scope)
    section = page(*done).partition('<h2 id="claims">')[2]
    assert words in section.partition("Verdicts on")[0]
    judge("paper")
    text = page(*done)
    assert "says nothing about the paper" not in text
    assert "says little about the paper" not in text


def test_claims_that_wait_for_runs_are_not_said_to_be_incomparable(done):
    ledger = done[1] / "claims.csv"
    ledger.write_text("text,verdict,reason\nA,not run,no metrics yet\nB,not run,no CIFAR-100\n")
    try:
        words = Reader(page(*done)).words
    finally:
        ledger.unlink()
    assert "Nothing is checked yet: of the runs behind 1 claim there are no metrics." in words
    assert "can be compared" not in words


def test_where_no_claim_can_be_checked_a_sentence_stands_in_the_place_of_the_figure(done):
    _, results, _ = done
    ledger, figure = results / "claims.csv", results / "figures/claims.png"
    ledger.write_text("text,verdict\nNot asked for,not run\n")
    figure.write_bytes(next((results / "figures").glob("*.png")).read_bytes())  # a stale one
    try:
        read = Reader(page(*done))
    finally:
        ledger.unlink()
        figure.unlink()
    assert "Nothing in this study can be compared with what the paper claims" in read.words
    assert "claims" in read.ids
    assert len(read.images) == 2 + 3


def test_a_method_of_the_study_s_own_is_set_against_the_baseline_at_the_top(done, tmp_path, monkeypatch):
    study, results, data = done
    monkeypatch.setattr(
        classes, "PAPER_METHODS", ("baseline", "cskd", "tfkd", "aikd")
    )  # PS-KD is now a user's
    read = Reader(page(study, results, data))
    assert "Does PS-KD or AI-KD make fewer errors than the Baseline?" in read.words
    assert len(re.findall(r"Digits, ResNet-18 PS-KD \d\S+ ± ", read.words)) == 1


def test_figures_say_what_their_marks_stand_for(read):
    assert "Dot: the images of one bin of confidence" in read.words
    assert "Dot: mean over n seeds. Bar and band: ± one sample standard deviation" in read.words
    assert read.words.count("Loss and its terms: nats") == 3


def test_a_damaged_ledger_of_claims_is_an_error_that_names_it(done):
    _, results, _ = done
    ledger = results / "claims.csv"
    ledger.write_text("claim,text\nbest\n")
    try:
        with pytest.raises(UserError, match=r"claims\.csv: lacks text or verdict"):
            page(*done)
    finally:
        ledger.unlink()


def test_a_study_that_has_not_run_has_a_page_that_says_so(tmp_path):
    read = Reader(page(small(), tmp_path / "results", tmp_path / "data"))
    assert "0 of 45 training runs (unfinished)" in read.words
    assert read.words.count("Not drawn yet.") == 5
    assert read.words.count("(not trained)") == 45
    assert "no predictions yet" in read.words
    assert read.images == []


def test_a_damaged_file_of_a_run_is_an_error_that_names_it(done, tmp_path):
    study, results, data = done
    run = queries.runs_of(study)[0].path
    path = results / "runs" / run / "history.csv"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2] + "\n1,2\n")
    try:
        with pytest.raises(UserError, match=f"{run}/history.csv"):
            write_report(study, results, data, tmp_path / "report.html")
    finally:
        path.write_text(whole)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("damage", ["dataset,model\n1,2\n", "", 'not,a\ntable,"\n'])
def test_a_damaged_file_of_classes_is_an_error_that_names_it(done, damage):
    study, results, data = done
    path = results / "classes.csv"
    whole = path.read_text()
    path.write_text(damage)
    try:
        with pytest.raises(UserError, match=r"classes\.csv"):
            page(study, results, data)
    finally:
        path.write_text(whole)


def test_the_command_takes_a_file_or_the_study_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["report", "--study", str(DEMO)]) == 0
    by_file = (tmp_path / "results/demo/report.html").read_bytes()
    assert main(["report", "--study-json", json.dumps(parsed(DEMO)), "--to", "other.html"]) == 0
    assert (tmp_path / "other.html").read_bytes() == by_file


def test_a_study_that_cannot_be_used_is_one_message(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", "--study-json", '{"name": "x"}']) == 1
    assert capsys.readouterr().err.startswith("aikd report: data: ")
    assert list(tmp_path.iterdir()) == []
