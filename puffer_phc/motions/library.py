"""All clips packed on one device and looked up by time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from gymtorch import fused
from poselib.motion import angular_velocity, dof_velocity, linear_velocity
from poselib.rotations import quat_slerp, quat_to_exp_map
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.ground import contact_lift, first_frames_lift, lowest_point
from puffer_phc.motions.loading import check_bodies
from puffer_phc.robots.robot import Robot
from puffer_phc.robots.state import BodyState, MotionState

HeightFix = Literal["contact", "first_frames", "off"]
_EPS = float(torch.finfo(torch.float32).eps)


class MotionLibrary:
    """Clips as two tables of frames: one row holds a frame's bodies, or its joints, component by component.

    Attributes:
        names: clip names in table order.
        num_clips: C.
        duration: (C,) s, time of the last frame.
        num_frames: (C,) int64.
        fps: (C,).
    """

    def __init__(
        self,
        clips: Sequence[MotionClip],
        robot: Robot,
        device: torch.device | str = "cpu",
        height_fix: HeightFix = "contact",
    ) -> None:
        """Compute bodies and velocities of every clip and pack them.

        Args:
            clips: at least one; their bodies must be the robot's.
            robot: gives the skeleton and the shapes that the floor holds up.
            device: where the tables live.
            height_fix: ``contact`` removes all penetration (:func:`contact_lift`), ``first_frames`` is PHC's,
                ``off`` trusts the file.

        Raises:
            InputError: a clip has other bodies than the robot.
        """
        self.device = torch.device(device)
        self.names = tuple(clip.name for clip in clips)
        self.num_clips = len(clips)
        packed = [_pack(clip, robot, height_fix) for clip in clips]
        self._bodies = torch.cat([bodies for bodies, _ in packed]).to(self.device)  # (F, 13 B)
        self._joints = torch.cat([joints for _, joints in packed]).to(self.device)  # (F, 4 B + D)
        self._dof_pos = torch.cat([robot.dof_from_local_rot(clip.local_rot) for clip in clips]).float().to(self.device)
        self._body_count = robot.num_bodies
        self.num_frames = torch.tensor([clip.num_frames for clip in clips], device=self.device)
        self.fps = torch.tensor([clip.fps for clip in clips], dtype=torch.float32, device=self.device)
        self.duration = (self.num_frames - 1) / self.fps
        self._first = torch.cumsum(self.num_frames, dim=0) - self.num_frames
        self._interpolate = fused(_interpolate, self.device)

    def state_at(self, clip_ids: Tensor, times: Tensor) -> MotionState:
        """The clips' state at given times, as PHC computes it.

        Positions and velocities are interpolated linearly, global and (separately) local rotations spherically. Times
        outside a clip give its first or last frame.

        Args:
            clip_ids: (N,) int64.
            times: (N,) s from the clip's start.
        """
        rows = self._rows(clip_ids, times)
        return MotionState(*self._lookup_bodies(*rows), *self._lookup_joints(*rows))

    def bodies_at(self, clip_ids: Tensor, times: Tensor) -> BodyState:
        """The part of :meth:`state_at` that observation and reward need, at half its cost."""
        return self._lookup_bodies(*self._rows(clip_ids, times))

    def dof_pos_at(self, clip_ids: Tensor, times: Tensor) -> Tensor:
        """Joint coordinates (N, D) rad alone: the exponential map of every interpolated local rotation."""
        before, after, blend = self._rows(clip_ids, times)
        if blend is None:
            return self._dof_pos.index_select(0, before)
        local_rot, _ = self._lookup_joints(before, after, blend)
        return quat_to_exp_map(local_rot[:, 1:]).flatten(1)

    def _rows(self, clip_ids: Tensor, times: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Rows before and after each time and the blend between them (1, N), None where every blend is zero."""
        last = self.num_frames[clip_ids] - 1
        frame = torch.minimum((times * self.fps[clip_ids]).clamp_min(0.0), last.to(torch.float32))
        # k / fps * fps is not always k in float32: what lies within rounding of a frame is that frame.
        nearest = frame.round()
        frame = torch.where((frame - nearest).abs() <= 2 * _EPS * nearest, nearest, frame)
        before = frame.floor()
        blend = (frame - before)[None]
        index = before.long()
        first = self._first[clip_ids]
        if self.device.type == "cpu" and not blend.any():
            return first + index, first + index, None
        return first + index, first + torch.minimum(index + 1, last), blend

    def _lookup_bodies(self, before: Tensor, after: Tensor, blend: Tensor | None) -> BodyState:
        linear = 9 * self._body_count
        table = self._interpolate(self._bodies, linear, self._body_count, before, after, blend)
        pos, vel, ang_vel = table[:linear].view(3, 3, self._body_count, -1).unbind(0)
        rot = table[linear:].view(4, self._body_count, -1)
        return BodyState(*(tensor.permute(2, 1, 0) for tensor in (pos, rot, vel, ang_vel)))

    def _lookup_joints(self, before: Tensor, after: Tensor, blend: Tensor | None) -> tuple[Tensor, Tensor]:
        linear = self._joints.shape[1] - 4 * self._body_count
        table = self._interpolate(self._joints, linear, self._body_count, before, after, blend)
        return table[linear:].view(4, self._body_count, -1).permute(2, 1, 0), table[:linear].T


def _interpolate(table: Tensor, linear: int, count: int, before: Tensor, after: Tensor, blend: Tensor | None) -> Tensor:
    """Rows of ``table`` (F, W) as columns (W, N): the first ``linear`` entries lerped, the other 4 x count slerped."""
    a = table.index_select(0, before).T.contiguous()
    if blend is None:
        return a
    b = table.index_select(0, after).T.contiguous()
    quat_a, quat_b = (x[linear:].view(4, count, -1).permute(2, 1, 0) for x in (a, b))
    quat = quat_slerp(quat_a, quat_b, blend[0][:, None, None])
    return torch.cat((torch.lerp(a[:linear], b[:linear], blend), quat.permute(2, 1, 0).reshape(4 * count, -1)))


def _pack(clip: MotionClip, robot: Robot, height_fix: HeightFix) -> tuple[Tensor, Tensor]:
    """Frames of one clip, float32: bodies (T, 13 B) and joints (T, D + 4 B), component-major within each block."""
    check_bodies(clip, robot.body_names)
    skeleton = robot.skeleton
    body_pos, body_rot = skeleton.forward_kinematics(clip.root_pos, clip.local_rot)
    if height_fix != "off":
        lowest = lowest_point(robot.geoms, body_pos, body_rot)
        lift = contact_lift(lowest, clip.fps) if height_fix == "contact" else first_frames_lift(lowest)
        body_pos = body_pos + lift[:, None, None] * body_pos.new_tensor([0.0, 0.0, 1.0])
    vectors = (body_pos, linear_velocity(body_pos, clip.fps), angular_velocity(body_rot, clip.fps))
    dof_vel = dof_velocity(clip.local_rot[:, 1:], clip.fps).flatten(1)

    def columns(tensor: Tensor) -> Tensor:
        return tensor.transpose(1, 2).reshape(clip.num_frames, -1)

    bodies = torch.cat([columns(tensor) for tensor in (*vectors, body_rot)], dim=1)
    joints = torch.cat((dof_vel, columns(clip.local_rot)), dim=1)
    return bodies.float(), joints.float()
