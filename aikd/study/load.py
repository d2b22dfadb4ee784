"""Reads a study, so that nothing wrong in it is found only after hours of training."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from aikd.errors import UserError
from aikd.study import extensions
from aikd.study.check import check_references
from aikd.study.explain import allowed, explaining, show
from aikd.study.schema import Study


def load_study(path: Path) -> Study:
    """The study in a YAML file.

    Raises:
        UserError: the file cannot be read, or something in it is not allowed; names the file and the key.
    """
    with _of(path):
        return check_study(parsed(path))


def check_keys(path: Path) -> None:
    """Refuse a study in which a key stands twice: Snakemake, which reads the file for itself, keeps the second.

    Raises:
        UserError: one does, or the file holds no study; names the file.
    """
    with _of(path):
        _mapping(parsed(path))


def named_extensions(content: bytes, where: str) -> list[str]:
    """The extensions that a study in YAML names. They are not run, and nothing else of it is checked but its keys.

    Raises:
        UserError: it is no YAML, has a key that no study has, or names as an extension what is never run; begins with
            `where`.
    """
    with _of(where):
        data = _mapping(_loaded(content))
        # Snakemake would take a study for a template, and run the code in it, for one key that ours do not have.
        for key in data.keys() - Study.model_fields.keys():
            allowed("key", key, Study.model_fields)
        files = data.get("extensions", [])
        if not _is_names(files):
            raise UserError(f"extensions: found {show(files)}, but it should be a list of names of files")
        extensions.check_files(files)
    return files


@contextmanager
def _of(where: Path | str) -> Iterator[None]:
    """Within, errors begin with where they were found."""
    try:
        yield
    except UserError as error:
        raise UserError("\n".join(f"{where}: {line}" for line in str(error).splitlines())) from None
    except RecursionError:
        raise UserError(f"{where}: nested too deeply, or a value that contains itself") from None


def check_study(data: Any) -> Study:
    """The study in parsed YAML, with every reference, setting and run in it checked.

    Raises:
        UserError: names each offending key with its full path, what was found and what is allowed.
    """
    files = _mapping(data).get("extensions")
    # Before the schema, which asks for the names that they add; what is no list of files it refuses itself.
    extensions.activate(files if _is_names(files) else [])
    with explaining("", Study):
        study = Study.model_validate(data)
    check_references(study)
    return study


def _mapping(data: Any) -> dict[Any, Any]:
    if not isinstance(data, dict):
        raise UserError(f"a study is a mapping of keys, found {type(data).__name__}")
    return data


def _is_names(files: Any) -> TypeGuard[list[str]]:
    return isinstance(files, list) and all(isinstance(file, str) for file in files)


def parsed(path: Path) -> Any:
    """What a YAML file holds, in which no key stands twice.

    Raises:
        UserError: it cannot be read, or is not YAML.
    """
    try:
        return _loaded(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})") from None


def _loaded(content: bytes) -> Any:
    try:
        return yaml.load(content.decode(), Loader=_StrictLoader)
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
