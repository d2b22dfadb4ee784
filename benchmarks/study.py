"""What a step of each method of a study costs beside the Baseline's: for methods of one's own.

usage: python -m benchmarks.study STUDY [--data NAME] [--model NAME]

On one thread, on noise, with the settings, batch and precision of the study.
"""

import argparse
import sys
from pathlib import Path

import torch

from aikd.engine.memory import keep_freed_memory
from aikd.errors import UserError
from aikd.study.explain import allowed
from aikd.study.load import load_study
from aikd.study.queries import method_label, run_for
from aikd.study.resolve import resolve
from benchmarks.networks import BareSteps, trainer
from benchmarks.timing import interleaved, ratios, spread, table

STEPS = 4


def main(arguments: list[str] | None = None, rounds: int = 15) -> str:
    """A row for each method, as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--data", help="a data set of the study (the first)")
    parser.add_argument("--model", help="a model on it (the first)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    keep_freed_memory()
    study = load_study(options.study)
    data = options.data or next(iter(study.data))
    if data not in study.data:
        allowed("--data", data, list(study.data))
    models = study.data[data].models
    model = options.model or models[0]
    if model not in models:
        allowed("--model", model, list(models))
    runs = {name: run_for(study, data, model, name, 0) for name in ("baseline", *study.methods)}
    settings = {name: resolve(study, run) for name, run in runs.items()}
    whole = {"images_per_class": None, "holdout_per_class": 0}
    made = {name: trainer(s | {"data": s["data"] | whole}, STEPS) for name, s in settings.items()}
    times = interleaved({name: BareSteps(one, STEPS) for name, one in made.items()}, rounds)
    rows = []
    for name, taken in times.items():
        counted = 1 + runs[name].full_settings.frozen_passes[1] / 3
        label = method_label(study, name) if name in study.methods else name
        rows.append([label, f"{counted:.2f}", ratios(taken, times["baseline"]), spread(taken, STEPS / 1000)])
    head = f"step on {data}, {model}, batch {settings['baseline']['recipe']['batch_size']}"
    return table([head, "counted, over the Baseline's", "measured", "ms"], rows)


if __name__ == "__main__":
    try:
        print(main())
    except UserError as error:
        sys.exit(str(error))
