"""What claims compare: a method with its settings, as a run's path says it."""

import json
from functools import cache
from typing import NamedTuple

from aikd.errors import UserError
from aikd.study.fields import Scalar
from aikd.study.methods import METHODS
from aikd.study.run import STANDARD, Run

PAPER_METHODS = ("baseline", "cskd", "tfkd", "pskd", "aikd")
"""Methods that the paper speaks of, by their names in the study."""
SCALED = "+TS"
"""Behind a method: its metrics after temperature scaling."""
NAMES = {
    "aikd/omega=0": "No Adv",
    "aikd/alpha_g=0,omega=0": "Only Progressive",
    "aikd/alpha_p=0,omega=0": "Only Guide",
    "aikd/cutout": "AI-KD + Cutout",
    "aikd/mixup": "AI-KD + Mixup",
    "aikd/cutmix": "AI-KD + CutMix",
}
"""What the paper calls some variants; others go by their settings."""


class Arm(NamedTuple):
    """A method with its settings: one side of a comparison."""

    label: str
    method: str
    """By its name in the study."""
    settings: tuple[tuple[str, Scalar], ...] = ()
    augmentation: str = STANDARD
    scaled: bool = False


@cache
def arm(text: str) -> Arm:
    """A method as claims write it: `METHOD[/SETTING=VALUE,…][/AUGMENTATION][+TS]`.

    Raises:
        UserError: there is no such method, setting or augmentation.
    """
    malformed = UserError(f"{text!r}: expected METHOD[/SETTING=VALUE,…][/AUGMENTATION][+TS]")
    plain = text.removesuffix(SCALED)
    method, *parts = plain.split("/")
    said = parts.pop(0) if parts and "=" in parts[0] else ""
    augmentation = parts.pop(0) if parts else STANDARD
    if parts:
        raise malformed
    try:
        pairs = [pair.split("=") for pair in said.split(",") if pair]
        settings: dict[str, Scalar] = {key: json.loads(value) for key, value in pairs}
    except ValueError:
        raise malformed from None
    Run("data", "model", method, settings, augmentation)  # complains of what there is not
    name = NAMES.get(plain) or ", ".join(
        filter(
            None,
            [METHODS[method].label, *(f"{key} = {settings[key]}" for key in settings), *_added(augmentation)],
        )
    )
    suffix = " + TS" if text.endswith(SCALED) else ""
    return Arm(name + suffix, method, tuple(sorted(settings.items())), augmentation, bool(suffix))


def _added(augmentation: str) -> list[str]:
    return [] if augmentation == STANDARD else [augmentation]
