"""The quaternion formulas that observation and reference need, in NumPy; wxyz, as in ``poselib.rotations``."""

from __future__ import annotations

import numpy as np

from puffer_phc.quaternions import Array, quat_mul

_SLERP_NEAR = 1.0 - 5e-7
_SMALL_ANGLE = 1e-4


def quat_conj(q: Array) -> Array:
    """Inverse of a unit quaternion (..., 4)."""
    return q * np.array([1.0, -1.0, -1.0, -1.0])


def quat_slerp(a: Array, b: Array, t: float) -> Array:
    """Spherical interpolation (..., 4) along the shorter arc."""
    dot = (a * b).sum(axis=-1, keepdims=True)
    b = np.where(dot < 0, -b, b)
    cos = np.abs(dot)
    near = cos > _SLERP_NEAR
    angle = np.arccos(np.where(near, 0.0, cos))
    sin = np.sin(angle)
    blend = np.where(near, 1.0 - t, np.sin((1.0 - t) * angle) / sin) * a
    blend = blend + np.where(near, t, np.sin(t * angle) / sin) * b
    return blend / np.linalg.norm(blend, axis=-1, keepdims=True)


def quat_to_exp_map(q: Array) -> Array:
    """Rotation vectors (..., 3) rad of norm at most pi."""
    q = np.where(q[..., :1] < 0, -q, q)
    sin_half = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(sin_half, q[..., :1])
    small = sin_half < _SMALL_ANGLE
    ratio = np.where(small, 2.0 + angle * angle / 12.0, angle / np.where(small, 1.0, sin_half))
    return ratio * q[..., 1:]


def quat_to_tan_norm(q: Array) -> Array:
    """Six-number codes (..., 6): the rotated x axis, then the rotated z axis."""
    w, x, y, z = np.moveaxis(q, -1, 0)
    x_axis = (1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y))
    z_axis = (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y))
    return np.stack((*x_axis, *z_axis), axis=-1)


def heading_angle(q: Array) -> Array:
    """Yaw (...) rad: where the rotated x axis points in the ground plane."""
    w, x, y, z = np.moveaxis(q, -1, 0)
    return np.arctan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z))


def unturn(vectors: Array, yaw: Array) -> Array:
    """Vectors (N, K, 3) turned about z by -yaw (N,)."""
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.stack((cos * x + sin * y, cos * y - sin * x, z), axis=-1)


def unturn_rotations(quats: Array, yaw: Array) -> Array:
    """Rotations (N, K, 4) followed by a turn about z by -yaw (N,)."""
    half = 0.5 * yaw[:, None]
    zero = np.zeros_like(half)
    return quat_mul(np.stack((np.cos(half), zero, zero, -np.sin(half)), axis=-1), quats)
