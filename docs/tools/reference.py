"""The reference of study files: every key with its type, default and meaning, from the schema itself."""

import json
from collections.abc import Iterator
from typing import Any

from aikd.study.catalogue import DATA_SETS, Transform
from aikd.study.fields import Section
from aikd.study.methods import METHODS
from aikd.study.schema import Study

Schema = dict[str, Any]

FREE = {
    ("DataEntry", "recipe"): "[keys of `recipe`](#recipe)",
    ("DataEntry", "transform"): "[keys of a transform](#dataname-transform)",
    ("MethodEntry", "settings"): "[the method's settings](#methodsname-settings)",
    ("When", "settings"): "[the method's settings](#methodsname-settings)",
    ("AblationRow", "settings"): "[the method's settings](#methodsname-settings)",
}
"""What stands in mappings of which the schema says no more: another model checks them, once it is known which."""

NAME = "^[a-z0-9][a-z0-9_]*$"


def part(which: str) -> str:
    """One of the generated parts of docs/study.md."""
    return {"keys": _study, "transform": _transform, "datasets": _datasets, "methods": _methods}[which]()


def _study() -> str:
    schema = Study.model_json_schema()
    parts = []
    for place, model, section in _sections(schema):
        title = f"## {place}" if place else "## Top level"
        parts += [title, section.get("description", ""), _table(model, section)]
    return "\n\n".join(filter(None, parts))


def _sections(schema: Schema) -> Iterator[tuple[str, str, Schema]]:
    """Where each section of a study may stand, its model's name, and its schema; each model once, from the top down."""
    waiting: list[tuple[str, str, Schema]] = [("", "Study", schema)]
    seen: set[str] = set()
    while waiting:
        place, model, section = waiting.pop(0)
        kind = section["properties"].get("kind", {}).get("const")
        yield f"{place}, kind: {kind}" if kind else place, model, section
        inner = []
        for key, value in section["properties"].items():
            for name, suffix in _references(value):
                if name not in seen:
                    seen.add(name)
                    inner.append((f"{place}.{key}{suffix}".lstrip("."), name, schema["$defs"][name]))
        waiting = inner + waiting


def _references(value: Any, suffix: str = "") -> Iterator[tuple[str, str]]:
    """Names of the models that a property may hold, and what stands between it and them: a name, an item of a list."""
    if not isinstance(value, dict):
        return
    if "$ref" in value:
        yield value["$ref"].rpartition("/")[2], suffix
    for key in ("anyOf", "oneOf"):
        for item in value.get(key, []):
            yield from _references(item, suffix)
    yield from _references(_values(value), f"{suffix}.NAME")
    yield from _references(value.get("items"), f"{suffix}.N")


def _values(value: Schema) -> Any:
    """What a mapping's values are; names that must look like names are patterns in the schema."""
    return next(iter(value.get("patternProperties", {}).values()), value.get("additionalProperties"))


def _table(model: str, section: Schema, defaults: bool = True) -> str:
    required = section.get("required", [])
    places = {name: place for place, name, _ in _sections(Study.model_json_schema())}
    rows = []
    for key, value in section.get("properties", {}).items():
        kind = FREE.get((model, key)) or _type(value, places)
        default = "**required**" if key in required else _default(value)
        cells = [
            f"`{key}`",
            kind,
            *([default] if defaults else []),
            " ".join(value.get("description", "").split()),
        ]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    if not rows:
        return "It has no keys."
    head = ["key", "type", *(["default"] if defaults else []), "meaning"]
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *rows])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _meaning(value: Schema) -> str:
    """A key's description in one line; outside code, what looks like a tag is to be seen."""
    parts = " ".join(value.get("description", "").split()).split("`")
    return "`".join(part if i % 2 else part.replace("<", "&lt;") for i, part in enumerate(parts))


def _default(value: Schema) -> str:
    default = value.get("default")
    if default is None:
        return "none"
    if isinstance(default, dict) and default:
        return "as below"
    if isinstance(default, str):
        return f"`{default}`" if default else "no text"
    return f"`{json.dumps(default, ensure_ascii=False)}`"


