"""SMPL pose parameters to our body frames and back.

SMPL's joint axes at rest are x left, y up, z forward; ours ("upright") are x forward, y left, z up, so that the zero
pose stands in a z-up world. With U the matrix that takes upright coordinates to SMPL's, a joint rotation R becomes
``U^T R U``: its rotation vector (x, y, z) becomes (z, x, y). The root turns the body into the world, which keeps its
axes: ``R U``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from poselib.rotations import exp_map_to_quat, quat_mul, quat_to_exp_map
from puffer_phc.robots.smpl_table import BODY_NAMES, PELVIS_OFFSET, SMPL_JOINT_ORDER

NUM_JOINTS = len(SMPL_JOINT_ORDER)

_TO_BODY_ORDER = [SMPL_JOINT_ORDER.index(name) for name in BODY_NAMES]
_TO_SMPL_ORDER = [BODY_NAMES.index(name) for name in SMPL_JOINT_ORDER]
_ROOT = BODY_NAMES.index("Pelvis")

UPRIGHT = torch.tensor((0.5, -0.5, -0.5, -0.5), dtype=torch.float64)
"""U = [[0, 1, 0], [0, 0, 1], [1, 0, 0]] as a wxyz quaternion: x to z, y to x, z to y."""


def local_rot_from_pose(pose: Tensor) -> Tensor:
    """Local rotations of a pose.

    Args:
        pose: (T, 24, 3) rad, rotation vectors in SMPL's axes and joint order.

    Returns:
        (T, 24, 4) wxyz in body order and upright frames.
    """
    vectors = pose[:, _TO_BODY_ORDER]
    local_rot = exp_map_to_quat(vectors[..., [2, 0, 1]])
    local_rot[:, _ROOT] = quat_mul(exp_map_to_quat(vectors[:, _ROOT]), UPRIGHT)
    return local_rot


def pose_from_local_rot(local_rot: Tensor) -> Tensor:
    """The inverse of :func:`local_rot_from_pose`; rotation vectors have norm at most pi."""
    vectors = quat_to_exp_map(local_rot)[..., [1, 2, 0]]
    conjugate = UPRIGHT * torch.tensor((1.0, -1.0, -1.0, -1.0), dtype=torch.float64)
    vectors[:, _ROOT] = quat_to_exp_map(quat_mul(local_rot[:, _ROOT], conjugate))
    return vectors[:, _TO_SMPL_ORDER]


def pelvis_offset() -> Tensor:
    """(3,) m, what SMPL adds to its translation to place the pelvis (not turned by the root)."""
    return torch.tensor(PELVIS_OFFSET, dtype=torch.float64)
