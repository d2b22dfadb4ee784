"""Turns what the schema refuses into one message a person can act on."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import NoneType, UnionType
from typing import Annotated, Any, NoReturn, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from aikd.errors import UserError


def nearest(found: str, names: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing where no name is close."""
    match = difflib.get_close_matches(found, list(names), n=1, cutoff=0.6)
    return f" (did you mean {match[0]!r}?)" if match else ""


def allowed(key: str, found: Any, names: Iterable[str]) -> NoReturn:
    """Refuse a name that is not among those allowed.

    Raises:
        UserError: always.
    """
    names = list(names)
    raise UserError(f"{key}: found {show(found)}{nearest(str(found), names)}; allowed: {', '.join(names)}")


def show(value: Any) -> str:
    """A value as the user wrote it, cut short."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):  # a key that is no text, or a value that contains itself
        text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


@contextmanager
def explaining(where: str, model: type[BaseModel]) -> Iterator[None]:
    """Within this context a ValidationError of `model`, or a ValueError, becomes a UserError that starts at `where`.

    `where` names what is being checked; it is empty at the top of a study.
    """
    try:
        yield
    except ValidationError as error:
        lines = dict.fromkeys(_line(where, model, detail) for detail in error.errors(include_url=False))
        raise UserError("\n".join(lines)) from None
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None


@contextmanager
def located(where: str) -> Iterator[None]:
    """Within this context each line of a UserError begins with where in the study it belongs."""
    try:
        yield
    except UserError as error:
        raise UserError("\n".join(f"{where}: {line}" for line in str(error).splitlines())) from None


_EXPECTED = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "a mapping of keys"),
    **dict.fromkeys(("list_type", "tuple_type"), "a list"),
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
}


IN_WORDS = {
    "^[a-z0-9][a-z0-9_]*$": "begin with a lower-case letter or digit, and go on with these and _ only",
    "^[0-9a-f]{64}$": "be 64 of the digits 0-9 and a-f",
}
"""What the schema's patterns ask of a text."""


def _line(where: str, model: type[BaseModel], detail: ErrorDetails) -> str:
    names, section = _follow(model, detail["loc"])
    if detail["type"].startswith("union_tag"):
        names.append("kind")
    path = ".".join(filter(None, [where, *names])) or model.__name__.lower()
    kind, found, context = detail["type"], show(detail["input"]), detail.get("ctx", {})
    if kind == "extra_forbidden":
        known = sorted(section.model_fields) if section else []
        return f"{path}: unknown key{nearest(names[-1], known)}; allowed: {', '.join(known) or 'no key'}"
    if kind in ("missing", "union_tag_not_found"):
        return f"{path}: missing, and required"
    if kind in ("literal_error", "union_tag_invalid"):
        options = re.findall(r"'([^']*)'", context.get("expected") or context.get("expected_tags", ""))
        tag = context.get("tag", detail["input"])
        return f"{path}: found {show(tag)}{nearest(str(tag), options)}; allowed: {', '.join(options)}"
    if kind == "value_error":
        return f"{path}: {context['error']}"
    if kind in _EXPECTED:
        message = f"it should be {_EXPECTED[kind]}"
    elif words := IN_WORDS.get(context.get("pattern", "")):
        message = f"it should {words}"
    else:
        message = detail["msg"].replace("Input should", "it should").replace(" after validation", "")
        message = message[0].lower() + message[1:]
    return f"{path}: found {found}, but {message}"


def _follow(
    model: type[BaseModel], location: tuple[int | str, ...]
) -> tuple[list[str], type[BaseModel] | None]:
    """Keys as the user wrote them along a location, and the section in which the last of them stands."""
    names: list[str] = []
    here: Any = model
    section: type[BaseModel] | None = None
    for part in location:
        here = _unwrapped(here)
        if isinstance(here, tuple):  # one of several sections: pydantic names which, the user did not
            here = next((m for m in here if part in get_args(m.model_fields["kind"].annotation)), None)
            continue
        if part == "[key]":
            continue
        names.append(str(part).replace("\n", "\\n"))
        if isinstance(here, type) and issubclass(here, BaseModel):
            section = here
            field = here.model_fields.get(str(part))
            here = field.annotation if field else None
        else:  # a mapping or a list: its values are of the last type argument
            section, arguments = None, get_args(here)
            here = next((a for a in reversed(arguments) if a is not Ellipsis), None)
    return names, section


def _unwrapped(annotation: Any) -> Any:
    """An annotation without Annotated and None; a union of sections becomes the tuple of them."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        members = [_unwrapped(a) for a in get_args(annotation) if a is not NoneType]
        if len(members) == 1:
            return members[0]
        return tuple(m for m in members if isinstance(m, type) and issubclass(m, BaseModel)) or None
    return annotation
