"""Closed-form inverse kinematics of a leg whose knee is a hinge, for bones that point anywhere at rest."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from poselib.rotations import (
    matrix_to_quat,
    quat_conj,
    quat_from_angle_axis,
    quat_mul,
    quat_rotate,
    quat_rotate_inverse,
)


class LegBones(NamedTuple):
    """Rest offsets (3,) m of one leg: the hip in the pelvis, the knee in the thigh, the ankle in the shin."""

    hip: Tensor
    knee: Tensor
    ankle: Tensor


class LegRotations(NamedTuple):
    """Local rotations (..., 4) wxyz of one leg."""

    hip: Tensor
    knee: Tensor
    ankle: Tensor


def knee_angle(bones: LegBones, distance: Tensor) -> Tensor:
    """Knee flexion (...,) rad that puts the ankle ``distance`` (...,) m from the hip.

    The knee turns about the y axis of the thigh, so ``|knee + Ry(angle) ankle|^2 = distance^2`` is an equation
    ``a cos + b sin = c``. Of its two roots the flexed one is returned. A distance out of reach gives the nearest leg.
    """
    thigh, shin = bones.knee, bones.ankle
    a = thigh[0] * shin[0] + thigh[2] * shin[2]
    b = thigh[0] * shin[2] - thigh[2] * shin[0]
    c = 0.5 * (distance**2 - thigh @ thigh - shin @ shin) - thigh[1] * shin[1]
    # At the angle atan2(b, a) the leg is straight; it differs from zero because the rest shin slants back.
    return torch.atan2(b, a) + torch.acos((c / torch.hypot(a, b)).clamp(-1.0, 1.0))


def solve_leg(
    bones: LegBones, pelvis_pos: Tensor, pelvis_rot: Tensor, ankle_pos: Tensor, foot_rot: Tensor, hinge: Tensor
) -> LegRotations:
    """Hip, knee and ankle rotations that carry the foot to a pose.

    Args:
        bones: rest offsets of the leg.
        pelvis_pos: (..., 3) m, world.
        pelvis_rot: (..., 4) wxyz, world.
        ankle_pos: (..., 3) m, world target of the ankle joint; if out of reach, the leg points at it.
        foot_rot: (..., 4) wxyz, world target of the foot.
        hinge: (..., 3) world direction, to the left, that the knee axis should keep to; it sets where the knee points.
    """
    reach = quat_rotate_inverse(pelvis_rot, ankle_pos - pelvis_pos) - bones.hip  # (..., 3) m, hip to ankle in pelvis
    angle = knee_angle(bones, reach.norm(dim=-1))
    lateral = torch.tensor((0.0, 1.0, 0.0), dtype=reach.dtype, device=reach.device)
    knee_rot = quat_from_angle_axis(angle, lateral)
    bent = bones.knee + quat_rotate(knee_rot, bones.ankle)  # (..., 3) m, hip to ankle in the thigh
    wanted = _frame(reach, quat_rotate_inverse(pelvis_rot, hinge))
    hip_rot = matrix_to_quat(wanted @ _frame(bent, lateral.expand_as(bent)).transpose(-1, -2))
    shin_rot = quat_mul(quat_mul(pelvis_rot, hip_rot), knee_rot)
    return LegRotations(hip_rot, knee_rot, quat_mul(quat_conj(shin_rot), foot_rot))


def _frame(along: Tensor, side: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3): the first column is along ``along``, the second as near ``side`` as it can be."""
    first = torch.nn.functional.normalize(along, dim=-1)
    second = side - (side * first).sum(dim=-1, keepdim=True) * first
    second = torch.nn.functional.normalize(second, dim=-1)
    return torch.stack((first, second, torch.linalg.cross(first, second, dim=-1)), dim=-1)
