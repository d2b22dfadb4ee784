"""A run is what it is: data set, model, method, settings that differ from the defaults, augmentation, seed."""

import json
import re
from dataclasses import dataclass, fields
from typing import Any, Self
from urllib.parse import quote, unquote

from aikd.errors import UserError
from aikd.study.augmentation import AUGMENTATIONS
from aikd.study.explain import allowed, explaining
from aikd.study.fields import NAME, Scalar, flatten, unflatten
from aikd.study.methods import METHODS, MethodSettings, method_spec

STANDARD = "standard"
_SEED = re.compile(r"seed(0|[1-9][0-9]{0,99})")


@dataclass(frozen=True, order=True)
class Run:
    """One training run. Equal runs are equal objects with one path, however their settings were written.

    `settings` may be given as a mapping, nested or dotted; it is kept as sorted pairs of dotted keys, without
    those equal to the method's defaults.

    Raises:
        UserError: an unknown method, setting or augmentation, a value out of range, a negative seed.
    """

    dataset: str
    model: str
    method: str
    settings: Any = ()
    augmentation: str = STANDARD
    seed: int = 0

    def __post_init__(self) -> None:
        spec = method_spec(self.method)
        if self.augmentation not in AUGMENTATIONS:
            allowed("augmentation", self.augmentation, AUGMENTATIONS)
        if self.seed < 0:
            raise UserError(f"seed: found {self.seed}, allowed are whole numbers from 0")
        with explaining(f"{self.method} settings", spec.settings):
            full = spec.check(unflatten(dict(self.settings)))
        defaults = flatten(spec.defaults.model_dump())
        differing = {
            key: value
            for key, value in flatten(full.model_dump()).items()
            if key not in full.derived and value != defaults[key]
        }
        object.__setattr__(self, "settings", tuple(sorted(differing.items())))

    @property
    def full_settings(self) -> MethodSettings:
        """The method's settings, defaults included."""
        return method_spec(self.method).check(unflatten(dict(self.settings)))

    @property
    def superior(self) -> Self | None:
        """The run whose model is this run's superior S^Sup: Baseline on the same data, model and seed (section 3.1).

        None where the method and its weights have no use for one.
        """
        if not self.full_settings.needs_superior:
            return None
        return type(self)(self.dataset, self.model, "baseline", seed=self.seed)

    @property
    def path(self) -> str:
        """Readable folder, relative to the study's runs: `cifar100/preact_resnet18/aikd/omega=0.25/seed1`."""
        parts = [self.dataset, self.model, self.method]
        if self.settings:
            parts.append(",".join(f"{key}={_text(value)}" for key, value in self.settings))
        if self.augmentation != STANDARD:
            parts.append(self.augmentation)
        return "/".join([*parts, f"seed{self.seed}"])

    @classmethod
    def of_settings(cls, settings: dict[str, Any], *, written: bool = False) -> Self:
        """The run that resolved settings name, by its canonical path.

        Raises:
            UserError: see `from_path`.
        """
        found = str(settings.get("run"))
        run = cls.from_path(found, written=written)
        if run.path != found:
            raise UserError(f"--settings: run is {found!r}, its canonical form is {run.path!r}; give that")
        return run

    @classmethod
    def from_path(cls, path: str, *, written: bool = False) -> Self:
        """The run whose path this is.

        Args:
            written: it is taken from what a study has asked for. A method or augmentation that is not built in is then
                an extension's, taken at its word: results are read without running, or having, the extension's file.

        Raises:
            UserError: not the path of a run, or not its canonical form.
        """
        parts = path.strip("/").split("/")
        seed = _SEED.fullmatch(parts[-1])
        malformed = UserError(
            f"run {path!r}: expected DATASET/MODEL/METHOD[/SETTING=VALUE,…][/AUGMENTATION]/seedN, "
            "for example cifar100/preact_resnet18/aikd/omega=0.25/seed1"
        )
        if len(parts) < 4 or not all(parts) or not seed:
            raise malformed
        dataset, model, method, *rest = parts[:-1]
        settings: dict[str, Scalar] = {}
        if rest and "=" in rest[0]:
            settings = dict(_setting(pair, path) for pair in rest.pop(0).split(","))
        augmentation = rest.pop(0) if rest else STANDARD
        if rest:
            raise malformed
        known = method in METHODS.built_in and augmentation in AUGMENTATIONS.built_in
        if written and not (known or (NAME.fullmatch(method) and NAME.fullmatch(augmentation))):
            raise malformed
        make = cls._unchecked if written and not known else cls
        run = make(dataset, model, method, settings, augmentation, int(seed[1]))
        if run.path != path.strip("/"):
            raise UserError(f"run {path!r}: the canonical path of this run is {run.path!r}")
        return run

    @classmethod
    def _unchecked(cls, *values: Any) -> Self:
        """A run of which no more is known than what its path says."""
        run = object.__new__(cls)
        for field, value in zip(fields(cls), values, strict=True):
            pairs = tuple(sorted(value.items())) if field.name == "settings" else value
            object.__setattr__(run, field.name, pairs)
        return run


def _text(value: Scalar) -> str:
    if isinstance(value, str):
        return quote(value, safe="")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value)


def _setting(pair: str, path: str) -> tuple[str, Scalar]:
    key, equals, text = pair.partition("=")
    if not (key and equals and text):
        raise UserError(f"run {path!r}: {pair!r} is not SETTING=VALUE")
    try:
        value: Scalar = json.loads(text)
    except ValueError:
        value = unquote(text)
    return key, value
