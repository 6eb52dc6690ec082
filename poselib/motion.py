"""Motions of a skeleton over time, and the velocities that PHC derives from them.

The velocity functions take time as the first dimension. They equal, number for number, those of PHC's pose library
(Luo et al., "Perpetual Humanoid Control for Real-time Simulated Avatars", ICCV 2023), which tracked velocities are
compared with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from poselib.rotations import quat_conj, quat_from_angle_axis, quat_mul, quat_rotate, quat_slerp, quat_to_exp_map
from poselib.skeleton import Skeleton

SMOOTHING_SIGMA = 2.0  # frames, as in PHC
_TRUNCATE = 4.0  # scipy's default: the filter reaches this many sigmas to either side
_FRAME_TOLERANCE = 1e-6  # frames: a time this close to a frame is that frame


def gaussian_smooth(signal: Tensor, sigma: float = SMOOTHING_SIGMA) -> Tensor:
    """``signal`` (T, ...) smoothed over time by a Gaussian of ``sigma`` frames, the end frames repeated outwards.

    Equal to ``scipy.ndimage.gaussian_filter1d(signal, sigma, axis=0, mode="nearest", truncate=4)``, for any ``T >= 1``.
    """
    radius = int(_TRUNCATE * sigma + 0.5)
    weights = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(radius + 1)]
    total = weights[0] + 2.0 * sum(weights[1:])
    edge = signal.shape[1:]
    padded = torch.cat((signal[:1].expand(radius, *edge), signal, signal[-1:].expand(radius, *edge)))
    # Shifted sums rather than conv1d: cuDNN convolves in TF32 by default, whose 10 bits would show in the velocities.
    frames = signal.shape[0]
    smooth = signal * (weights[0] / total)
    for offset in range(1, radius + 1):
        before = padded[radius - offset : radius - offset + frames]
        after = padded[radius + offset : radius + offset + frames]
        smooth = smooth + (before + after) * (weights[offset] / total)
    return smooth


def linear_velocity(pos: Tensor, fps: float) -> Tensor:
    """Velocities ``(T, ..., 3)`` m/s of positions ``(T, ..., 3)`` m.

    Central differences, one-sided at both ends (``numpy.gradient``), then :func:`gaussian_smooth`.

    Raises:
        ValueError: with fewer than two frames.
    """
    _check_frames(pos)
    return gaussian_smooth(torch.gradient(pos, dim=0)[0] * fps)


def angular_velocity(rot: Tensor, fps: float) -> Tensor:
    """World-frame angular velocities ``(T, ..., 3)`` rad/s of rotations ``(T, ..., 4)`` wxyz.

    The rotation vector of ``q[t+1] * conj(q[t])`` per frame time, zero in the last frame, then :func:`gaussian_smooth`.

    Raises:
        ValueError: with fewer than two frames.
    """
    _check_frames(rot)
    steps = quat_to_exp_map(quat_mul(rot[1:], quat_conj(rot[:-1]))) * fps
    return gaussian_smooth(torch.cat((steps, torch.zeros_like(steps[:1]))))


def dof_velocity(local_rot: Tensor, fps: float) -> Tensor:
    """Joint velocities ``(T, J, 3)`` rad/s of local rotations ``(T, J, 4)`` wxyz, in each child body's frame.

    The rotation vector of ``conj(q[t]) * q[t+1]`` per frame time, the last value repeated, not smoothed. It is the
    ``qvel`` of a MuJoCo ball joint.

    Raises:
        ValueError: with fewer than two frames.
    """
    _check_frames(local_rot)
    steps = quat_to_exp_map(quat_mul(quat_conj(local_rot[:-1]), local_rot[1:])) * fps
    return torch.cat((steps, steps[-1:]))


def _check_frames(signal: Tensor) -> None:
    if signal.shape[0] < 2:
        raise ValueError(f"a velocity needs at least two frames, not {signal.shape[0]}")


@dataclass(frozen=True, eq=False)
class SkeletonMotion:
    """A skeleton's poses at a fixed frame rate. Frame ``k`` is at time ``k / fps``.

    Attributes:
        skeleton: the tree whose bodies move, ``B`` of them.
        fps: frames per second, positive.
        root_pos: ``(T, 3)`` m, the root body's origin in the world; ``T >= 2``.
        local_rot: ``(T, B, 4)`` wxyz, each body relative to its parent, the root relative to the world.

    World poses and velocities are computed when first asked for and then kept; treat the tensors as read-only.

    Raises:
        ValueError: at construction, when shapes, dtypes, devices or ``fps`` do not fit together.
    """

    skeleton: Skeleton
    fps: float
    root_pos: Tensor
    local_rot: Tensor

    def __post_init__(self) -> None:
        frames, bodies = self.root_pos.shape[0] if self.root_pos.dim() else 0, self.skeleton.num_bodies
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps must be a positive number, not {self.fps}")
        if self.root_pos.dim() != 2 or self.root_pos.shape[-1] != 3 or frames < 2:
            raise ValueError(f"root_pos must be (T, 3) with T >= 2, not {tuple(self.root_pos.shape)}")
        if self.local_rot.shape != (frames, bodies, 4):
            raise ValueError(f"local_rot must be ({frames}, {bodies}, 4), not {tuple(self.local_rot.shape)}")
        if not self.root_pos.is_floating_point() or self.root_pos.dtype != self.local_rot.dtype:
            raise ValueError(
                f"root_pos and local_rot must share a floating-point dtype, not {self.root_pos.dtype} "
                f"and {self.local_rot.dtype}"
            )
        if self.root_pos.device != self.local_rot.device:
            raise ValueError(f"root_pos is on {self.root_pos.device} but local_rot on {self.local_rot.device}")

    @property
    def num_frames(self) -> int:
        """Number of frames ``T``."""
        return self.root_pos.shape[0]

    @property
    def duration(self) -> float:
        """Time of the last frame, s."""
        return (self.num_frames - 1) / self.fps

    @cached_property
    def _body_poses(self) -> tuple[Tensor, Tensor]:
        return self.skeleton.forward_kinematics(self.root_pos, self.local_rot)

    @cached_property
    def body_pos(self) -> Tensor:
        """World positions ``(T, B, 3)`` m."""
        return self._body_poses[0]

    @cached_property
    def body_rot(self) -> Tensor:
        """World rotations ``(T, B, 4)`` wxyz."""
        return self._body_poses[1]

    @cached_property
    def body_vel(self) -> Tensor:
        """World linear velocities ``(T, B, 3)`` m/s, see :func:`linear_velocity`."""
        return linear_velocity(self.body_pos, self.fps)

    @cached_property
    def body_ang_vel(self) -> Tensor:
        """World angular velocities ``(T, B, 3)`` rad/s, see :func:`angular_velocity`."""
        return angular_velocity(self.body_rot, self.fps)

    @cached_property
    def dof_vel(self) -> Tensor:
        """Ball-joint velocities ``(T, B - 1, 3)`` rad/s of all bodies but the root, see :func:`dof_velocity`."""
        return dof_velocity(self.local_rot[:, 1:], self.fps)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> SkeletonMotion:
        """The same motion on ``device`` in ``dtype``; ``None`` keeps what it has."""
        return SkeletonMotion(
            skeleton=self.skeleton.to(device, dtype),
            fps=self.fps,
            root_pos=self.root_pos.to(device=device, dtype=dtype),
            local_rot=self.local_rot.to(device=device, dtype=dtype),
        )

    def resample(self, fps_out: float) -> SkeletonMotion:
        """The motion at another frame rate, the clock kept: frame ``k`` shows the source at time ``k / fps_out``.

        Root positions are interpolated linearly, local rotations along the shorter arc. The result ends at the last
        multiple of ``1 / fps_out`` inside the source, so it is never longer and at most ``1 / fps_out`` s shorter.

        Raises:
            ValueError: when ``fps_out`` is not positive or leaves fewer than two frames.
        """
        if not (math.isfinite(fps_out) and fps_out > 0):
            raise ValueError(f"fps_out must be a positive number, not {fps_out}")
        frames = math.floor((self.num_frames - 1) * fps_out / self.fps + _FRAME_TOLERANCE) + 1
        if frames < 2:
            raise ValueError(f"a clip of {self.duration:.3g} s has fewer than two frames at {fps_out:g} fps")
        # In float64, since float32 seconds are off by a visible part of a frame in clips of several minutes.
        source = torch.arange(frames, dtype=torch.float64, device=self.root_pos.device) * self.fps / fps_out
        before = source.long().clamp(max=self.num_frames - 2)
        blend = (source - before).clamp(max=1.0).to(self.root_pos.dtype)
        return replace(
            self,
            fps=fps_out,
            root_pos=torch.lerp(self.root_pos[before], self.root_pos[before + 1], blend[:, None]),
            local_rot=quat_slerp(self.local_rot[before], self.local_rot[before + 1], blend[:, None, None]),
        )

    def crop(self, start_s: float = 0.0, end_s: float | None = None) -> SkeletonMotion:
        """The frames from ``start_s`` to ``end_s`` seconds, both included; ``None`` means up to the last frame.

        Only existing frames are kept, none are interpolated: the result starts at the first frame not before
        ``start_s``.

        Raises:
            ValueError: when the interval is not inside the motion or holds fewer than two frames.
        """
        end_s = self.duration if end_s is None else end_s
        slack = _FRAME_TOLERANCE / self.fps
        if not -slack <= start_s < end_s <= self.duration + slack:
            raise ValueError(f"cannot crop {start_s:g} s to {end_s:g} s from a motion of {self.duration:.6g} s")
        first = max(0, math.ceil(start_s * self.fps - _FRAME_TOLERANCE))
        last = min(self.num_frames - 1, math.floor(end_s * self.fps + _FRAME_TOLERANCE))
        if last - first < 1:
            raise ValueError(f"fewer than two frames lie between {start_s:g} s and {end_s:g} s at {self.fps:g} fps")
        return replace(self, root_pos=self.root_pos[first : last + 1], local_rot=self.local_rot[first : last + 1])

    def mirrored(self) -> SkeletonMotion:
        """The motion reflected about the world's x-z plane, left and right bodies exchanged.

        Rotations are mirrored exactly. Positions are as exact as the skeleton is symmetric: the mirrored motion keeps
        this skeleton's own offsets.

        Raises:
            ValueError: when the body names give no symmetric pairs, see :meth:`Skeleton.mirror_permutation`.
        """
        opposites = torch.tensor(self.skeleton.mirror_permutation(), device=self.local_rot.device)
        # Reflection is y -> -y for vectors; an axis of rotation is a pseudovector, so its x and z change sign instead.
        flip_pos = self.root_pos.new_tensor((1.0, -1.0, 1.0))
        flip_rot = self.local_rot.new_tensor((1.0, -1.0, 1.0, -1.0))
        return replace(
            self, root_pos=self.root_pos * flip_pos, local_rot=self.local_rot.index_select(1, opposites) * flip_rot
        )

    def rotated_heading(self, angle: float) -> SkeletonMotion:
        """The motion turned by ``angle`` rad about the world's z axis through the origin."""
        turn = quat_from_angle_axis(self.root_pos.new_tensor(angle), self.root_pos.new_tensor((0.0, 0.0, 1.0)))
        root_rot = quat_mul(turn, self.local_rot[:, :1])
        return replace(
            self,
            root_pos=quat_rotate(turn, self.root_pos),
            local_rot=torch.cat((root_rot, self.local_rot[:, 1:]), dim=1),
        )
