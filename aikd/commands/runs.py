"""Commands on one run: train, predict, calibrate."""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aikd.commands.arguments import (
    DATA,
    JSON,
    RESULTS,
    RUN,
    RUNS_PER_GPU,
    SETTINGS,
    STUDY,
    Adder,
    json_object,
    positive,
    run_of,
)
from aikd.errors import UserError
from aikd.messages import say

if TYPE_CHECKING:
    from aikd.engine.signals import Signals


OPTIONS = {
    "results": Path("results"), "evaluate_every": 1, "save_every": 10, "runs_per_gpu": 1, "compile": False,
    "tensorboard": False,
}  # fmt: skip
"""How a run is trained that no study is named for, unless it is told."""


def train(options: argparse.Namespace) -> None:
    """Train one run, of a study or from its resolved settings. One that is finished is not trained again."""
    from aikd.engine.signals import heeding

    with heeding() as signals:
        from aikd.engine.finished import finished
        from aikd.engine.locks import exclusive
        from aikd.study.layout import RUNS
        from aikd.study.run import Run

        settings = _wanted(options)
        if options.tensorboard:
            from aikd.engine.tensorboard import check_installed

            check_installed()
        if "run" not in settings:
            raise UserError(f"--settings: lacks run; {SETTINGS}")
        run = Run.of_settings(settings, written=True).path
        folder = options.results / RUNS / run
        folder.mkdir(parents=True, exist_ok=True)

        def check() -> None:
            signals.check(f"{run}: interrupted before it began")

        # Two may want one run where Snakemake was killed and what it had started trains on. Who comes second finds
        # the work done; until then it must not keep a GPU.
        with exclusive(folder, say, check) as alone:
            done = finished(settings, options.results, options.data)
            if done and not options.again:
                say(f"{run}: finished, with these settings and data; --again trains it again")
                return
            _train(settings, options, signals, check, anew=done, alone=alone)


def _wanted(options: argparse.Namespace) -> dict[str, Any]:
    """The resolved settings of the run; options that were not given become the study's, or those without one."""
    settings, defaults = {}, OPTIONS
    if options.run:
        from aikd.study.load import load_study
        from aikd.study.resolve import resolve
        from aikd.study.targets import stranger

        study = load_study(options.study)
        run = run_of(study, options.study, options.run)
        if note := stranger(study, run):
            say(f"{run.path}: {note}")
        settings = json.loads(json.dumps(resolve(study, run)))
        defaults = {name: getattr(study, name) for name in OPTIONS}
        # As in Snakemake's jobs: with another number the last bits are others.
        os.environ.setdefault("OMP_NUM_THREADS", str(study.threads))
    else:
        settings = json_object(options.settings, SETTINGS)
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return settings


def _train(
    settings: dict[str, Any],
    options: argparse.Namespace,
    signals: "Signals",
    check: Callable[[], None],
    anew: bool,
    alone: bool,
) -> None:
    from aikd.engine.lease import leased
    from aikd.engine.reporting import reporting
    from aikd.study.layout import RUNS

    with reporting(options.results / RUNS / settings["run"], settings) as reporter:

        def waits() -> None:
            check()
            reporter.does("waits for a GPU")

        with leased(settings["run"], options.runs_per_gpu, waits) as gpu:
            reporter.does("starts")
            from aikd.engine import jobs
            from aikd.engine.device import within_memory

            check()
            with within_memory(settings["run"]):
                jobs.train(
                    settings,
                    options.results,
                    options.data,
                    options.evaluate_every,
                    options.save_every,
                    gpu,
                    signals,
                    options.compile,
                    reporter,
                    options.tensorboard,
                    anew,
                    alone,
                )


def predict(options: argparse.Namespace) -> None:
    """Predict the evaluation set with a trained run: logits, features, labels."""
    from aikd.engine.signals import heeding

    with heeding() as signals:
        from aikd.engine.adoption import adopt
        from aikd.study.layout import RUNS
        from aikd.study.run import Run

        run = Run.from_path(options.run, written=True).path
        if adopt(options.results / RUNS / run):
            return
        from aikd.engine.lease import leased

        def check() -> None:
            signals.check(f"{run}: interrupted before it was predicted")

        with leased(run, options.runs_per_gpu, check):
            from aikd.engine import jobs
            from aikd.engine.device import within_memory

            with within_memory(run):
                jobs.predict(run, options.results, options.data, check, options.extension)


def calibrate(options: argparse.Namespace) -> None:
    """Compute a run's metrics from its predictions, before and after temperature scaling."""
    from aikd.engine.evaluation import evaluate
    from aikd.study.run import Run

    evaluate(Run.from_path(options.run, written=True).path, options.results, options.bins, options.folds)


def add(command: Adder) -> None:
    """Add the commands to the command line."""
    c = command(train, STUDY, DATA)
    which = c.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "run", nargs="?", help="path of a run of the study, which is trained as the study says"
    )
    which.add_argument(
        "--settings", help=f"instead, without a study: what `aikd settings RUN` prints, {JSON}"
    )
    study = "the study's; without one"
    c.add_argument("--results", type=Path, help=f"the study's results ({study} results)")
    c.add_argument(
        "--evaluate-every", type=positive, help=f"epochs between evaluations ({study} 1); no result changes"
    )
    c.add_argument(
        "--save-every", type=positive, help=f"epochs between states saved to resume from ({study} 10)"
    )
    c.add_argument("--runs-per-gpu", type=positive, help=f"runs that may share a GPU ({study} 1)")
    c.add_argument(
        "--compile",
        action="store_true",
        default=None,
        help="compile networks before training, which takes minutes",
    )
    c.add_argument(
        "--tensorboard", action="store_true", default=None, help="write files for TensorBoard, too"
    )
    c.add_argument(
        "--again", action="store_true", help="train a run that is finished, too; its model is removed first"
    )
    command(predict, RUN, RESULTS, DATA, RUNS_PER_GPU).add_argument(
        "--extension",
        action="append",
        default=[],
        metavar="FILE",
        help="a file of the study's extensions that the run's network comes from; it is run",
    )
    c = command(calibrate, RUN, RESULTS)
    c.add_argument("--bins", type=positive, default=15, help="equal-width bins of the calibration error (15)")
    c.add_argument("--folds", type=positive, default=5, help="folds of the cross-fitted temperature (5)")
