"""An exported student: it needs no study, no results and no prepared data, and sees images as evaluation saw them.

from aikd.engine.exported import load

model = load("digits-aikd")
for guess in model.classify("seven.png"):
    print(guess.name, guess.probability)
"""

import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import safetensors
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor, nn

from aikd.augment import normalise, resize_and_centre_crop, resize_and_cut_centre
from aikd.engine.data import evaluation_batch
from aikd.engine.device import choose_device
from aikd.engine.models import check_network
from aikd.engine.precision import Precision
from aikd.engine.sources.containers import FILE as LARGEST
from aikd.engine.sources.decoding import PIXELS, decode, quiet
from aikd.errors import UserError
from aikd.files import read_json
from aikd.models import build
from aikd.records import file_digest
from aikd.study.catalogue import Triple
from aikd.study.explain import explaining
from aikd.study.extensions import activate
from aikd.study.fields import Count, Flag, Positive, Section, Whole
from aikd.study.layout import MODEL

FORMAT = 1
"""Raised by hand when `export.json` means something else; other formats are refused."""
FACTS = "export.json"
"""Name of the file that says what the weights are, and what images must look like."""

AGAIN = "export the run again"


class Sight(Section):
    """How an image file becomes the network's input: preparation's steps, then evaluation's."""

    cut_bottom: Whole
    """Rows that are removed from the bottom first, as preparation did."""
    short_side: Count | None
    """Pixels to which a longer short side is reduced by Pillow, as preparation did; none: never."""
    resize: Count | None
    """Pixels to which the short side is resized then, bilinearly with antialiasing; none: never."""
    rounded: Flag
    """Whether pixels are rounded to whole numbers after that."""
    size: Count
    """Side of the square that is cut out of the centre, in pixels."""
    mean: Triple
    """Channel means (fraction), which are subtracted."""
    std: Triple
    """Channel standard deviations (fraction), by which the difference is divided."""


class Temperature(Section):
    """The number by which logits are divided before the softmax."""

    value: Positive
    scheme: Literal["holdout", "oracle", "crossfit", "none"]
    """On what it was fitted, see `aikd.calibration`; `oracle`: the evaluation set; `none`: on nothing, it is 1."""


class Facts(Section):
    """What stands in `export.json`."""

    format: int
    run: str
    model: dict[str, Any]
    """Settings of the network, see `aikd.models.build`."""
    weights: str
    """SHA-256 of the file of weights."""
    class_names: Annotated[list[str], Field(min_length=2)]
    transform: Sight
    temperature: Temperature
    precision: Literal["fp32", "bf16", "fp16"]
    channels_last: Flag
    metrics: dict[str, Any]
    """The run's metrics on its evaluation set, as in `metrics.json`, and how many images that has."""
    provenance: dict[str, Any]
    """Settings, data, code and versions that the weights come from."""


@dataclass(frozen=True)
class Guess:
    """One class that an image may be of."""

    name: str
    label: int
    """Index of the class."""
    probability: float
    """Calibrated: softmax(logits / temperature), as a fraction."""


