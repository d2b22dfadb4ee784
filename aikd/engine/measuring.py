"""How fast this device trains a study's networks, from a few steps of each.

Every network is trained for some steps with the Baseline, on noise, and run without gradient; a straight line through
two sizes of batch tells operations a second from the time that a step takes whatever its size. What a method's losses
add to a step is measured on logits alone, at the batch that the study wants: they do not depend on the network.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aikd.engine.device import choose_device, device_name
from aikd.engine.state import Snapshot
from aikd.engine.store import Prepared, Split
from aikd.engine.training import Trainer
from aikd.messages import say
from aikd.methods import Batch, Setup, Targets, load_method
from aikd.study.costs.times import LAYER_PASS, LAYER_STEP, Speed
from aikd.study.costs.work import Work
from aikd.study.methods import METHODS

Clock = Callable[[], float]

SECONDS = 10.0
"""For all networks of a study together."""
SAMPLES = 15
"""Steps timed at most: the median of fewer is as good as the machine is quiet."""
SMALLEST = 2
"""Images of the first step, which tells how many the others can have."""


@dataclass(frozen=True)
class Noise(Prepared):
    """Images of noise in the shape of a data set's, in memory."""

    side: int

    @property
    def channels(self) -> int:
        return 3

    def images(self, split: Split) -> NDArray[np.uint8]:
        shape = (self.manifest["images"], 3, self.side, self.side)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def labels(self, split: Split) -> NDArray[np.int64]:
        n: int = self.manifest["images"]
        labels: NDArray[np.int64] = np.arange(n, dtype=np.int64) % min(n, self.manifest["classes"])
        return labels


@dataclass(frozen=True)
class Measured:
    """A network on this device."""

    speed: Speed
    """With the Baseline's losses."""
    batch: int
    """Largest batch that there was time for."""
    waiting: float | None
    """Wall time over CPU time: about 1 on a CPU that is free, more where others use it. None on a GPU, for which a
    thread may wait without using the CPU."""


def measure(
    runs: Sequence[tuple[dict[str, Any], Work]],
    threads: int,
    seconds: float = SECONDS,
    clock: Clock = time.perf_counter,
) -> tuple[Callable[[dict[str, Any], Work], Speed], list[dict[str, Any]]]:
    """Measure this device for the networks and methods of some runs.

    Args:
        runs: resolved settings, and the work in them.
        threads: CPU threads of a job.
        seconds: how long it may take, about; a network that takes long for three steps of two images exceeds it.
        clock: what to measure, in seconds: wall time, or the time of the CPU.

    Returns:
        The speed of each of the runs, and what was measured, for people: one entry for each network.
    """
    device = choose_device()
    torch.set_num_threads(max(1, min(threads, os.cpu_count() or 1)))
    kinds = {_kind(settings): (settings, work) for settings, work in runs}
    start = _importing(clock) if runs else 0.0
    share = max(0.0, seconds - start) / max(1, len(kinds))
    measured = {kind: _network(*first, device, share, clock, start) for kind, first in kinds.items()}
    methods = {_losses_kind(settings): settings for settings, _ in runs}
    added = {kind: _losses(settings, device, clock) for kind, settings in methods.items()}

    def speed(settings: dict[str, Any], work: Work) -> Speed:
        found = measured[_kind(settings)].speed
        baseline = _losses_kind(settings | {"method": "baseline", "settings": {}})
        more = added[_losses_kind(settings)] - added.get(baseline, 0.0)
        return replace(found, step=found.step + max(0.0, more))

    return speed, [
        {
            "network": _label(kinds[kind][0]),
            "batch": m.batch,
            "device": device_name(device),
            "waiting": m.waiting,
            **vars(m.speed),
        }
        for kind, m in measured.items()
    ]


def _kind(settings: dict[str, Any]) -> str:
    """What decides the speed of a network; classes hardly do."""
    recipe, side = settings["recipe"], settings["data"]["transform"]["size"]
    return json.dumps(
        [settings["model"], side, *(recipe[key] for key in ("batch_size", "precision", "channels_last"))]
    )


