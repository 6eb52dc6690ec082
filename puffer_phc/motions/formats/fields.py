"""Checks that several readers share: the numbers a file must hold to be a motion at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from puffer_phc.errors import InputError


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
