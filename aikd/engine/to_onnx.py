"""An exported student as ONNX, for programs that have no PyTorch; checked against onnxruntime where it is written.

The libraries come with the extra: `pip install '.[onnx]'`.
"""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from aikd.engine.exported import Exported
from aikd.errors import UserError
from aikd.messages import say
from aikd.models import build

LIBRARIES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 20
LOGITS = 1e-4
"""Largest difference of logits that is accepted, relative to the largest of them."""
PROBABILITIES = 1e-4
"""Largest difference of probabilities that is accepted."""
CHECKED = (1, 2, 7)
"""Sizes of the batches with which it is checked: more than one, as the batch axis must be free."""


def require() -> None:
    """Refuse to go on without the libraries.

    Raises:
        UserError: one is not installed.
    """
    if missing := [name for name in LIBRARIES if find_spec(name) is None]:
        raise UserError(
            f"--onnx: {', '.join(missing)} not installed; `pip install '.[onnx]'` installs what is needed"
        )


class Portable(nn.Module):
    """The network between pixels and probabilities.

    Takes images [N, 3, size, size], RGB in 0..255 after the centre crop; returns logits [N, C], and probabilities
    [N, C], for which the logits are divided by the temperature. In fp32, whatever the run's precision was.
    """

    def __init__(self, model: Exported, network: nn.Module) -> None:
        super().__init__()
        self.network, self.temperature = network, model.facts.temperature.value
        sight = model.facts.transform
        mean, std = (torch.tensor(moment, dtype=torch.float32) for moment in (sight.mean, sight.std))
        self.mean, self.std = nn.Buffer(mean.view(1, 3, 1, 1)), nn.Buffer(std.view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network((images / 255 - self.mean) / self.std)
        return logits, torch.softmax(logits / self.temperature, 1)


def write_onnx(model: Exported, path: Path) -> float:
    """Write an exported student to `path` as ONNX, and compare it with PyTorch there; returns the largest difference.

    Raises:
        UserError: a library is missing, or the two differ by more than `LOGITS` or `PROBABILITIES`.
    """
    require()
    import onnx

    portable = _portable(model)
    size, batch = model.facts.transform.size, torch.export.Dim("batch")
    example = torch.zeros(2, 3, size, size)
    with _quiet():
        program = torch.onnx.export(
            portable, (example,), None, dynamo=True, verbose=False, opset_version=OPSET, external_data=False,
            input_names=["images"], output_names=["logits", "probabilities"], dynamic_shapes=({0: batch},),
        )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    facts = {
        "run": model.facts.run,
        "class_names": json.dumps(model.facts.class_names, ensure_ascii=False),
        "temperature": repr(model.facts.temperature.value),
        "weights": model.facts.weights,
    }
    onnx.helper.set_model_props(proto, facts)
    onnx.checker.check_model(proto)
    path.write_bytes(proto.SerializeToString())
    logits, probabilities = compare(portable, path)
    say(
        f"{path.name}: onnxruntime and PyTorch differ by at most {logits:.1e} of the largest logit, and by "
        f"{probabilities:.1e} in probabilities"
    )
    return max(logits, probabilities)


def compare(portable: Portable, path: Path) -> tuple[float, float]:
    """The largest differences between ONNX and PyTorch on random images, in batches of several sizes.

    Of logits, relative to the largest of them; and of probabilities.

    Raises:
        UserError: they differ by more than is accepted.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    size, rng = session.get_inputs()[0].shape[-1], np.random.default_rng(0)
    differences = []
    for n in CHECKED:
        images = rng.integers(0, 256, (n, 3, size, size)).astype(np.float32)
        with torch.inference_mode():
            wanted = [output.numpy() for output in portable(torch.from_numpy(images))]
        found = session.run(["logits", "probabilities"], {"images": images})
        scales = float(np.abs(wanted[0]).max()) or 1.0, 1.0
        differences.append(
            [float(np.abs(w - f).max()) / scale for w, f, scale in zip(wanted, found, scales, strict=True)]
        )
    logits, probabilities = (max(column) for column in zip(*differences, strict=True))
    # So that a difference that is no number is refused, too.
    if not (logits <= LOGITS and probabilities <= PROBABILITIES):
        raise UserError(
            f"{path.name}: onnxruntime differs from PyTorch by {logits:.1e} of the largest logit and by "
            f"{probabilities:.1e} in probabilities; at most {LOGITS:g} and {PROBABILITIES:g} are accepted"
        )
    return logits, probabilities


def _portable(model: Exported) -> Portable:
    """The network anew, without what a device or a memory layout made of it."""
    network = build(model.facts.model, len(model.facts.class_names))
    network.load_state_dict(model.network.state_dict())
    return Portable(model, network).cpu().eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of each of its steps."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
