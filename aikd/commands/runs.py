"""Commands on one run: train, predict, calibrate."""

import argparse

from aikd.commands.arguments import (
    DATA,
    JSON,
    RESULTS,
    RUN,
    RUNS_PER_GPU,
    SETTINGS,
    Adder,
    json_object,
    positive,
)
from aikd.errors import UserError
from aikd.messages import say


def train(options: argparse.Namespace) -> None:
    """Train one run from its resolved settings."""
    from aikd.engine.signals import heeding

    with heeding() as signals:
        from aikd.engine.lease import leased
        from aikd.engine.locks import exclusive
        from aikd.engine.reporting import reporting
        from aikd.study.layout import RUNS
        from aikd.study.run import Run

        if options.tensorboard:
            from aikd.engine.tensorboard import check_installed

            check_installed()
        settings = json_object(options.settings, SETTINGS)
        if "run" not in settings:
            raise UserError(f"--settings: lacks run; {SETTINGS}")
        run = Run.of_settings(settings, written=True).path
        folder = options.results / RUNS / run
        folder.mkdir(parents=True, exist_ok=True)

        def check() -> None:
            signals.check(f"{run}: interrupted before it began")

        # Two may want one run where Snakemake was killed and what it had started trains on. Who comes second finds
        # the work done; until then it must not keep a GPU.
        with exclusive(folder, say, check), reporting(folder, settings) as reporter:

            def waits() -> None:
                check()
                reporter.does("waits for a GPU")

            with leased(run, options.runs_per_gpu, waits) as gpu:
                reporter.does("starts")
                from aikd.engine import jobs

                check()
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

            jobs.predict(run, options.results, options.data, check, options.extension)


def calibrate(options: argparse.Namespace) -> None:
    """Compute a run's metrics from its predictions, before and after temperature scaling."""
    from aikd.engine.evaluation import evaluate
    from aikd.study.run import Run

    evaluate(Run.from_path(options.run, written=True).path, options.results, options.bins, options.folds)


def add(command: Adder) -> None:
    """Add the commands to the command line."""
    c = command(train, RESULTS, DATA, RUNS_PER_GPU)
    c.add_argument("--settings", required=True, help=f"the run's resolved settings: {JSON}")
    c.add_argument("--evaluate-every", type=positive, default=1, help="epochs between evaluations (1)")
    c.add_argument(
        "--save-every", type=positive, default=10, help="epochs between states saved to resume from (10)"
    )
    c.add_argument(
        "--compile", action="store_true", help="compile networks before training, which takes minutes"
    )
    c.add_argument("--tensorboard", action="store_true", help="write files for TensorBoard, too")
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
