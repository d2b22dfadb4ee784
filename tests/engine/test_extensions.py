"""Extensions in training: the same to the bit as what is built in, where they compute the same."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from aikd.engine import jobs
from aikd.engine.state import Snapshot
from aikd.errors import UserError
from aikd.records import read_predictions, same_training
from aikd.study import extensions
from aikd.study.load import check_study
from aikd.study.resolve import resolve
from aikd.study.run import Run
from tests.engine.resuming import RECIPE, history, timeless, trainer

pytestmark = pytest.mark.usefixtures("on_the_cpu")

# What is built in, once more. The model draws in training, as nothing built in does.
METHODS = """
from aikd.extend import AIKDSettings, Batch, Fraction, Method, MethodSettings, Step, method
from aikd.methods.aikd import AIKD

class VariantSettings(AIKDSettings):
    omega: Fraction = 0.3

@method("variant", settings=VariantSettings)
class Variant(AIKD):
    pass

class Settings(MethodSettings):
    alpha: Fraction = 0.8

@method("refined", settings=Settings)
class Refined(Method):
    def __init__(self, setup):
        import torch
        super().__init__(setup)
        self.past, self.epoch = torch.zeros(setup.images, setup.classes), 0

    def begin_epoch(self, epoch):
        self.epoch = epoch

    def step(self, student, batch):
        alpha = self.settings.alpha * (self.epoch + 1) / self.setup.epochs
        labels = batch.targets.probabilities(self.setup.classes)
        past = self.past[batch.index].softmax(1) if self.epoch else labels
        logits = student(batch.images)
        self.past[batch.index] = logits.detach()
        loss = -(((1 - alpha) * labels + alpha * past) * logits.log_softmax(1)).sum(1).mean()
        return Step(loss, logits, {"soft_ce": loss})

    def state_dict(self):
        return {"past": self.past}

    def load_state_dict(self, state, student):
        self.past.copy_(state["past"])

@method("taken")
class Taken(Method):
    def step(self, student, batch):
        logits = student(batch.images)
        return Step(logits.mean(), logits, {"epoch": logits.mean()})
"""
MODELS = """
from aikd.extend import Count, Fraction, Section, model

class Settings(Section):
    width: Count = 4
    dropout: Fraction = 0.5

@model("copy", settings=Settings)
def copy(classes, channels, settings):
    from aikd.models.preact_resnet import preact_resnet18
    return preact_resnet18(classes, channels, width=settings.width, blocks=(1, 1, 1, 1))

@model("dropping", settings=Settings)
def dropping(classes, channels, settings):
    from torch import nn
    layers = [nn.Conv2d(channels, settings.width, 1, bias=False), nn.BatchNorm2d(settings.width), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(settings.dropout), nn.Linear(64 * settings.width, classes))

@model("headless")
def headless(classes, channels, settings):
    from torch import nn
    return nn.Conv2d(channels, classes, 8)

@model("narrow")
def narrow(classes, channels, settings):
    from torch import nn
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.Linear(5, 7))

@model("nothing")
def nothing(classes, channels, settings): ...
"""
AUGMENTATIONS = """
from aikd.extend import Positive, Section, augmentation

class Settings(Section):
    alpha: Positive = 1.0

@augmentation("blend", settings=Settings)
def blend(images, rng, settings):
    lam = rng.beta(settings.alpha, settings.alpha)
    partners = rng.permutation(len(images))
    return images[partners].lerp(images, lam), partners, lam

@augmentation("same")
def same(images, rng, settings):
    return images

@augmentation("crop")
def crop(images, rng, settings):
    return images[:, :, 1:]
"""
FILES = {"methods.py": METHODS, "models.py": MODELS, "augmentations.py": AUGMENTATIONS}
SIZES = {"width": 4, "blocks": [1, 1, 1, 1]}

Own = Callable[..., dict[str, Any]]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Own]:
    """Resolved settings of a run, as another process gets them: no extension is read any more."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text, encoding="utf-8")

    def make(
        method: str = "baseline", model: str = "plain", augmentation: str = "standard", seed: int = 0,
        **settings: Any,
    ) -> dict[str, Any]:  # fmt: skip
        networks = {name: {"label": name} for name in ("copy", "dropping", "headless", "narrow", "nothing")}
        plain = {"label": "Plain", "architecture": "preact_resnet18"} | SIZES
        study = check_study(
            {
                "name": "test",
                "extensions": list(FILES),
                "recipe": RECIPE,
                "data": {"digits": {"models": ["plain", *networks]}},
                "models": networks | {"plain": plain},
                "methods": {"baseline": {}, method: {}},
            }
        )
        found = resolve(study, Run("digits", model, method, settings, augmentation, seed))
        extensions.activate([])
        return found

    yield make
    extensions.activate([])


