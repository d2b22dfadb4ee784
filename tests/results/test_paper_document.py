"""All tables and figures as one document."""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from aikd.cli import main
from aikd.errors import UserError
from aikd.results.claims.pages import write_claims
from aikd.results.report import latex
from aikd.results.report.paper import paper, write_paper
from aikd.results.sheet import Line, Printed, Sheet, to_latex
from aikd.results.text import NUMBERED
from aikd.results.text import latex as in_latex
from tests.conftest import DEMO, parsed
from tests.results.report_study import fill, small

with_latex = pytest.mark.skipif(latex.missing() is not None, reason=str(latex.missing()))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    root = tmp_path_factory.mktemp("document")
    study = small()
    fill(study, root / "results", root / "data")
    write_claims(study, root / "results", root / "results")
    write_paper(study, root / "results", root / "data", root / "results/paper.tex")
    return study, root / "results", root / "data"


def captions(text):
    return re.findall(r"\\caption\{(.+)\}$", text, re.MULTILINE)


def test_captions_say_data_seeds_and_epochs(done):
    text = paper(*done)
    figures = captions(text.partition(r"\section*{Claims of the paper}")[0])
    # Tables 1, 2, 5; table 2 beside the published, two metrics of two networks; two figures; three of curves.
    assert len(figures) == 3 + 4 + 2 + 3
    for caption in figures[1:]:
        assert "Digits (901 training, 896 test images); seeds 0, 1, 2; 20 epochs" in caption
    assert sum("Dot: " in caption or "Line: " in caption for caption in figures) == 2 + 3
    assert re.findall(r"\\called\{(.+)\}", text.partition(r"\section*{Claims of the paper}")[0]) == [
        "Table 1", *["Table 2"] * 5, "Table 5", "Figure 4", "Figure 7b",
        "Learning curves, Digits, ResNet-18", "Learning curves, Digits, DenseNet-121",
        "Learning curves of table 5, Digits, ResNet-18",
    ]  # fmt: skip


def test_deviations_are_said_once_and_captions_name_what_holds_for_theirs_alone(done):
    text = paper(*done)
    items = re.findall(r"^\\item (.+)$", text, re.MULTILINE)
    assert [item.split(":")[0] for item in items] == [
        "Digits", r"ResNet-18 (preact\_resnet18)", r"DenseNet-121 (densenet121\_3x3)",
    ]  # fmt: skip
    assert text.count("not among the paper's data sets") == 1
    assert "Of these deviations the first holds for everything here" in text
    by_name = dict(zip(re.findall(r"\\called\{(.+)\}", text), captions(text), strict=False))
    assert by_name["Table 5"].endswith("is evaluated. Deviation 2.")
    assert by_name["Figure 4"].endswith("is evaluated. Deviation 2.")
    assert by_name["Learning curves, Digits, DenseNet-121"].endswith("is evaluated. Deviation 3.")
    assert captions(text)[1].endswith("is evaluated. Deviations 2, 3.")  # table 2


def test_deviations_of_all_runs_need_no_numbers(tmp_path):
    study = small(seeds=[0], models={"preact_resnet18": {"label": "ResNet-18"}}, methods={"baseline": {}, "aikd": {}},
                  data={"digits": {"models": ["preact_resnet18"]}})  # fmt: skip
    text = paper(study, tmp_path / "results", tmp_path / "data")
    assert "Each of these deviations holds for everything here:" in text
    assert r"\item 1 seed instead of 3" in text
    assert "training runs, seed 0. Every" in text
    assert "Deviation" not in text
    assert text.count("AI-KD's critic reads raw logits here") == 1


def test_the_effects_of_claims_stand_in_the_document(done):
    _, results, _ = done
    text = paper(*done).partition(r"\section*{Claims of the paper}")[2]
    frame = pd.read_csv(results / "claims.csv")
    judged = frame[frame["verdict"] != "not run"]
    rows = re.findall(r"^(?:holds|fails|inconclusive) & .+ \\\\$", text, re.MULTILINE)
    assert len(rows) == len(judged) > 5
    assert {row.count(" & ") for row in rows} == {7}
    assert f" & {judged['effect'].iloc[0]:.2f} & ".replace("-", "$-$") in rows[0]
    assert r"\fitted{figures/claims.pdf}" in text
    assert "not corrected for the number of claims" in text


