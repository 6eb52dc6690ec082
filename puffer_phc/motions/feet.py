"""Where the feet should be: flat and still while they stand, else above the floor and as the source has them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from poselib.rotations import exp_map_to_quat, quat_conj, quat_mul, quat_rotate, wrap_angle
from puffer_phc.motions.contacts import Contacts, Foot
from puffer_phc.motions.smoothing import smooth_curve
from puffer_phc.robots.robot import Robot

# Weights of the least-squares curves, all relative to each other (see smooth_curve).
_STAY, _HOLD, _STEP = 2e-3, 30.0, 1e3
_SMOOTH = 3.0
_CLEARANCE, _CLEAR_WITHIN_S = 0.03, 0.1  # m; s: reached this long after a contact
_SWING_FROM, _SWING_FULL = 0.4, 1.2  # m/s: a foot this fast is certainly swinging
_FADE, _HIGH = 200.0, 0.25  # a foot this high (m) clings to its source this much more than one near the floor
_PIVOT = 3.0  # rad/s: a foot that turns faster pivots on purpose
_TOUCH = 0.01  # m above the lowest point of a part in contact
_MAX_TILT = 0.6  # rad: a foot in full contact tilted by more than this is not mistaken but stands on an edge


class FootPath(NamedTuple):
    """Wanted motion of one foot.

    Attributes:
        pos: (T, 3) m, world position of the foot's first body.
        rot: (T, N, 4) wxyz, world rotations of the foot's N bodies.
        hold: (T,) from 0 in the air to 1 in contact.
    """

    pos: Tensor
    rot: Tensor
    hold: Tensor


def plan_feet(
    robot: Robot, feet: list[Foot], contacts: Contacts, body_pos: Tensor, body_rot: Tensor, fps: float
) -> list[FootPath]:
    """Paths of the feet that keep contacts.

    In contact a sole is level, its points rest on z = 0 and neither slide nor turn; between contacts the corrections
    run smoothly from one contact's to the next one's and fade where the pause is long.

    Args:
        robot: the robot.
        feet: its feet.
        contacts: of these feet, over T frames; the floor of ``body_pos`` must be at z = 0.
        body_pos: (T, B, 3) m.
        body_rot: (T, B, 4) wxyz.
        fps: frames per second.
    """
    return [
        _plan(robot, foot, contacts.heel[:, index], contacts.ball[:, index], body_pos, body_rot, fps)
        for index, foot in enumerate(feet)
    ]


def _plan(
    robot: Robot, foot: Foot, heel: Tensor, ball: Tensor, body_pos: Tensor, body_rot: Tensor, fps: float
) -> FootPath:
    flat = heel & ball
    ankle = body_pos[:, foot.bodies[0]]
    rot = body_rot[:, list(foot.bodies)]
    given = _points(robot, foot, ankle, rot)
    rot = _turned(_levelling(rot[:, 0], flat), rot)
    rot = _turned(_held_yaw(rot[:, 0], heel | ball, fps), rot)
    if len(foot.bodies) > 1:
        toes = _turned(_levelling(rot[:, 1], ball), rot[:, 1:])
        rot = torch.cat((rot[:, :1], toes), dim=1)
    points = _points(robot, foot, ankle, rot)  # (T, P, 3)
    touching = _touching(foot, points[..., 2], heel, ball)
    contact = touching.any(dim=1)
    clearance = _clearance(given, contact, fps)
    stay = _STAY * (1.0 + _FADE * (points[..., 2].amin(dim=1) / _HIGH).clamp(0.0, 1.0) ** 2)
    shift = torch.cat((_still(points, touching, stay), _grounded(points, touching, clearance, stay)), dim=-1)
    return FootPath(ankle + shift, rot, _ramp(contact, round(_CLEAR_WITHIN_S * fps)))


def _turned(turn: Tensor, rot: Tensor) -> Tensor:
    """Rotations (T, N, 4) turned in the world by rotation vectors (T, 3)."""
    return quat_mul(exp_map_to_quat(turn)[:, None], rot)


def _levelling(rot: Tensor, standing: Tensor) -> Tensor:
    """World rotation vectors (T, 3) that make the body with rotation ``rot`` (T, 4) level while ``standing`` (T,)."""
    up = rot.new_tensor((0.0, 0.0, 1.0))
    normal = quat_rotate(rot, up.expand(len(rot), 3))
    axis = torch.linalg.cross(normal, up.expand_as(normal))
    sine = axis.norm(dim=-1)
    angle = torch.atan2(sine, normal[:, 2])
    tilt = axis / sine.clamp_min(1e-9)[:, None] * angle[:, None]
    weight = torch.where(standing & (angle < _MAX_TILT), _HOLD, _STAY)
    wanted = torch.where((weight == _HOLD)[:, None], tilt, torch.zeros_like(tilt))
    return smooth_curve(wanted[:, None], weight[:, None].double(), None, None, _SMOOTH)[:, 0]


def _held_yaw(rot: Tensor, contact: Tensor, fps: float) -> Tensor:
    """World rotation vectors (T, 3) about z that stop a foot in ``contact`` (T,) from turning, unless it pivots."""
    # The step's twist about the vertical, not a difference of headings: it is defined for feet in any pose.
    turn = quat_mul(rot[1:], quat_conj(rot[:-1]))
    step = wrap_angle(2.0 * torch.atan2(turn[:, 3], turn[:, 0]))
    held = contact[1:] & contact[:-1] & (step.abs() * fps < _PIVOT)
    stay = torch.full((len(rot), 1), _STAY, dtype=rot.dtype)
    zeros = rot.new_zeros(len(rot), 1, 1)
    yaw = smooth_curve(zeros, stay, -step[:, None, None], (_STEP * held.to(rot.dtype))[:, None], _SMOOTH)[:, 0, 0]
    return torch.nn.functional.pad(yaw[:, None], (2, 0))


def _points(robot: Robot, foot: Foot, ankle: Tensor, rot: Tensor) -> Tensor:
    """World positions (T, P, 3) m of the points of a foot with its ankle at (T, 3) and its bodies turned by rot."""
    geoms, offsets = robot.geoms, robot.skeleton.offsets
    origins = [ankle]
    for body in foot.bodies[1:]:
        origins.append(ankle + quat_rotate(rot[:, 0], offsets[body].expand(len(rot), 3)))
    columns = []
    for point in foot.points.tolist():
        part = foot.bodies.index(int(geoms.body[point]))
        arm = quat_rotate(rot[:, part], geoms.point[point].expand(len(rot), 3))
        columns.append(origins[part] + arm - geoms.radius[point] * arm.new_tensor((0.0, 0.0, 1.0)))
    return torch.stack(columns, dim=1)


def _touching(foot: Foot, height: Tensor, heel: Tensor, ball: Tensor) -> Tensor:
    """Which points (T, P) of a foot with points at ``height`` (T, P) m carry it: the lowest of the parts in contact."""
    parts = torch.tensor([len(foot.heel), len(foot.ball), len(foot.upper)])
    contact = torch.stack((heel, ball, torch.zeros_like(ball)), dim=1).repeat_interleave(parts, dim=1)
    split = [part for part in height.split(parts.tolist(), dim=1) if part.numel()]
    lowest = torch.cat([part.amin(dim=1, keepdim=True).expand_as(part) for part in split], dim=1)
    return contact & (height < lowest + _TOUCH)


def _still(points: Tensor, touching: Tensor, stay: Tensor) -> Tensor:
    """Horizontal shifts (T, 2) m that keep the ``touching`` (T, P) points (T, P, 3) in place, at the cost ``stay``."""
    both = (touching[1:] & touching[:-1]).to(points.dtype)
    count = both.sum(dim=1)
    slide = ((points[1:, :, :2] - points[:-1, :, :2]) * both[..., None]).sum(dim=1) / count.clamp_min(1.0)[:, None]
    weight = _STEP * (count > 0).to(points.dtype)
    zeros = points.new_zeros(len(points), 1, 2)
    return smooth_curve(zeros, stay[:, None], -slide[:, None], weight[:, None], _SMOOTH)[:, 0]


def _clearance(points: Tensor, contact: Tensor, fps: float) -> Tensor:
    """Height (T,) m that a foot with points (T, P, 3) keeps above the floor while it swings.

    It grows with the foot's speed and with the time to the nearest contact.
    """
    speed = torch.gradient(points.mean(dim=1)[:, :2], dim=0)[0].norm(dim=-1) * fps
    wanted = ((speed - _SWING_FROM) / (_SWING_FULL - _SWING_FROM)).clamp(0.0, 1.0) * _CLEARANCE
    return torch.where(contact, torch.zeros_like(wanted), wanted * (1.0 - _ramp(contact, round(_CLEAR_WITHIN_S * fps))))


def _ramp(contact: Tensor, reach: int) -> Tensor:
    """1 where ``contact`` (T,) holds, falling to 0 ``reach`` frames away from it."""
    result = contact.double()
    for distance in range(1, reach):
        level = 1.0 - distance / reach
        result[distance:] = torch.where(contact[:-distance], result[distance:].clamp_min(level), result[distance:])
        result[:-distance] = torch.where(contact[distance:], result[:-distance].clamp_min(level), result[:-distance])
    return result


def _grounded(points: Tensor, touching: Tensor, clearance: Tensor, stay: Tensor) -> Tensor:
    """Vertical shifts (T, 1) m that put touching points on the floor and no point below ``clearance`` (T,)."""
    height = points[..., 2]
    contact = touching.any(dim=1)
    low = torch.where(touching, height, torch.inf).amin(dim=1)
    wanted = torch.where(contact, -low, torch.zeros_like(low))
    weight = torch.where(contact, _HOLD, stay)
    shift = smooth_curve(wanted[:, None, None], weight[:, None], None, None, _SMOOTH)[:, 0]
    return torch.maximum(shift, clearance[:, None] - height.amin(dim=1, keepdim=True))
