"""How the frames of all clips lie on the device: in full for speed, or compact for data sets of many hours.

Rows are frames; a query names the rows before and after a moment and the blend between them. Columns lie component by
component, so that looked-up rows, transposed, have the layout of :mod:`puffer_phc.robots.state`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from gymtorch import fused
from poselib.motion import angular_velocity, linear_velocity
from poselib.rotations import quat_conj, quat_mul, quat_slerp, quat_to_exp_map
from puffer_phc.robots.kinematics import TreeKinematics
from puffer_phc.robots.robot import Robot
from puffer_phc.robots.state import BodyState

_INT16 = 32767.0  # stands for a quaternion component of 1


class Moment(NamedTuple):
    """Where N queries lie in a table.

    Attributes:
        before, after: (N,) int64 rows.
        blend: (1, N) between them, or None where every blend is zero and ``before`` is all that counts.
        fps: (N,) frame rate of each query's clip.
    """

    before: Tensor
    after: Tensor
    blend: Tensor | None
    fps: Tensor


class FrameTable(Protocol):
    """What the library asks of a table.

    Attributes:
        bytes_per_frame: memory for each frame.
    """

    bytes_per_frame: int

    def bodies(self, moment: Moment) -> BodyState:
        """World motion of all bodies."""
        ...

    def joints(self, moment: Moment) -> tuple[Tensor, Tensor]:
        """Local rotations (N, B, 4) and joint velocities (N, D) rad / s."""
        ...

    def dof_pos(self, moment: Moment) -> Tensor:
        """Joint coordinates (N, D) rad of the local rotations."""
        ...


@dataclass(frozen=True)
class ClipFrames:
    """All that tables hold of one clip, float64.

    Attributes:
        root_pos: (T, 3) m.
        local_rot: (T, B, 4) wxyz.
        bodies: world motion, (T, B, ...).
        dof_vel: (T, D) rad / s.
        dof_pos: (T, D) rad.
    """

    root_pos: Tensor
    local_rot: Tensor
    bodies: BodyState
    dof_vel: Tensor
    dof_pos: Tensor

    @classmethod
    def of(
        cls,
        local_rot: Tensor,
        body_pos: Tensor,
        body_rot: Tensor,
        fps: float,
        robot: Robot,
        forward: bool = False,
    ) -> ClipFrames:
        """One clip from rotations (T, B, 4), local and world, and positions (T, B, 3).

        Velocities of the bodies are PHC's smoothed ones or, with ``forward``, MimicKit's: the step to the next frame,
        in the last frame the one before.
        """
        if forward:
            vel = _repeat_last(body_pos.diff(dim=0) * fps)
            ang_vel = _repeat_last(quat_to_exp_map(quat_mul(body_rot[1:], quat_conj(body_rot[:-1]))) * fps)
        else:
            vel, ang_vel = linear_velocity(body_pos, fps), angular_velocity(body_rot, fps)
        bodies = BodyState(body_pos, body_rot, vel, ang_vel)
        dof_vel = joint_velocity(robot, local_rot, fps)
        return cls(body_pos[:, 0], local_rot, bodies, dof_vel, robot.dof_from_local_rot(local_rot))


def joint_velocity(robot: Robot, local_rot: Tensor, fps: float) -> Tensor:
    """Joint velocities (T, D) rad / s: the turn to the next frame; the last frame repeats the one before (PHC's)."""
    steps = robot.joints_like(local_rot).steps(local_rot[:-1], local_rot[1:]) * fps
    return _repeat_last(steps)


def _repeat_last(rows: Tensor) -> Tensor:
    return torch.cat((rows, rows[-1:]))


class FullTable:
    """Everything precomputed: two gathers and a blend for each query, 2.2 kB a frame for the SMPL body.

    With ``held`` velocities are not interpolated: they are those of the frame before each moment.
    """

    def __init__(self, clips: Sequence[ClipFrames], robot: Robot, device: torch.device, held: bool = False) -> None:
        self._held = held
        self._joint_table = robot.joints.to(device, torch.float32)
        self._count = clips[0].local_rot.shape[1]
        self._bodies = torch.cat([self._body_columns(clip) for clip in clips]).to(device)  # (F, 13 B)
        self._joints = torch.cat([self._joint_columns(clip) for clip in clips]).to(device)  # (F, D + 4 B)
        self._dof_pos = torch.cat([clip.dof_pos.float() for clip in clips]).to(device)  # (F, D)
        self._interpolate = fused(_interpolate, device)
        self.bytes_per_frame = 4 * sum(table.shape[1] for table in (self._bodies, self._joints, self._dof_pos))

    @staticmethod
    def _body_columns(clip: ClipFrames) -> Tensor:
        pos, rot, vel, ang_vel = clip.bodies
        return torch.cat([_columns(tensor) for tensor in (pos, vel, ang_vel, rot)], dim=1).float()

    @staticmethod
    def _joint_columns(clip: ClipFrames) -> Tensor:
        return torch.cat((clip.dof_vel, _columns(clip.local_rot)), dim=1).float()

    def bodies(self, moment: Moment) -> BodyState:
        """See :class:`FrameTable`."""
        linear = 9 * self._count
        held = 6 * self._count if self._held else 0
        table = self._interpolate(self._bodies, linear, held, self._count, *moment[:3])
        pos, vel, ang_vel = table[:linear].view(3, 3, self._count, -1).unbind(0)
        rot = table[linear:].view(4, self._count, -1)
        return BodyState(*(tensor.permute(2, 1, 0) for tensor in (pos, rot, vel, ang_vel)))

    def joints(self, moment: Moment) -> tuple[Tensor, Tensor]:
        """See :class:`FrameTable`."""
        linear = self._joints.shape[1] - 4 * self._count
        held = linear if self._held else 0
        table = self._interpolate(self._joints, linear, held, self._count, *moment[:3])
        return table[linear:].view(4, self._count, -1).permute(2, 1, 0), table[:linear].T

    def dof_pos(self, moment: Moment) -> Tensor:
        """See :class:`FrameTable`."""
        if moment.blend is None:
            return self._dof_pos.index_select(0, moment.before)
        return self._joint_table.dofs(self.joints(moment)[0])


class CompactTable:
    """Local rotations and velocities alone, in 16 bits: 0.5 kB a frame for the SMPL body.

    Bodies are computed by forward kinematics at each lookup, joint velocities from neighbouring frames. Rotations are
    exact to 1e-4 rad, positions to 0.1 mm, velocities to 0.1 %.

    Attributes:
        arrays: what is stored, by name; all of a packed file.
    """

    def __init__(self, arrays: dict[str, Tensor], robot: Robot, device: torch.device) -> None:
        """Take over arrays of :meth:`pack`, moved to ``device``."""
        self.arrays = {name: array.to(device) for name, array in arrays.items()}
        self._count = robot.num_bodies
        self._joint_table = robot.joints.to(device, torch.float32)
        self._kinematics = TreeKinematics(robot.skeleton, device)
        self.bytes_per_frame = sum(array[0].numel() * array.element_size() for array in self.arrays.values())

    @staticmethod
    def pack(clip: ClipFrames) -> dict[str, Tensor]:
        """A clip's arrays: root_pos (T, 3), local_rot (T, 4 B), vel and ang_vel (T, 3 B), last (T,)."""
        last = torch.zeros(len(clip.root_pos), dtype=torch.bool)
        last[-1] = True
        return {
            "root_pos": clip.root_pos.float(),
            "local_rot": (_columns(clip.local_rot) * _INT16).round().to(torch.int16),
            "vel": _columns(clip.bodies.vel).half(),
            "ang_vel": _columns(clip.bodies.ang_vel).half(),
            "last": last,
        }

    def bodies(self, moment: Moment) -> BodyState:
        """See :class:`FrameTable`."""
        first = self._bodies_of(moment.before)
        if moment.blend is None:
            return BodyState(*(tensor.permute(2, 1, 0) for tensor in first))
        second = self._bodies_of(moment.after)
        pos, vel, ang_vel = (torch.lerp(first[i], second[i], moment.blend[None]) for i in (0, 2, 3))
        rot = quat_slerp(first[1].permute(2, 1, 0), second[1].permute(2, 1, 0), moment.blend[0][:, None, None])
        return BodyState(pos.permute(2, 1, 0), rot, vel.permute(2, 1, 0), ang_vel.permute(2, 1, 0))

    def joints(self, moment: Moment) -> tuple[Tensor, Tensor]:
        """See :class:`FrameTable`."""
        rot, vel = self._local_rot(moment.before).permute(2, 1, 0), self._dof_vel(moment.before, moment.fps)
        if moment.blend is None:
            return rot, vel
        blend = moment.blend[0][:, None]
        later = self._local_rot(moment.after).permute(2, 1, 0)
        return quat_slerp(rot, later, blend[:, None]), vel.lerp(self._dof_vel(moment.after, moment.fps), blend)

    def dof_pos(self, moment: Moment) -> Tensor:
        """See :class:`FrameTable`."""
        rot = self._local_rot(moment.before).permute(2, 1, 0)
        if moment.blend is not None:
            later = self._local_rot(moment.after).permute(2, 1, 0)
            rot = quat_slerp(rot, later, moment.blend[0][:, None, None])
        return self._joint_table.dofs(rot)

    def _bodies_of(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Positions, rotations, velocities (3 or 4, B, N) at table rows (N,)."""
        root_pos = self.arrays["root_pos"].index_select(0, rows).T
        pos, rot = self._kinematics.poses(root_pos, self._local_rot(rows))
        vel, ang_vel = (
            self.arrays[name].index_select(0, rows).float().T.reshape(3, self._count, -1) for name in ("vel", "ang_vel")
        )
        return pos, rot, vel, ang_vel

    def _local_rot(self, rows: Tensor) -> Tensor:
        """(4, B, N), normalised."""
        rot = self.arrays["local_rot"].index_select(0, rows).float().T.reshape(4, self._count, -1)
        return rot * torch.rsqrt(rot.square().sum(dim=0, keepdim=True))

    def _dof_vel(self, rows: Tensor, fps: Tensor) -> Tensor:
        """(N, D): the turn to the next frame; in a clip's last frame the one before it counts again."""
        start = rows - self.arrays["last"].index_select(0, rows).long()
        now, then = (self._local_rot(row).permute(2, 1, 0) for row in (start, start + 1))
        return self._joint_table.steps(now, then) * fps[:, None]


def _columns(tensor: Tensor) -> Tensor:
    """(T, B, C) as (T, C B), component by component."""
    return tensor.transpose(1, 2).reshape(tensor.shape[0], -1)


def _interpolate(
    table: Tensor, linear: int, held: int, count: int, before: Tensor, after: Tensor, blend: Tensor | None
) -> Tensor:
    """Rows of ``table`` (F, W) as columns (W, N).

    The first ``linear`` entries are lerped but for the last ``held`` of them, which are those of the row before; the
    other 4 x count are slerped.
    """
    a = table.index_select(0, before).T.contiguous()
    if blend is None:
        return a
    b = table.index_select(0, after).T.contiguous()
    quat_a, quat_b = (x[linear:].view(4, count, -1).permute(2, 1, 0) for x in (a, b))
    quat = quat_slerp(quat_a, quat_b, blend[0][:, None, None])
    lerped = linear - held
    between = torch.lerp(a[:lerped], b[:lerped], blend)
    return torch.cat((between, a[lerped:linear], quat.permute(2, 1, 0).reshape(4 * count, -1)))
