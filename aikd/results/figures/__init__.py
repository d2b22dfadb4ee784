"""Figures 4 to 7 and learning curves: from the specs of a study to PDF and PNG."""

from pathlib import Path

from matplotlib.figure import Figure

from aikd.records import same_training
from aikd.results.figures import style
from aikd.study.specs import CurvesSpec, FigureSpecs, HeatmapSpec, LearningSpec, ReliabilitySpec, TsneSpec


def write_figure(spec: FigureSpecs, results: Path, out: Path) -> list[Path]:
    """Writes `<name>.pdf` and `<name>.png` into `out` and returns their paths.

    Raises:
        UserError: none of the figure's runs is there, or a file that is read is broken, or does not belong to its
            run or beside the others.
    """
    same_training(results, spec.runs)
    with style.styled():
        return style.save(draw(spec, results), out, spec.name)


def draw(spec: FigureSpecs, results: Path) -> Figure:
    """The figure, not yet saved."""
    # Each kind is loaded by itself: seaborn and scikit-learn take longer to import than most figures to draw.
    match spec:
        case ReliabilitySpec():
            from aikd.results.figures import reliability

            return reliability.draw(spec, results)
        case TsneSpec():
            from aikd.results.figures import tsne

            return tsne.draw(spec, results)
        case HeatmapSpec():
            from aikd.results.figures import heatmap

            return heatmap.draw(spec, results)
        case CurvesSpec():
            from aikd.results.figures import curves

            return curves.draw(spec, results)
        case LearningSpec():
            from aikd.results.figures import learning

            return learning.draw(spec, results)
