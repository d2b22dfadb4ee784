"""Files of one's own: methods, networks, augmentations and data sets that a study adds to those built in.

A file is run whenever a study that names it is read, and again where a run needs it, with the rights of whoever reads
it. What it adds holds until the next study is read. What was made or received is never run: nothing below results/
and data/, and no file of another kind.
"""

import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from aikd.errors import UserError
from aikd.messages import shown
from aikd.study.architectures import ARCHITECTURES, ModelSpec
from aikd.study.augmentation import AUGMENTATIONS
from aikd.study.catalogue import DATA_SETS, DataSet
from aikd.study.explain import explaining, located, show
from aikd.study.fields import NAME, Scalar, Section, flatten
from aikd.study.identity import identity
from aikd.study.methods import METHODS
from aikd.study.registry import Own, Registry, Source

REGISTRIES: tuple[Registry[Any], ...] = (METHODS, ARCHITECTURES, AUGMENTATIONS, DATA_SETS)

NEVER_RUN = ("results", "data")
"""Folders of the working directory that hold what was made or received."""

Thing = TypeVar("Thing", bound=Callable[..., Any])


@dataclass(frozen=True)
class _Added:
    """What a decorator was given."""

    registry: Registry[Any]
    name: str
    spec: Any
    implementation: Any


_added: list[_Added] = []
"""By the file that is being read."""

active: list["Extension"] = []
"""Those of the study that was read last."""


def model(
    name: str, *, settings: type[Section] = Section, like: str | Mapping[str, Any] | None = None
) -> Callable[[Thing], Thing]:
    """Adds a network: decorates a function of classes, channels and settings that returns a module.

    The module takes images [B, channels, H, W] and returns logits [B, classes], which its last linear layer makes; what
    that layer is given are the features.

    Args:
        name: the `architecture` in the study.
        settings: the class of its settings, each with a default.
        like: the built-in network whose cost stands for its own in plans and in what jobs ask of a cluster: a name, or
            `architecture` with `width` or `growth` and `blocks`; none: the paper's ResNet-18 for such images.

    Raises:
        UserError: the name is not a plain one, a setting has no default, or `like` names no built-in network.
    """
    check_settings(name, settings, Section)
    counted = {"architecture": like} if isinstance(like, str) else dict(like or {})
    if counted and counted.get("architecture") not in ARCHITECTURES.built_in:
        raise UserError(f"{name}: like: found {like!r}, allowed: {', '.join(sorted(ARCHITECTURES.built_in))}")
    takes = _takes("classes", "channels", "settings")
    return adds(ARCHITECTURES, name, ModelSpec(settings=settings, like=counted), takes)


def augmentation(name: str, *, settings: type[Section] = Section) -> Callable[[Thing], Thing]:
    """Adds an augmentation on top of crop and flip: decorates a function of a batch's images, a generator and settings.

    Images are normalised, float [B, 3, H, W], on the device. All chance is to come from the generator, NumPy's, which
    follows from the run's seed and the epoch alone. The function returns images of the same shape; where labels are
    mixed, too, images, partners and λ: image i then counts as λ of its own label and 1 - λ of that of `partners[i]`.

    Args:
        name: in the study.
        settings: the class of its settings, each with a default.

    Raises:
        UserError: the name is not a plain one, or a setting has no default.
    """
    check_settings(name, settings, Section)
    return adds(AUGMENTATIONS, name, settings, _takes("images", "rng", "settings"))


def data_set(name: str, facts: DataSet) -> Callable[[Thing], Thing]:
    """Adds a data set: decorates a function of nothing that returns the names of the classes, and its images.

    The images are a dict with `train` and `test`, of each uint8 [N, 3, H, W] and labels int64 [N], 0 to classes - 1.

    Args:
        name: in the study, and the folder of the prepared data.
        facts: what the study must know before it is prepared; preparing fails where its counts are others.

    Raises:
        UserError: the name is not a plain one, or the facts ask for images to be stored smaller.
    """
    if facts.stored_side is not None:
        raise UserError(f"{name}: stored_side has no meaning here; arrays are stored as they are")
    return adds(DATA_SETS, name, facts, _takes())


def adds(
    registry: Registry[Any], name: Any, spec: Any, check: Callable[[Any], None]
) -> Callable[[Thing], Thing]:
    """Adds what it decorates to those of its kind, for whoever reads the file.

    Args:
        check: refuses what training could not call.

    Raises:
        UserError: the name is none, not a plain one, or taken.
    """
    if not isinstance(name, str):  # it is what the decorator stands above
        written = "model" if registry is ARCHITECTURES else registry.kind
        called = getattr(name, "__name__", "name").lower()
        raise UserError(f'found @{written} without a name; it is written @{written}("{called}")')
    if not NAME.fullmatch(name):
        raise UserError(f"found the name {name!r}; allowed are lower-case letters, digits and _")
    if name in registry.built_in or any(
        added.registry is registry and added.name == name for added in _added
    ):
        raise UserError(f"{name}: there is a {registry.kind} of this name already; choose another")

    def add(thing: Thing) -> Thing:
        check(thing)
        _added.append(_Added(registry, name, spec, thing))
        return thing

    return add


def _takes(*wanted: str) -> Callable[[Any], None]:
    return lambda function: check_takes(getattr(function, "__name__", repr(function)), function, wanted)