def test_the_section_of_claims_begins_with_what_they_do_not_say(done):
    """In the words of claims.md."""
    _, results, _ = done
    section = paper(*done).partition(r"\section*{Claims of the paper}")[2]
    opening = section.partition("Verdicts on")[0]
    assert "says nothing about the paper" in opening
    [sentence] = re.findall(r"\\textbf\{(.+)\}", opening)
    assert sentence in (results / "claims.md").read_text(encoding="utf-8")


def test_without_judged_claims_there_is_no_section_of_them(tmp_path):
    assert "Claims of the paper" not in paper(small(), tmp_path / "results", tmp_path / "data")


def test_what_is_not_there_is_left_out(tmp_path):
    text = paper(small(), tmp_path / "results", tmp_path / "data")
    assert "No results yet." in text
    assert "None is drawn." in text
    assert r"\includegraphics" not in text.partition(r"\begin{document}")[2]


def test_without_latex_the_document_is_written_and_the_rest_said(done, monkeypatch, capsys, tmp_path):
    _, results, _ = done
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["paper", "--study", str(DEMO)]) == 0
    assert capsys.readouterr().err.startswith(
        "results/demo/paper.tex: not made into a PDF. LaTeX is not installed"
    )
    assert [path.name for path in (tmp_path / "results/demo").iterdir()] == ["paper.tex"]
    with pytest.raises(UserError, match="LaTeX is not installed"):
        latex.write_pdf(results / "paper.tex")


@with_latex
def test_an_incomplete_latex_is_named(monkeypatch):
    monkeypatch.setattr(latex, "PACKAGES", ("booktabs", "no-such-package"))
    assert latex.missing() == f"LaTeX lacks no-such-package.sty; on Debian and Ubuntu: {latex.DEBIAN}"


@with_latex
def test_the_document_is_set_whole_fits_its_pages_and_is_the_same_each_time(done):
    _, results, _ = done
    made = latex.write_pdf(results / "paper.tex")
    first = made.read_bytes()
    assert latex.write_pdf(results / "paper.tex").read_bytes() == first
    assert {path.name for path in results.glob("paper*")} == {"paper.pdf", "paper.tex"}
    if shutil.which("pdftotext"):
        text = subprocess.run(
            ["pdftotext", "-layout", made, "-"], capture_output=True, text=True, check=True
        ).stdout
        words = " ".join(text.split())
        titles = (
            "Table 1.",
            "Table 5.",
            "Figure 7b.",
            "Learning curves of table 5, Digits, ResNet-18.",
            "Claims.",
        )
        for title in (*titles, "Table 2: F1, ResNet-18."):
            assert title in words
        assert "alert(" in words
        # Every run of text lies within the page.
        boxes = subprocess.run(
            ["pdftotext", "-bbox", made, "-"], capture_output=True, text=True, check=True
        ).stdout
        ends = [float(x) for x in re.findall(r'xMax="([\d.]+)"', boxes)]
        assert len(ends) > 100
        assert max(ends) < 595.3 - 40


@with_latex
@pytest.mark.parametrize(("rows", "columns"), [(1, 40), (120, 3), (120, 40)])
def test_a_table_larger_than_the_page_is_made_smaller(tmp_path, rows, columns):
    row = " & ".join(f"column {i}" for i in range(columns)) + r"\\"
    study = small()
    write_paper(study, tmp_path, tmp_path / "data", tmp_path / "paper.tex")
    text = (tmp_path / "paper.tex").read_text()
    table = (
        rf"\called{{Large}}\begin{{table*}}\begin{{tabular}}{{{'l' * columns}}}{row * rows}"
        r"\end{tabular}\caption{About it.}\end{table*}"
    )
    (tmp_path / "large.tex").write_text(text.replace(r"\end{document}", table + r"\end{document}"))
    made = latex.write_pdf(tmp_path / "large.tex")
    if shutil.which("pdftotext"):
        boxes = subprocess.run(
            ["pdftotext", "-bbox", made, "-"], capture_output=True, text=True, check=True
        ).stdout
        assert boxes.count(">column<") == rows * columns
        assert max(float(x) for x in re.findall(r'xMax="([\d.]+)"', boxes)) < 595.3 - 40
        assert max(float(y) for y in re.findall(r'yMax="([\d.]+)"', boxes)) < 841.9 - 20


def test_a_document_is_not_written_over_by_its_own_pdf(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(parsed(DEMO)))
    assert main(["paper", "--study", "study.yaml", "--to", "made/paper.pdf"]) == 1
    assert "--to: found made/paper.pdf; a document in LaTeX is called NAME.tex" in capsys.readouterr().err
    assert not Path("made").exists()


