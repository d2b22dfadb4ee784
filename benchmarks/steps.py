"""What training costs: the loop around the steps, each method beside the Baseline, arithmetic and layout.

usage: python -m benchmarks.steps

On one thread, as the studies for CPUs train, and on noise.
"""

from collections.abc import Callable
from functools import partial

import torch

from aikd.engine.measuring import losses
from aikd.engine.memory import keep_freed_memory
from aikd.engine.state import Snapshot
from aikd.engine.training import Trainer
from aikd.methods.base import Network
from benchmarks.networks import DEMO, LAPTOP, PHOTOGRAPHS, BareSteps, Kind, settings_of, trainer, trainers
from benchmarks.timing import interleaved, ratios, spread, table

NAMES = {
    LAPTOP: "PreAct ResNet-18, width 16, batch 128, bf16",
    DEMO: "the demo's ResNet-18, width 8, batch 48, fp32",
    PHOTOGRAPHS: "ResNet-18, full width, 224 pixels, batch 8, bf16",
}
COUNTED = {"baseline": 1.0, "cskd": 4 / 3, "tfkd": 4 / 3, "pskd": 1.0, "aikd": 5 / 3}
"""Cost of a step over the Baseline's by passes alone, if one backward takes as long as two forward."""


def main() -> str:
    """All tables, as Markdown."""
    torch.set_num_threads(1)
    keep_freed_memory()
    return "\n\n".join([loop(), methods(), arithmetic()])


def loop() -> str:
    """Images a second of an epoch of `aikd train` over those of the bare steps."""
    found = {kind: _loop(kind, batches, rounds) for kind, batches, rounds in ((LAPTOP, 30, 5), (DEMO, 60, 9))}
    rows = [[method, *(column[method] for column in found.values())] for method in COUNTED]
    return table(["epoch over bare steps, images/s", *(NAMES[kind] for kind in found)], rows)


def _loop(kind: Kind, batches: int, rounds: int) -> dict[str, str]:
    made = trainers(kind, batches)
    tasks: dict[str, Callable[[], object]] = {}
    for name, one in made.items():
        tasks[name], tasks[f"{name}, bare"] = partial(_epoch, one), BareSteps(one, batches)
    times = interleaved(tasks, rounds)
    return {name: ratios(times[f"{name}, bare"], times[name]) for name in made}


def _epoch(made: Trainer) -> None:
    """An epoch as training has it, with the copy of all that a state would hold."""
    made.history.append(made.epoch(1))
    Snapshot.of(made.state())


def methods() -> str:
    """Time of a bare step of each method over the Baseline's; and of the losses alone over the step's."""
    columns = {
        LAPTOP: interleaved({m: BareSteps(t, 4) for m, t in trainers(LAPTOP, 4).items()}, 15),
        PHOTOGRAPHS: interleaved(
            {m: BareSteps(t, 1) for m, t in trainers(PHOTOGRAPHS, 1, batch_size=8, precision="bf16").items()},
            9,
        ),
    }
    step = dict(zip(COUNTED, (sum(columns[LAPTOP][m]) / 60 for m in COUNTED), strict=True))
    rows = []
    for method, counted in COUNTED.items():
        alone = losses(settings_of(LAPTOP, method), torch.device("cpu"))
        measured = [ratios(times[method], times["baseline"]) for times in columns.values()]
        rows.append([method, f"{counted:.2f}", *measured, f"{100 * alone / step[method]:.1f} %"])
    head = ["step over the Baseline's", "counted", *(NAMES[kind] for kind in columns)]
    return table([*head, "losses and critic alone, of the step at width 16"], rows)


def arithmetic() -> str:
    """Milliseconds of a bare Baseline step in each precision and layout, without fused optimiser, with compiler."""
    rows = []
    for kind, steps in ((LAPTOP, 4), (DEMO, 40)):
        tasks = {
            f"{precision}, {'channels_last' if last else 'contiguous'}": BareSteps(
                trainer(settings_of(kind, "baseline", precision=precision, channels_last=last), 1), steps
            )
            for precision in ("fp32", "bf16")
            for last in (True, False)
        }
        best = settings_of(kind, "baseline")["recipe"]["precision"]
        tasks[f"{best}, channels_last, optimiser not fused"] = _unfused(kind, steps)
        tasks[f"{best}, channels_last, torch.compile"] = _compiled(kind, steps)
        times = interleaved(tasks, 9, warm=2)
        rows += [
            [f"{NAMES[kind].rsplit(', ', 1)[0]}: {name}", spread(t, steps / 1000)]
            for name, t in times.items()
        ]
    return table(["arithmetic and layout", "ms a step"], rows)


def _unfused(kind: Kind, steps: int) -> BareSteps:
    made = trainer(settings_of(kind, "baseline"), 1)
    made.optimiser.param_groups[0]["fused"] = False
    return BareSteps(made, steps)


def _compiled(kind: Kind, steps: int) -> BareSteps:
    made = trainer(settings_of(kind, "baseline"), 1)
    forward: Network = made.precision.network(torch.compile(made.student))
    made.forward = forward
    return BareSteps(made, steps)


if __name__ == "__main__":
    print(main())
