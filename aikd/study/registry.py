"""What a study may name: methods, networks, augmentations and data sets, built in or of its extensions."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """The extension that something comes from: what a run's resolved settings say of it."""

    file: str
    """Path of the file, as the study gives it."""
    code: str
    """What tells one state of its code from another (`identity`)."""


@dataclass(frozen=True)
class Own(Generic[T]):
    """Something that an extension adds."""

    spec: T
    implementation: Any
    """The class or function that the extension has for it."""
    source: Source


class Registry(dict[str, T]):
    """Everything of one kind by its name; what extensions added stands in `own`, too."""

    def __init__(self, kind: str, built_in: Mapping[str, T]) -> None:
        super().__init__(built_in)
        self.kind, self.built_in = kind, frozenset(built_in)
        self.own: dict[str, Own[T]] = {}

    def add(self, name: str, own: Own[T]) -> None:
        """Add something of an extension."""
        self[name], self.own[name] = own.spec, own

    def forget(self) -> None:
        """Keep only what is built in."""
        for name in self.own:
            del self[name]
        self.own.clear()

    def extension(self, name: str) -> dict[str, dict[str, str]]:
        """What resolved settings say of where this comes from: nothing for what is built in."""
        return {"extension": asdict(self.own[name].source)} if name in self.own else {}
