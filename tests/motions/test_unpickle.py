import bz2
import gzip
import lzma
import os
import pickle
import pickletools
import struct
import sys
import zlib
from collections import OrderedDict

import numpy as np
import pytest
import scipy.sparse
import torch
from clips import damage, load_or_refuse, one_line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from puffer_phc.errors import InputError
from puffer_phc.motions.loading import load_motions
from puffer_phc.motions.unpickle import read_pickle


def store(tmp_path, content):
    path = tmp_path / "file.pkl"
    path.write_bytes(content)
    return path


def fault_of(path, **options):
    with pytest.raises(InputError) as error:
        read_pickle(path, **options)
    assert path.name in one_line(error)
    return error.value.fault


ARRAYS = {
    "c": np.arange(24.0).reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "big_endian": np.arange(5, dtype=">f8"),
    "ints": np.arange(5, dtype=np.uint16),
    "bools": np.array([True, False]),
    "text": np.array(["a", "long text"]),
    "empty": np.zeros((0, 3)),
    "scalar_array": np.array(2.5),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numpy_arrays(tmp_path, protocol):
    back = read_pickle(store(tmp_path, pickle.dumps(ARRAYS, protocol)))
    assert back.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data(tmp_path, protocol):
    shared = np.arange(3.0)
    data = {
        "numbers": [0, -1, 255, 65536, 2**40, -(2**90), 1.5, float("inf")],
        "texts": ["", "ä", "x" * 300, b"raw", b"r" * 300],
        "flags": (True, False, None),
        "nested": OrderedDict(a=[(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], b={}),
        "numpy_numbers": [np.float32(2.5), np.int64(7), np.str_("neutral")],
        "twice": [shared, shared],
        3: "int key",
    }
    back = read_pickle(store(tmp_path, pickle.dumps(data, protocol)))
    np.testing.assert_array_equal(back["twice"][0], back["twice"][1])
    assert back["twice"][0] is back["twice"][1]
    del data["twice"], back["twice"]
    assert back == data


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.int64, torch.uint8, torch.bool])
def test_torch_tensors(tmp_path, protocol, dtype):
    tensor = (torch.arange(12).reshape(3, 4) % 2).to(dtype)
    data = {"whole": tensor, "turned": tensor.t(), "part": tensor[1:, ::2], "none": tensor[:0], "one": tensor[0, 0]}
    back = read_pickle(store(tmp_path, pickle.dumps(data, protocol)))
    for name, value in data.items():
        np.testing.assert_array_equal(back[name], value.numpy())
        assert back[name].shape == tuple(value.shape)


@pytest.mark.parametrize("compress", [bytes, zlib.compress, gzip.compress, bz2.compress, lzma.compress])
def test_compression(tmp_path, compress):
    data = {"a": np.random.default_rng(0).normal(size=(300, 300))}  # several chunks
    back = read_pickle(store(tmp_path, compress(pickle.dumps(data))))
    np.testing.assert_array_equal(back["a"], data["a"])


def test_text_pickles_of_lists(tmp_path):
    assert read_pickle(store(tmp_path, pickle.dumps({"a": [1, 2.5, True, "x"]}, 0))) == {"a": [1, 2.5, True, "x"]}


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_column_matrices_come_dense(tmp_path, protocol):
    dense = np.array([[0.0, 2.0, 0.0], [1.5, 0.0, 0.0]])
    content = {"a": scipy.sparse.csc_matrix(dense), "none": scipy.sparse.csc_matrix((2, 0))}
    back = read_pickle(store(tmp_path, pickle.dumps(content, protocol)))
    np.testing.assert_array_equal(back["a"], dense)
    assert back["none"].shape == (2, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_shape", (1 << 40, 3)),
        ("_shape", (1 << 20, 1 << 20)),
        ("_shape", (2, 2)),
        ("_shape", (1, 3)),
        ("_shape", None),
        ("indptr", np.array([0, 5, 2, 3])),
        ("indptr", np.array([0, 1, 2, 9])),
        ("indptr", np.array([[0, 1], [1, 1]])),
        ("indices", np.array([0, 7, 1])),
        ("indices", np.array([0, 1])),
        ("data", np.array(["a", "b", "c"])),
        ("data", [1.0, 2.0, 3.0]),
    ],
)
def test_damaged_column_matrices(tmp_path, name, value):
    matrix = scipy.sparse.csc_matrix(np.ones((2, 3)) * [[1, 0, 1], [0, 1, 0]])
    matrix.__dict__[name] = value
    assert fault_of(store(tmp_path, pickle.dumps(matrix, 4)))


