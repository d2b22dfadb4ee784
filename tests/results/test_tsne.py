import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from aikd.errors import UserError
from aikd.results.figures import draw, tsne
from aikd.study.specs import TsneColumn, TsneSpec

STUDENT, OTHER, SUPERIOR = (
    f"digits/preact_resnet18/{method}/seed0" for method in ("aikd", "pskd", "baseline")
)
LABELS = [3, 0, 1, 2, 0, 3, 1, 2, 0, 3, 2, 1] * 4


def spec(*students, classes=2, images_per_class=None, seed=0):
    columns = tuple(TsneColumn(path, path, SUPERIOR) for path in students)
    return TsneSpec("figure_6", "", "Digits", columns, classes, images_per_class, 30.0, seed)


def features(labels=LABELS, spread=0.1):
    """One cluster a class."""
    labels = np.asarray(labels)
    return 10 * np.eye(4)[labels] + np.random.default_rng(0).normal(scale=spread, size=(len(labels), 4))


@pytest.fixture
def runs(folder):
    for run in (STUDENT, OTHER, SUPERIOR):
        folder.predictions(run, features(), LABELS)
    return folder


def test_selection_takes_the_first_images_of_sorted_classes():
    images = tsne.select(np.array(LABELS), classes=3, images_per_class=3, seed=0)
    chosen = sorted({LABELS[image] for image in images})
    assert len(chosen) == 3
    expected = [[i for i, label in enumerate(LABELS) if label == c][:3] for c in chosen]
    assert images.tolist() == [image for images_of_class in expected for image in images_of_class]


def test_selection_depends_on_the_seed_and_takes_all_where_there_are_fewer():
    labels = np.arange(100)
    first, again, other = (tsne.select(labels, 20, None, seed) for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()
    assert len(set(first.tolist())) == 20
    assert tsne.select(np.array(LABELS), 20, 500, 0).size == len(LABELS)


def test_all_maps_show_the_same_images(runs, monkeypatch):
    # Features that are the image's own number tell which images a map was made of.
    for offset, run in enumerate((STUDENT, OTHER, SUPERIOR)):
        numbers = np.arange(len(LABELS))[:, None] + 100 * offset
        runs.predictions(run, np.repeat(numbers, 4, axis=1), LABELS)
    seen = []
    monkeypatch.setattr(tsne, "embed", lambda x, perplexity, seed: seen.append(x[:, 0]) or x[:, :2])
    draw(spec(STUDENT, OTHER, images_per_class=5), runs.results)
    first, joint, second, second_joint = seen
    assert len(first) == 10
    assert second.tolist() == (first + 100).tolist()
    assert joint.tolist() == [*(first + 200), *first]
    assert second_joint.tolist() == [*(first + 200), *(first + 100)]


def test_top_row_has_a_colour_a_class_and_bottom_row_a_colour_a_model(runs):
    above, below = draw(spec(STUDENT, classes=3), runs.results).axes
    assert [len(points.get_offsets()) for points in above.collections] == [12, 12, 12]
    assert [len(points.get_offsets()) for points in below.collections] == [36, 36]
    assert len({tuple(points.get_facecolor()[0]) for points in above.collections}) == 3
    (red, _, blue), (red2, _, blue2) = (points.get_facecolor()[0][:3] for points in below.collections)
    assert blue > red  # superior
    assert red2 > blue2  # student


def test_map_keeps_clusters_together_and_is_the_same_every_time():
    first, again = (tsne.embed(features().astype(np.float32), 30.0, 0) for _ in range(2))
    assert first.shape == (len(LABELS), 2)
    assert np.array_equal(first, again)
    assert silhouette_score(first, LABELS) > 0.7


def test_runs_that_are_not_there_leave_their_maps_empty(folder):
    folder.predictions(STUDENT, features(), LABELS)
    figure = draw(spec(STUDENT, OTHER), folder.results)
    drawn = [len(axes.collections) for axes in figure.axes]
    assert drawn == [2, 0, 0, 0]


def test_runs_with_other_labels_are_an_error(runs):
    path = runs.predictions(OTHER, features(), LABELS[::-1])
    with pytest.raises(UserError, match="labels of different images") as raised:
        draw(spec(STUDENT, OTHER), runs.results)
    assert str(path) in str(raised.value)


def test_broken_predictions_are_an_error_that_names_the_file(runs):
    path = runs.write(runs.results / "runs" / STUDENT / "predictions.safetensors", "not tensors")
    with pytest.raises(UserError, match="damaged or no predictions") as raised:
        draw(spec(STUDENT), runs.results)
    assert str(path) in str(raised.value)


def test_too_few_images_are_an_error(runs):
    with pytest.raises(UserError, match="figure_6: 2 images are too few"):
        draw(spec(STUDENT, images_per_class=1), runs.results)