def _label(settings: dict[str, Any]) -> str:
    model = settings["model"]
    sizes = [f"{key} {model[key]}" for key in ("width", "growth", "blocks") if model[key]]
    side = settings["data"]["transform"]["size"]
    return ", ".join([model["architecture"], *sizes, f"{side} px", settings["recipe"]["precision"]])


def _losses_kind(settings: dict[str, Any]) -> str:
    """What decides how long a method's losses take: calls more than sizes."""
    critic = settings["settings"].get("critic", {}) if settings["settings"].get("omega") else {}
    parts = [settings["method"], critic.get("steps"), critic.get("norm"), critic.get("passes")]
    return json.dumps([*parts, settings["recipe"]["batch_size"]])


def _importing(clock: Clock) -> float:
    """Seconds that a process takes to import what trains."""
    before = clock()
    subprocess.run([sys.executable, "-c", "import aikd.engine.jobs"], check=True, env=os.environ | _path())
    return clock() - before


def _path() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _network(
    settings: dict[str, Any], work: Work, device: torch.device, seconds: float, clock: Clock, start: float
) -> Measured:
    """Steps and passes of one network."""
    began, wall, busy = clock(), time.perf_counter(), _busy()
    trainer = _trainer(settings, SMALLEST, device)
    probes = _timed(trainer, device, clock)
    next(probes)
    first, probe = clock() - began, next(probes)
    left = seconds - (clock() - began)
    # At the larger size and a quarter of it a step to warm up and three to time, and as many passes at a third of it.
    affordable = int(left / 7 / max(probe, 1e-6) * SMALLEST)
    batch = max(SMALLEST, min(settings["recipe"]["batch_size"], affordable))
    while True:
        sizes = [batch // 4, batch] if batch >= 4 * SMALLEST else [batch]
        try:
            times = [_of_size(settings, size, device, left / 2.5 / len(sizes), clock) for size in sizes]
            break
        except torch.OutOfMemoryError:
            if batch == SMALLEST:
                raise
            batch = max(SMALLEST, batch // 2)
    steps, frozen = zip(*times, strict=True)
    network, epoch = work.network, _epoch(trainer, device, clock)
    trained, step = line(sizes, steps, network.training, LAYER_STEP * network.layers)
    passed, frozen_step = line(sizes, frozen, network.forward, LAYER_PASS * network.layers)
    # The larger of the two: this thread may wait for others that work, and those may have nothing to do.
    used = max(after - before for before, after in zip(busy, _busy(), strict=True))
    waiting = (time.perf_counter() - wall) / max(used, 1e-9) if device.type == "cpu" else None
    return Measured(Speed(trained, passed, step, frozen_step, epoch, start + first), batch, waiting)


def _of_size(
    settings: dict[str, Any], size: int, device: torch.device, seconds: float, clock: Clock
) -> tuple[float, float]:
    """Seconds of a step, and of a pass without gradient, with batches of a size."""
    trainer = _trainer(settings, size, device)
    steps, passes = _timed(trainer, device, clock), _passes(trainer, device, clock)
    next(steps)
    step = _median(steps, seconds, clock)
    next(passes)
    return step, _median(passes, seconds / 3, clock)


def _busy() -> tuple[float, float]:
    """Seconds of CPU so far: of this thread, and of an average one of those that compute."""
    return time.thread_time(), time.process_time() / torch.get_num_threads()


def line(sizes: Sequence[int], seconds: Sequence[float], flops: int, overhead: float) -> tuple[float, float]:
    """Operations a second, and the seconds of a batch whatever its size, from the times of one or two sizes.

    Args:
        sizes: of the batches, rising.
        seconds: of a step of each.
        flops: operations of an image.
        overhead: what is taken for the second result where the times do not tell.
    """
    if len(sizes) == 2 and seconds[1] > seconds[0]:
        slope = (seconds[1] - seconds[0]) / (sizes[1] - sizes[0])
        overhead = seconds[1] - slope * sizes[1]
    # The line goes through the larger batch, whatever the smaller one says.
    overhead = min(max(0.0, overhead), seconds[-1] / 2)
    return sizes[-1] * flops / (seconds[-1] - overhead), overhead


def _trainer(settings: dict[str, Any], batch: int, device: torch.device) -> Trainer:
    data, recipe = settings["data"], settings["recipe"]
    side = data["transform"]["resize"] or data["transform"]["size"]
    moments = {"mean": [0.5] * 3, "std": [0.25] * 3}
    noise = Noise(
        folder=None,  # type: ignore[arg-type] # nothing is read
        manifest={"name": data["name"], "classes": data["classes"], "images": 4 * batch} | moments,
        side=side,
    )
    plain = {"method": "baseline", "settings": {}, "augmentation": {"name": "standard"}}
    return Trainer(
        settings
        | plain
        | {
            "recipe": recipe | {"batch_size": batch},
            "data": data | {"images_per_class": None, "holdout_per_class": 0},
        },
        noise,
        None,
        device,
    )


def _timed(trainer: Trainer, device: torch.device, clock: Clock) -> Iterator[float]:
    """Seconds of consecutive steps of training, their batches included."""
    trainer.student.train()
    for epoch in count():
        before = clock()
        for batch in trainer._batches(epoch):
            trainer._step(batch)
            _wait(device)
            yield clock() - before
            before = clock()


def _passes(trainer: Trainer, device: torch.device, clock: Clock) -> Iterator[float]:
    """Seconds of passes without gradient through a frozen copy."""
    network = trainer.precision.frozen(trainer.student)
    images = next(trainer._batches(0)).images
    while True:
        before = clock()
        network(images)
        _wait(device)
        yield clock() - before


def _epoch(trainer: Trainer, device: torch.device, clock: Clock) -> float:
    """Seconds of what comes between two epochs: a frozen copy of the student, and a copy of all for the state."""
    before = clock()
    trainer.precision.frozen(trainer.student)
    Snapshot.of(trainer.state())
    _wait(device)
    return clock() - before


def _losses(settings: dict[str, Any], device: torch.device, clock: Clock) -> float:
    """Those of a method of one's own as the Baseline's where it wants more than logits that no network made."""
    try:
        return losses(settings, device, clock)
    except Exception as error:
        if settings["method"] not in METHODS.own:
            raise
        say(f"{settings['method']}: its losses could not be measured ({error}), and count as the Baseline's")
        return losses(settings | {"method": "baseline", "settings": {}}, device, clock)


def losses(settings: dict[str, Any], device: torch.device, clock: Clock = time.perf_counter) -> float:
    """Seconds of a method's losses, forward and backward, on logits that no network had to make."""
    batch, classes = settings["recipe"]["batch_size"], settings["data"]["classes"]
    logits = torch.randn(batch, classes, device=device)
    weight = torch.ones(classes, device=device, requires_grad=True)
    method, checked = load_method(settings["method"], settings["settings"])
    setup = Setup(
        settings=checked, classes=classes, images=batch, epochs=2, steps=2 * SAMPLES, batch_size=batch, seed=0,
        device=device, superior=lambda images: logits, freeze=lambda module: lambda images: logits,
    )  # fmt: skip
    trained = method(setup)
    index = torch.arange(batch, device=device)
    labels = index % classes
    images = torch.zeros(batch, 3, 1, 1, device=device)
    trained.begin_epoch(0)
    trained.end_epoch(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, classes)).to(device))
    trained.begin_epoch(1)

    def steps() -> Iterator[float]:
        while True:
            before = clock()
            given = Batch(images, Targets(labels, labels), index, index, images)
            trained.step(lambda images: logits * weight, given).loss.backward()
            _wait(device)
            yield clock() - before

    times = steps()
    next(times)
    return _median(times, 0.2, clock)


def _median(times: Iterator[float], seconds: float, clock: Clock) -> float:
    """Median of what can be timed in so many seconds, and of one at least."""
    began, found = clock(), []
    for sample in times:
        found.append(sample)
        if len(found) == SAMPLES or clock() - began > seconds:
            break
    return median(found)


def _wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
