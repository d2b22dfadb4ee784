"""The reader of pickles takes plain data and refuses everything else, without doing any of it."""

import codecs
import functools
import os
import pickle
import pickletools
import random
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import python2
from hypothesis import given
from hypothesis import strategies as st

from aikd.engine.sources import pickles
from aikd.engine.sources.pickles import read_pickle
from aikd.errors import UserError

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 12)
PLAIN = {
    b"data": ARRAY,
    b"labels": [1, 300, 70_000, -1],
    b"names": [b"x" * 300, b""],
    b"more": (None, True, (), (0,)),
}


def refusal(data: bytes) -> str:
    with pytest.raises(UserError) as error:
        read_pickle(data, "archive: file")
    message = str(error.value)
    assert message.startswith("archive: file: not a pickle of plain data: ")
    assert "\n" not in message
    assert len(message) < 250
    return message


def assert_same(found: Any, expected: Any) -> None:
    np.testing.assert_equal(found, expected)
    assert found[b"data"].dtype == np.uint8


def test_hand_written_python_2_pickles_are_pickles() -> None:
    assert_same(python2.read_with_python(python2.dumps(PLAIN)), PLAIN)


def test_python_2_pickles_are_read() -> None:
    assert_same(read_pickle(python2.dumps(PLAIN), ""), PLAIN)


def test_pickles_of_python_3_and_todays_numpy_are_read() -> None:
    plain = PLAIN | {b"text": "Grüße", b"names": [b"\xff\x00", b"a"]}
    assert_same(read_pickle(pickle.dumps(plain, protocol=2), ""), plain)


def test_arrays_stored_by_columns_are_read() -> None:
    for array in (np.asfortranarray(ARRAY), ARRAY[:, ::2], ARRAY.reshape(2, 3, 4)):
        assert_same(read_pickle(pickle.dumps({b"data": array}, protocol=2), ""), {b"data": array})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.text() | st.binary(min_size=1),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.binary(min_size=1), inner)
    ),
)


@given(VALUES)
def test_plain_values_are_what_python_reads(value: Any) -> None:
    data = pickle.dumps(value, protocol=2)
    assert read_pickle(data, "") == pickle.loads(data) == value


# Hostile files


