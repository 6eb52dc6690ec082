"""The only objects a motion pickle may build: NumPy arrays, torch storages and what they are wrapped in.

Nothing here calls NumPy's, torch's or joblib's own unpickling code. Each name that a pickle may ask for is bound to a
small function of ours which checks sizes first; a name that is not in :data:`ALLOWED` does not exist.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

_DTYPE_CODE = re.compile(r"[<>=|]?(f[248]|[iu][1248]|b1|[SU]\d{1,6})")
_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "|b1",
}
_MAX_DENSE = 1 << 23  # numbers of a sparse matrix once it is dense


class PickleFault(ValueError):
    """The pickle asks for something it may not have or is not well formed; the caller adds the file."""


@dataclass(frozen=True)
class Global:
    """A name that the pickle looked up; ``call`` is what calling it does, None where it may only be mentioned."""

    name: str
    call: Callable[..., Any] | None = None


class DtypeShell:
    """A dtype on its way: the code comes first, the byte order in a later state."""

    def __init__(self, code: object, *_: object) -> None:
        if isinstance(code, str) and code.lstrip("<>=|")[:1] in ("O", "V"):
            raise PickleFault(f"it holds an array of Python objects or records (dtype {code})")
        if not isinstance(code, str) or not _DTYPE_CODE.fullmatch(code):
            raise PickleFault(f"an array has the data type {str(code)[:40]!r}, which no motion needs")
        self.dtype = np.dtype(code)

    def build(self, state: object) -> None:
        """Takes the byte order out of NumPy's dtype state."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise PickleFault("a data type is damaged")
        self.dtype = self.dtype.newbyteorder(state[1])


class ArrayShell:
    """An array on its way: created empty, filled by a later state; :attr:`array` is None until then."""

    def __init__(self) -> None:
        self.array: np.ndarray | None = None

    def build(self, state: object) -> None:
        """Fills the array from NumPy's state (version, shape, dtype, column-major, raw bytes)."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise PickleFault("an array is damaged")
        _, shape, dtype, column_major, raw = state
        if isinstance(raw, list):
            raise PickleFault("it holds an array of Python objects")
        self.array = array_from_bytes(raw, dtype, shape, "F" if column_major else "C")


class SparseShell(ArrayShell):
    """SciPy's matrix of compressed columns on its way; it becomes a dense array."""

    def build(self, state: object) -> None:
        """Fills the array from the matrix's attributes."""
        if not isinstance(state, dict):
            raise PickleFault("a sparse matrix is damaged")
        shape = shape_of(state.get("_shape"))
        data, rows, starts = (_row_of_numbers(state.get(name)) for name in ("data", "indices", "indptr"))
        if len(shape) != 2 or math.prod(shape) > _MAX_DENSE:
            raise PickleFault(f"a sparse matrix has the shape {shape}")
        counts: np.ndarray = np.diff(starts.astype(np.int64))
        if len(starts) != shape[1] + 1 or (counts < 0).any() or not counts.sum() == len(data) == len(rows):
            raise PickleFault("a sparse matrix is damaged")
        self.array = np.zeros(shape)
        np.add.at(self.array, (rows.astype(np.int64), np.repeat(np.arange(shape[1]), counts)), data)


