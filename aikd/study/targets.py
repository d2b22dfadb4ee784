"""What can be asked for by name: tables, figures, learning curves, claims and all of it, and the runs behind each."""

from collections.abc import Iterable, Sequence

from aikd.study import queries, specs
from aikd.study.beside import LEARNING, learning_curves
from aikd.study.claims.binding import claimed_runs
from aikd.study.explain import allowed
from aikd.study.layout import HISTORY, METRICS, PREDICTIONS
from aikd.study.run import Run
from aikd.study.schema import Study

ALL = "all"
WHOLE = ("report", "paper", "all_runs", ALL)
"""Targets that show every run of the study."""
CLAIMS = "claims"
CURVES = "learning_curves"
TOGETHER = "together"
MADE = (HISTORY, PREDICTIONS, METRICS)
"""Files of a run in the order in which they come."""


def targets_of(study: Study, wanted: Sequence[str]) -> dict[str, list[str]]:
    """Target → what it is made of: names of tables, figures and learning curves, or the claims. None wanted: every
    table and figure, the claims, and `all`; several: `together`, too.

    Raises:
        UserError: the study has no such target.
    """
    shown = [*queries.targets(study), CLAIMS]
    known = [*shown, CURVES, *WHOLE]
    curves = list(learning_curves(study)) if any(name.startswith(LEARNING) for name in wanted) else []
    for name in wanted:
        if name not in (*known, *curves):
            allowed("target", name, known)
    parts = {name: [name] for name in curves} | {CLAIMS: [CLAIMS], CURVES: curves}
    parts |= {name: [*study.tables, *study.figures] for name in WHOLE}
    chosen = {
        name: parts.get(name) or queries.outputs_of(study, name)
        for name in dict.fromkeys(wanted or [*shown, ALL])
    }
    if len(wanted) > 1 and not set(WHOLE) & set(wanted):
        chosen[TOGETHER] = list(dict.fromkeys(name for names in chosen.values() for name in names))
    return chosen


def results_of(study: Study, name: str) -> list[str]:
    """Paths of the runs whose results a table, a figure, learning curves or the claims show."""
    return claimed_runs(study) if name == CLAIMS else _spec(study, name).runs


def file_of(spec: specs.TableSpecs | specs.FigureSpecs) -> str:
    """The file of each of its runs that a table or figure is made of."""
    match spec:
        case specs.TsneSpec():
            return PREDICTIONS
        case specs.LearningSpec():
            return HISTORY
        case _:
            return METRICS


def files_wanted(study: Study, names: Iterable[str]) -> dict[str, str]:
    """The last file that these want of each run that they show, by its path."""
    found: dict[str, str] = {}
    for name in names:
        file = METRICS if name == CLAIMS else file_of(_spec(study, name))
        for run in results_of(study, name):
            found[run] = max(found.get(run, file), file, key=MADE.index)
    return found


def _spec(study: Study, name: str) -> specs.TableSpecs | specs.FigureSpecs:
    return learning_curves(study)[name] if name.startswith(LEARNING) else queries.spec(study, name)


def runs_of(study: Study, names: Iterable[str]) -> list[Run]:
    """Every training run that these need, superior models included, each once."""
    paths = dict.fromkeys(path for name in names for path in results_of(study, name))
    return queries.superior_models(study, [Run.from_path(path) for path in paths])


def stranger(study: Study, run: Run) -> str | None:
    """What to know of a run that the study can train, but that nothing in it needs; None for those that it needs."""
    own = queries.runs_of(study)
    if run in own:
        return None
    if run.seed not in study.seeds:
        return f"seed {run.seed} is none of the study's, which has {', '.join(map(str, study.seeds))}"
    alike = [other.path for other in own if _kind(other) == _kind(run)]
    more = ", …" if len(alike) > 3 else ""
    has = f"; of this method on these data it needs {', '.join(alike[:3])}{more}" if alike else ""
    return f"no table or figure of the study needs it{has}"


def _kind(run: Run) -> tuple[str, str, str, int]:
    return run.dataset, run.model, run.method, run.seed