class Call:
    """Pickled, it makes whoever loads it call a function."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.call = (function, arguments, state) if state is not None else (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


COMMAND = "import sys; sys.canary = 1"
HOSTILE = {
    "exec": Call(exec, COMMAND),
    "eval": Call(eval, "setattr(__import__('sys'), 'canary', 1)"),
    "os.system": Call(os.system, "exit 1"),
    "getattr": Call(getattr, "a", "upper"),
    "in a list": [1, {b"a": Call(exec, COMMAND)}],
    "as text": Call(codecs.encode, Call(eval, "'a'"), "latin1"),
    "as a codec": Call(codecs.encode, "a", Call(eval, "'latin1'")),
    "as a state": Call(codecs.encode, "a", "latin1", state=Call(exec, COMMAND)),
    "partial": functools.partial(exec, COMMAND),
    "numpy.load": Call(np.load, "x.npy"),
    "numpy.frombuffer": Call(np.frombuffer, b"abc", "u1"),
    "bytearray": Call(bytearray, 2**40),
    "a path": Path("x"),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", HOSTILE)
def test_calls_are_refused_and_not_made(name: str, protocol: int) -> None:
    refusal(pickle.dumps(HOSTILE[name], protocol=protocol))
    assert not hasattr(sys, "canary")


def test_these_calls_are_made_by_pythons_own_unpickler() -> None:
    """Else the test above would prove nothing."""
    for name in ("exec", "eval", "in a list", "partial"):
        loaded = pickle.loads(pickle.dumps(HOSTILE[name], protocol=2))
        if callable(loaded):
            loaded()
        del sys.canary  # type: ignore[attr-defined]


ENCODE = b"c_codecs\nencode\n"
NEW = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
U1 = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"


def array_with(state: bytes) -> bytes:
    return NEW + b"(" + state + b"tb"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (ENCODE + b"}U\x0c__defaults__)sb", "a state for something else"),
        (ENCODE + b"N}U\x04nameU\x01xs\x86b", "a state for something else"),
        (b"]}U\x01aK\x01sb", "a state for something else"),
        (ENCODE + b"X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R", "a call of encode for something else"),
        (ENCODE + b"X\x01\x00\x00\x00a\x85R", "a call of encode for something else"),
        (ENCODE + b"X\x03\x00\x00\x00\xe2\x82\xacX\x06\x00\x00\x00latin1\x86R", "codec can't encode"),
        (b"cnumpy\nndarray\nJ\x00\x00\x00\x7f\x85R", "a call of ndarray for something else"),
        (b"cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R", "a call of dtype for something else"),
        (b"cnumpy\ndtype\nU\x02u1K\x01K\x01\x87R", "a call of dtype for something else"),
        (U1 + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x08tb", "a state for something else"),
        (NEW.replace(b"U\x01b", b"U\x01O"), "a call of array for something else"),
        (NEW.replace(b"K\x00", b"J\xff\xff\xff\x7f"), "a call of array for something else"),
        (NEW.replace(b"cnumpy\nndarray\n", b"c_codecs\nencode\n"), "a call of array for something else"),
        (array_with(b"K\x01K\x04\x85" + U1 + b"\x89U\x03abc"), "an array whose shape and content differ"),
        (array_with(b"K\x01J\xff\xff\xff\xffJ\xfd\xff\xff\xff\x86" + U1 + b"\x89U\x03abc"), "an array whose"),
        (array_with(b"K\x01U\x011\x85" + U1 + b"\x89U\x01a"), "an array whose"),
        (array_with(b"K\x01K\x03\x85U\x02f8\x89U\x03abc"), "an array whose"),
        (
            array_with(b"K\x01" + b"(" + b"J\xff\xff\xff\x7f" * 99_999 + b"K\x00t" + U1 + b"\x89U\x00"),
            "an array whose",
        ),
        (b"U\x06system(K\x01tR", "a call of something that is no function"),
        (NEW + b")R", "a call of something that is no function"),
        (ENCODE + b"]R", "a call of something that is no function"),
        (b"cos\nsystem\n", "it names os.system"),
        (b"c_codecs\ndecode\n", "it names _codecs.decode"),
        (b"cnumpy.core.multiarray\nscalar\n", "it names numpy.core.multiarray.scalar"),
        (b"(ios\nsystem\n", "found the instruction INST"),
        (b"(" + ENCODE + b"o", "found the instruction OBJ"),
        (ENCODE + b")\x81", "found the instruction NEWOBJ"),
        (b"\x82\x01", "found the instruction EXT1"),
        (b"Pfile\n", "found the instruction PERSID"),
        (b"K\x01Q", "found the instruction BINPERSID"),
        (b"U\x02osU\x06system\x93", "found the instruction STACK_GLOBAL"),
        (b"\x95\x00\x00\x00\x00\x00\x00\x00\x00", "found the instruction FRAME"),
        (b"}K\x01K\x02s", "keys that are no text"),
        (b"}" + b")" + b"\x85" * 100_000 + b"Ns", "keys that are no text"),
        (b"}(U\x01au", ""),
        (b")(K\x01e", "items for something else than a list"),
        (b"K\x01", ""),
        (b"h\x05", "an instruction lacks what it works on"),
        (b"t", "an instruction lacks what it works on"),
        (b"K\x01\x86", "an instruction lacks what it works on"),
        (b"\xfe", "unknown"),
        (b"", ""),
    ],
)
def test_instructions_for_anything_but_plain_data_are_refused(body: bytes, problem: str) -> None:
    end = b"" if body in (b"K\x01", b"") else b"."
    assert problem in refusal(b"\x80\x02" + body + end)


def test_the_pieces_of_those_files_are_good_ones() -> None:
    whole = array_with(b"K\x01K\x03\x85" + U1 + b"\x89U\x03abc")
    assert read_pickle(b"\x80\x02" + whole + b".", "").tolist() == list(b"abc")


# Files that would fill the memory


def peak_of(data: bytes) -> int:
    """Bytes that reading the file takes at most, whatever comes of it."""
    tracemalloc.start()
    try:
        read_pickle(data, "")
    except UserError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize(
    "body",
    [
        b"]r\xff\xff\xff\x7f",  # a memo index that Python's unpickler would reserve gigabytes for
        b"T\xff\xff\xff\x7fabc",  # text shorter than it says
        b"X\xff\xff\xff\xffabc",
        b"B\xff\xff\xff\xffabc",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc",
        array_with(b"K\x01J\xff\xff\xff\x7f\x85" + U1 + b"\x89U\x01a"),
    ],
)
def test_a_small_file_takes_little_memory(body: bytes) -> None:
    assert peak_of(b"\x80\x02" + body + b".") < 2**20


def test_the_same_text_cannot_be_encoded_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "TEXT", 10_000)
    text = b"X\xe8\x03\x00\x00" + b"a" * 1000
    once = ENCODE + b"q\x01" + text + b"q\x02X\x06\x00\x00\x00latin1q\x03\x86R"
    again = b"h\x01h\x02h\x03\x86R"
    assert read_pickle(b"\x80\x02" + once + again * 9 + b".", "") == b"a" * 1000
    assert "more than 10,000 bytes made of text" in refusal(b"\x80\x02" + once + again * 10 + b".")


def test_the_number_of_instructions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "STEPS", 10)
    assert read_pickle(b"\x80\x02" + b"]" * 8 + b".", "") == []
    assert "more than 10 instructions" in refusal(b"\x80\x02" + b"]" * 9 + b".")


def test_the_bounds_leave_room_for_the_published_file() -> None:
    """50,000 images: names, two labels, and 153.6 million bytes of pixels, also as Python 3 writes them."""
    content = {
        b"filenames": [f"{i}".encode() for i in range(500)],
        b"fine_labels": [1] * 500,
        b"coarse_labels": [2] * 500,
    }
    for data in (python2.dumps(content), pickle.dumps(content, protocol=2)):
        assert sum(1 for _ in pickletools.genops(data)) * 100 < pickles.STEPS / 2
    assert pickles.TEXT > 50_000 * 3072


# Damage


def test_a_file_cut_short_anywhere_is_refused() -> None:
    for whole in (python2.dumps(PLAIN), pickle.dumps(PLAIN, protocol=2)):
        for end in range(len(whole)):
            refusal(whole[:end])


@pytest.mark.filterwarnings("ignore:invalid escape")
def test_randomly_damaged_files_are_read_or_refused_but_never_raise_anything_else() -> None:
    rng, refused = random.Random(0), 0
    whole = [python2.dumps(PLAIN), pickle.dumps(PLAIN, protocol=2)]
    for _ in range(3000):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            read_pickle(bytes(data), "")
        except UserError:
            refused += 1
    assert 1000 < refused < 3000
