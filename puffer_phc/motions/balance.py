"""Balance of the SMPL humanoid: masses, zero-moment point, and the pelvis path that puts the point in place."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from poselib.rotations import quat_rotate
from poselib.skeleton import Skeleton
from puffer_phc.robots.smpl_table import BODY_NAMES, PARENTS, SMPL_BODIES, BodyRow

GRAVITY = 9.81

Pose = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Pelvis path (T, 2) m to the whole motion: root_pos (T, 3) m and local_rot (T, B, 4) wxyz."""


class Masses(NamedTuple):
    """Body masses (B,) kg and their centres in the body frames (B, 3) m."""

    mass: Tensor
    centre: Tensor


@cache
def smpl_masses() -> Masses:
    """Masses of the collision shapes at their densities."""
    volumes_and_centres = [_volume_and_centre(row) for row in SMPL_BODIES]
    mass = [row.density * volume for row, (volume, _) in zip(SMPL_BODIES, volumes_and_centres, strict=True)]
    centre = [centre for _, centre in volumes_and_centres]
    return Masses(torch.tensor(mass, dtype=torch.float64), torch.tensor(centre, dtype=torch.float64))


def _volume_and_centre(row: BodyRow) -> tuple[float, tuple[float, ...]]:
    if row.shape == "box":
        return 8.0 * math.prod(row.size), row.geom_pos
    radius = row.size[0]
    ball = 4.0 / 3.0 * math.pi * radius**3
    if row.shape == "sphere":
        return ball, row.geom_pos
    start, end = row.geom_pos[:3], row.geom_pos[3:]
    return ball + math.pi * radius**2 * math.dist(start, end), tuple(
        0.5 * (a + b) for a, b in zip(start, end, strict=True)
    )


@cache
def smpl_skeleton() -> Skeleton:
    """The kinematic tree of the mean body in float64."""
    offsets = torch.tensor([row.pos for row in SMPL_BODIES], dtype=torch.float64)
    return Skeleton(BODY_NAMES, PARENTS, offsets)


def zero_moment_point(root_pos: Tensor, local_rot: Tensor, dt: float) -> Tensor:
    """Point of the floor (T, 2) m where inertia and gravity have no horizontal moment.

    The bodies count as point masses. A motion is feasible on flat feet while the point stays under the feet.
    """
    masses = smpl_masses()
    pos, rot = smpl_skeleton().forward_kinematics(root_pos, local_rot)
    centre = pos + quat_rotate(rot, masses.centre)  # (T, B, 3) m
    acceleration = _second_difference(centre) / dt**2
    force = masses.mass[:, None] * (acceleration + GRAVITY * torch.tensor((0.0, 0.0, 1.0), dtype=centre.dtype))
    moment = centre[..., :2] * force[..., 2:] - force[..., :2] * centre[..., 2:]
    return moment.sum(dim=1) / force[..., 2:].sum(dim=1)


def pendulum_path(zmp: Tensor, height: Tensor, dt: float) -> Tensor:
    """Path (T, 2) m of a point mass at ``height`` (T,) m whose zero-moment point is ``zmp`` (T, 2) m.

    Solves ``c - height / (g + height'') * c'' = zmp`` with no velocity at either end, so the mass also leans in good
    time towards what comes (the dynamics filter of Kagami et al., "AutoBalancer", 2002).
    """
    stiffness = height / (GRAVITY * dt**2 + _second_difference(height))
    system = torch.diag(1.0 + 2.0 * stiffness) - torch.diag(stiffness[:-1], 1) - torch.diag(stiffness[1:], -1)
    system[0, 0] -= stiffness[0]
    system[-1, -1] -= stiffness[-1]
    return torch.linalg.solve(system, zmp)


def balanced_pelvis(pose: Pose, zmp: Tensor, height: Tensor, dt: float, iterations: int = 7) -> Tensor:
    """Pelvis path (T, 2) m for which the whole body's zero-moment point follows ``zmp`` (T, 2) m.

    Starts from the pendulum and then corrects the path by the pendulum's answer to what is still missing. The feet do
    not move with the pelvis, so each round leaves a part of the error, a tenth to a half.

    Args:
        pose: the motion that goes with a pelvis path.
        zmp: (T, 2) m, wanted zero-moment point.
        height: (T,) m, height of the pelvis, near which the centre of mass is.
        dt: frame time, s.
        iterations: rounds of correction.
    """
    pelvis = pendulum_path(zmp, height, dt)
    for _ in range(iterations):
        root_pos, local_rot = pose(pelvis)
        pelvis = pelvis + pendulum_path(zmp - zero_moment_point(root_pos, local_rot, dt), height, dt)
    return pelvis


def _second_difference(x: Tensor) -> Tensor:
    """Central second difference along the first axis; the motion stands still beyond both ends."""
    padded = torch.cat((x[:1], x, x[-1:]))
    return padded[2:] - 2.0 * padded[1:-1] + padded[:-2]
