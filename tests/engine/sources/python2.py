"""Pickles as Python 2 wrote them, and with them the form in which CIFAR-100 is published."""

import itertools
import pickle
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np


def dumps(value: Any) -> bytes:
    """A pickle of protocol 2 with the instructions of Python 2's cPickle and the names of NumPy 1."""
    memo = itertools.count(1)
    return b"\x80\x02" + b"".join(_parts(value, memo)) + b"."


def _put(memo: Iterator[int]) -> bytes:
    index = next(memo)
    return b"q" + bytes([index]) if index < 256 else b"r" + struct.pack("<I", index)


def _parts(value: Any, memo: Iterator[int]) -> Iterator[bytes]:
    match value:
        case None | True | False:
            yield {None: b"N", True: b"\x88", False: b"\x89"}[value]
        case int():
            if 0 <= value < 256:
                yield b"K" + bytes([value])
            elif 0 <= value < 65536:
                yield b"M" + struct.pack("<H", value)
            else:
                yield b"J" + struct.pack("<i", value)
        case bytes():
            yield (
                b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<i", len(value))
            ) + value
            yield _put(memo)
        case tuple():
            yield b"(" if len(value) > 3 else b""
            for item in value:
                yield from _parts(item, memo)
            yield (b")", b"\x85", b"\x86", b"\x87")[len(value)] if len(value) <= 3 else b"t"
            yield _put(memo) if value else b""
        case list():
            yield b"]" + _put(memo)
            yield from _batches(value, b"a", b"e", memo)
        case dict():
            yield b"}" + _put(memo)
            yield from _batches(list(value.items()), b"s", b"u", memo)
        case np.ndarray():
            yield from _array(value, memo)


def _batches(items: list[Any], one: bytes, many: bytes, memo: Iterator[int]) -> Iterator[bytes]:
    for start in range(0, len(items), 1000):
        batch = items[start : start + 1000]
        yield b"(" if len(batch) > 1 else b""
        for item in batch:
            for part in item if one == b"s" else [item]:
                yield from _parts(part, memo)
        yield many if len(batch) > 1 else one


def _array(array: np.ndarray, memo: Iterator[int]) -> Iterator[bytes]:
    yield b"cnumpy.core.multiarray\n_reconstruct\n" + _put(memo) + b"cnumpy\nndarray\n" + _put(memo)
    yield b"K\x00\x85" + _put(memo)
    yield from _parts(b"b", memo)
    yield b"\x87" + _put(memo) + b"R" + _put(memo) + b"(K\x01"
    yield from _parts(array.shape, memo)
    yield b"cnumpy\ndtype\n" + _put(memo)
    yield from _parts((b"u1", 0, 1), memo)
    yield b"R" + _put(memo)
    yield from _parts((3, b"|", None, None, None, -1, -1, 0), memo)
    yield b"b\x89"
    yield from _parts(array.tobytes(), memo)
    yield b"t" + _put(memo) + b"b"


def read_with_python(data: bytes) -> Any:
    """What Python's own unpickler makes of a file that can be trusted."""
    return pickle.loads(data, encoding="bytes")
