"""How well the reference was followed, as pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RewardConfig:
    """Weights and scales of the imitation reward; the defaults are PHC's.

    Attributes:
        w_pos, w_rot, w_vel, w_ang_vel: weight of each term; they sum to 1.
        k_pos: 1 / m2, sharpness of the position term.
        k_rot: 1 / rad2.
        k_vel: s2 / m2.
        k_ang_vel: s2 / rad2.
        power_coef: reward lost per watt of mechanical joint power (absolute value).
        power_grace_steps: control steps after a reset without power penalty.
    """

    w_pos: float = 0.5
    w_rot: float = 0.3
    w_vel: float = 0.1
    w_ang_vel: float = 0.1
    k_pos: float = 100.0
    k_rot: float = 10.0
    k_vel: float = 0.1
    k_ang_vel: float = 0.1
    power_coef: float = 0.0001
    power_grace_steps: int = 3


TERM_NAMES = ("body_pos", "body_rot", "body_vel", "body_ang_vel")


def imitation_reward(
    body_pos: Tensor,
    body_rot: Tensor,
    body_vel: Tensor,
    body_ang_vel: Tensor,
    ref_pos: Tensor,
    ref_rot: Tensor,
    ref_vel: Tensor,
    ref_ang_vel: Tensor,
    cfg: RewardConfig,
) -> tuple[Tensor, Tensor]:
    """PHC's reward: a weighted sum of ``exp(-k * mean squared error)`` over position, rotation and both velocities.

    Squared errors of vectors are averaged over bodies and over x, y, z; the rotation error is the angle between the two
    rotations, averaged squared over bodies.

    Args:
        body_pos, ref_pos: (N, B, 3) m, world.
        body_rot, ref_rot: (N, B, 4) wxyz.
        body_vel, ref_vel: (N, B, 3) m / s.
        body_ang_vel, ref_ang_vel: (N, B, 3) rad / s.
        cfg: weights and scales.

    Returns:
        The reward (N,) and its four unweighted terms (N, 4) in the order of ``TERM_NAMES``.
    """
    errors = (
        cfg.k_pos * (ref_pos - body_pos).square().mean(dim=(1, 2)),
        cfg.k_rot * rotation_angle(body_rot, ref_rot).square().mean(dim=1),
        cfg.k_vel * (ref_vel - body_vel).square().mean(dim=(1, 2)),
        cfg.k_ang_vel * (ref_ang_vel - body_ang_vel).square().mean(dim=(1, 2)),
    )
    terms = torch.exp(-torch.stack(errors, dim=1))
    pos, rot, vel, ang_vel = terms.unbind(1)
    return cfg.w_pos * pos + cfg.w_rot * rot + cfg.w_vel * vel + cfg.w_ang_vel * ang_vel, terms


def rotation_angle(a: Tensor, b: Tensor) -> Tensor:
    """Angle (...,) in [0, pi] rad between unit quaternions (..., 4).

    Taken from the chord between them, which needs no product of quaternions and is accurate at both ends of the range:
    ``|a - b| = 2 sin(angle / 4)`` for the nearer of ``b`` and ``-b``.
    """
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    sign = torch.where(aw * bw + ax * bx + ay * by + az * bz < 0, -1.0, 1.0)
    chord2 = (aw - sign * bw).square() + (ax - sign * bx).square() + (ay - sign * by).square()
    chord2 = chord2 + (az - sign * bz).square()
    return 4.0 * torch.asin((0.5 * chord2.sqrt()).clamp(max=1.0))


def power_penalty(dof_force: Tensor, dof_vel: Tensor, coef: float) -> Tensor:
    """Reward (N,), never positive: ``-coef`` times the summed absolute joint power.

    Args:
        dof_force: (N, D) N m.
        dof_vel: (N, D) rad / s.
        coef: reward per watt.
    """
    return -coef * (dof_force * dof_vel).abs().sum(dim=-1)
