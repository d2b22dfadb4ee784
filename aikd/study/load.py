"""Reads a study, so that nothing wrong in it is found only after hours of training."""

from pathlib import Path
from typing import Any

import yaml

from aikd.errors import UserError
from aikd.study.check import check_references
from aikd.study.explain import explaining
from aikd.study.schema import Study


def load_study(path: Path) -> Study:
    """The study in a YAML file.

    Raises:
        UserError: the file cannot be read, or something in it is not allowed; names the file and the key.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    try:
        return check_study(data)
    except UserError as error:
        raise UserError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from None


def check_study(data: Any) -> Study:
    """The study in parsed YAML, with every reference, setting and run in it checked.

    Raises:
        UserError: names each offending key with its full path, what was found and what is allowed.
    """
    if not isinstance(data, dict):
        raise UserError(f"a study is a mapping of keys, found {type(data).__name__}")
    with explaining("", Study):
        study = Study.model_validate(data)
    check_references(study)
    return study


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key stands once: the second would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: the key {key!r} stands twice")
            seen.add(key)
        return super().construct_mapping(node, deep)