@pytest.mark.parametrize("text", [b"S'a\n.", b"Sa\n.", b"S'\n.", b"S\n.", b"S'\\x0'\n.", b"S'a"])
def test_damaged_texts(tmp_path, text):
    assert "damaged" in fault_of(store(tmp_path, text))


def test_long_lines_only_where_they_are_expected(tmp_path):
    path = store(tmp_path, b"S'" + b"x" * (1 << 21) + b"'\n.")
    assert "a text line of more than 1048576 bytes" in fault_of(path)
    assert len(read_pickle(path, longest_line=1 << 22)) == 1 << 21


class Attack:
    def __init__(self, function, *arguments):
        self.what = (function, arguments)

    def __reduce__(self):
        return self.what


class Settable:
    pass


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_no_code_runs(tmp_path, protocol):
    marker = tmp_path / "it_ran"
    for attack in (
        Attack(os.mkdir, str(marker)),
        Attack(eval, f"__import__('os').mkdir({str(marker)!r})"),
        Attack(exec, f"open({str(marker)!r}, 'w')"),
        Attack(np.load, str(marker)),
    ):
        path = store(tmp_path, pickle.dumps({"pose_aa": attack, "root_trans_offset": 0}, protocol))
        assert "refused" in fault_of(path)
        with pytest.raises(InputError, match="refused"):
            load_motions(path)
    assert not marker.exists()
    # The attack is a real one: the standard unpickler falls for it.
    pickle.loads(pickle.dumps(Attack(os.mkdir, str(marker)), protocol))
    assert marker.exists()


