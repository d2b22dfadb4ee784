"""From what a run does to how long a device takes for it.

Seconds are operations divided by a rate, and what comes on top of them: for each step, pass and epoch, and for the
start. On a GPU some of that hides behind the operations, so their sum is an upper bound.
"""

import math
from dataclasses import dataclass, replace

from aikd.study.costs.work import Work

LAYER_STEP = 3e-4
"""Seconds of a training step for each layer of the network, however small: calls, not operations. Measured on one core
of an AMD EPYC with networks of 2 channels (300 to 370 µs)."""
LAYER_PASS = 1e-4
"""The same for a pass without gradient (80 to 110 µs)."""
CRITIC_STEP = 4e-3
"""Seconds of a step that the critic takes, operations included (measured likewise: 3.3 to 4.7 ms)."""
EPOCH = 0.2
"""Seconds that an epoch takes beside its steps: draws, a copy of the student, a state. An assumption."""
START = 15.0
"""Seconds until the first step: imports, data, the device. An assumption, for a busy file system."""

HEADROOM = 1.5
"""What is asked of a cluster, over what is planned."""
LEAST = 10
"""Minutes asked of a cluster for the smallest job."""


@dataclass(frozen=True)
class Speed:
    """How fast a device runs one network with one method."""

    trained: float
    """Operations a second in steps of training, forward and backward."""
    frozen: float
    """Operations a second in passes without gradient."""
    step: float
    """Seconds of a training step whatever its size: the student's, the optimiser's, the method's losses."""
    frozen_step: float
    """The same of a pass without gradient."""
    epoch: float
    """Seconds of an epoch beside its steps."""
    start: float
    """Seconds until the first step."""

    def training(self, work: Work) -> float:
        """Seconds of the job that trains a run, with its evaluations and its predictions."""
        batch = work.images / work.steps
        steps = work.epochs * work.steps
        frozen_steps = work.passes * work.steps + math.ceil(
            (work.evaluations * work.test + work.predicted) / batch
        )
        return (
            self.start
            + self.epoch * work.epochs
            + self.step * steps
            + work.seen * work.network.training / self.trained
            + self.frozen_step * frozen_steps
            + work.unlearned_images * work.network.forward / self.frozen
        )

    def overhead(self, work: Work) -> float:
        """Seconds of `training` that no faster arithmetic would save: all but operations over their rates."""
        return replace(self, trained=math.inf, frozen=math.inf).training(work)

    def predicting(self, work: Work) -> float:
        """Seconds of a job that only predicts."""
        batches = math.ceil(work.predicted * work.steps / work.images)
        return self.start + self.frozen_step * batches + work.predicted * work.network.forward / self.frozen


def stated(tflops: float, work: Work) -> Speed:
    """A device that sustains so many 10¹² operations a second, with the overheads of this module."""
    return Speed(
        trained=tflops * 1e12,
        frozen=tflops * 1e12,
        step=LAYER_STEP * work.network.layers + (CRITIC_STEP if work.critic else 0),
        frozen_step=LAYER_PASS * work.network.layers,
        epoch=EPOCH,
        start=START,
    )


def minutes(seconds: float, attempt: int) -> int:
    """Run time to ask of a cluster for what is planned to take so many seconds; more with each attempt."""
    return attempt * (LEAST + math.ceil(HEADROOM * seconds / 60))