def check_takes(where: str, function: Any, wanted: Sequence[str]) -> None:
    """Refuse what cannot be called with these arguments, given by position.

    Raises:
        UserError: it takes others, or is no function; begins with `where`.
    """
    if not callable(function):
        raise UserError(
            f"{where} must be a function of ({', '.join(wanted)}), found {type(function).__name__}"
        )
    try:
        signature = inspect.signature(function)
    except ValueError:  # of what is not written in Python nobody knows
        return
    try:
        signature.bind(*wanted)
    except TypeError:
        found = ", ".join(signature.parameters)
        raise UserError(f"{where} must take ({', '.join(wanted)}), found ({found})") from None


def check_settings(name: str, settings: type[Section], base: type[Section]) -> None:
    """Refuse settings that runs could not be named after, or of which a default is not allowed.

    Raises:
        UserError: names the setting.
    """
    if not (isinstance(settings, type) and issubclass(settings, base)):
        raise UserError(f"{name}: settings must be a subclass of {base.__name__}, found {settings!r}")
    with explaining(f"{name}: the defaults of {settings.__name__}", settings):
        defaults = settings()
        settings.model_validate(defaults.model_dump(warnings=False))  # pydantic takes defaults as they are
    for key, value in flatten(defaults.model_dump()).items():
        if not isinstance(value, Scalar | None):
            raise UserError(
                f"{name}: the default of {key} is {value!r}; allowed: a number, text, true, false or none"
            )


@dataclass(frozen=True)
class Extension:
    """A file that was read."""

    source: Source
    added: tuple[_Added, ...]
    slow: bool
    """Whether reading it loaded torch, for which everybody who reads the study waits."""

    def __str__(self) -> str:
        things = [f"{added.registry.kind} {added.name}" for added in self.added]
        return f"{self.source.file}: {', '.join(things)}"


def activate(files: Sequence[str]) -> None:
    """Read the files of a study; what they add takes the place of what those of any other study added.

    Raises:
        UserError: a file cannot be read, fails, adds nothing, or adds what is there already.
    """
    active.clear()
    for registry in REGISTRIES:
        registry.forget()
    check_files(files)
    for i, file in enumerate(files):
        with located(f"extensions.{i}"):
            extension = _read(file)
            for added in extension.added:
                if other := added.registry.own.get(added.name):
                    raise UserError(
                        f"{file}: {added.registry.kind} {added.name} is in {other.source.file} already"
                    )
            _register(extension)
            active.append(extension)


def check_files(files: Sequence[str]) -> None:
    """Refuse files that are never run, whatever is in them; looks at their names alone.

    Raises:
        UserError: a file does not end in .py, or lies in a folder of what was made or received.
    """
    for i, file in enumerate(files):
        with located(f"extensions.{i}"):
            _check_place(file)


def use(*parts: Mapping[str, Any]) -> None:
    """Read the files that parts of resolved settings name as their `extension`, unless they are read already.

    Raises:
        UserError: a file cannot be read, or its code is not that of the settings.
    """
    wanted = {_named(part["extension"]) for part in parts if "extension" in part}
    known = {own.source for registry in REGISTRIES for own in registry.own.values()}
    for source in sorted(wanted - known, key=lambda source: source.file):
        _register(_read(source.file, source.code))


def _named(found: Any) -> Source:
    try:
        return Source(**found)
    except TypeError:
        raise UserError(f"extension: found {show(found)}, but it should have file and code") from None


def _register(extension: Extension) -> None:
    for added in extension.added:
        added.registry.add(added.name, Own(added.spec, added.implementation, extension.source))


def _read(file: str, code: str | None = None) -> Extension:
    """Run a file, if its code is the one that is wanted; what it adds is not registered yet."""
    _check_place(file)
    try:
        text = Path(file).read_text(encoding="utf-8")
        found = identity(text)
    except SyntaxError as error:
        raise UserError(f"{file}:{error.lineno or 1}: {error.msg}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not Python in UTF-8"
        raise UserError(
            f"{file}: cannot be read ({reason}); paths are relative to the working directory"
        ) from None
    if code not in (None, found):
        raise UserError(
            f"{file}: found the code {found}, but the settings are of {code}: the file was changed since; start "
            "again, or bring the file back"
        )
    before = "torch" in sys.modules
    _added.clear()
    _run(file, text)
    added = tuple(_added)
    _added.clear()
    if not added:
        raise UserError(f"{file}: adds nothing; it should use one of the decorators of `aikd.extend`")
    return Extension(Source(file, found), added, slow="torch" in sys.modules and not before)


def _check_place(file: str) -> None:
    # An archive of somebody else's results fills these folders, and could have what it brings be run.
    if not file.endswith(".py"):
        raise UserError(f"{shown(file)}: an extension must end in .py")
    try:
        place, folders = Path(file).resolve(), {name: Path(name).resolve() for name in NEVER_RUN}
    except (OSError, ValueError, RuntimeError):  # a zero byte, or links in a circle
        raise UserError(f"{shown(file)}: no name of a file") from None
    for name, folder in folders.items():
        if place.is_relative_to(folder):
            raise UserError(
                f"{shown(file)}: lies below {name}/, of which nothing is run; move it to a folder of yours"
            )


def _run(file: str, text: str) -> None:
    # From the text that was looked at: no compiled file of an older state can take its place.
    module = ModuleType("extension_" + re.sub(r"\W", "_", file))
    module.__file__ = file
    sys.modules[module.__name__] = module  # pydantic and dataclasses look their modules up
    try:
        exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)
    except SyntaxError as error:  # what parsing does not see: return outside of a function
        raise UserError(f"{file}:{error.lineno or 1}: {error.msg}") from None
    except (Exception, SystemExit) as error:
        trace = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in reversed(trace) if frame.filename == file), 1)
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        message = " ".join(str(error).split()) or "no message"
        raise UserError(f"{file}:{line}: {kind}{message}") from None
