"""Commands on one run: train, predict, calibrate."""

import argparse

from aikd.commands.arguments import DATA, JSON, RESULTS, RUN, RUNS_PER_GPU, Adder, json_object, positive


def train(options: argparse.Namespace) -> None:
    """Train one run from its resolved settings."""
    from aikd.engine.lease import leased

    settings = json_object(options.settings)
    with leased(str(settings.get("run")), options.runs_per_gpu) as gpu:
        from aikd.engine import jobs

        jobs.train(settings, options.results, options.data, options.evaluate_every, options.save_every, gpu)


def predict(options: argparse.Namespace) -> None:
    """Predict the evaluation set with a trained run: logits, features, labels."""
    from aikd.engine.adoption import adopt
    from aikd.study.layout import RUNS
    from aikd.study.run import Run

    run = Run.from_path(options.run).path
    if adopt(options.results / RUNS / run):
        return
    from aikd.engine.lease import leased

    with leased(run, options.runs_per_gpu):
        from aikd.engine import jobs

        jobs.predict(run, options.results, options.data)


def calibrate(options: argparse.Namespace) -> None:
    """Compute a run's metrics from its predictions, before and after temperature scaling."""
    from aikd.engine.evaluation import evaluate
    from aikd.study.run import Run

    evaluate(Run.from_path(options.run).path, options.results, options.bins, options.folds)


def add(command: Adder) -> None:
    """Add the commands to the command line."""
    c = command(train, RESULTS, DATA, RUNS_PER_GPU)
    c.add_argument("--settings", required=True, help=f"the run's resolved settings: {JSON}")
    c.add_argument("--evaluate-every", type=positive, default=1, help="epochs between evaluations (1)")
    c.add_argument(
        "--save-every", type=positive, default=10, help="epochs between states saved to resume from (10)"
    )
    command(predict, RUN, RESULTS, DATA, RUNS_PER_GPU)
    c = command(calibrate, RUN, RESULTS)
    c.add_argument("--bins", type=positive, default=15, help="equal-width bins of the calibration error (15)")
    c.add_argument("--folds", type=positive, default=5, help="folds of the cross-fitted temperature (5)")
