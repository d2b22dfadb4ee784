"""An extension's method: looked at when its file is read, and once more in the first step of training."""

import inspect
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from aikd.errors import UserError
from aikd.methods.base import IN_STEP, Batch, Method, Network, Setup, Step
from aikd.study.extensions import adds, check_settings, check_takes
from aikd.study.methods import METHODS, MethodSettings, MethodSpec

Thing = TypeVar("Thing", bound=Callable[..., Any])

CALLED = ("__init__", "step", "begin_epoch", "end_epoch", "state_dict", "load_state_dict")
"""Functions of a method that training calls."""


def method(
    name: str, *, label: str | None = None, settings: type[MethodSettings] = MethodSettings
) -> Callable[[Thing], Thing]:
    """Adds a training method: decorates a subclass of `aikd.extend.Method`.

    Args:
        name: in the study, and in the paths of its runs.
        label: in tables and figures, unless the study has another; none: the name.
        settings: the class of its settings, each with a default.

    Raises:
        UserError: the name is not a plain one, a setting has no default that a run's path can hold, or, when it
            decorates, what training calls is not there or takes other arguments.
    """
    check_settings(name, settings, MethodSettings)
    return adds(METHODS, name, MethodSpec(label or name, settings), _check_class)


def _check_class(found: Any) -> None:
    name = getattr(found, "__name__", repr(found))
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise UserError(f"{name} must be a subclass of aikd.extend.Method")
    if missing := sorted(found.__abstractmethods__):
        lacks = [
            f"{lack}({', '.join(inspect.signature(getattr(found, lack)).parameters)})" for lack in missing
        ]
        own = [key for key, value in vars(found).items() if inspect.isfunction(value) and key not in CALLED]
        raise UserError(
            f"{name} must have {', '.join(lacks)}" + (f"; it has {', '.join(own)}" if own else "")
        )
    for called in CALLED:
        bound = isinstance(inspect.getattr_static(found, called), staticmethod | classmethod)
        wanted = list(inspect.signature(getattr(Method, called)).parameters)
        check_takes(f"{name}.{called}", getattr(found, called), wanted[1:] if bound else wanted)


def check_first_step(method: Method, name: str, classes: int) -> None:
    """Have a look at what the first step of an extension's method returns; those that follow are called as they are.

    Args:
        name: of the method; of those built in nothing is looked at.

    Raises:
        UserError: in the first step, if that is not a scalar loss, logits [B, classes] and scalars to log, or if it
            asks of the student, or of a superior model, what is not there.
    """
    if not (own := METHODS.own.get(name)):
        return
    step, where = method.step, f"{own.source.file}: {type(method).__name__}.step"

    def first(student: Network, batch: Batch) -> Step:
        del vars(method)["step"]  # the class's own from now on
        try:
            found = step(student, batch)
        except (AttributeError, TypeError) as error:
            _check_given(where, error, student, method.setup)
            raise
        _check_step(where, found, [len(batch.images), classes])
        return found

    vars(method)["step"] = first


def _check_given(where: str, error: Exception, student: Network, setup: Setup) -> None:
    """Refuse what asks for something that a step is not given; any other error is the method's own."""
    if isinstance(error, AttributeError) and error.obj is student:
        raise UserError(f"{where}: student.{error.name}: {IN_STEP}") from None
    line = traceback.extract_tb(error.__traceback__)[-1].line or ""
    if setup.superior is None and "'NoneType'" in str(error) and "setup.superior" in line:
        settings = type(setup.settings).__name__
        raise UserError(
            f"{where}: setup.superior is None, as needs_superior of {settings} is false"
        ) from None


def _check_step(where: str, found: Any, shape: list[int]) -> None:
    """Refuse what is no step; `shape` is that of the logits."""
    if not isinstance(found, Step):
        raise UserError(f"{where} must return Step(loss, logits, terms), returned {type(found).__name__}")
    if _shape(found.loss) != []:
        raise UserError(f"{where}: loss must be a scalar tensor, found {_words(found.loss)}")
    if not found.loss.requires_grad:
        raise UserError(
            f"{where}: loss has no gradient; it must follow from what student(batch.images) returns"
        )
    if _shape(found.logits) != shape:
        raise UserError(f"{where}: logits must be a tensor of shape {shape}, found {_words(found.logits)}")
    if not isinstance(found.terms, dict):
        raise UserError(f"{where}: terms must be a dict of scalar tensors, found {_words(found.terms)}")
    for key, value in found.terms.items():
        if not isinstance(key, str) or _shape(value) != []:
            raise UserError(
                f"{where}: terms[{key!r}] must be a scalar tensor by its name, found {_words(value)}"
            )


def _shape(value: Any) -> list[int] | None:
    import torch

    return list(value.shape) if isinstance(value, torch.Tensor) else None


def _words(value: Any) -> str:
    shape = _shape(value)
    return type(value).__name__ if shape is None else f"a tensor of shape {shape}"
