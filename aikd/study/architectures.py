"""The networks by name: what can be set of each. How they are built is in `aikd/models/`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aikd.study.fields import Section
from aikd.study.registry import Registry

SMALL_IMAGES = 64
"""Side, in pixels, up to which images are small: the paper has other networks for them."""


@dataclass(frozen=True)
class ModelSpec:
    """A network as a study knows it."""

    scale: str = ""
    """The setting that scales the channels of a built-in network."""
    settings: type[Section] = Section
    """Settings of an extension's network."""
    like: Mapping[str, Any] = field(default_factory=dict)
    """The built-in network whose cost stands for that of an extension's network: `architecture`, and its sizes."""


ARCHITECTURES: Registry[ModelSpec] = Registry(
    "architecture",
    {
        "preact_resnet18": ModelSpec("width"),
        "resnet18": ModelSpec("width"),
        "densenet121": ModelSpec("growth"),
        "densenet121_3x3": ModelSpec("growth"),
    },
)


def counted_as(model: Mapping[str, Any], side: int) -> Mapping[str, Any]:
    """The built-in network whose operations and memory are those of a network, or stand for them.

    Of an extension's network neither is known before it is built: what it is said to be like is counted, or else the
    paper's ResNet-18 for images of that side.

    Args:
        model: as a run's resolved settings have it.
        side: of the input, in pixels.
    """
    name = model["architecture"]
    if "extension" not in model:
        return model
    like = ARCHITECTURES[name].like if name in ARCHITECTURES else {}
    return like or {"architecture": "preact_resnet18" if side <= SMALL_IMAGES else "resnet18"}
