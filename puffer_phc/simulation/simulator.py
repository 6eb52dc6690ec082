"""What every physics engine offers the environment: tensors in, tensors out."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from puffer_phc.robots.robot import Robot
from puffer_phc.robots.state import BodyState, MotionState

MAX_SPEED = 150.0
"""rad/s or m/s of any degree of freedom: faster is divergence. Tracked motion stays below 40."""


class Simulator(Protocol):
    """N copies of one robot on one device.

    The tensors are the simulator's own: they hold until the next ``step`` or ``reset`` and must not be written.

    Attributes:
        robot: what is simulated.
        num_envs: N.
        device: where all tensors live.
        bodies: state after the last call.
        dof_vel: (N, D) rad / s.
        dof_force: (N, D) N m, actuator torque of the last physics step.
        diverged: (N,) bool, environments whose state is not finite or moves impossibly fast; the last step of such an
            environment means nothing and it must be reset.
    """

    robot: Robot
    num_envs: int
    device: torch.device
    bodies: BodyState
    dof_vel: Tensor
    dof_force: Tensor
    diverged: Tensor

    def step(self, target: Tensor) -> None:
        """Advance one control step with PD targets (N, D) rad held throughout."""
        ...

    def physics(self, target: Tensor) -> None:
        """The physics of ``step`` alone; the tensors stay as they were until :meth:`read`."""
        ...

    def read(self) -> None:
        """The rest of ``step``: bring the tensors up to date. Can be compiled together with what uses them."""
        ...

    def reset(self, which: Tensor, state: MotionState) -> None:
        """Place some environments, the others keep their state.

        Args:
            which: (N,) bool mask, or (K,) int64 environments.
            state: N rows for a mask (those outside it are ignored), K rows for a list.
        """
        ...

    def push(self, velocity: Tensor) -> None:
        """Shove whole bodies: add velocities (N, 3) m / s, world frame, to every part of each environment's body."""
        ...

    def read_overflow(self) -> dict[str, int]:
        """Environments that ran out of an engine's fixed sizes since the last call, by kind; waits for the device."""
        ...

    def qpos(self) -> Tensor:
        """MuJoCo positions (N, nq) float64 on the CPU, for rendering."""
        ...
