"""Reads a study, so that nothing wrong in it is found only after hours of training."""

from pathlib import Path
from typing import Any

import yaml

from aikd.errors import UserError
from aikd.study import extensions
from aikd.study.check import check_references
from aikd.study.explain import explaining
from aikd.study.schema import Study


def load_study(path: Path) -> Study:
    """The study in a YAML file.

    Raises:
        UserError: the file cannot be read, or something in it is not allowed; names the file and the key.
    """
    try:
        return check_study(parsed(path))
    except UserError as error:
        raise UserError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply, or a value that contains itself") from None


def check_study(data: Any) -> Study:
    """The study in parsed YAML, with every reference, setting and run in it checked.

    Raises:
        UserError: names each offending key with its full path, what was found and what is allowed.
    """
    if not isinstance(data, dict):
        raise UserError(f"a study is a mapping of keys, found {type(data).__name__}")
    files = data.get("extensions")
    # Before the schema, which asks for the names that they add; what is no list of files it refuses itself.
    extensions.activate(files if isinstance(files, list) and all(isinstance(f, str) for f in files) else [])
    with explaining("", Study):
        study = Study.model_validate(data)
    check_references(study)
    return study


def parsed(path: Path) -> Any:
    """What a YAML file holds, in which no key stands twice.

    Raises:
        UserError: it cannot be read, or is not YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"cannot be read ({error})") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:
        # PyYAML lets errors of its conversions through: the date 2024-13-45 is a ValueError.
        raise UserError(f"not YAML: {' '.join(str(error).split())}") from None


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key stands once: the second would silently win."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: the key {key.value!r} stands twice")
            seen.add((key.tag, key.value))
        return node
