"""How good a clip is for a simulated robot: measured on the robot's own collision shapes, judged by fixed bars."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import mujoco
import torch
from torch import Tensor

from poselib.motion import dof_velocity
from poselib.rotations import quat_rotate
from puffer_phc.motions.checks import MIN_FRAMES, check_bodies
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.contacts import feet_of
from puffer_phc.robots.robot import FLOOR, Robot

Verdict = Literal["use", "fixable", "reject"]

CONTACT_HEIGHT = 0.02  # m above the clip's own contact level: a sole this low carries weight
_SUPPORT = 0.005  # m: points this near to a foot's lowest one carry it
CONTACT_QUANTILE = 0.1  # share of frames in which the lowest point certainly rests on the floor
_UNSUPPORTED_HEIGHT = 0.15  # m
_OVERLAP = 0.03  # m: hands that fold and knees that touch overlap by less; flesh gives way
_JUMP = 2.5  # a step this many times the steps around it skipped time
_JUMP_MIN = 0.02  # m
_STILL = 1e-7  # m
_GRAVITY = 9.81  # m / s^2


@dataclass(frozen=True)
class Bars:
    """Limits between ``use``, ``fixable`` and ``reject``. Heights m, speeds m/s or rad/s, times s."""

    penetration: float = 0.01
    floating: float = 0.03
    skate: float = 0.05
    joint_speed: float = 30.0
    self_collision: float = 0.5
    unsupported: float = 1.0
    body_speed: float = 18.0


@dataclass(frozen=True)
class ClipQuality:
    """Measurements of one clip.

    Attributes:
        name: the clip's.
        frames: number of frames.
        fps: frames per second.
        duration: s.
        penetration_p50, penetration_p99: m, depth of the lowest point of all shapes below z = 0, quantiles over frames.
        floating: m, height of the clip's contact level (the lowest tenth of its lowest points); 0 if below the floor.
        unsupported: s, longest time more than 15 cm above the contact level without falling freely.
        skate: m/s, median horizontal speed of feet in contact (see :func:`foot_speeds`); NaN without contact.
        skate_mean: m/s, the mean of the same, which the steps of touching down and lifting off dominate.
        joint_speed_max, joint_speed_p99: rad/s over frames and joints.
        fastest: joint and time of the largest joint speed, such as ``R_Hip at 3.10 s``.
        body_speed_max: m/s, fastest body origin.
        jerk: m/s^3, mean over bodies and frames of the third derivative of position.
        self_collision: share of frames in which two parts that may not overlap do so by more than 3 cm.
        duplicated, dropped: frames equal to the one before, and steps that skipped time.
        verdict: what to do with the clip.
        reasons: what keeps it from ``use``.
    """

    name: str
    frames: int
    fps: float
    duration: float
    penetration_p50: float
    penetration_p99: float
    floating: float
    unsupported: float
    skate: float
    skate_mean: float
    joint_speed_max: float
    joint_speed_p99: float
    fastest: str
    body_speed_max: float
    jerk: float
    self_collision: float
    duplicated: int
    dropped: int
    verdict: Verdict = "use"
    reasons: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def measure(clip: MotionClip, robot: Robot, bars: Bars | None = None, collision_stride: int = 2) -> ClipQuality:
    """Measure and judge one clip.

    Args:
        clip: a motion of the robot's bodies.
        robot: whose shapes touch the floor and each other.
        bars: limits of the verdict; None for the defaults.
        collision_stride: self-collision is tested in every so many frames.

    Raises:
        InputError: the clip has other bodies than the robot.
        ValueError: it has fewer than five frames.
    """
    check_bodies(clip, robot.body_names)
    if clip.num_frames < MIN_FRAMES:
        raise ValueError(f"{clip.name}: {clip.num_frames} frames are too few to be measured")
    body_pos, body_rot = robot.skeleton.forward_kinematics(clip.root_pos, clip.local_rot)
    points = shape_points(robot, body_pos, body_rot)
    lowest = points[..., 2].amin(dim=1)
    level = float(torch.quantile(lowest, CONTACT_QUANTILE))
    depth = (-lowest).clamp_min(0.0)
    speed = dof_velocity(clip.local_rot[:, 1:], clip.fps)[:-1].norm(dim=-1)  # (T - 1, J)
    frame, joint = divmod(int(speed.argmax()), speed.shape[1])
    skates = foot_speeds(robot, points, level, clip.fps)
    steps = (body_pos[1:] - body_pos[:-1]).norm(dim=-1)  # (T - 1, B) m
    duplicated, dropped = _frame_faults(steps.mean(dim=-1))
    quality = ClipQuality(
        name=clip.name,
        frames=clip.num_frames,
        fps=clip.fps,
        duration=clip.duration,
        penetration_p50=float(torch.quantile(depth, 0.5)),
        penetration_p99=float(torch.quantile(depth, 0.99)),
        floating=max(level, 0.0),
        unsupported=_unsupported(robot, body_pos, body_rot, lowest - level, clip.fps),
        skate=float(skates.median()) if len(skates) else float("nan"),
        skate_mean=float(skates.mean()) if len(skates) else float("nan"),
        joint_speed_max=float(speed.max()),
        joint_speed_p99=_quantile(speed, 0.99),
        fastest=f"{robot.body_names[joint + 1]} at {frame / clip.fps:.2f} s",
        body_speed_max=float(steps.max()) * clip.fps,
        jerk=float(body_pos.diff(n=3, dim=0).norm(dim=-1).mean()) * clip.fps**3,
        self_collision=self_collision(robot, clip, collision_stride),
        duplicated=duplicated,
        dropped=dropped,
    )
    return _judged(quality, bars or Bars())


def shape_points(robot: Robot, body_pos: Tensor, body_rot: Tensor) -> Tensor:
    """Lowest world points (T, P, 3) m of the spheres that span the collision shapes (:class:`Geoms`)."""
    geoms = robot.geoms
    points = body_pos[:, geoms.body] + quat_rotate(body_rot[:, geoms.body], geoms.point.to(body_rot.dtype))
    points[..., 2] -= geoms.radius.to(body_rot.dtype)
    return points


def foot_speeds(robot: Robot, points: Tensor, level: float, fps: float) -> Tensor:
    """Horizontal speeds (N,) m/s of feet in contact, one number per foot and step.

    A foot stands during a step on those of its points that are lower than ``CONTACT_HEIGHT`` above ``level``, and among
    its lowest, at both ends. Its speed is their mean: rolling from heel to toe is no skating, as what touches stands.

    Args:
        robot: names its ``feet``.
        points: (T, P, 3) m, see :func:`shape_points`.
        level: m, height at which the clip's contacts are.
        fps: frames per second.
    """
    result = []
    for foot in feet_of(robot):
        own = points[:, foot.points]
        height = own[..., 2]
        low = (height < level + CONTACT_HEIGHT) & (height < height.amin(dim=1, keepdim=True) + _SUPPORT)
        touching = low[1:] & low[:-1]  # (T - 1, P)
        speed = (own[1:, :, :2] - own[:-1, :, :2]).norm(dim=-1) * fps
        count = touching.sum(dim=1)
        result.append(((speed * touching).sum(dim=1) / count.clamp_min(1))[count > 0])
    return torch.cat(result)


def self_collision(robot: Robot, clip: MotionClip, stride: int = 1) -> float:
    """Share of every ``stride``-th frame in which parts that may collide overlap by more than 3 cm."""
    model, data = robot.model, mujoco.MjData(robot.model)
    floor = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, FLOOR)
    poses = robot.qpos(clip.root_pos, clip.local_rot)[::stride].numpy()
    poses[:, 2] += 10.0  # out of the floor's reach, which saves its contacts
    hits = 0
    for pose in poses:
        data.qpos[:] = pose
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        if not data.ncon:
            continue
        contact = data.contact
        hits += bool(((contact.dist < -_OVERLAP) & (contact.geom != floor).all(axis=1)).any())
    return hits / len(poses)


def _quantile(values: Tensor, q: float) -> float:
    """torch.quantile without its limit of 16 million numbers."""
    flat = values.flatten()
    return float(flat.kthvalue(max(1, min(len(flat), round(q * len(flat))))).values)


def _frame_faults(steps: Tensor) -> tuple[int, int]:
    """Numbers of duplicated and dropped frames from mean body displacements (T - 1,) m per step."""
    before, here, after = steps[:-2], steps[1:-1], steps[2:]
    duplicated = (here < _STILL) & (before > 10 * _STILL) & (after > 10 * _STILL)
    dropped = (here > _JUMP * torch.maximum(before, after)) & (here > _JUMP_MIN)
    return int(duplicated.sum()), int(dropped.sum())


def _unsupported(robot: Robot, body_pos: Tensor, body_rot: Tensor, clearance: Tensor, fps: float) -> float:
    """Longest time (s) with a clearance (T,) m above 15 cm that is no free fall of the centre of mass."""
    airborne = (clearance > _UNSUPPORTED_HEIGHT).tolist()
    if not any(airborne):
        return 0.0
    mass = torch.as_tensor(robot.model.body_mass[1:])
    centres = body_pos + quat_rotate(body_rot, torch.as_tensor(robot.model.body_ipos[1:]).to(body_rot.dtype))
    height = (centres[..., 2] * (mass / mass.sum())).sum(dim=1)
    longest, start = 0.0, None
    for frame, high in enumerate([*airborne, False]):
        if high and start is None:
            start = frame
        if not high and start is not None:
            longest = max(longest, _not_falling(height[start:frame], fps))
            start = None
    return longest


def _not_falling(height: Tensor, fps: float) -> float:
    """Duration (s) of a stretch, 0 if a parabola of at least half the earth's gravity describes its heights (T,)."""
    duration = len(height) / fps
    if len(height) < 3:
        return duration
    time = torch.arange(len(height), dtype=height.dtype) / fps
    powers = torch.stack((torch.ones_like(time), time, time * time), dim=1)
    curve = torch.linalg.lstsq(powers, height[:, None]).solution[:, 0]
    return 0.0 if float(curve[2]) < -0.25 * _GRAVITY else duration


