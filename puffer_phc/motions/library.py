"""All clips packed on one device and looked up by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.ground import contact_lift, first_frames_lift, lowest_point
from puffer_phc.motions.same_body import on_robot
from puffer_phc.motions.tables import ClipFrames, CompactTable, FrameTable, FullTable, Moment
from puffer_phc.robots.robot import Robot
from puffer_phc.robots.state import BodyState, MotionState

HeightFix = Literal["contact", "first_frames", "off"]
Storage = Literal["auto", "full", "compact"]
Velocity = Literal["smooth", "forward"]
COMPACT_FROM = 1 << 20
"""Frames (9.7 hours at 30 Hz) from which ``auto`` storage is compact: in full they would take 2.3 GB."""
_EPS = float(torch.finfo(torch.float32).eps)


@dataclass(frozen=True)
class ClipIndex:
    """Names, frame counts (C,) and frame rates (C,) of the clips in table order, and which (C,) loop, if any do."""

    names: tuple[str, ...]
    num_frames: Tensor
    fps: Tensor
    loops: Tensor | None = None


class MotionLibrary:
    """Clips in one table of frames.

    Attributes:
        names: clip names in table order.
        num_clips: C.
        duration: (C,) s, time of the last frame.
        num_frames: (C,) int64.
        fps: (C,).
        loops: (C,) bool, clips that their files say begin anew at their end.
        weights: (C,) how often each clip is drawn, or None for all alike.
        table: the frames.
    """

    weights: Tensor | None = None

    def __init__(
        self,
        clips: Sequence[MotionClip],
        robot: Robot,
        device: torch.device | str = "cpu",
        height_fix: HeightFix = "contact",
        storage: Storage = "auto",
        weights: Sequence[float] | None = None,
        velocity: Velocity = "smooth",
    ) -> None:
        """Compute bodies and velocities of every clip and pack them.

        Args:
            clips: at least one; their bodies must be the robot's.
            robot: gives the skeleton and the shapes that the floor holds up.
            device: where the tables live.
            height_fix: ``contact`` removes all penetration (:func:`contact_lift`), ``first_frames`` is PHC's,
                ``off`` trusts the file.
            storage: ``full`` is fastest, ``compact`` a quarter of it; ``auto`` is full below :data:`COMPACT_FROM`.
            weights: (C,) how often each clip is drawn, relative to others; None for all alike.
            velocity: ``smooth`` is PHC's, smoothed and interpolated; ``forward`` is MimicKit's, the step to the next
                frame, held until then. Compact tables have only the first.

        Raises:
            InputError: a clip has other bodies than the robot, or compact tables should hold forward velocities.
        """
        device = torch.device(device)
        index = index_of(clips)
        if weights is not None and len(set(weights)) > 1:
            self.weights = torch.tensor(weights, dtype=torch.float32, device=device)
        forward = velocity == "forward"
        compact = storage == "compact" or (storage == "auto" and int(index.num_frames.sum()) >= COMPACT_FROM)
        if compact and forward:
            raise InputError("--env.velocity forward", "is not for compact storage", "use --env.storage full")
        if compact:
            packed = [CompactTable.pack(grounded_frames(clip, robot, height_fix)) for clip in clips]
            arrays = {name: torch.cat([part[name] for part in packed]) for name in packed[0]}
            self._adopt(index, CompactTable(arrays, robot, device), device)
        else:
            frames = [grounded_frames(clip, robot, height_fix, forward) for clip in clips]
            self._adopt(index, FullTable(frames, robot, device, held=forward), device)

    @classmethod
    def of_table(cls, index: ClipIndex, table: FrameTable, device: torch.device) -> MotionLibrary:
        """A library of frames that are packed already."""
        library = cls.__new__(cls)
        library._adopt(index, table, device)
        return library

    def _adopt(self, index: ClipIndex, table: FrameTable, device: torch.device) -> None:
        self.device, self.table = device, table
        self.names, self.num_clips = index.names, len(index.names)
        self.num_frames, self.fps = index.num_frames.to(device), index.fps.to(device)
        self.duration = (self.num_frames - 1) / self.fps
        self.loops = torch.zeros_like(self.fps, dtype=torch.bool) if index.loops is None else index.loops.to(device)
        self._first = torch.cumsum(self.num_frames, dim=0) - self.num_frames

    def state_at(self, clip_ids: Tensor, times: Tensor, on_frames: bool = False) -> MotionState:
        """The clips' state at given times, as PHC computes it.

        Positions and velocities are interpolated linearly, global and (separately) local rotations spherically. Times
        outside a clip give its first or last frame.

        Args:
            clip_ids: (N,) int64.
            times: (N,) s from the clip's start.
            on_frames: every time is that of a frame, up to rounding: nothing is blended, which is faster on a GPU.
        """
        moment = self._moment(clip_ids, times, on_frames)
        return MotionState(*self.table.bodies(moment), *self.table.joints(moment))

    def bodies_at(self, clip_ids: Tensor, times: Tensor, on_frames: bool = False) -> BodyState:
        """The part of :meth:`state_at` that observation and reward need, at half its cost."""
        return self.table.bodies(self._moment(clip_ids, times, on_frames))

    def dof_pos_at(self, clip_ids: Tensor, times: Tensor, on_frames: bool = False) -> Tensor:
        """Joint coordinates (N, D) rad alone, of the interpolated local rotations."""
        return self.table.dof_pos(self._moment(clip_ids, times, on_frames))

    def _moment(self, clip_ids: Tensor, times: Tensor, on_frames: bool) -> Moment:
        """Rows before and after each time and the blend between them."""
        last = self.num_frames[clip_ids] - 1
        fps = self.fps[clip_ids]
        frame = torch.minimum((times * fps).clamp_min(0.0), last.to(torch.float32))
        # k / fps * fps is not always k in float32: what lies within rounding of a frame is that frame.
        nearest = frame.round()
        first = self._first[clip_ids]
        if on_frames:
            row = first + nearest.long()
            return Moment(row, row, None, fps)
        frame = torch.where((frame - nearest).abs() <= 2 * _EPS * nearest, nearest, frame)
        before = frame.floor()
        blend = (frame - before)[None]
        index = before.long()
        if self.device.type == "cpu" and not blend.any():
            return Moment(first + index, first + index, None, fps)
        return Moment(first + index, first + torch.minimum(index + 1, last), blend, fps)


def index_of(clips: Sequence[MotionClip]) -> ClipIndex:
    """The index of ``clips`` on the CPU."""
    return ClipIndex(
        tuple(clip.name for clip in clips),
        torch.tensor([clip.num_frames for clip in clips]),
        torch.tensor([clip.fps for clip in clips], dtype=torch.float32),
        torch.tensor([clip.loops for clip in clips]),
    )


def grounded_frames(clip: MotionClip, robot: Robot, height_fix: HeightFix, forward: bool = False) -> ClipFrames:
    """Frames of one clip, put on the floor; ``forward`` as in :meth:`ClipFrames.of`.

    Raises:
        InputError: the clip has other bodies than the robot.
    """
    clip = on_robot(clip, robot)
    body_pos, body_rot = robot.skeleton.forward_kinematics(clip.root_pos, clip.local_rot)
    if height_fix != "off":
        lowest = lowest_point(robot.geoms, body_pos, body_rot)
        lift = contact_lift(lowest, clip.fps) if height_fix == "contact" else first_frames_lift(lowest)
        body_pos = body_pos + lift[:, None, None] * body_pos.new_tensor([0.0, 0.0, 1.0])
    return ClipFrames.of(clip.local_rot, body_pos, body_rot, clip.fps, robot, forward)