def used(settings: dict[str, Any]) -> dict[str, Any]:
    extensions.use(settings, settings["model"], settings["augmentation"])
    return settings


def weights(settings: dict[str, Any], data: Path) -> dict[str, Any]:
    made = trainer(used(settings), data)
    made.run(lambda row: None)
    return made.student.state_dict()


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


# The same as what is built in


def test_a_method_that_computes_what_pskd_does_ends_in_its_weights(own: Own, tiny: Path) -> None:
    expected = weights(own("pskd", alpha=0.6), tiny)
    assert equal(weights(own("refined", alpha=0.6), tiny), expected)
    assert not equal(weights(own("refined"), tiny), expected)


def test_a_variant_of_aikd_with_other_defaults_ends_in_its_weights(own: Own, tiny: Path) -> None:
    settings = own("variant", alpha_g=0.2)
    assert settings["run"] == "digits/plain/variant/alpha_g=0.2/seed0"
    assert settings["superior"] == "digits/plain/baseline/seed0"
    assert equal(weights(settings, tiny), weights(own("aikd", alpha_g=0.2, omega=0.3), tiny))


def test_a_network_that_is_the_built_in_one_ends_in_its_weights(own: Own, tiny: Path) -> None:
    assert equal(weights(own(model="copy"), tiny), weights(own(model="plain"), tiny))


def test_an_augmentation_that_does_what_mixup_does_ends_in_its_weights(own: Own, tiny: Path) -> None:
    expected = weights(own("pskd", augmentation="mixup"), tiny)
    assert equal(weights(own("pskd", augmentation="blend"), tiny), expected)
    plain = weights(own("pskd"), tiny)
    assert equal(weights(own("pskd", augmentation="same"), tiny), plain)
    assert not equal(plain, expected)


# Interruptions, chance


@pytest.mark.parametrize("model", ["plain", "dropping"])
def test_a_restored_trainer_goes_on_to_the_bit(own: Own, tiny: Path, tmp_path: Path, model: str) -> None:
    settings = used(own("refined", model=model, augmentation="blend"))
    whole, taken = trainer(settings, tiny), list[Snapshot]()
    rows = whole.run(lambda row: taken.append(Snapshot.of(whole.state())))
    taken[2].save(tmp_path / "state.safetensors")
    torch.rand(7)
    resumed = trainer(settings, tiny)
    resumed.restore(Snapshot.load(tmp_path / "state.safetensors").tree())
    assert timeless(resumed.run(lambda row: None)) == timeless(rows)
    found, expected = (Snapshot.of(t.state() | {"history": []}) for t in (resumed, whole))
    assert found.digest() == expected.digest()


def test_what_a_network_draws_follows_from_the_seed(own: Own, tiny: Path) -> None:
    torch.manual_seed(1)
    first = weights(own(model="dropping"), tiny)
    torch.manual_seed(2)
    assert equal(weights(own(model="dropping"), tiny), first)
    # Only what is drawn in training differs here, not the first weights.
    one, other = (trainer(used(own(model="dropping", seed=seed)), tiny) for seed in (0, 1))
    other.student.load_state_dict(one.student.state_dict())
    batch = next(one._batches(0))
    losses = []
    for made in (one, other):
        made._batches = lambda epoch: iter([batch])  # type: ignore[method-assign]
        losses.append(made.epoch(0)["loss"])
    assert losses[0] != losses[1]