def _type(value: Schema, places: dict[str, str]) -> str:
    """A property's type in words."""
    if "$ref" in value:
        place = places[value["$ref"].rpartition("/")[2]]
        return f"[{place.partition(', kind: ')[2] or 'section'}](#{anchor(place)})"
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return "one of " + ", ".join(f"`{item}`" for item in value["enum"])
    if several := value.get("anyOf") or value.get("oneOf"):
        kinds = [_type(item, places) for item in several if item.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    return _plain(value, places)


def _plain(value: Schema, places: dict[str, str]) -> str:
    kind = value.get("type")
    if kind == "array":
        fixed = len(value["prefixItems"]) if "prefixItems" in value else value.get("minItems")
        items = value.get("items") or value.get("prefixItems", [{}])[0]
        number = f"{fixed} of " if fixed and fixed == value.get("maxItems") else ""
        return f"list of {number}{_type(items, places)}"
    if kind == "object":
        inner = _values(value)
        return f"mapping of NAME to {_type(inner, places)}" if isinstance(inner, dict) else "mapping"
    if kind == "string":
        pattern, form = value.get("pattern"), value.get("format")
        return "name" if pattern == NAME else "path" if form == "path" else "text"
    if kind in ("integer", "number"):
        return ("whole number" if kind == "integer" else "number") + _bounds(value)
    return {"boolean": "true or false"}.get(str(kind), "any value")


def _bounds(value: Schema) -> str:
    low, high = value.get("minimum"), value.get("maximum")
    above, below = value.get("exclusiveMinimum"), value.get("exclusiveMaximum")
    words = [
        f"≥ {low:g}" if low is not None else "",
        f"> {above:g}" if above is not None else "",
        f"≤ {high:g}" if high is not None else "",
        f"< {below:g}" if below is not None else "",
    ]
    return " " + ", ".join(filter(None, words)) if any(words) else ""


def anchor(title: str) -> str:
    """A heading's anchor, the same on GitHub and on the site."""
    kept = "".join(c for c in title.lower() if c.isalnum() or c in "_- ")
    return kept.replace(" ", "-") or "top-level"


def _transform() -> str:
    schema = Transform.model_json_schema()
    return _table("Transform", schema, defaults=False)


def _datasets() -> str:
    head = "| name | label | `category` | classes, images | training crop | test images | `stored_side` |"
    rows = []
    for name, found in DATA_SETS.items():
        t = found.transform
        crop = f"{t.size} pixels" + (
            f" after padding by {t.padding}" if t.crop == "padded" else ", random area and aspect"
        )
        test = f"short side {t.resize}, centre crop {t.size}" if t.resize else "as they are"
        counts = f"{found.classes}; {found.train:,} + {found.test:,}"
        flip = ", flip" if t.flip else ""
        cells = [
            f"`{name}`",
            found.label,
            found.category,
            counts,
            f"{crop}{flip}",
            test,
            str(found.stored_side or ""),
        ]
        rows.append(_row(*cells))
    return "\n".join([head, "|---|---|---|---|---|---|---:|", *rows])


def _methods() -> str:
    parts = []
    for name, spec in METHODS.items():
        keys = dict(_settings(spec.settings))
        doc = " ".join((spec.settings.__doc__ or "").split())
        table = (
            ["| setting | type | default | meaning |", "|---|---|---|---|", *keys.values()] if keys else []
        )
        parts += [f"### {name}", doc, "\n".join(table)]
    return "\n\n".join(filter(None, parts))


def _settings(model: type[Section], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted name of each setting, and its row."""
    schema = model.model_json_schema()
    for key, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from _settings(inner, f"{prefix}{key}.")
            continue
        value = schema["properties"][key]
        yield f"{prefix}{key}", _row(f"`{prefix}{key}`", _type(value, {}), _default(value), _meaning(value))
