"""The same memory seen as a torch tensor and as a simulator's buffer.

Nothing is copied in either direction: what the simulator writes the tensor shows, and the reverse. Each view keeps the
memory alive for as long as it exists itself, whoever allocated it. A buffer that torch cannot view without copying is
an error that says what would be right.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal, overload

import numpy as np
import torch
from torch import Tensor

# What torch can view, as NumPy names it. Not asked of torch by trial, because it accepts some others by copying.
_NUMPY_DTYPES = frozenset(
    np.dtype(name)
    for name in (
        *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
)


def wrap(array: Any, *, readonly_ok: bool = False) -> Tensor:
    """A tensor on the memory of ``array``: same shape, dtype, strides and device, no copy, no gradient.

    Args:
        array: a NumPy array (strided views included), a Warp array, or any object with ``__dlpack__`` (JAX, CuPy, ...).
            Arrays of Warp vectors or matrices gain trailing dimensions for the components. A tensor is returned
            detached.
        readonly_ok: accept a read-only NumPy array. Torch has no read-only tensors: writing to the result is then
            undefined behaviour, and the caller's to avoid.

    Raises:
        TypeError: when ``array`` is none of these or its dtype has no counterpart in torch.
        ValueError: when its memory layout has none (negative or unaligned strides), it is read-only, or its producer
            refuses to share it.
    """
    if isinstance(array, Tensor):
        return array.detach()
    if isinstance(array, np.ndarray):
        return _wrap_numpy(array, readonly_ok)
    if type(array).__module__.split(".")[0] == "warp":
        return _wrap_warp(array)
    if hasattr(array, "__dlpack__"):
        return _wrap_dlpack(array)
    raise TypeError(
        f"cannot view {type(array).__name__} as a tensor: pass a NumPy or Warp array or an object with __dlpack__"
    )


@overload
def unwrap(tensor: Tensor, kind: Literal["numpy"] = "numpy") -> np.ndarray: ...
@overload
def unwrap(tensor: Tensor, kind: Literal["dlpack", "warp"]) -> Any: ...
def unwrap(tensor: Tensor, kind: str = "numpy") -> Any:
    """A foreign view of a tensor's memory: same shape, dtype, strides and device, no copy.

    Args:
        tensor: a dense tensor that needs no gradient (the other side could change it behind autograd's back).
        kind: ``"numpy"`` for an array (tensor on the CPU), ``"warp"`` for a ``warp.array`` of scalars, ``"dlpack"`` for
            a capsule that one consumer may take. A consumer of the present protocol takes the tensor itself.

    Raises:
        TypeError: when the dtype has no counterpart on the other side.
        ValueError: when the tensor requires a gradient, is not dense, is on a wrong device, or ``kind`` is unknown.
        ImportError: for ``"warp"`` without Warp.
    """
    if tensor.requires_grad:
        raise ValueError("cannot share a tensor that requires a gradient: pass tensor.detach()")
    if tensor.layout is not torch.strided or tensor.is_conj() or tensor.is_neg():
        raise ValueError("cannot share a sparse or lazily conjugated tensor: pass tensor.to_dense().resolve_conj()")
    if kind == "numpy":
        return _unwrap_numpy(tensor)
    if kind == "dlpack":
        return tensor.__dlpack__()
    if kind == "warp":
        return _unwrap_warp(tensor)
    raise ValueError(f"kind must be 'numpy', 'dlpack' or 'warp', not {kind!r}")


def _wrap_numpy(array: np.ndarray, readonly_ok: bool) -> Tensor:
    if not array.dtype.isnative:
        native = array.dtype.newbyteorder("=")
        raise TypeError(f"torch has no byte-swapped dtype {array.dtype.str!r}: copy with .astype({native.name!r})")
    if array.dtype not in _NUMPY_DTYPES:
        advice = "wrap one field" if array.dtype.names else "copy to a plain number type with .astype"
        raise TypeError(f"torch has no counterpart of dtype {array.dtype}: {advice}")
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("torch has no masked arrays: wrap .data or .filled()")
    if any(stride < 0 for stride in array.strides):
        raise ValueError(f"torch has no negative strides {array.strides}: copy with np.ascontiguousarray")
    if any(stride % array.itemsize for stride in array.strides):
        raise ValueError(
            f"strides {array.strides} are not multiples of the {array.itemsize}-byte element: "
            "copy with np.ascontiguousarray"
        )
    if array.flags.writeable:
        return torch.from_numpy(array)
    if not readonly_ok:
        raise ValueError("the array is read-only and a tensor is not: pass readonly_ok=True and do not write, or copy")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
        return torch.from_numpy(array)


def _wrap_warp(array: Any) -> Tensor:
    import warp

    if not isinstance(array, warp.array):
        raise TypeError(f"cannot view warp's {type(array).__name__} as a tensor: pass a warp.array")
    try:
        # Not DLPack: this route costs no stream synchronisation. The tensor holds the array and so its memory.
        return warp.to_torch(array, requires_grad=False)
    except (RuntimeError, TypeError) as error:
        raise TypeError(f"torch has no counterpart of a warp array of {array.dtype}: {_first_line(error)}") from error


def _wrap_dlpack(array: Any) -> Tensor:
    try:
        return torch.from_dlpack(array)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{type(array).__name__} cannot be shared through DLPack: {_first_line(error)}") from error


def _unwrap_numpy(tensor: Tensor) -> np.ndarray:
    if tensor.device.type != "cpu":
        raise ValueError(
            f"NumPy cannot see memory on {tensor.device}: copy with .cpu(), or unwrap as 'dlpack' or 'warp'"
        )
    try:
        return tensor.numpy()
    except TypeError as error:
        raise TypeError(f"NumPy has no counterpart of {tensor.dtype}: convert with .float()") from error


def _unwrap_warp(tensor: Tensor) -> Any:
    try:
        import warp
    except ImportError as error:
        raise ImportError("unwrapping to a warp array needs Warp: install the extra 'gpu'") from error
    try:
        return warp.from_torch(tensor, requires_grad=False)
    except (RuntimeError, TypeError) as error:
        raise TypeError(f"warp has no counterpart of a {tensor.dtype} tensor: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
