"""Reads pickled text, numbers and byte arrays without unpickling: nothing that a file names is ever called.

A pickle is a program for a small stack machine, some of whose instructions call whatever function the file names.
This is that machine for the few instructions that the published CIFAR-100 needs (Python 2's pickles), and the same
content pickled by Python 3 and NumPy 2. The four functions that such files name stand here as what they mean, with
their arguments checked. Python's own unpickler with a restricted `find_class` would be shorter, but it still lets a
file alter the functions it may name, and reserve any amount of memory.
"""

import io
import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aikd.errors import UserError

STEPS = 2_000_000
"""Instructions of one file, at most; 50,000 images with their names and labels need 450,000."""

TEXT = 2**28
"""Characters that one file may turn into bytes, all together."""

_NAMES = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",
}
_BYTE_DTYPE = [3, "|", None, None, None, -1, -1, 0]
"""State of the dtype of single bytes: version, byte order, and no parts."""


@dataclass(frozen=True)
class _Function:
    """Stands for a function that a file may name."""

    name: str


@dataclass(frozen=True)
class _Made:
    """Stands for what a call returned, and BUILD fills."""

    name: str


def read_pickle(data: bytes, where: str) -> Any:
    """The content of a pickle: None, truth values, whole numbers, str, bytes, tuples, lists, dicts with text keys, and
    arrays uint8 of any shape (read-only).

    Args:
        where: the file, for complaints.

    Raises:
        UserError: the pickle is damaged or too large, or holds or does anything else.
    """
    try:
        return _Machine().run(data)
    except (ValueError, MemoryError) as error:
        raise UserError(f"{where}: not a pickle of plain data: {error or 'too large'}") from None
    except LookupError:
        problem = "an instruction lacks what it works on"
        raise UserError(f"{where}: not a pickle of plain data: {problem}") from None


class _Machine:
    """The stack, the marks on it (as its heights), and the memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.encoded = 0

    def run(self, data: bytes) -> Any:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(io.BytesIO(data))):
            if step == STEPS:
                raise ValueError(f"more than {STEPS:,} instructions")
            if opcode.name == "STOP":
                return self.pop()
            if opcode.name not in _INSTRUCTIONS:
                raise ValueError(f"found the instruction {opcode.name}")
            _INSTRUCTIONS[opcode.name](self, argument)
        raise ValueError("it has no end")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        return self.stack.pop()

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop_tuple(self, length: int) -> None:
        items = [self.pop() for _ in range(length)]
        self.push(tuple(reversed(items)))

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def name(self, name: str) -> None:
        if name not in _NAMES:
            raise ValueError(f"it names {name.replace(' ', '.')[:80]}")
        self.push(_Function(_NAMES[name]))

    def append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("items for something else than a list")
        self.stack[-1].extend(items)

    def set(self, items: list[Any]) -> None:
        keys, target = items[::2], self.stack[-1]
        # Text keys alone: the hash of deeply nested tuples would overflow the interpreter's own stack.
        if not isinstance(target, dict) or not all(isinstance(key, str | bytes) for key in keys):
            raise ValueError("keys for something else than a dict, or keys that are no text")
        target.update(zip(keys, items[1::2], strict=True))

    def call(self) -> None:
        """REDUCE: a named function's result for these arguments."""
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, _Function) or not isinstance(arguments, tuple):
            raise ValueError("a call of something that is no function")
        match function.name, *map(_text, arguments):
            case "encode", str(text), "latin1":
                self.encoded += len(text)
                if self.encoded > TEXT:
                    raise ValueError(f"more than {TEXT:,} bytes made of text")
                self.push(text.encode("latin-1"))
            case "dtype", "u1", 0, 1:
                self.push(_Made("dtype"))
            case "array", _Function("ndarray"), (0,), "b":
                self.push(_Made("array"))
            case _:
                raise ValueError(f"a call of {function.name} for something else than an array of bytes")

    def build(self) -> None:
        """BUILD: an array gets its shape and content, a dtype its details."""
        state, target = self.pop(), self.pop()
        match target:
            case _Made("array"):
                self.push(_array(state))
            case _Made("dtype") if isinstance(state, tuple) and list(map(_text, state)) == _BYTE_DTYPE:
                self.push(target)
            case _:
                raise ValueError("a state for something else than an array of bytes")


def _text(value: Any) -> Any:
    """Short bytes as text: what Python 2 pickled as str may be either."""
    return value.decode("latin-1") if isinstance(value, bytes) and len(value) < 10 else value


def _array(state: Any) -> NDArray[np.uint8]:
    """The array uint8 of a state (version, shape, dtype, whether columns come first, content)."""
    match state:
        case (1, tuple(shape), _Made("dtype"), bool(fortran), bytes(content)) if (
            len(shape) < 5
            and all(isinstance(side, int) and side >= 0 for side in shape)
            and math.prod(shape) == len(content)
        ):
            return np.frombuffer(content, np.uint8).reshape(shape, order="F" if fortran else "C")
    raise ValueError("an array whose shape and content differ, or that does not hold bytes")


_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, version: None,
    "MARK": lambda machine, _: machine.mark(),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "BININT": _Machine.push,
    "BININT1": _Machine.push,
    "BININT2": _Machine.push,
    "BINUNICODE": _Machine.push,
    # Python 2's str; pickletools shows its bytes as Latin-1.
    "BINSTRING": lambda machine, text: machine.push(text.encode("latin-1")),
    "SHORT_BINSTRING": lambda machine, text: machine.push(text.encode("latin-1")),
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.pop_tuple(1),
    "TUPLE2": lambda machine, _: machine.pop_tuple(2),
    "TUPLE3": lambda machine, _: machine.pop_tuple(3),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set(machine.pop_to_mark()),
    "GLOBAL": _Machine.name,
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
}
