"""What there is to see for a policy outside of training. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from puffer_phc.quaternions import Array


class Bodies(NamedTuple):
    """Motion of the robot's bodies in the world frame.

    Attributes:
        pos: (N, B, 3) m, body origins.
        rot: (N, B, 4) wxyz.
        vel: (N, B, 3) m / s, of the body origins.
        ang_vel: (N, B, 3) rad / s.
    """

    pos: Array
    rot: Array
    vel: Array
    ang_vel: Array


class Sight(NamedTuple):
    """Everything that observations are made of.

    Attributes:
        bodies: the robot now.
        dof_vel: (N, D) rad / s, joint velocities.
        reference: the motion one control step ahead, of policies that follow one.
        goal: (N, W) what is asked of the others, see ``puffer_phc.deployment.goals``.
    """

    bodies: Bodies
    dof_vel: Array
    reference: Bodies | None = None
    goal: Array | None = None


Observer = Callable[[Sight], Array]
"""From what there is to see to observations (N, O)."""
