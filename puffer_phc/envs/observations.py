"""What the policy sees: PHC's 934 numbers, as pure functions.

All vectors are turned into the root's heading frame (world turned about z by the root's yaw). Rotations are "tan-norm"
codes: rotated x axis, then rotated z axis. Source: PHC, self observation without shape, task observation version 6 with
one future frame.
"""

from __future__ import annotations

import torch
from torch import Tensor

from poselib.rotations import heading_angle, tan_norm_components
from puffer_phc.robots.state import BodyState

Components = tuple[Tensor, ...]
"""The components of vectors or quaternions, each (K, N): environments last, see :mod:`puffer_phc.robots.state`."""


def self_observation(body_pos: Tensor, body_rot: Tensor, body_vel: Tensor, body_ang_vel: Tensor) -> Tensor:
    """The humanoid's own state, ``(N, 1 + 15 B - 3)``: 358 numbers for 24 bodies.

    In order: root height; positions of the other bodies relative to the root; rotations of all bodies with the heading
    taken out; linear, then angular velocities of all bodies.

    Args:
        body_pos: (N, B, 3) m, world.
        body_rot: (N, B, 4) wxyz.
        body_vel: (N, B, 3) m / s.
        body_ang_vel: (N, B, 3) rad / s.
    """
    yaw = heading_angle(body_rot[:, 0])
    return torch.cat(_self_rows(body_pos, body_rot, body_vel, body_ang_vel, yaw, turn_rotations(body_rot, yaw))).T


def task_observation(
    body_pos: Tensor,
    body_rot: Tensor,
    body_vel: Tensor,
    body_ang_vel: Tensor,
    ref_pos: Tensor,
    ref_rot: Tensor,
    ref_vel: Tensor,
    ref_ang_vel: Tensor,
) -> Tensor:
    """What the reference does next, ``(N, 24 B)``: 576 numbers for 24 bodies.

    In order, all in the simulated heading frame: position difference; rotation from the simulated to the reference
    body; linear and angular velocity differences; reference positions relative to the simulated root; reference
    rotations. Differences are reference minus simulation.

    Args:
        body_pos, ref_pos: (N, B, 3) m, world; the reference is that of the next control step.
        body_rot, ref_rot: (N, B, 4) wxyz.
        body_vel, ref_vel: (N, B, 3) m / s.
        body_ang_vel, ref_ang_vel: (N, B, 3) rad / s.
    """
    yaw = heading_angle(body_rot[:, 0])
    own = turn_rotations(body_rot, yaw)
    rows = _task_rows(body_pos, body_vel, body_ang_vel, ref_pos, ref_rot, ref_vel, ref_ang_vel, yaw, own)
    return torch.cat(rows).T


def observation(bodies: BodyState, reference: BodyState) -> Tensor:
    """Self and task observation side by side, ``(N, 39 B - 2)``, sharing their work."""
    yaw = heading_angle(bodies.rot[:, 0])
    own = turn_rotations(bodies.rot, yaw)
    rows = _self_rows(*bodies, yaw, own) + _task_rows(bodies.pos, bodies.vel, bodies.ang_vel, *reference, yaw, own)
    return torch.cat(rows).T


def _self_rows(pos: Tensor, rot: Tensor, vel: Tensor, ang_vel: Tensor, yaw: Tensor, own: Components) -> list[Tensor]:
    """The blocks of the self observation, each (numbers, N); ``own`` are the rotations in the heading frame."""
    return [
        pos[:, 0, 2:].T,
        turn_vectors(pos[:, 1:] - pos[:, :1], yaw),
        interleave(tan_norm_components(*own)),
        turn_vectors(vel, yaw),
        turn_vectors(ang_vel, yaw),
    ]


def _task_rows(
    pos: Tensor,
    vel: Tensor,
    ang_vel: Tensor,
    ref_pos: Tensor,
    ref_rot: Tensor,
    ref_vel: Tensor,
    ref_ang_vel: Tensor,
    yaw: Tensor,
    own: Components,
) -> list[Tensor]:
    """The blocks of the task observation, each (numbers, N)."""
    wanted = turn_rotations(ref_rot, yaw)
    # (h^-1 ref) (h^-1 own)^-1 = h^-1 (ref own^-1) h: the difference, seen in the heading frame.
    difference = _divide(wanted, own)
    return [
        turn_vectors(ref_pos - pos, yaw),
        interleave(tan_norm_components(*difference)),
        turn_vectors(ref_vel - vel, yaw),
        turn_vectors(ref_ang_vel - ang_vel, yaw),
        turn_vectors(ref_pos - pos[:, :1], yaw),
        interleave(tan_norm_components(*wanted)),
    ]


def interleave(components: Components) -> Tensor:
    """Rows x0 y0 z0 x1 y1 z1 ... (C K, N) of C components (K, N)."""
    return torch.stack(components, dim=1).flatten(0, 1)


def turn_vectors(vectors: Tensor, yaw: Tensor) -> Tensor:
    """Vectors (N, K, 3) turned about z by -yaw (N,), as rows (3 K, N)."""
    cos, sin = yaw.cos(), yaw.sin()
    x, y, z = (component.T for component in vectors.unbind(-1))
    return interleave((cos * x + sin * y, cos * y - sin * x, z))


def turn_rotations(quats: Tensor, yaw: Tensor) -> Components:
    """Rotations (N, K, 4) followed by a turn about z by -yaw (N,)."""
    cos, sin = (0.5 * yaw).cos(), (0.5 * yaw).sin()
    w, x, y, z = (component.T for component in quats.unbind(-1))
    return cos * w + sin * z, cos * x + sin * y, cos * y - sin * x, cos * z - sin * w


def _divide(a: Components, b: Components) -> Components:
    """Quaternion ``a`` times the conjugate of ``b``."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        aw * bw + ax * bx + ay * by + az * bz,
        ax * bw - aw * bx - ay * bz + az * by,
        ay * bw - aw * by + ax * bz - az * bx,
        az * bw - aw * bz - ax * by + ay * bx,
    )