def _judged(quality: ClipQuality, bars: Bars) -> ClipQuality:
    """``quality`` with its verdict; only what no cleaning can mend is a reason to reject."""
    fatal, mendable = [], []
    if quality.unsupported > bars.unsupported:
        fatal.append(f"in the air for {quality.unsupported:.1f} s without falling (a prop is missing)")
    if quality.body_speed_max > bars.body_speed:
        fatal.append(f"a body moves at {quality.body_speed_max:.0f} m/s")
    if quality.penetration_p99 > bars.penetration:
        mendable.append(f"sinks {100 * quality.penetration_p99:.1f} cm into the floor")
    if quality.floating > bars.floating:
        mendable.append(f"floats {100 * quality.floating:.1f} cm above the floor")
    if quality.skate > bars.skate:
        mendable.append(f"feet skate at {100 * quality.skate:.0f} cm/s")
    if quality.joint_speed_max > bars.joint_speed:
        mendable.append(f"{quality.fastest} turns at {quality.joint_speed_max:.0f} rad/s")
    if quality.self_collision > bars.self_collision:
        mendable.append(f"parts overlap in {100 * quality.self_collision:.0f} % of the frames")
    if quality.duplicated or quality.dropped:
        mendable.append(f"{quality.duplicated} duplicated and {quality.dropped} dropped frames")
    verdict: Verdict = "reject" if fatal else "fixable" if mendable else "use"
    values = {**quality.as_dict(), "verdict": verdict, "reasons": (*fatal, *mendable)}
    return ClipQuality(**values)  # type: ignore[arg-type]
