"""Checks that several readers share: the numbers a file must hold to be a motion at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from puffer_phc.errors import InputError
from puffer_phc.motions.formats.text import MAX_VALUES

_QUAT_NORM = (0.5, 1.5)
_SHARED_VALUES = 1_000_000  # up to so many, a list of one row repeated is believed


def numbers(where: str | Path, name: str, value: object, shape: tuple[int | None, ...]) -> Tensor:
    """``value`` as a float64 tensor of its own memory.

    Args:
        where: file (and record) for messages.
        name: what the file calls the array.
        value: the array as read.
        shape: the expected shape; None where any length is right.

    Raises:
        InputError: not an array of numbers, another shape, or NaN or infinite values.
    """
    wanted = "(" + ", ".join("T" if size is None else str(size) for size in shape) + ")"
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        raise InputError(where, f"{name} is no array of numbers", f"store it as floats of shape {wanted}")
    if len(value.shape) != len(shape) or any(
        size is not None and size != got for size, got in zip(shape, value.shape, strict=True)
    ):
        raise InputError(where, f"{name} has shape {value.shape}", f"the shape must be {wanted}")
    if not np.isfinite(value).all():
        frame = int(np.argwhere(~np.isfinite(value))[0][0])
        raise InputError(where, f"{name} holds NaN or infinite values from frame {frame} on", "repair or drop the clip")
    return torch.from_numpy(np.array(value, dtype=np.float64))


def frame_rate(where: str | Path, name: str, value: object) -> float:
    """``value`` as frames per second.

    Raises:
        InputError: not one number, not finite, or not above 0.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or array.size != 1:
        raise InputError(where, f"{name} is not one number", "store the frame rate in frames per second")
    fps = float(array.reshape(()))
    if not np.isfinite(fps) or fps <= 0:
        raise InputError(where, f"{name} is {fps:g} frames per second", "the frame rate must be finite and above 0")
    return fps


def same_length(where: str | Path, **tensors: Tensor) -> None:
    """Raises InputError unless all ``tensors`` have the same number of frames."""
    if len({len(tensor) for tensor in tensors.values()}) > 1:
        lengths = ", ".join(f"{name} {len(tensor)}" for name, tensor in tensors.items())
        raise InputError(where, f"the arrays differ in frames ({lengths})", "every array needs one row per frame")


def number_rows(where: str | Path, name: str, value: object, width: int | None = None) -> np.ndarray:
    """``value``, an array or a list of lists out of JSON or a pickle, as (T, width) float64.

    Lists are looked through before NumPy sees them: it would follow one that holds itself for ever, and a list of a few
    bytes can hold another a million times.

    Raises:
        InputError: not T rows of ``width`` finite numbers (None: as many as the first row has).
    """
    if isinstance(value, np.ndarray):
        return numbers(where, name, value, (None, width)).numpy()
    remedy = f"it must be a list of rows of {width or 'equally many'} numbers"
    if not isinstance(value, list | tuple) or not value or not isinstance(value[0], list | tuple):
        raise InputError(where, f"{name} is no list of rows", remedy)
    width = len(value[0]) if width is None else width
    if len(value) * width > MAX_VALUES:
        raise InputError(where, f"{name} has more than {MAX_VALUES} numbers", "split it into shorter clips")
    if len(value) * width > _SHARED_VALUES and len({id(row) for row in value}) < len(value):
        raise InputError(where, f"{name} holds the same row many times over", "export it again, row by row")
    for i, row in enumerate(value):
        if not isinstance(row, list | tuple) or len(row) != width or not {type(v) for v in row} <= {int, float}:
            raise InputError(where, f"row {i} of {name} is not {width} numbers", remedy)
    try:
        return numbers(where, name, np.array(value, np.float64), (None, width)).numpy()
    except OverflowError:
        raise InputError(where, f"{name} holds a number that is far too large", "repair or drop the clip") from None


def unit_quats(where: str | Path, name: str, quats: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4), normalised; those that published files hold are off by up to 10 %.

    Raises:
        InputError: the norm of one is far from 1.
    """
    norm = np.linalg.norm(quats, axis=-1, keepdims=True)
    if not ((norm > _QUAT_NORM[0]) & (norm < _QUAT_NORM[1])).all():
        raise InputError(where, f"{name} holds what is no rotation (norm {norm.min():.3g})", "export it again")
    return quats / norm
