"""The state of a training run on disk: whole or not there, checked when it is read, and without pickle."""

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from aikd.engine.adoption import TRAINED
from aikd.files import write_bytes
from aikd.records import file_digest, saved_epochs
from aikd.study.layout import STATES

KEPT = 2
"""States that are kept: the newest, and one to fall back on."""

_PLAIN = (str, int, float, bool, type(None))


class DamagedError(Exception):
    """A state file is not what was written."""


@dataclass(frozen=True)
class Snapshot:
    """A copy, in host memory, of nested dicts, lists and tuples of tensors and plain values."""

    tensors: dict[str, Tensor]
    """By their place in the tree."""
    text: str
    """JSON of all the rest, which says where the tensors belong."""

    @classmethod
    def of(cls, tree: dict[str, Any]) -> "Snapshot":
        """Copy a tree. Floats come back to the bit; so do the keys of dicts, strings or whole numbers.

        Raises:
            TypeError: something in it is neither a tensor nor plain.
        """
        tensors: dict[str, Tensor] = {}
        return cls(tensors, json.dumps(_encode(tree, "", tensors)))

    def tree(self) -> dict[str, Any]:
        """The tree, with tensors of its own."""
        tree: dict[str, Any] = _decode(json.loads(self.text), self.tensors)
        return tree

    def digest(self) -> str:
        """SHA-256 of all of it: names, types, shapes and bytes of the tensors, and the text."""
        found = hashlib.sha256(self.text.encode())
        for name, tensor in sorted(self.tensors.items()):
            found.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
            found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
        return found.hexdigest()

    def save(self, path: Path) -> None:
        """Write it to a file, atomically.

        Raises:
            OSError: there is no room, or no permission; what stood there still does.
        """
        # In one piece from memory, as the library's own writer hides the system's error.
        write_bytes(path, save(self.tensors, {"state": self.text, "sha256": self.digest()}))

    @classmethod
    def load(cls, path: Path) -> "Snapshot":
        """Read a file that `save` wrote.

        Raises:
            DamagedError: a single bit of it is not as written.
            OSError: it cannot be read, which says nothing of what is in it.
        """
        try:
            file_digest(path)  # all of it, as the library calls the system's errors the same as damage
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                # Copies: the file may go while they are in use.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            found, written = cls(tensors, metadata["state"]), metadata["sha256"]
        except (KeyError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
            raise DamagedError(" ".join(str(error).split())[:200]) from None
        if found.digest() != written:
            raise DamagedError("its content is not what was written")
        return found


def _encode(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """The JSON for a value: plain ones as they are, all others as an object with one key, their kind."""
    if isinstance(value, Tensor):
        if place in tensors:
            raise TypeError(f"two tensors at {place}")
        tensors[place] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        return {"tensor": place}
    if isinstance(value, dict):
        # Pairs, as JSON would turn the keys of an optimiser's state, which are numbers, into strings.
        return {"dict": [[key, _encode(item, f"{place}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [_encode(item, f"{place}/{i}", tensors) for i, item in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    if type(value) not in _PLAIN:
        raise TypeError(f"{place}: a state cannot hold {type(value).__name__}")
    return value


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content].clone()
    if kind == "dict":
        return {key: _decode(item, tensors) for key, item in content}
    items = [_decode(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items


class States:
    """The state files of one run, which only one process at a time may use.

    Args:
        folder: the run's folder.
        alone: whether a lock says that no other process does. Without one, half-written files may be another's, and
            are left alone.
    """

    def __init__(self, folder: Path, alone: bool = True) -> None:
        self.folder, self.trained, self.alone = folder / STATES, folder / TRAINED, alone

    def epochs(self) -> list[int]:
        """Finished epochs of the states that are there, the newest first.

        Raises:
            OSError: one may not look.
        """
        return saved_epochs(self.folder)

    def path(self, epoch: int) -> Path:
        """The file of the state after an epoch (from 1)."""
        return self.folder / f"epoch-{epoch:04}.safetensors"

    def save(self, epoch: int, snapshot: Snapshot) -> None:
        """Write the state after an epoch, and only then remove all but the newest two.

        Raises:
            OSError: it could not be written; those before are still there.
        """
        snapshot.save(self.path(epoch))
        kept = [self.path(epoch) for epoch in self.epochs()[:KEPT]]
        for path in self.folder.iterdir():
            if path not in kept and (self.alone or not path.name.startswith(".")):
                path.unlink(missing_ok=True)

    def newest(self, say: Callable[[str], None]) -> tuple[int, Snapshot] | None:
        """The newest state that is whole, and its epoch; damaged ones are named and removed.

        Raises:
            OSError: one cannot be read; it stays.
        """
        for epoch in self.epochs():
            try:
                return epoch, Snapshot.load(self.path(epoch))
            except DamagedError as error:
                say(f"{self.path(epoch)}: damaged ({error}), so it is removed")
                self.path(epoch).unlink(missing_ok=True)
        return None

    def put_aside(self) -> None:
        """Training is done: keep the last state, which holds all results, until the run is predicted with."""
        with suppress(OSError):  # it is an insurance
            for epoch in self.epochs()[1:]:
                self.path(epoch).unlink()
            shutil.rmtree(self.trained, ignore_errors=True)
            self.folder.rename(self.trained)

    def recall(self) -> None:
        """Where there is no other state, take up the one that was put aside: the results must be written again."""
        if not self.epochs() and self.trained.exists():
            self.remove()
            self.trained.rename(self.folder)

    def remove(self) -> None:
        """Remove all states but one that was put aside."""
        shutil.rmtree(self.folder, ignore_errors=True)
