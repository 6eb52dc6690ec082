"""The product of quaternions in NumPy.

A leaf beside ``errors.py``, and not part of ``poselib``, which is torch: the readers of motion files and the exported
policies, which must run where there is no torch, both need it, and neither may import the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def quat_mul(a: Array, b: Array) -> Array:
    """Hamilton product (..., 4) of wxyz quaternions."""
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack(
        (
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ),
        axis=-1,
    )
