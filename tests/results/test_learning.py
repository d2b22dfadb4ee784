"""Learning curves: what is read, and what is drawn."""

from dataclasses import replace

import numpy as np
import pytest

from aikd.errors import UserError
from aikd.results.figures import draw
from aikd.results.histories import panels, read_history
from aikd.study.specs import Group, LearningSpec

A, B, C = (f"digits/preact_resnet18/aikd/seed{seed}" for seed in range(3))
BASE = "digits/preact_resnet18/baseline/seed0"
HEAD = "epoch,learning_rate,loss,ce,distance,gradient_norm,train_error,test_error,seconds,images_per_second\n"


def history(folder, run, norms, errors=("", "9")):
    rows = [
        f"{i},0.1,2,1.5,0.0,{norm},50,{e},1,9\n"
        for i, (norm, e) in enumerate(zip(norms, errors, strict=True), 1)
    ]
    return folder.write(folder.results / "runs" / run / "history.csv", HEAD + "".join(rows))


def spec(*paths):
    groups = (Group("AI-KD", paths), Group("omega=0", (BASE,)))
    return LearningSpec("learning_x", "Learning curves.", "Digits", groups)


def panel(figure, title):
    return next(axes for axes in figure.axes if axes.get_title() == title)


def test_curves_are_means_over_seeds_with_one_standard_deviation(folder):
    for run, norms in ((A, (0.2, 0.5)), (B, (0.4, 0.9)), (C, (0.3, 1.0))):
        history(folder, run, norms)
    figure = draw(spec(A, B, C), folder.results)
    axes = panel(figure, "Critic's gradient norm")
    (line,) = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_marker() != "None"]
    assert line.get_xdata().tolist() == [1, 2]
    assert line.get_ydata() == pytest.approx([0.3, 0.8])
    band = axes.collections[0].get_paths()[0].vertices
    ends = {round(y, 6) for x, y in band if x == 2}
    spread = np.std([0.5, 0.9, 1.0], ddof=1)
    assert ends == {round(0.8 - spread, 6), round(0.8 + spread, 6)}
    assert "n = 1–3 of 3 seeds" not in figure.get_suptitle()  # the second group has no run at all
    assert "(n = 3 seeds; mean ± std)" in figure.get_suptitle()
    assert draw(spec(A), folder.results).get_suptitle() == "Digits (n = 1 seed)"  # no spread to speak of


def test_a_critic_that_has_not_learnt_is_seen_beside_the_norm_that_it_should_have(folder):
    history(folder, A, (0.02, 0.05))
    axes = panel(draw(spec(A), folder.results), "Critic's gradient norm")
    wanted = [line for line in axes.lines if set(line.get_ydata()) == {1}]
    assert len(wanted) == 1
    low, high = axes.get_ylim()
    assert low < 0.05
    assert high > 1


def test_a_critic_without_bounds_does_not_hide_the_others(folder):
    history(folder, A, (1, 1))
    history(folder, BASE, (1, 500))
    axes = panel(draw(spec(A), folder.results), "Critic's gradient norm")
    assert axes.get_yscale() == "symlog"
    history(folder, BASE, (1, 2))
    assert panel(draw(spec(A), folder.results), "Critic's gradient norm").get_yscale() == "linear"


def test_epochs_at_which_nobody_looked_are_left_out(folder):
    history(folder, A, (1, 1, 1), errors=("", "9", "8"))
    (line,) = panel(draw(spec(A), folder.results), "Test error (%)").lines
    assert line.get_xydata().tolist() == [[2, 9], [3, 8]]


def test_seeds_that_looked_at_other_epochs_are_compared_where_all_looked(folder):
    """`evaluate_every` may be changed between two seeds."""
    history(folder, A, (1, 1, 1, 1), errors=("9", "8", "7", "6"))
    history(folder, B, (1, 1, 1, 1), errors=("", "5", "", "4"))
    axes = panel(draw(spec(A, B), folder.results), "Test error (%)")
    assert axes.lines[0].get_xydata().tolist() == [[2, 6.5], [4, 5]]


def test_a_method_without_a_term_has_no_line_in_its_panel(folder):
    history(folder, A, (1, 1))
    text = (
        "epoch,learning_rate,loss,ce,train_error,test_error,seconds,images_per_second\n1,0.1,2,1.5,50,9,1,9\n"
    )
    folder.write(folder.results / "runs" / BASE / "history.csv", text)
    figure = draw(spec(A), folder.results)
    assert len(panel(figure, "Cross-entropy").lines) == 2
    assert len(panel(figure, "Critic's distance").lines) == 2  # AI-KD's, and the dashed one at 0
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["AI-KD", r"$\omega$=0"]


def test_the_critic_stands_last_and_times_are_not_drawn(folder):
    history(folder, A, (1, 1))
    found = panels([read_history(folder.results, A)])
    assert found == ["test_error", "train_error", "learning_rate", "loss", "ce", "distance", "gradient_norm"]


def test_without_any_run_there_is_nothing_to_draw(folder):
    assert read_history(folder.results, A) is None
    with pytest.raises(UserError, match="learning_x: nothing to draw"):
        draw(spec(A), folder.results)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not readable CSV"),
        ("epoch,loss\n1,2\n", "lacks the columns learning_rate, test_error, train_error"),
        (HEAD, "its epochs are not 1, 2, 3"),
        (HEAD + "1,0.1,2,1.5,0,1,50,9,1,9\n3,0.1,2,1.5,0,1,50,9,1,9\n", "its epochs are not 1, 2, 3"),
        (HEAD + "1,0.1,two,1.5,0,1,50,9,1,9\n", "loss holds what is not a number"),
        (HEAD + "1,0.1,2,1.5,0,1,50,9,1,9,10,11\n", "holds what is not|epochs are not|not readable"),
    ],
)
def test_a_damaged_history_is_an_error_that_names_the_file(folder, text, message):
    folder.write(folder.results / "runs" / A / "history.csv", text)
    with pytest.raises(UserError, match=message) as error:
        read_history(folder.results, A)
    assert f"{A}/history.csv" in str(error.value)
    assert "train that run again" in str(error.value)


def test_chosen_columns_are_drawn_in_their_order(folder):
    history(folder, A, (1, 1))
    figure = draw(replace(spec(A), columns=("gradient_norm", "ce")), folder.results)
    assert [axes.get_title() for axes in figure.axes] == ["Critic's gradient norm", "Cross-entropy"]


def test_a_column_that_no_run_has_is_named_with_those_there_are(folder):
    history(folder, A, (1, 1))
    with pytest.raises(UserError, match=r"learning_x: no run has a column 'norm' .*gradient_norm"):
        draw(replace(spec(A), columns=("norm",)), folder.results)
