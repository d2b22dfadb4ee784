"""Building blocks of the study's schema: a base model that refuses unknown keys, and numbers as YAML writes them."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict

from aikd.study.explain import show

Scalar = bool | int | float | str

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def _typed(value: Any) -> Any:
    """A number or truth value that arrived as text.

    YAML 1.1 reads `5e-4` as a string (it wants `5.0e-4`), and Snakemake hands on the values inside
    `--config 'seeds=[0]'` as strings; everybody means the number.
    """
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    if _NUMBER.fullmatch(value):
        return int(value) if value.lstrip("+-").isdecimal() else float(value)
    return value


def _setting_value(value: Any) -> Any:
    if not isinstance(value, Scalar):
        raise ValueError(f"found {show(value)}; allowed: a number, text, true or false")
    return _typed(value)


def mirror(text: str) -> str:
    """A folder or base URL that has archives, as it was given.

    Raises:
        ValueError: it can be neither.
    """
    scheme, slashes, _ = text.partition("://")
    if not text.strip() or (slashes and scheme not in ("http", "https")):
        raise ValueError(f"found {text!r}; allowed: a folder, or a URL that begins with http:// or https://")
    return text


def _plain(text: str, allowed: str = "") -> str:
    """A text without characters that end lines or ring bells, which no table can show."""
    odd = [c for c in text if unicodedata.category(c) == "Cc" and c not in allowed]
    if odd:
        raise ValueError(
            f"found {show(text)}, but it should be without control characters (U+{ord(odd[0]):04X})"
        )
    return text


def _caption(text: str) -> str:
    return _plain(text, allowed="\n\t")


def _label(text: str) -> str:
    if not text.strip():
        raise ValueError(f"found {show(text)}, but a label should have characters that can be seen")
    return _plain(text)


# Typed comes last: bounds after it would be missing from the JSON schema.
Typed = BeforeValidator(_typed)
NonNegative = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False), Typed]
Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False), Typed]
Fraction = Annotated[float, Strict(), Field(ge=0, le=1, allow_inf_nan=False), Typed]
Whole = Annotated[int, Strict(), Field(ge=0), Typed]
Count = Annotated[int, Strict(), Field(ge=1), Typed]
Blocks = Annotated[int, Strict(), Field(ge=1, le=1000), Typed]
Several = Annotated[int, Strict(), Field(ge=2), Typed]
Flag = Annotated[bool, Strict(), Typed]
Mirror = Annotated[str, AfterValidator(mirror)]
Caption = Annotated[str, AfterValidator(_caption)]
Label = Annotated[str, AfterValidator(_label)]
SettingValue = Annotated[Scalar, BeforeValidator(_setting_value)]
# Names become folders, wildcards and LaTeX labels, so they stay plain.
NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
Name = Annotated[str, Field(pattern=f"^{NAME.pattern}$", max_length=64)]
Names = Annotated[list[Name], Field(min_length=1)]


class Section(BaseModel):
    """A part of the study: frozen, and every key in it must be known."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"critic": {"norm": "layer"}}` → `{"critic.norm": "layer"}`; an empty section stays as it is."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, dict) and value else {name: value}
    return flat


def unflatten(flat: dict[str, Any]) -> dict[str, Any]:
    """`{"critic.norm": "layer"}` → `{"critic": {"norm": "layer"}}`; a key may be nested already.

    Raises:
        ValueError: a key is given twice, or both as a value and as a section.
    """
    nested: dict[str, Any] = {}
    for key, value in _leaves(flat):
        where: Any = nested
        for section in key if value == {} else key[:-1]:
            where = where.setdefault(section, {})
            if not isinstance(where, dict):
                raise ValueError(f"{'.'.join(key)!r}: {section!r} has a value already")
        if value != {}:
            if key[-1] in where:
                raise ValueError(f"{'.'.join(key)!r} is given more than once")
            where[key[-1]] = value
    return nested


def _leaves(nested: dict[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Keys, split at their dots, with their values; an empty section counts as a value."""
    for name, value in nested.items():
        key = (*prefix, *str(name).split("."))
        if isinstance(value, dict) and value:
            yield from _leaves(value, key)
        else:
            yield key, value
