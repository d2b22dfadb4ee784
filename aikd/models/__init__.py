"""The image classifiers of the paper (section 4.1) by name, at full size or scaled down."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from aikd.errors import UserError
from aikd.models.densenet import densenet121, densenet121_3x3
from aikd.models.preact_resnet import preact_resnet18
from aikd.models.resnet import resnet18
from aikd.study.architectures import ARCHITECTURES

BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "preact_resnet18": preact_resnet18,
    "resnet18": resnet18,
    "densenet121": densenet121,
    "densenet121_3x3": densenet121_3x3,
}
"""What builds each built-in architecture."""


def build(settings: Mapping[str, Any], classes: int, channels: int = 3) -> nn.Module:
    """A freshly initialised classifier of images [B, channels, H, W] that returns logits [B, classes].

    Args:
        settings: `architecture`, and optionally `width` (channels of a ResNet's first stage; 64) or `growth`
            (a DenseNet's growth rate; 32) and `blocks` (in each of four stages). Missing or None: full size. For an
            extension's network its own `settings`.
        classes: number of classes C.
        channels: channels of the images.

    Raises:
        UserError: an unknown architecture, a setting that it does not have, a size that is not positive, or an
            extension's network without a last linear layer of `classes` outputs.
    """
    architecture = str(settings.get("architecture"))
    if architecture not in ARCHITECTURES:
        raise UserError(f"architecture: found {architecture!r}, allowed: {', '.join(ARCHITECTURES)}")
    if architecture in ARCHITECTURES.own:
        return _own(architecture, settings.get("settings", {}), classes, channels)
    make, scale = BUILDERS[architecture], ARCHITECTURES[architecture].scale
    sizes = {key: settings[key] for key in ("width", "growth", "blocks") if settings.get(key) is not None}
    for key, value in sizes.items():
        _check(architecture, scale, key, value)
    return make(classes, channels, **sizes)


def _own(name: str, settings: Mapping[str, Any], classes: int, channels: int) -> nn.Module:
    own = ARCHITECTURES.own[name]
    model: nn.Module = own.implementation(classes, channels, own.spec.settings.model_validate(settings))
    outputs = classifier(model).out_features if isinstance(model, nn.Module) and _linear(model) else None
    if outputs != classes:
        found = f"one of {outputs}" if outputs else f"none in the {type(model).__name__} that it returned"
        raise UserError(
            f"{own.source.file}: {name}: the last linear layer must have {classes} outputs, one for each class; "
            f"found {found}"
        )
    return model


def classifier(model: nn.Module) -> nn.Linear:
    """The last linear layer of a model, the one that makes the logits, whatever the model calls it.

    Raises:
        ValueError: the model has no linear layer.
    """
    if not (linear := _linear(model)):
        raise ValueError(f"{type(model).__name__} has no linear layer")
    return linear[-1]


def _linear(model: nn.Module) -> list[nn.Linear]:
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


def logits_and_features(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [B, C] and penultimate features [B, F], the input of the last linear layer, in one pass."""
    features: list[Tensor] = []
    hook = classifier(model).register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    try:
        logits = model(images)
    finally:
        hook.remove()
    return logits, features[0]


def _check(architecture: str, scale: str, key: str, value: Any) -> None:
    if key not in (scale, "blocks"):
        raise UserError(f"{key}: found {value!r}, but {architecture} has only {scale} and blocks to set")
    if key == scale and not _is_count(value):
        raise UserError(f"{key}: found {value!r}, allowed: a whole number of at least 1")
    if key == "blocks" and not _is_four_counts(value):
        raise UserError(f"blocks: found {value!r}, allowed: four whole numbers of at least 1")


def _is_four_counts(value: Any) -> bool:
    return isinstance(value, Sequence) and len(value) == 4 and all(map(_is_count, value))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