def test_the_refused_global_is_named(tmp_path):
    assert f"{os.mkdir.__module__}.mkdir" in fault_of(store(tmp_path, pickle.dumps(Attack(os.mkdir, "x"))))
    assert "os.system" in fault_of(store(tmp_path, b"cos\nsystem\n(S'true'\ntR."))
    assert "Settable" in fault_of(store(tmp_path, pickle.dumps(Settable())))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"\x80\x04(cos\nsystem\n\x8c\x04trueo.", "os.system"),
        (b"(S'true'\nios\nsystem\n.", "INST"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02cnumpy\nndarray\n(K\x05tR.", "calls 'numpy.ndarray'"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "class that is refused"),
        (b"\x80\x02ccollections\nOrderedDict\n}b.", "sets the state"),
        (b"\x80\x02cnumpy\ndtype\n}b.", "sets the state"),
        (b"\x80\x02X\x01\x00\x00\x00a)R.", "no function"),
        (b"\x80\x02K\x01Q.", "outside the file"),
        (b"\x80\x04\x8f.", "EMPTY_SET"),
        (b"\x80\x02}))s.", "dictionary key is a tuple"),
        (b"\x80\x02.", "stack runs empty"),
        (b"\x80\x02u.", "mark is missing"),
        (b"\x80\x02h\x05.", "unknown reference"),
        (b"\x80\x02K\x01K\x02a.", "expected a list"),
        (b"\x80\x02}q\x00", "STOP"),
        (b"\x80\x02\xff.", "pickle"),
        (b"(((((((", "pickle"),
        (b"plain text", "pickle"),
        (b"\x80\x08B\xff\xff\xff\x7f", "claims"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0fabc", "claims"),
        (b"\x80\x05\x96\x00\x00\x00\x10\x00\x00\x00\x00abc", "claims"),
        (b"\x04\x22\x4d\x18 lz4", "lz4"),
        (b"ZF0x", "joblib before"),
    ],
)
def test_odd_instructions(tmp_path, content, fault):
    assert fault in fault_of(store(tmp_path, content))


def test_object_arrays_are_refused(tmp_path):
    assert "Python objects" in fault_of(store(tmp_path, pickle.dumps(np.array([{}, []], dtype=object))))
    assert "records" in fault_of(store(tmp_path, pickle.dumps(np.zeros(3, dtype=[("a", "f8")]))))


def test_an_array_cannot_claim_more_than_it_has(tmp_path):
    content = pickle.dumps(np.zeros((3, 5)), 3)
    assert "shape (255, 5) has 120 bytes" in fault_of(store(tmp_path, content.replace(b"K\x03K\x05", b"K\xffK\x05")))


JOBLIB_STATE = (
    b"\x80\x02cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(X\x05\x00\x00\x00shape%bX\x05\x00\x00\x00dtype"
    b"cnumpy\ndtype\nX\x02\x00\x00\x00f8K\x00K\x01\x87RX\x05\x00\x00\x00orderX\x01\x00\x00\x00Cub"
)


def test_joblib_arrays_read_only_what_is_there(tmp_path):
    good = JOBLIB_STATE % b"K\x02\x85" + struct.pack("<2d", 1.0, 2.0) + b"."
    np.testing.assert_array_equal(read_pickle(store(tmp_path, good)), [1.0, 2.0])
    assert "missing" in fault_of(store(tmp_path, JOBLIB_STATE % b"K\x09\x85" + bytes(16)))
    assert "claims" in fault_of(store(tmp_path, JOBLIB_STATE % b"J\xff\xff\xff\x7f\x85" + bytes(16)))
    assert "impossible shape" in fault_of(store(tmp_path, JOBLIB_STATE % b"J\xff\xff\xff\xff\x85" + bytes(16)))


def test_torch_tensors_cannot_claim_more_than_they_have(tmp_path):
    content = pickle.dumps(torch.zeros(3, 5, dtype=torch.float64), 3)
    assert "larger than its data" in fault_of(store(tmp_path, content.replace(b"K\x03K\x05\x86", b"K\xffK\x05\x86")))
    spread = pickle.dumps(torch.zeros(1).expand(1 << 40), 3)
    assert "larger than its data" in fault_of(store(tmp_path, spread))


def test_bombs(tmp_path):
    bomb = zlib.compress(b"\x80\x04\x8e" + struct.pack("<Q", 1 << 28) + bytes(1 << 28) + b".", 9)
    assert "far more data" in fault_of(store(tmp_path, bomb))
    assert "far more data" in fault_of(store(tmp_path, pickle.dumps(np.zeros(1000))), limit=1000)
    # One storage of a megabyte, decoded again and again by four instructions each.
    calls = pickletools.genops(pickle.dumps(torch.zeros(1 << 17, dtype=torch.float64), 3))
    data = next(argument for opcode, argument, _ in calls if opcode.name == "BINBYTES")
    loop = b"\x80\x04B" + struct.pack("<I", len(data)) + data + b"\x94ctorch.storage\n_load_from_bytes\n\x940"
    loop += b"h\x01h\x00\x85R" * 100_000 + b"."
    assert "far more data" in fault_of(store(tmp_path, zlib.compress(loop, 9)))


def test_deep_nesting_needs_no_recursion(tmp_path):
    depth = 10 * sys.getrecursionlimit()
    value = read_pickle(store(tmp_path, b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."))
    while value:
        value = value[0]


@pytest.mark.parametrize("compress", [bytes, zlib.compress, gzip.compress, bz2.compress, lzma.compress])
def test_every_truncation_is_told(tmp_path, compress):
    content = compress(pickle.dumps({"a": np.arange(40.0), "t": torch.zeros(3), "z": 1}))
    for length in range(1, len(content) - 40, 7):
        fault_of(store(tmp_path, content[:length]))
    assert fault_of(store(tmp_path, b"")) == "the file is empty"
    assert "cannot be read" in fault_of(tmp_path / "absent.pkl")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_never_escape(tmp_path, data):
    protocol = data.draw(st.sampled_from([2, 3, 4, 5]))
    value = {"a": np.arange(6.0), "t": torch.ones(2, 2), "o": OrderedDict(x=[np.float32(1)]), "s": ("x", 1, 2.0)}
    load_or_refuse(read_pickle, store(tmp_path, damage(data, pickle.dumps(value, protocol))))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60))
def test_random_bytes_never_escape(tmp_path, content):
    load_or_refuse(read_pickle, store(tmp_path, b"\x80\x04" + content))
