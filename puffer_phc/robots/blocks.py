"""Quaternion algebra on component-first blocks: quaternions (4, ...), vectors (3, ...), see :mod:`.state`."""

from __future__ import annotations

import torch
from torch import Tensor


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Quaternion product of (4, ...) blocks."""
    aw, ax, ay, az = a.unbind(0)
    bw, bx, by, bz = b.unbind(0)
    return torch.stack(
        (
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        )
    )


def cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product of (3, ...) blocks."""
    ax, ay, az = a.unbind(0)
    bx, by, bz = b.unbind(0)
    return torch.stack((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx))


def rotate(q: Tensor, v: Tensor) -> Tensor:
    """Vectors (3, ...) rotated by quaternions (4, ...)."""
    xyz = q[1:]
    t = 2.0 * cross(xyz, v)
    return v + q[0] * t + cross(xyz, t)


def rotate_inverse(q: Tensor, v: Tensor) -> Tensor:
    """Vectors (3, ...) rotated by the inverses of quaternions (4, ...)."""
    xyz = q[1:]
    t = 2.0 * cross(v, xyz)
    return v + q[0] * t + cross(t, xyz)
