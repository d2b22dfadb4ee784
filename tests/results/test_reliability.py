import numpy as np
import pytest

from aikd.errors import UserError
from aikd.results.figures import draw
from aikd.results.figures.style import look
from aikd.study.specs import Curve, Panel, ReliabilitySpec

RUNS = tuple(f"digits/preact_resnet18/pskd/seed{seed}" for seed in range(2))
METHODS = ("baseline", "pskd")


def spec(*curves, panels=1):
    all_panels = tuple(Panel(f"Panel {i}", curves) for i in range(panels))
    return ReliabilitySpec("figure_4", "", METHODS, all_panels)


def bins(count, confidence, accuracy):
    return {"none": {"count": count, "confidence": confidence, "accuracy": accuracy}}


@pytest.fixture
def two_seeds(folder):
    folder.metrics(RUNS[0], bins([2, 0, 6], [0.2, None, 0.8], [0.5, None, 1.0]), ece=2.0)
    folder.metrics(RUNS[1], bins([2, 0, 2], [0.3, None, 0.9], [0.0, None, 0.5]), ece=5.0)
    return folder


def test_curve_pools_the_seeds_and_skips_empty_bins(two_seeds):
    axes, strip = draw(spec(Curve("PS-KD", "pskd", RUNS, "none")), two_seeds.results).axes
    diagonal, curve = axes.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert curve.get_xdata() == pytest.approx([(2 * 0.2 + 2 * 0.3) / 4, (6 * 0.8 + 2 * 0.9) / 8])
    assert curve.get_ydata() == pytest.approx([1 / 4, 7 / 8])
    share, edges, _ = strip.patches[0].get_data()
    np.testing.assert_allclose(share, [100 * 4 / 12, np.nan, 100 * 8 / 12])
    np.testing.assert_allclose(edges, [0, 1 / 3, 2 / 3, 1])


def test_legend_states_the_mean_of_the_seeds_own_ece(two_seeds):
    axes, _ = draw(spec(Curve("PS-KD", "pskd", RUNS, "none")), two_seeds.results).axes
    legend = axes.get_legend()
    assert legend.get_title().get_text() == "ECE (%), n = 2 seeds"
    assert [text.get_text() for text in legend.get_texts()] == ["PS-KD: 3.50"]


def test_method_keeps_its_colour_and_calibrated_curves_are_dashed(folder):
    folder.metrics(RUNS[0], ece=2.0, ece_crossfit=1.0)
    plain, calibrated = Curve("PS-KD", "pskd", RUNS, "none"), Curve("+ TS", "pskd", RUNS, "crossfit")
    axes, _ = draw(spec(plain, calibrated), folder.results).axes
    _, first, second = axes.lines
    assert first.get_color() == second.get_color() == look(METHODS.index("pskd")).colour
    assert (first.get_linestyle(), second.get_linestyle()) == ("-", "--")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["PS-KD: 2.00", "+ TS: 1.00"]


def test_methods_without_runs_are_left_out(two_seeds):
    missing = Curve("Baseline", "baseline", ("digits/preact_resnet18/baseline/seed0",), "none")
    axes, _ = draw(spec(missing, Curve("PS-KD", "pskd", RUNS, "none")), two_seeds.results).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["PS-KD: 3.50"]


@pytest.mark.parametrize(("panels", "columns", "axes"), [(1, 1, 2), (2, 2, 4), (4, 3, 8), (6, 3, 12)])
def test_panels_stand_in_up_to_three_columns(two_seeds, panels, columns, axes):
    figure = draw(spec(Curve("PS-KD", "pskd", RUNS, "none"), panels=panels), two_seeds.results)
    assert len(figure.axes) == axes
    assert figure.axes[0].get_gridspec().ncols == columns
    assert sum(ax.get_xlabel() == "Confidence" for ax in figure.axes) == columns


def test_metrics_without_the_bins_of_a_scheme_are_an_error_that_names_the_file(folder):
    path = folder.metrics(RUNS[0], {"none": {"count": [1]}}, ece=2.0, ece_crossfit=1.0)
    for scheme, message in {"none": "bins.none", "crossfit": "bins.crossfit is missing"}.items():
        with pytest.raises(UserError, match=message) as raised:
            draw(spec(Curve("PS-KD", "pskd", RUNS, scheme)), folder.results)
        assert str(path) in str(raised.value)
