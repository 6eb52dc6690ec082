"""From a file's axes, units and Euler angles to ours: z up, the rest pose facing +x, metres, wxyz quaternions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from puffer_phc.quaternions import quat_mul

_AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
_DEFAULT_FORWARD = {"y": "z", "z": "x"}


def change_of_axes(up: str, forward: str | None = None) -> np.ndarray:
    """The rotation that takes vectors in a file's axes to ours.

    Args:
        up: ``y`` or ``z``.
        forward: the axis that the rest pose faces, across ``up``; None is z where y is up and x where z is up.

    Returns:
        (3, 3) float64; for y up and z forward it takes (x, y, z) to (z, x, y).
    """
    ahead = forward or _DEFAULT_FORWARD[up]
    x = np.array(_AXES[ahead[-1]]) * (-1.0 if ahead.startswith("-") else 1.0)
    z = np.array(_AXES[up])
    return np.stack((x, np.cross(z, x), z))


def turn_vectors(change: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) in our axes."""
    return vectors @ change.T


def turn_rotations(change: np.ndarray, quats: np.ndarray) -> np.ndarray:
    """Rotations (..., 4) wxyz seen from our axes: the same turn about the turned axis."""
    return np.concatenate((quats[..., :1], quats[..., 1:] @ change.T), axis=-1)


def euler_to_quat(order: Sequence[str], angles: np.ndarray) -> np.ndarray:
    """Rotations from Euler angles.

    Args:
        order: axes ``x``, ``y``, ``z`` as the matrices are multiplied from left to right, any number of them.
        angles: (..., len(order)) rad.

    Returns:
        (..., 4) wxyz.
    """
    quat = np.zeros((*angles.shape[:-1], 4))
    quat[..., 0] = 1.0
    for i, axis in enumerate(order):
        turn = np.zeros_like(quat)
        turn[..., 0] = np.cos(0.5 * angles[..., i])
        turn[..., 1 + "xyz".index(axis)] = np.sin(0.5 * angles[..., i])
        quat = turn if i == 0 else quat_mul(quat, turn)
    return quat


def exp_map_to_quat(vectors: np.ndarray) -> np.ndarray:
    """Rotations (..., 4) wxyz from rotation vectors (..., 3) rad; NaN where those are too long to have a length."""
    angle = np.linalg.norm(vectors, axis=-1, keepdims=True)
    # sin(a / 2) / a by way of sinc, which knows its limit at zero.
    return np.concatenate((np.cos(0.5 * angle), 0.5 * np.sinc(angle / (2 * np.pi)) * vectors), axis=-1)
