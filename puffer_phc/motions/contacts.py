"""Which parts of which feet stand on the floor, frame by frame, and how high the floor lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from puffer_phc.robots.robot import Robot

_SLOW, _SLIDING = 0.3, 0.5  # m/s: surely standing; perhaps still standing where surely standing frames are next to it
_RESTING = 0.15  # m/s: a foot this slow shows how high its sole stands
_HEIGHT_SLACK = 0.03  # m above the height at which this part of this foot usually rests
_BIAS = 0.04  # m: how wrong the height of a resting part may be (a rest pose's error in pitch)
_MIN_CONTACT_S = 0.1
_MAX_GAP_S = 0.07
_SOLE_SLACK = 0.015  # m


class Foot(NamedTuple):
    """One foot of a robot.

    Attributes:
        bodies: the foot, then its toes if the robot has them.
        heel, ball: indices into ``robot.geoms`` of the sole points at the heel and at the toes.
        upper: indices of the foot's other points, which touch the floor in odd poses.
    """

    bodies: tuple[int, ...]
    heel: Tensor
    ball: Tensor
    upper: Tensor

    @property
    def points(self) -> Tensor:
        """All points: heel, ball, upper."""
        return torch.cat((self.heel, self.ball, self.upper))


@dataclass(frozen=True)
class Contacts:
    """Contacts of K feet over T frames.

    Attributes:
        heel, ball: (T, K) bool.
        floor: m, height of the floor.
    """

    heel: Tensor
    ball: Tensor
    floor: float


def feet_of(robot: Robot) -> list[Foot]:
    """The feet of ``robot``: its body set ``feet``, toes joined to the foot they hang from."""
    skeleton, geoms = robot.skeleton, robot.geoms
    members = robot.body_ids(robot.body_sets["feet"])
    rest, _ = skeleton.forward_kinematics(
        torch.zeros(3, dtype=torch.float64), torch.tensor([1.0, 0, 0, 0]).double().repeat(robot.num_bodies, 1)
    )
    points = rest[geoms.body] + geoms.point
    bottom = points[:, 2] - geoms.radius
    feet = []
    for first in (body for body in members if skeleton.parents[body] not in members):
        bodies = (first, *(body for body in members if skeleton.parents[body] == first))
        mine = torch.isin(geoms.body, torch.tensor(bodies)).nonzero()[:, 0]
        heel, ball = _sole(points, bottom, geoms.body, bodies)
        feet.append(Foot(bodies, heel, ball, mine[~torch.isin(mine, torch.cat((heel, ball)))]))
    return feet


def _sole(points: Tensor, bottom: Tensor, owner: Tensor, bodies: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Indices of the points that carry the heel and the ball of a foot; toes, where there are any, are the ball."""
    sole = _lowest(bottom, owner == bodies[0])
    ahead = points[sole, 0]
    front = ahead > 0.5 * (ahead.min() + ahead.max())
    if len(bodies) > 1:
        return sole[~front], torch.cat([_lowest(bottom, owner == body) for body in bodies[1:]])
    return sole[~front], sole[front] if front.any() else sole


def _lowest(bottom: Tensor, mine: Tensor) -> Tensor:
    """Indices of the points in ``mine`` that touch the floor when the robot stands in its zero pose."""
    return (mine & (bottom < bottom[mine].min() + _SOLE_SLACK)).nonzero()[:, 0]


def find_contacts(feet: list[Foot], points: Tensor, fps: float) -> Contacts:
    """Contacts of the feet of a robot whose shapes' points are (T, P, 3) m, see :func:`quality.shape_points`.

    A part of a foot is in contact while it is near the height at which it usually rests and slow. Sources err in the
    pitch of the feet, so that height is measured per part. Contacts shorter than 0.1 s are dropped and gaps shorter
    than 0.07 s closed.
    """
    parts = [part for foot in feet for part in (foot.heel, foot.ball)]  # heel and ball of foot 0, of foot 1, ...
    height = torch.stack([points[:, part, 2].amin(dim=1) for part in parts], dim=1)  # (T, 2 K)
    speed = _speed(torch.stack([points[:, part].mean(dim=1) for part in parts], dim=1), fps)
    floor = _floor(height, speed, points[..., 2].amin(dim=1))
    usual = floor + _usual_height(height - floor, speed)
    low = height < usual + _HEIGHT_SLACK
    contact = _grow(low & (speed < _SLOW), low & (speed < _SLIDING))
    gap, shortest = round(_MAX_GAP_S * fps), max(2, round(_MIN_CONTACT_S * fps))
    contact = _without_runs(contact, shortest)
    contact = ~_without_runs(~contact, gap + 1)
    return Contacts(contact[:, 0::2], contact[:, 1::2], floor)


def _speed(path: Tensor, fps: float) -> Tensor:
    """Speeds (T, N) m/s of points (T, N, 3) by central differences."""
    return torch.gradient(path, dim=0)[0].norm(dim=-1) * fps


def _floor(height: Tensor, speed: Tensor, lowest: Tensor) -> float:
    """Height of the floor: where the lower of the resting foot parts usually is; without any, the lowest tenth."""
    resting = (speed < _RESTING).any(dim=1)
    if int(resting.sum()) < 5:
        return float(torch.quantile(lowest, 0.1))
    heights = torch.where(speed < _RESTING, height, torch.inf).amin(dim=1)[resting]
    # A foot may also rest on the other leg or a step, never below the floor.
    return float(torch.quantile(heights, 0.3))


def _usual_height(height: Tensor, speed: Tensor) -> Tensor:
    """(N,) m over the floor at which each part rests, 0 for parts that hardly do."""
    result = []
    for part in range(height.shape[1]):
        resting = height[speed[:, part] < _RESTING, part]
        result.append(torch.quantile(resting, 0.3).clamp(-_BIAS, _BIAS) if len(resting) >= 5 else height.new_zeros(()))
    return torch.stack(result)


def _runs(mask: Tensor) -> list[tuple[int, int]]:
    """Stretches [start, end) of true values in (T,)."""
    padded = torch.nn.functional.pad(mask.to(torch.int8), (1, 1))
    edges = padded.diff()
    return list(zip((edges == 1).nonzero()[:, 0].tolist(), (edges == -1).nonzero()[:, 0].tolist(), strict=True))


def _grow(core: Tensor, allowed: Tensor) -> Tensor:
    """Stretches of ``allowed`` (T, N) that hold at least one frame of ``core`` (T, N)."""
    result = torch.zeros_like(core)
    for part in range(core.shape[1]):
        for start, end in _runs(allowed[:, part]):
            result[start:end, part] = bool(core[start:end, part].any())
    return result


def _without_runs(mask: Tensor, shortest: int) -> Tensor:
    """``mask`` (T, N) without stretches of fewer than ``shortest`` frames inside the clip."""
    result = mask.clone()
    for part in range(mask.shape[1]):
        for start, end in _runs(mask[:, part]):
            if end - start < shortest and start > 0 and end < len(mask):
                result[start:end, part] = False
    return result
