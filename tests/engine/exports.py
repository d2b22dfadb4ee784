"""Small data sets of image files of every kind, runs trained on them, and their exports."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from aikd.engine import jobs
from aikd.engine.evaluation import evaluate
from aikd.engine.exporting import export
from aikd.engine.sources import prepare
from aikd.records import read_predictions
from aikd.study.load import check_study
from aikd.study.resolve import resolve, resolve_data
from aikd.study.run import Run
from aikd.study.schema import Study

SMALL = {"width": 4, "blocks": [1, 1, 1, 1]}
ARCHITECTURES = {"digits": "preact_resnet18", "small": "preact_resnet18"}
TRANSFORMS: dict[str, dict[str, Any]] = {
    # Like CIFAR-100, like Tiny-ImageNet, like the fine-grained sets.
    "small": {"size": 32, "crop": "padded", "padding": 4, "resize": None, "mean": None, "std": None},
    "tiny": {"size": 32, "crop": "resized", "resize": 32, "mean": None, "std": None},
    "photographs": {},
    "one_size": {},
}
KINDS = ("digits", *TRANSFORMS)
SIZES = {"small": (32, 32), "tiny": (64, 64), "one_size": (300, 260)}


def photograph(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Something smooth in colour, as photographs are."""
    rough = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)


def save_as(image: Image.Image, path: Path, kind: int, rng: np.random.Generator) -> None:
    """Save an image as one of the kinds of files that people have."""
    match kind % 7:
        case 0:
            image.save(path.with_suffix(".jpg"), quality=90)
        case 1:
            image.save(path.with_suffix(".png"))
        case 2:
            image.convert("L").save(path.with_suffix(".png"))
        case 3:
            image.quantize(40).save(path.with_suffix(".png"))
        case 4:
            alpha = Image.fromarray(rng.integers(0, 256, image.size[::-1], dtype=np.uint8))
            image.putalpha(alpha)
            image.save(path.with_suffix(".png"))
        case 5:
            grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
            Image.fromarray(grey).save(path.with_suffix(".png"))
        case 6:
            exif = Image.Exif()
            exif[0x0112] = 6  # to be turned by a quarter
            image.save(path.with_suffix(".jpg"), exif=exif)


def image_folder(folder: Path, kind: str) -> Path:
    """Two classes of seven training and seven test images each, one of each kind of file."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("a cat", "dog"):
            (folder / split / name).mkdir(parents=True)
            for i in range(7):
                width, height = SIZES.get(kind) or rng.integers(150, 500, 2).tolist()
                save_as(photograph(rng, width, height), folder / split / name / f"{i}", i, rng)
    return folder


def digit_files(folder: Path) -> list[Path]:
    """The evaluation images of the digits as PNG files, in order."""
    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    test = sorted(np.concatenate([np.flatnonzero(digits.target == d)[1::2] for d in range(10)]).tolist())
    folder.mkdir(parents=True)
    for i in test:
        Image.fromarray(grey[i]).save(folder / f"{i:04}.png")
    return [folder / f"{i:04}.png" for i in test]


@dataclass(frozen=True)
class Trained:
    """A run of the Baseline that is trained, predicted with and calibrated."""

    root: Path
    study: Study
    run: str
    files: list[Path]
    """Its evaluation images, in order."""

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def data(self) -> Path:
        return self.root / "data"

    def logits(self) -> NDArray[np.float32]:
        """What evaluation has written: [N, C]."""
        found = read_predictions(self.results, self.run)
        assert found is not None
        logits: NDArray[np.float32] = found[0]["logits"]
        return logits

    def export(self, target: Path, **options: Any) -> Any:
        return export(self.study, self.run, self.results, self.data, target, **options)


def study_of(kind: str, folder: Path | None, **data: Any) -> Study:
    """A study of one data set."""
    entry = {"models": ["net"], **data}
    if folder is not None:
        entry |= {"folder": str(folder), "transform": TRANSFORMS[kind]}
    study: Study = check_study(
        {
            "name": "test",
            "recipe": {"epochs": 1, "milestones": [], "batch_size": 64, "learning_rate": 0.05},
            "data": {kind: entry},
            "models": {"net": {"label": "Net", "architecture": ARCHITECTURES.get(kind, "resnet18"), **SMALL}},
            "methods": {"baseline": {}},
        }
    )
    return study


def trained(root: Path, kind: str, **data: Any) -> Trained:
    """A finished run on images of a kind."""
    if kind == "digits":
        folder, files = None, digit_files(root / "images")
    else:
        folder = image_folder(root / "images", kind)
        files = [
            path
            for name in ("a cat", "dog")
            for path in sorted((folder / "test" / name).iterdir(), key=lambda path: path.name)
        ]
    study, run = study_of(kind, folder, **data), Run(kind, "net", "baseline")
    made = Trained(root, study, run.path, files)
    prepare(resolve_data(study, kind), made.data)
    jobs.train(resolve(study, run), made.results, made.data, 1)
    jobs.predict(run.path, made.results, made.data)
    evaluate(run.path, made.results, 15, 5)
    return made
