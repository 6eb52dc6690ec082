"""How the motion of N humanoids is laid out, simulated and reference alike.

Memory layout is part of the design: every tensor here may be a view whose environment axis varies fastest in memory
(``(C, B, N)`` storage seen as ``(N, B, C)``). Taking a component with ``unbind(-1)`` then gives dense blocks, and
elementwise formulas run several times faster on a CPU than over interleaved components.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class BodyState(NamedTuple):
    """Motion of all bodies in the world frame.

    Attributes:
        pos: (N, B, 3) m, body origins.
        rot: (N, B, 4) wxyz.
        vel: (N, B, 3) m / s, velocity of the body origins.
        ang_vel: (N, B, 3) rad / s.
    """

    pos: Tensor
    rot: Tensor
    vel: Tensor
    ang_vel: Tensor

    def rows(self, ids: Tensor) -> BodyState:
        """The environments ``ids`` alone, as copies."""
        return BodyState(*(tensor.index_select(0, ids) for tensor in self))


class MotionState(NamedTuple):
    """Everything needed to place a humanoid.

    Attributes:
        body_pos, body_rot, body_vel, body_ang_vel: as in :class:`BodyState`.
        local_rot: (N, B, 4) wxyz, rotation of each body in its parent's frame (the root: in the world).
        dof_vel: (N, D) rad / s, of ball joints in the child body's frame, of hinges the rate of their angles.
    """

    body_pos: Tensor
    body_rot: Tensor
    body_vel: Tensor
    body_ang_vel: Tensor
    local_rot: Tensor
    dof_vel: Tensor

    @property
    def bodies(self) -> BodyState:
        """The bodies without the joints."""
        return BodyState(self.body_pos, self.body_rot, self.body_vel, self.body_ang_vel)

    @property
    def root_pos(self) -> Tensor:
        """(N, 3) m."""
        return self.body_pos[:, 0]

    @property
    def root_rot(self) -> Tensor:
        """(N, 4) wxyz."""
        return self.body_rot[:, 0]

    @property
    def root_vel(self) -> Tensor:
        """(N, 3) m / s."""
        return self.body_vel[:, 0]

    @property
    def root_ang_vel(self) -> Tensor:
        """(N, 3) rad / s, world frame."""
        return self.body_ang_vel[:, 0]


def write_rows(target: Tensor, which: Tensor, rows: Tensor) -> None:
    """Write some environments' rows of ``target`` (N, ...) in place, leaving the others.

    Args:
        target: one row per environment.
        which: (N,) bool mask, the form whose shapes never change, or (K,) int64 environments.
        rows: N rows for a mask (those outside it are ignored), K rows for a list.
    """
    if which.dtype == torch.bool:
        mask = which.view(-1, *[1] * (target.dim() - 1))
        target.copy_(torch.where(mask, rows, target))
    else:
        target.index_copy_(0, which, rows)