class JoblibShell:
    """joblib's stand-in for an array whose raw bytes follow in the stream."""

    def __init__(self) -> None:
        self.dtype = np.dtype("u1")
        self.shape: tuple[int, ...] = ()
        self.order = "C"
        self.padded = False

    def build(self, state: object) -> None:
        """Takes shape, dtype and order out of the attributes that joblib saves."""
        if not isinstance(state, dict) or not {"shape", "dtype", "order"} <= state.keys():
            raise PickleFault("an array written by joblib is damaged")
        self.dtype, self.shape, self.order = dtype_of(state["dtype"]), shape_of(state["shape"]), str(state["order"])
        # joblib >= 1.1 aligns the data for memory maps; older files lack the attribute, some have None.
        self.padded = state.get("numpy_array_alignment_bytes") is not None

    @property
    def num_bytes(self) -> int:
        """Length of the raw data."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Storage:
    """The numbers of a torch tensor before a shape is laid over them."""

    values: np.ndarray


def _row_of_numbers(value: object) -> np.ndarray:
    """``value`` if it is an array (N,) of numbers."""
    if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in "fiu":
        raise PickleFault("a sparse matrix is damaged")
    return value


def dtype_of(value: object) -> np.dtype:
    """The dtype inside a shell."""
    if not isinstance(value, DtypeShell):
        raise PickleFault("an array has no data type")
    return value.dtype


def shape_of(value: object) -> tuple[int, ...]:
    """``value`` if it is a shape: a short tuple of integers >= 0."""
    if (
        not isinstance(value, tuple)
        or len(value) > 8
        or not all(type(size) is int and 0 <= size < 1 << 48 for size in value)
    ):
        raise PickleFault("an array has an impossible shape")
    return value


def array_from_bytes(raw: object, dtype: object, shape: object, order: str) -> np.ndarray:
    """An array over ``raw`` whose length must be that of the shape."""
    if isinstance(raw, str):  # Python 2 wrote bytes as text
        raw = raw.encode("latin-1")
    if not isinstance(raw, bytes | bytearray):
        raise PickleFault("an array has no data")
    kind, sizes = dtype_of(dtype), shape_of(shape)
    if len(raw) != math.prod(sizes) * kind.itemsize:
        raise PickleFault(f"an array of shape {sizes} has {len(raw)} bytes of data")
    return _shaped(np.frombuffer(raw, kind) if raw else np.empty(0, kind), sizes, order)


def _shaped(flat: np.ndarray, shape: tuple[int, ...], order: str) -> np.ndarray:
    if order not in ("C", "F"):
        raise PickleFault("an array has an unknown memory order")
    return flat.reshape(shape, order="F" if order == "F" else "C")


def joblib_array(shell: JoblibShell, raw: bytes) -> np.ndarray:
    """The array that ``shell`` announced; ``raw`` has the announced length."""
    flat = np.frombuffer(raw, shell.dtype) if raw else np.empty(0, shell.dtype)
    return _shaped(flat, shell.shape, shell.order)


def _reconstruct(subtype: object, *_: object) -> ArrayShell:
    if not isinstance(subtype, Global) or subtype.name != "numpy.ndarray":
        raise PickleFault("it holds an array of an unknown class")
    return ArrayShell()


def _scalar(dtype: object, raw: object) -> Any:
    return array_from_bytes(raw, dtype, (), "C").item()


def _frombuffer(raw: object, dtype: object, shape: object, order: object, *_: object) -> np.ndarray:
    return array_from_bytes(raw, dtype, shape, str(order))


def _encode(text: object, encoding: object = "latin1") -> bytes:
    # Python 3 writes bytes this way in protocols 0 to 2.
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise PickleFault("a text is encoded in an unexpected way")
    return text.encode("latin-1")


def _empty_bytes() -> bytes:
    # Python 3 writes an empty byte string as this call in protocols 0 to 2.
    return b""


def _reconstructor(kind: object, base: object, state: object) -> SparseShell:
    # Protocols 0 and 1 make objects this way.
    if not isinstance(kind, Global) or NEW.get(kind.name) is not SparseShell or state is not None:
        raise PickleFault("it creates an object of a class that is refused")
    return SparseShell()


def _ordered_dict(*args: object) -> OrderedDict:
    if args:
        raise PickleFault("an ordered dictionary is filled in an unexpected way")
    return OrderedDict()


def _rebuild_tensor(storage: object, offset: object, size: object, stride: object, *_: object) -> np.ndarray:
    """A torch tensor as an array of its own."""
    if not isinstance(storage, Storage) or type(offset) is not int or offset < 0:
        raise PickleFault("a torch tensor is damaged")
    sizes, strides, values = shape_of(size), shape_of(stride), storage.values
    if len(sizes) != len(strides):
        raise PickleFault("a torch tensor is damaged")
    if math.prod(sizes) == 0:
        return np.zeros(sizes, values.dtype)
    last = offset + sum((count - 1) * step for count, step in zip(sizes, strides, strict=True))
    # The second test keeps a tensor of a few numbers from being spread over terabytes by zero strides.
    if last >= values.size or math.prod(sizes) > values.size:
        raise PickleFault(f"a torch tensor of shape {sizes} is larger than its data")
    steps = tuple(step * values.itemsize for step in strides)
    return np.lib.stride_tricks.as_strided(values[offset:], sizes, steps).copy()


def storage_type(pid: object) -> tuple[np.dtype, str, int]:
    """dtype, key and number of elements in torch's persistent id ("storage", class, key, device, elements, view)."""
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[1], Global):
        raise PickleFault("a torch storage is damaged")
    code = _STORAGES.get(pid[1].name.rpartition(".")[2])
    if code is None or not isinstance(pid[2], str) or (len(pid) > 5 and pid[5] is not None):
        raise PickleFault("a torch storage is damaged")
    return np.dtype(code), pid[2], shape_of((pid[4],))[0]


LOAD_STORAGE = "torch.storage._load_from_bytes"
"""Called with a byte string that is itself a series of pickles; the interpreter binds it."""

JOBLIB_ARRAY = "joblib.numpy_pickle.NumpyArrayWrapper"

_SPARSE = ("scipy.sparse.csc.csc_matrix", "scipy.sparse._csc.csc_matrix")  # SMPL's model files hold one

NEW: dict[str, type[JoblibShell | SparseShell]] = {JOBLIB_ARRAY: JoblibShell, **dict.fromkeys(_SPARSE, SparseShell)}
"""Classes of which a pickle may make objects."""

_CALLABLES: dict[str, Callable[..., Any] | None] = {
    "numpy.ndarray": None,
    "numpy.dtype": DtypeShell,
    # NumPy 2 moved its core; both names are in use.
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _frombuffer,
    "numpy._core.numeric._frombuffer": _frombuffer,
    "_codecs.encode": _encode,
    "__builtin__.bytes": _empty_bytes,
    "builtins.bytes": _empty_bytes,
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "copy_reg._reconstructor": _reconstructor,
    "copyreg._reconstructor": _reconstructor,
    "__builtin__.object": None,
    "builtins.object": None,
    **dict.fromkeys(_SPARSE),
    LOAD_STORAGE: None,
    JOBLIB_ARRAY: JoblibShell,
} | {f"{module}.{name}": None for module in ("torch", "torch.cuda") for name in _STORAGES}

ALLOWED: dict[str, Global] = {name: Global(name, call) for name, call in _CALLABLES.items()}
"""Every name a motion pickle may mention."""
