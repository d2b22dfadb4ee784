import re
import subprocess
import sys
import zlib

import matplotlib
import numpy as np
import pytest
from matplotlib.patches import Rectangle

from aikd.errors import UserError
from aikd.results.figures import draw, write_figure
from aikd.results.figures.style import COLOURS, look, styled
from aikd.study import queries
from aikd.study.specs import Cell, Curve, CurvesSpec, HeatmapSpec, Line, Panel, ReliabilitySpec

A, B, C, D = (f"digits/preact_resnet18/pskd/seed{seed}" for seed in range(4))


def curves(*values):
    cells = tuple(Cell("top1_error", paths) for paths in ((A, B), (C,), (D,)))
    return CurvesSpec("figure_7b", "", "Digits", (Line("τ_G", values, cells),))


def test_curve_is_the_mean_with_the_spread_and_skips_missing_points(folder):
    folder.metrics(A, top1_error=20.0)
    folder.metrics(B, top1_error=23.0)
    folder.metrics(D, top1_error=30.0)
    (axes,) = draw(curves(3.0, 2.0, 1.0), folder.results).axes
    line = next(line for line in axes.lines if len(line.get_xdata()) == 2)
    assert line.get_xydata().tolist() == [[1.0, 30.0], [3.0, 21.5]]
    ends = np.concatenate([bar for bar in axes.collections[0].get_segments() if len(bar)])
    spread = np.sqrt(4.5)  # of 20 and 23, ddof=1
    assert sorted(y for x, y in ends if x == 3.0) == pytest.approx([21.5 - spread, 21.5 + spread])
    assert "n = 1–2 of 2 seeds" in axes.get_title()
    assert axes.get_legend().get_texts()[0].get_text() == r"$\tau_{\mathrm{G}}$"
    assert axes.get_legend().get_title().get_text() == "mean ± std"
    single = CurvesSpec("figure_7b", "", "Digits", (Line("τ_G", (1.0,), (Cell("top1_error", (D,)),)),))
    assert draw(single, folder.results).axes[0].get_legend().get_title().get_text() == ""


def grid(values, folder):
    """A heat map of one row; None leaves a cell without results."""
    cells = []
    for seed, value in enumerate(values):
        run = f"digits/preact_resnet18/pskd/seed{seed}"
        cells.append(Cell("top1_error", (run,)))
        if value is not None:
            folder.metrics(run, top1_error=value)
    names = tuple(map(str, range(len(values))))
    return HeatmapSpec("figure_7a", "", "Digits", "FC1", names, "FC2", ("16",), (tuple(cells),))


def test_heat_map_shows_means_outlines_the_best_and_leaves_missing_cells_blank(folder):
    axes, bar = draw(grid([21.5, None, 20.004, 19.996], folder), folder.results).axes
    assert [text.get_text() for text in axes.texts] == ["21.50", "20.00", "20.00"]
    outlined = [patch.get_xy() for patch in axes.patches if isinstance(patch, Rectangle)]
    assert outlined == [(2, 0), (3, 0)]  # both print 20.00
    assert (axes.get_xlabel(), axes.get_ylabel(), bar.get_ylabel()) == ("FC1", "FC2", "Top-1 error (%)")
    shown = axes.collections[0].get_array()
    assert np.ma.getmaskarray(shown).ravel().tolist() == [False, True, False, False]


def test_looks_stay_distinct_when_colours_repeat():
    looks = [look(position) for position in range(5 * len(COLOURS))]
    assert len(set(looks)) == len(looks)
    assert len({colour for colour, _ in looks[:7]}) == 7


@pytest.mark.parametrize("name", ["figure_4", "figure_6", "figure_7a", "figure_7b"])
def test_figure_without_any_run_is_an_error_that_names_it(folder, paper, name):
    with pytest.raises(UserError, match=rf"{name}: nothing to draw"):
        write_figure(queries.figure(paper, name), folder.results, folder.out)
    assert not folder.out.exists()


@pytest.fixture
def small(folder):
    """A figure with little in it."""
    folder.metrics(A, ece=1.0)
    panel = Panel("Digits α", (Curve("Baseline", "baseline", (A,), "none"),))
    return ReliabilitySpec("figure_4", "", ("baseline",), (panel,))


def test_figure_is_the_same_bytes_every_time(folder, small):
    first = [path.read_bytes() for path in write_figure(small, folder.results, folder.out)]
    with matplotlib.rc_context({"font.size": 30, "lines.color": "red", "axes.facecolor": "black"}):
        again = [path.read_bytes() for path in write_figure(small, folder.results, folder.out)]
    assert first == again
    assert sorted(path.name for path in folder.out.iterdir()) == ["figure_4.pdf", "figure_4.png"]
    assert b"CreationDate" not in first[0]


def test_pdf_embeds_truetype_fonts(folder, small):
    pdf, _ = write_figure(small, folder.results, folder.out)
    content = pdf.read_bytes()
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    unpacked = content + b"".join(zlib.decompress(s) for s in streams if s[:1] == b"x")
    assert b"/FontFile2" in unpacked  # an embedded TrueType program
    assert b"/Type3" not in unpacked


def test_png_has_an_image_of_print_resolution(folder, small):
    _, png = write_figure(small, folder.results, folder.out)
    image = matplotlib.image.imread(png)
    assert image.shape[1] > 900
    assert image[..., :3].std() > 0.05


def test_style_leaves_the_settings_of_the_caller_alone(folder, small):
    with matplotlib.rc_context({"font.size": 30}):
        write_figure(small, folder.results, folder.out)
        assert matplotlib.rcParams["font.size"] == 30


def test_texts_of_the_papers_figures_do_not_overlap(folder, paper):
    for name in ("figure_4", "figure_7a", "figure_7b"):
        spec = queries.figure(paper, name)
        folder.all_metrics(spec.runs)
        with styled():
            figure = draw(spec, folder.results)
            figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in figure.findobj(matplotlib.text.Text) if visible(text)]
        assert len(boxes) > 15
        overlaps = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if covers(a, b)]
        assert not overlaps, name


def visible(text):
    return bool(text.get_text().strip()) and text.get_visible() and text.get_window_extent().width > 0


def covers(a, b):
    """Whether two boxes share more than a pixel's rim."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width > 1 and height > 1


def test_results_are_drawn_without_torch():
    modules = ("aggregate", "tables", "figures", "figures.tsne", "figures.reliability")
    imports = "; ".join(f"import aikd.results.{module}" for module in modules)
    code = f"{imports}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
