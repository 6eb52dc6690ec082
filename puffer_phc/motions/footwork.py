"""Foot paths of the SMPL humanoid: planted in stance, rolling over the toe joint and the heel, lifted in swing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from poselib.rotations import exp_map_to_quat, quat_from_angle_axis, quat_mul, quat_rotate
from puffer_phc.motions.curves import Knot, minimum_jerk, quintic
from puffer_phc.robots.smpl_table import BODY_NAMES, SMPL_BODIES

Side = Literal["L", "R"]

_UP = torch.tensor((0.0, 0.0, 1.0), dtype=torch.float64)
_LEFT = torch.tensor((0.0, 1.0, 0.0), dtype=torch.float64)


class Placement(NamedTuple):
    """Where a flat foot stands: the ankle's ``x``, ``y`` (m, world) and the foot's ``yaw`` (rad)."""

    x: float
    y: float
    yaw: float = 0.0

    def point(self, forward: float, left: float = 0.0) -> Tensor:
        """Ground point (2,) m, world, that lies ``forward`` and ``left`` (m) of the ankle in the foot's own heading."""
        offset = torch.tensor((forward, left, 0.0), dtype=torch.float64)
        turned = quat_rotate(exp_map_to_quat(self.yaw * _UP), offset)
        return turned[:2] + torch.tensor((self.x, self.y), dtype=torch.float64)


class Step(NamedTuple):
    """One step: toes leave the floor at ``lift`` s, the heel meets it at ``land`` s, the foot stands at ``place``."""

    side: Side
    lift: float
    land: float
    place: Placement


@dataclass(frozen=True)
class StepStyle:
    """How steps look.

    Attributes:
        clearance: extra height of the ankle in mid-swing, m.
        push_off: heel-up pitch of the foot when the toes leave the floor, rad.
        strike: toe-up pitch of the foot when the heel meets the floor, rad.
        rise: time from the heel's rise to toe-off, s.
        settle: time from heel contact to a flat foot, s.
    """

    clearance: float
    push_off: float
    strike: float
    rise: float
    settle: float


@dataclass(frozen=True)
class FootTrack:
    """The path of one foot over T frames.

    Attributes:
        ankle_pos: (T, 3) m, world.
        rot: (T, 4) wxyz, world rotation of the foot.
        toe_rot: (T, 4) wxyz, rotation of the toes in the foot.
        yaw: (T,) rad, heading of the foot.
        flat: (T,) bool, the whole sole stands still on the floor.
    """

    ankle_pos: Tensor
    rot: Tensor
    toe_rot: Tensor
    yaw: Tensor
    flat: Tensor


class FootShape(NamedTuple):
    """Points (3,) m in the ankle's frame: the ``toe`` joint and the lower ``heel`` edge; ``sole`` is its depth in m."""

    toe: Tensor
    heel: Tensor
    sole: float

    @classmethod
    def of(cls, side: Side) -> FootShape:
        """Read the shape off the collision boxes of the SMPL table."""
        ankle, toe = (SMPL_BODIES[BODY_NAMES.index(f"{side}_{part}")] for part in ("Ankle", "Toe"))
        sole = ankle.size[2] - ankle.geom_pos[2]
        heel = (ankle.geom_pos[0] - ankle.size[0], ankle.geom_pos[1], -sole)
        return cls(torch.tensor(toe.pos, dtype=torch.float64), torch.tensor(heel, dtype=torch.float64), sole)


def foot_track(times: Tensor, side: Side, start: Placement, steps: Sequence[Step], style: StepStyle) -> FootTrack:
    """Path of the foot ``side`` that stands at ``start`` and makes its part of ``steps``.

    A step has three phases: the foot rolls up over its planted toe joint (rise), swings, and rolls down from its heel
    (settle); position, velocity and acceleration are continuous across them.

    Args:
        times: (T,) s, rising.
        side: which foot; steps of the other are ignored.
        start: where the foot stands at first.
        steps: in rising time order.
        style: shape of every step.
    """
    shape = FootShape.of(side)
    path = _Path(
        pos=_flat_ankle(start, shape).repeat(len(times), 1),
        yaw=torch.full_like(times, start.yaw),
        pitch=torch.zeros_like(times),
        toe_pitch=torch.zeros_like(times),
        flat=torch.ones_like(times, dtype=torch.bool),
    )
    place = start
    for step in (step for step in steps if step.side == side):
        _write_step(path, times, shape, place, step, style)
        place = step.place
    return FootTrack(
        ankle_pos=path.pos,
        rot=quat_mul(_about(path.yaw, _UP), _about(path.pitch, _LEFT)),
        toe_rot=_about(path.toe_pitch, _LEFT),
        yaw=path.yaw,
        flat=path.flat,
    )