def test_copies_of_a_network_that_is_not_built_in_are_not_folded(own: Own, tiny: Path) -> None:
    built_in, foreign = (trainer(used(own(model=model)), tiny) for model in ("plain", "copy"))
    assert (built_in.precision.fold, foreign.precision.fold) == (True, False)
    assert trainer(used(own(model="dropping")), tiny).precision.frozen(
        trainer(used(own(model="dropping")), tiny).student
    )(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


# Jobs


def test_a_run_is_trained_and_predicted_by_its_settings_alone(own: Own, tiny: Path, tmp_path: Path) -> None:
    settings = own("refined", model="dropping", augmentation="blend")
    results, run = tmp_path / "results", settings["run"]
    jobs.train(settings, results, tiny, 1)
    folder = results / "runs" / run
    assert "soft_ce" in history(folder)[0]
    summary = json.loads((folder / "train.json").read_text())
    assert summary["settings"] == settings
    # The method's file is not needed to predict, the network's is.
    extensions.activate([])
    (tmp_path / "methods.py").unlink()
    jobs.predict(run, results, tiny, files=["./models.py"])
    found = read_predictions(results, run)
    assert found is not None
    assert found[0]["features"].shape == (9, 256)
    (tmp_path / "models.py").write_text(MODELS.replace("0.5", "0.4"))
    with pytest.raises(
        UserError, match=rf"^models.py: found the code \w+, but {run} was trained with \w+; bring"
    ):
        jobs.predict(run, results, tiny, files=["models.py"])


def test_results_never_have_a_file_run(own: Own, tiny: Path, tmp_path: Path) -> None:
    Path("models.py").write_text(MODELS + "\nopen('ran', 'w').close()\n")
    settings = own(model="dropping")
    short = {"recipe": settings["recipe"] | {"epochs": 1, "milestones": []}}
    jobs.train(settings | short, tmp_path, tiny, 1)
    extensions.activate([])
    Path("ran").unlink()
    with pytest.raises(UserError, match=r"run only if you name it: --extension models\.py$"):
        jobs.predict(settings["run"], tmp_path, tiny)
    assert not Path("ran").exists()
    jobs.predict(settings["run"], tmp_path, tiny, files=["models.py"])
    assert Path("ran").exists()


def test_a_file_that_was_changed_trains_nothing(own: Own, tiny: Path, tmp_path: Path) -> None:
    settings = own("refined")
    Path("methods.py").write_text("# comments do not count\n" + METHODS)
    jobs.train(settings | {"recipe": settings["recipe"] | {"epochs": 1, "milestones": []}}, tmp_path, tiny, 1)
    extensions.activate([])
    Path("methods.py").write_text(METHODS.replace("0.8", "0.7") + "\nopen('ran', 'w').close()\n")
    with pytest.raises(UserError, match=r"^methods.py: found the code"):
        jobs.train(settings, tmp_path, tiny, 1)
    assert not Path("ran").exists()
    Path("methods.py").unlink()
    with pytest.raises(UserError, match=r"^methods.py: cannot be read \(No such file"):
        jobs.train(settings, tmp_path, tiny, 1)


def test_a_superior_model_of_other_code_is_refused(own: Own, tiny: Path, tmp_path: Path) -> None:
    settings = own(model="dropping")
    short = {"recipe": settings["recipe"] | {"epochs": 1, "milestones": []}}
    jobs.train(settings | short, tmp_path, tiny, 1)
    Path("models.py").write_text(MODELS + "x = 1\n")
    later = own("tfkd", model="dropping")
    with pytest.raises(UserError, match="must have model"):
        jobs.train(later | short, tmp_path, tiny, 1)


def test_runs_of_other_code_do_not_stand_side_by_side(own: Own, tiny: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        settings = own("refined", seed=seed)
        short = {"recipe": settings["recipe"] | {"epochs": 1, "milestones": []}}
        jobs.train(settings | short, tmp_path, tiny, 1)
        Path("methods.py").write_text(METHODS + "x = 1\n")
    runs = [f"digits/plain/refined/seed{seed}" for seed in (0, 1)]
    same_training(tmp_path, runs[:1])
    with pytest.raises(UserError, match=r"beside which it is to stand: extension\.code was"):
        same_training(tmp_path, runs)


# What is refused


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"model": "headless"}, "models.py: headless: the last linear layer must have 10 outputs.*none in the Conv2d"),
        ({"model": "narrow"}, "models.py: narrow: the last linear layer must have 10 outputs.*found one of 7"),
        ({"model": "nothing"}, "models.py: nothing: .*found none in the NoneType"),
        ({"method": "taken"}, "digits/plain/taken/seed0: the method logs epoch; history.csv has a column of this"),
        ({"augmentation": "crop"}, r"augmentations.py: crop returned float32 \[8, 3, 7, 8\] on cpu; expected"),
    ],
)  # fmt: skip
def test_what_is_no_network_method_or_augmentation(
    own: Own, tiny: Path, chosen: dict[str, str], expected: str
) -> None:
    with pytest.raises(UserError, match=f"^{expected}"):
        trainer(used(own(**chosen)), tiny).run(lambda row: None)
