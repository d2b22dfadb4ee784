"""The training loop. It knows epochs, batches and the optimiser, and nothing of any method."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from aikd.augment import batch_sizes
from aikd.engine.data import Images, TrainingData, training_positions
from aikd.engine.history import RESERVED, first_not_finite
from aikd.engine.precision import Precision
from aikd.engine.store import Prepared
from aikd.errors import UserError
from aikd.methods import Batch, Method, Setup, check_first_step, load_method
from aikd.models import build
from aikd.optimisers import SGD
from aikd.streams import Stream, torch_seed

Row = dict[str, Any]


class Trainer:
    """One run in training.

    Args:
        settings: the run's resolved settings.
        prepared: its data set.
        superior: the superior model S^Sup, if the settings name one.
        evaluate_every: epochs between two looks at the evaluation set; the last epoch is always evaluated.
        compiled: whether networks are compiled for the steps; evaluation and prediction run them as they are.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        prepared: Prepared,
        superior: nn.Module | None,
        device: torch.device,
        evaluate_every: int = 1,
        compiled: bool = False,
    ) -> None:
        self.settings, self.recipe, self.evaluate_every = settings, settings["recipe"], evaluate_every
        self.precision = precision_of(settings, device)
        batch = self.recipe["batch_size"] if compiled else None
        self.stepping = replace(self.precision, compiled_batch=batch)
        self.train = training_data(settings, prepared, self.precision)
        self.test = test_data(settings, prepared, self.precision)
        self.holdout = holdout_data(settings, prepared, self.precision)

        stream = Stream.SUPERIOR_INIT if settings["method"] == "baseline" else Stream.STUDENT_INIT
        self.student = self.precision.place(network(settings, prepared, torch_seed(settings["seed"], stream)))
        self.forward = self.stepping.network(self.student)
        self.optimiser = SGD(
            self.student.parameters(),
            lr=self.recipe["learning_rate"],
            momentum=self.recipe["momentum"],
            nesterov=self.recipe["nesterov"],
            weight_decay=self.recipe["weight_decay"],
            fused=device.type in ("cpu", "cuda"),
        )
        self.scaler = self.precision.scaler()
        if self.scaler.is_enabled():
            self.optimiser.start_at_rest()
        with self._drawing():
            self.method = self._method(prepared.manifest["classes"], superior)
        self.history: list[Row] = []

    def _method(self, classes: int, superior: nn.Module | None) -> Method:
        name, batch_size = self.settings["method"], self.recipe["batch_size"]
        method, settings = load_method(name, self.settings["settings"])
        made = method(
            Setup(
                settings=settings,
                classes=classes,
                images=len(self.train),
                epochs=self.recipe["epochs"],
                steps=len(batch_sizes(len(self.train), batch_size)),
                batch_size=batch_size,
                seed=self.settings["seed"],
                device=self.precision.device,
                superior=self.stepping.frozen(superior) if superior else None,
                freeze=self.stepping.frozen,
            )
        )
        check_first_step(made, name, classes)
        return made

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch follows from, nested in dicts; the tensors are the live ones, not copies."""
        return {
            "student": self.student.state_dict(),
            "optimiser": self.optimiser.state_dict()["state"],
            "scaler": self.scaler.state_dict(),
            "method": self.method.state_dict(),
            "history": self.history,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up the `state` of a trainer of the same settings, data and superior model, from any device.

        Raises:
            KeyError, RuntimeError, ValueError: it is that of another kind of training.
        """
        self.student.load_state_dict(state["student"])
        self.optimiser.load_state_dict(self.optimiser.state_dict() | {"state": state["optimiser"]})
        for parameter, buffers in self.optimiser.state.items():
            for name, buffer in buffers.items():
                if isinstance(buffer, Tensor):
                    # The fused kernels walk through memory: buffers must be laid out like their parameters.
                    buffers[name] = torch.empty_like(parameter).copy_(buffer)
        self.scaler.load_state_dict(state["scaler"])
        self.method.load_state_dict(state["method"], self.student)
        self.history = list(state["history"])

    def run(self, report: Callable[[Row], None], check: Callable[[], None] = lambda: None) -> list[Row]:
        """Train all epochs that are still to train; returns the history of all.

        Args:
            report: gets each epoch's row of the history as it is done.
            check: called before each step; what it raises ends training.

        Raises:
            UserError: a loss term or a weight turned NaN or infinite.
        """
        for epoch in range(len(self.history), self.recipe["epochs"]):
            self.history.append(self.epoch(epoch, check))
            report(self.history[-1])
        return self.history

    def epoch(self, epoch: int, check: Callable[[], None] = lambda: None) -> Row:
        """Train one epoch (counted from 0); returns its row of the history."""
        started = time.perf_counter()
        rate = learning_rate(self.recipe, epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.student.train()
        log = []
        with self._drawing(epoch):
            self.method.begin_epoch(epoch)
            for batch in self._batches(epoch):
                check()
                log.append(self._step(batch))
            self.method.end_epoch(self.student)
        means = self._means(log, epoch)
        self._check_weights(epoch)
        seconds = time.perf_counter() - started
        last = epoch + 1 == self.recipe["epochs"]
        looked = last or (epoch + 1) % self.evaluate_every == 0
        return {
            "epoch": epoch + 1,
            "learning_rate": rate,
            **means,
            "test_error": self.test_error() if looked else None,
            "seconds": round(seconds, 3),
            "images_per_second": round(len(self.train) / seconds, 1),
        }

    @contextmanager
    def _drawing(self, *epoch: int) -> Iterator[None]:
        """Within, torch's own generator follows from the seed, and an epoch; afterwards it is as before.

        Nothing built in draws from it, but an extension may: dropout, weights of a method's own.
        """
        device = self.precision.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(torch_seed(self.settings["seed"], Stream.TORCH, *epoch))
            yield

    def _batches(self, epoch: int) -> Iterator[Batch]:
        settings, partners = self.settings, self.method.wants_partners
        return self.train.epoch(
            settings["seed"], epoch, self.recipe["batch_size"], settings["augmentation"], partners
        )

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        """One update of the student; returns the scalars to log, still on the device."""
        step = self.method.step(self.forward, batch)
        self.optimiser.zero_grad()
        self.scaler.scale(step.loss).backward()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        error = 100 * batch.targets.error(step.logits)
        # The terms come first: one that is not finite takes the loss with it, and should be the one that is named.
        scalars = {**step.terms, "loss": step.loss, "train_error": error}
        return {name: x.detach() for name, x in scalars.items()}

    def test_error(self) -> float:
        """Top-1 error of the student on the evaluation set, in percent."""
        self.student.eval()
        forward = self.precision.network(self.student)
        wrong = torch.zeros((), device=self.precision.device)
        with torch.inference_mode():
            for images, labels in self.test.evaluation():
                wrong += (forward(images).argmax(1) != labels).sum()
        return 100 * wrong.item() / len(self.test)

    def _means(self, log: list[dict[str, Tensor]], epoch: int) -> dict[str, float]:
        """Means of the logged scalars over the epoch's steps."""
        self._check_terms(log, epoch)
        names = list(log[0])
        if taken := RESERVED & set(names[:-2]):
            raise UserError(
                f"{self.settings['run']}: the method logs {', '.join(sorted(taken))}; history.csv has a column of this "
                "name already, so the term needs another"
            )
        # Here, at the end of an epoch, the host waits for the device for the first time.
        values = (
            torch.stack([torch.stack([scalars[name] for name in names]).float() for scalars in log])
            .cpu()
            .double()
        )
        if bad := first_not_finite(names, values.tolist()):
            name, step = bad
            value = values[step - 1, names.index(name)].item()
            self._diverged(f"{name} is {value} in epoch {epoch + 1}, step {step} of {len(values)}")
        return dict(zip(names, values.mean(0).tolist(), strict=True))

    def _check_terms(self, log: list[dict[str, Tensor]], epoch: int) -> None:
        """Refuse terms that have no column of their own in the history: it has one for each of the first step."""
        first, known = log[0].keys(), (self.history or log)[0].keys()
        for step, found in enumerate((scalars.keys() for scalars in log), 1):
            if odd := sorted(found ^ first) or sorted(found - known):
                logs = "logs" if odd[0] in found else "does not log"
                raise UserError(
                    f"{self.settings['run']}: {type(self.method).__name__}.step {logs} the term {odd[0]!r} in epoch "
                    f"{epoch + 1}, step {step}, unlike before; terms are columns of history.csv, so every step must "
                    "log the same"
                )

    def _check_weights(self, epoch: int) -> None:
        """Refuse weights and BatchNorm statistics that no loss has seen yet: those of an epoch's last step."""
        tensors = {name: x for name, x in self.student.state_dict().items() if x.is_floating_point()}
        finite = torch.stack([x.isfinite().all() for x in tensors.values()]).tolist()
        if bad := [name for name, good in zip(tensors, finite, strict=True) if not good]:
            self._diverged(f"{bad[0]} of the network is not finite after epoch {epoch + 1}")

    def _diverged(self, what: str) -> NoReturn:
        run = self.settings["run"]
        raise UserError(f"{run}: {what}; lower recipe.learning_rate, or look at the method's settings")


def learning_rate(recipe: dict[str, Any], epoch: int) -> float:
    """Learning rate in an epoch counted from 0: divided at every milestone reached."""
    reached = sum(epoch >= milestone for milestone in recipe["milestones"])
    rate: float = recipe["learning_rate"] * recipe["decay"] ** reached
    return rate


def precision_of(settings: dict[str, Any], device: torch.device) -> Precision:
    """The arithmetic and layout in which a run's network runs."""
    recipe, built_in = settings["recipe"], "extension" not in settings["model"]
    return Precision(recipe["precision"], device, recipe["channels_last"], fold=built_in)


def network(settings: dict[str, Any], prepared: Prepared, seed: int) -> nn.Module:
    """A freshly initialised network of the run's kind."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(settings["model"], prepared.manifest["classes"], prepared.channels)


def training_data(settings: dict[str, Any], prepared: Prepared, precision: Precision) -> TrainingData:
    """The training images that the run's settings choose.

    Raises:
        UserError: padded crops of images whose sizes differ.
    """
    kept, _ = _positions(settings, prepared)
    images, labels = prepared.images("train"), prepared.labels("train")
    data = TrainingData(prepared, settings["data"], images, labels, precision, kept)
    data.check_crops()
    return data


def test_data(settings: dict[str, Any], prepared: Prepared, precision: Precision) -> Images:
    """The evaluation set.

    Raises:
        UserError: an image is too small for the test transform.
    """
    images = Images(prepared, settings["data"], prepared.images("test"), prepared.labels("test"), precision)
    images.check_evaluation()
    return images


def holdout_data(settings: dict[str, Any], prepared: Prepared, precision: Precision) -> Images | None:
    """The training images held out from training; None where the study holds none out.

    Raises:
        UserError: an image is too small for the test transform.
    """
    _, held = _positions(settings, prepared)
    if not len(held):
        return None
    images = Images(
        prepared, settings["data"], prepared.images("train"), prepared.labels("train"), precision, held
    )
    images.check_evaluation()
    return images


def _positions(settings: dict[str, Any], prepared: Prepared) -> tuple[Any, Any]:
    data, labels = settings["data"], prepared.labels("train")
    try:
        return training_positions(labels, data["images_per_class"], data["holdout_per_class"])
    except UserError as error:
        raise UserError(f"data.{data['name']}: {error}") from None