@dataclass(frozen=True)
class _Path:
    """Ankle (T, 3) m, angles of foot and toes (T,) rad, and when the foot is flat (T,); steps are written into them."""

    pos: Tensor
    yaw: Tensor
    pitch: Tensor
    toe_pitch: Tensor
    flat: Tensor


def _write_step(path: _Path, times: Tensor, shape: FootShape, place: Placement, step: Step, style: StepStyle) -> None:
    """Write into ``path`` the ``step`` of a foot that stands at ``place``, and that it stands where it lands."""
    push_off, strike, rest = (
        torch.tensor([angle], dtype=times.dtype) for angle in (style.push_off, -style.strike, 0.0)
    )
    # The rise is the first half of a minimum-jerk roll: at toe-off its speed peaks and its acceleration vanishes.
    peak = Knot(push_off, 1.875 * push_off / style.rise, rest)
    toe_peak = Knot(*(-part for part in peak))
    begin, end = step.lift - style.rise, step.land + style.settle
    rise, swing, settle = (
        (times >= since) & (times < until)
        for since, until in ((begin, step.lift), (step.lift, step.land), (step.land, end))
    )
    path.flat[rise | swing | settle] = False

    path.pitch[rise] = quintic(times[rise], begin, step.lift, Knot.at_rest(rest), peak)[:, 0]
    path.toe_pitch[rise] = -path.pitch[rise]  # the toes stay on the floor
    path.pos[rise] = _pivot_ankle(place, shape, shape.toe, path.pitch[rise])

    path.pitch[swing] = quintic(times[swing], step.lift, step.land, peak, Knot.at_rest(strike))[:, 0]
    path.toe_pitch[swing] = quintic(times[swing], step.lift, step.land, toe_peak, Knot.at_rest(rest))[:, 0]
    lift_off = _toe_off_knot(place, shape, style.push_off, float(peak.velocity))
    touch_down = Knot.at_rest(_pivot_ankle(step.place, shape, shape.heel, strike)[0])
    u = (times[swing] - step.lift) / (step.land - step.lift)
    path.pos[swing] = quintic(times[swing], step.lift, step.land, lift_off, touch_down)
    path.pos[swing] += (style.clearance * 64.0 * (u * (1.0 - u)) ** 3)[:, None] * _UP

    path.pitch[settle] = float(strike) * (1.0 - minimum_jerk(times[settle], step.land, end))
    path.pos[settle] = _pivot_ankle(step.place, shape, shape.heel, path.pitch[settle])
    path.pos[times >= end] = _flat_ankle(step.place, shape)
    path.yaw.add_((step.place.yaw - place.yaw) * minimum_jerk(times, step.lift, step.land))


def _about(angle: Tensor, axis: Tensor) -> Tensor:
    return quat_from_angle_axis(angle, axis.expand(*angle.shape, 3))


def _flat_ankle(place: Placement, shape: FootShape) -> Tensor:
    """Ankle (3,) m of a foot that stands flat on the floor z = 0."""
    return torch.tensor((place.x, place.y, shape.sole), dtype=torch.float64)


def _pivot_ankle(place: Placement, shape: FootShape, pivot: Tensor, pitch: Tensor) -> Tensor:
    """Ankle (..., 3) m of a foot pitched by ``pitch`` (...,) rad about the point ``pivot`` (3,) of its flat pose."""
    yaw = exp_map_to_quat(place.yaw * _UP)
    pivoted = pivot - quat_rotate(_about(pitch, _LEFT), pivot)
    return _flat_ankle(place, shape) + quat_rotate(yaw, pivoted)


def _toe_off_knot(place: Placement, shape: FootShape, pitch: float, speed: float) -> Knot:
    """Motion of the ankle at toe-off, when the foot rolls over its toe joint at a steady ``speed`` rad/s."""
    angle = torch.tensor([pitch], dtype=torch.float64)
    arm = quat_rotate(quat_mul(_about(torch.tensor([place.yaw]).double(), _UP), _about(angle, _LEFT)), -shape.toe)[0]
    axis = quat_rotate(exp_map_to_quat(place.yaw * _UP), _LEFT)
    velocity = speed * torch.linalg.cross(axis, arm)
    acceleration = speed * torch.linalg.cross(axis, velocity)
    return Knot(_pivot_ankle(place, shape, shape.toe, angle)[0], velocity, acceleration)