@with_latex
def test_a_document_that_latex_refuses_is_one_message_and_no_pdf(tmp_path):
    source = tmp_path / "bad.tex"
    source.write_text(r"\documentclass{article}\begin{document}\nosuchcommand\end{document}")
    with pytest.raises(UserError, match=r"^pdflatex failed: ! Undefined control sequence"):
        latex.write_pdf(source)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.tex"]


ODD = {
    "methods": {
        "baseline": {"label": "Ошибки"},
        "aikd": {"label": "漢字, H₂O"},
        "cskd": {"label": "ECE ≈ 5 ‰ 🙂"},
    },
    "tables": {"table_2": {"kind": "comparison", "caption": "Ω ≤ 5 ‰\n\nκόσμος ✓", "metrics": ["f1"]}},
    "figures": {},
}


def words_of(pdf):
    done = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True)
    return " ".join(done.stdout.split())


@with_latex
def test_labels_and_captions_in_any_script_are_set(monkeypatch, capsys, tmp_path):
    (tmp_path / "odd.yaml").write_text(yaml.safe_dump(parsed(DEMO) | ODD, allow_unicode=True))
    monkeypatch.chdir(tmp_path)
    assert main(["paper", "--study", "odd.yaml"]) == 0
    source = tmp_path / "results/demo/paper.tex"
    assert capsys.readouterr().err == (
        "results/demo/paper.tex: characters that LaTeX's fonts lack stand by their Unicode numbers\n"
    )
    assert source.with_suffix(".pdf").exists()
    if shutil.which("pdftotext"):
        words = words_of(source.with_suffix(".pdf"))
        assert "[U+6F22 5B57], H2 O" in words or "[U+6F22 5B57], H2O" in words
        assert "ECE ≈ 5 ‰ [U+1F642]" in words
        assert "[U+041E 0448 0438 0431 043A 0438]" in words
        assert words.count("stand by their Unicode numbers") == 1


def test_a_document_that_lacks_no_character_speaks_of_none(done):
    assert "Unicode" not in paper(*done)


@with_latex
def test_every_character_can_be_set_in_a_table_on_its_own(tmp_path):
    """Of the plane that scripts in use are in; numbers are all alike, and of them one is set."""
    plane = [chr(code) for code in range(0x20, 0x10000) if not 0xD800 <= code < 0xE000]
    made = {in_latex(character) for character in plane}
    numbered = {text for text in made if text.startswith(NUMBERED)}
    assert len(numbered) > 50000
    known = [c for c in plane if not in_latex(c).startswith(NUMBERED)]
    lines = [Line((f"a{character}b",), 0, (Printed(character),)) for character in [*known, "字"]]
    tables = [
        to_latex(Sheet("all", "", ("",), ("",), tuple(lines[i : i + 40]))) for i in range(0, len(lines), 40)
    ]
    packages = r"\usepackage[T1]{fontenc}\usepackage{lmodern}\usepackage{booktabs}"
    body = "\n\\clearpage\n".join(tables)
    (tmp_path / "all.tex").write_text(
        rf"\documentclass{{article}}{packages}\begin{{document}}{body}\end{{document}}", encoding="utf-8"
    )
    assert latex.write_pdf(tmp_path / "all.tex").exists()


@with_latex
def test_a_document_that_latex_refuses_fails_nothing_and_leaves_no_pdf_of_before(
    monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    pdf = tmp_path / "results/demo/paper.pdf"
    assert main(["paper", "--study", str(DEMO)]) == 0
    assert pdf.exists()
    capsys.readouterr()
    monkeypatch.setattr("aikd.results.report.paper.paper", lambda *_: r"\nosuchcommand")
    assert main(["paper", "--study", str(DEMO)]) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "results/demo/paper.tex: not made into a PDF. pdflatex failed: ! Undefined control"
    )
    assert [path.name for path in pdf.parent.iterdir()] == ["paper.tex"]


@with_latex
def test_a_latex_that_does_not_end_is_one_message(monkeypatch, tmp_path):
    monkeypatch.setattr(latex, "PATIENCE", 0.5)
    source = tmp_path / "endless.tex"
    source.write_text(r"\def\on{\on}\on")
    with pytest.raises(UserError, match=r"^pdflatex was stopped after 0\.5 seconds$"):
        latex.write_pdf(source)
