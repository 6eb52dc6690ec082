"""Torque limits of PD servos, stable at large physics steps.

A motor limits the whole torque ``kp (target - position) - kd velocity``. MuJoCo offers two ways to say so, both wrong
here: a clamped actuator with the damping in it loses the damping's implicit treatment while it is clamped (light limbs
chatter, at 1/60 s they diverge), and one that has the stiffness alone, with the damping in the joint, is a brake: a
limb cannot turn faster than ``limit / kd``, a few rad/s, however far its target is ahead.

So the damping stays in the joint, implicit, the model's actuator is not limited at all, and every physics step aims at
the target nearest to the wanted one whose whole torque is within the limit. See ``docs/physics.md`` for what that does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from puffer_phc.robots.robot import Robot


class LimitedServos:
    """The targets that a robot's motors can follow, and the torques they give for them."""

    def __init__(self, robot: Robot, device: torch.device, dtype: torch.dtype) -> None:
        """Tables of ``robot`` for states on ``device`` in ``dtype``."""
        self._joints = robot.joints.to(device, dtype)
        self._kp, self._kd, self._limit = (
            table.to(device, dtype) for table in (robot.kp, robot.kd, robot.torque_limit)
        )

    def __call__(self, target: Tensor, qpos: Tensor, qvel: Tensor) -> tuple[Tensor, Tensor]:
        """Targets (N, D) rad for the next physics step and the torques (N, D) N m that it begins with.

        ``clamp(target, position + (kd velocity - limit) / kp, position + (kd velocity + limit) / kp)``.

        Args:
            target: (N, D) rad, wanted.
            qpos, qvel: (N, nq), (N, nv) MuJoCo's state at the beginning of the step.
        """
        position, brake = self._joints.coordinates(qpos[:, 7:]), self._kd * qvel[:, 6:]
        low, high = ((brake + sign * self._limit) / self._kp + position for sign in (-1.0, 1.0))
        reached = target.to(position.dtype).clamp(low, high)
        return reached, self._kp * (reached - position) - brake


def limited_servos(robot: Robot, device: torch.device, dtype: torch.dtype) -> LimitedServos | None:
    """The servos of ``robot``, or None if no motor of it has a limit: then MuJoCo's own are all it takes."""
    return LimitedServos(robot, device, dtype) if robot.torque_limit.isfinite().any() else None