class Exported:
    """A network with all that it needs to look at image files; made by `load`."""

    def __init__(self, facts: Facts, network: nn.Module, device: torch.device) -> None:
        self.facts = facts
        self.precision = Precision(facts.precision, device, facts.channels_last)
        self.network = self.precision.place(network).eval()
        self.mean, self.std = (
            torch.tensor(moment, dtype=torch.float32, device=device)
            for moment in (facts.transform.mean, facts.transform.std)
        )

    @property
    def batch(self) -> int:
        """Images that are looked at together, as many as in evaluation."""
        return evaluation_batch(self.facts.transform.size)

    def classify(self, image: Path | str, top: int = 5) -> list[Guess]:
        """The likeliest classes of an image file, the likeliest first.

        Raises:
            UserError: as `read`.
        """
        return self.guesses(self.logits([image])[0], top)

    def guesses(self, logits: NDArray[np.float32], top: int = 5) -> list[Guess]:
        """The likeliest classes by logits [C]; of equal ones the first in the order of the classes."""
        scaled = logits.astype(np.float64) / self.facts.temperature.value
        powers = np.exp(scaled - scaled.max())
        probabilities = powers / powers.sum()
        labels = np.argsort(-probabilities, kind="stable")[:top].tolist()
        return [Guess(self.facts.class_names[i], i, float(probabilities[i])) for i in labels]

    def logits(self, images: Iterable[Path | str]) -> NDArray[np.float32]:
        """Logits [N, C] of image files, not yet divided by the temperature.

        Raises:
            UserError: as `read`.
        """
        outputs = [self.outputs([self.read(image) for image in some]) for some in _groups(images, self.batch)]
        return np.concatenate(outputs or [np.empty((0, len(self.facts.class_names)), np.float32)])

    def read(self, image: Path | str) -> Tensor:
        """An image file as the network's input before it is normalised: [3, size, size] in 0..255.

        Raises:
            UserError: the file is missing, damaged or no image, or too small or too narrow to be cut.
        """
        sight, path = self.facts.transform, str(image)
        with quiet():
            decoded = decode(path, _content(path), short_side=sight.short_side, cut_bottom=sight.cut_bottom)
        _check_shape(path, decoded.pixels, sight)
        if sight.rounded:
            square = resize_and_cut_centre(decoded.pixels, sight.resize, sight.size)
            return torch.from_numpy(np.ascontiguousarray(square)).permute(2, 0, 1)
        pixels = torch.from_numpy(decoded.pixels.copy()).permute(2, 0, 1).unsqueeze(0)
        return resize_and_centre_crop(pixels.to(self.precision.device), sight.resize, sight.size)[0]

    def outputs(self, inputs: Sequence[Tensor]) -> NDArray[np.float32]:
        """Logits [N, C] of inputs as `read` gives them."""
        images = torch.stack(list(inputs)).to(self.precision.device)
        images = images.contiguous(memory_format=self.precision.memory_format)
        with torch.inference_mode(), self.precision.autocast():
            logits: Tensor = self.network(normalise(images, self.mean, self.std))
        array: NDArray[np.float32] = logits.float().cpu().numpy()
        return array

    def classify_all(
        self, images: Iterable[Path | str], top: int = 5
    ) -> Iterator[tuple[Path | str, list[Guess] | UserError]]:
        """Each image file, in order, with its likeliest classes, or with what is wrong with it."""
        for some in _groups(images, self.batch):
            read = [self._attempt(image) for image in some]
            inputs = [found for found in read if not isinstance(found, UserError)]
            logits = iter(self.outputs(inputs) if inputs else ())
            for image, found in zip(some, read, strict=True):
                yield image, found if isinstance(found, UserError) else self.guesses(next(logits), top)

    def _attempt(self, image: Path | str) -> Tensor | UserError:
        try:
            return self.read(image)
        except UserError as error:
            return error


def load(
    folder: Path | str, device: torch.device | str | None = None, extensions: Sequence[str] = ()
) -> Exported:
    """The exported student in a folder.

    Args:
        device: where to compute; none: CUDA where there is one, see `aikd.engine.device`.
        extensions: files that are run, for a network of theirs; they take the place of those read before.

    Raises:
        UserError: the folder holds no export, one of another format, one that is damaged, or one whose network is that
            of an extension that was not named or has changed.
    """
    folder = Path(folder)
    facts = read_facts(folder)
    if extensions:
        activate(extensions)
    check_network(facts.model, str(folder))
    network = build(facts.model, len(facts.class_names))
    path = folder / MODEL
    try:
        if (found := file_digest(path)) != facts.weights:
            raise UserError(
                f"{path}: found SHA-256 {found[:16]}…, {FACTS} says {facts.weights[:16]}…; {AGAIN}"
            )
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {AGAIN}") from None
    except (RuntimeError, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not the weights that {FACTS} describes ({reason}); {AGAIN}") from None
    return Exported(facts, network, choose_device() if device is None else torch.device(device))


def read_facts(folder: Path) -> Facts:
    """What `export.json` in a folder says.

    Raises:
        UserError: there is none, it is damaged, or it is of another format.
    """
    path = folder / FACTS
    if not path.exists():
        raise UserError(
            f"{folder}: no exported model, as {FACTS} is missing; `aikd export RUN --to DIR` makes one"
        )
    found = read_json(path, AGAIN)
    if (number := found.get("format")) != FORMAT:
        raise UserError(f"{path}: format is {number!r}, this version reads {FORMAT}; {AGAIN}")
    with explaining(str(path), Facts):
        return Facts.model_validate(found)


def _groups(images: Iterable[Path | str], size: int) -> Iterator[list[Path | str]]:
    rest = iter(images)
    while some := list(islice(rest, size)):
        yield some


def _content(path: str) -> bytes:
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # a pipe, for one, might never end, or never begin
            raise UserError(f"{path}: cannot be read (not an ordinary file)")
        with Path(path).open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if len(data) > LARGEST:
        raise UserError(f"{path}: larger than {LARGEST:,} bytes")
    return data


def _check_shape(path: str, pixels: NDArray[np.uint8], sight: Sight) -> None:
    """Refuse what the centre crop does not fit into, and strips that would become enormous."""
    height, width = pixels.shape[:2]
    short, long = sorted((height, width))
    target = sight.resize or short
    if sight.size > target:
        raise UserError(
            f"{path}: {width} × {height} pixels; the model looks at {sight.size} × {sight.size} in the centre"
        )
    if target * target * long / short > PIXELS:
        raise UserError(f"{path}: {width} × {height} pixels; too long and narrow to be resized to {target}")
