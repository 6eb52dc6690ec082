"""When a humanoid that follows no reference has failed, as pure functions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from poselib.rotations import tan_norm_components
from puffer_phc.robots.robot import Robot
from puffer_phc.robots.state import BodyState

TOUCH = 0.01  # m: closer to the floor than this touches it


class Untouchables(NamedTuple):
    """The parts of a robot that must not touch the floor: all but the body set ``feet``.

    Attributes:
        bodies: (B',) int64.
        owner: (P,) int64, the body that each point is fixed to.
        point: (3, P, 1) m in that body's frame.
        radius: (P, 1) m of the sphere around it; a shape is the hull of its spheres.
    """

    bodies: Tensor
    owner: Tensor
    point: Tensor
    radius: Tensor


def untouchables(robot: Robot, device: torch.device) -> Untouchables:
    """The parts of ``robot`` on ``device``."""
    feet = robot.body_ids(robot.body_sets["feet"])
    bodies = [body for body in range(robot.num_bodies) if body not in feet]
    geoms = robot.geoms
    rows = torch.isin(geoms.body, torch.tensor(bodies))
    return Untouchables(
        torch.tensor(bodies, device=device),
        geoms.body[rows].to(device),
        geoms.point[rows].float().T[:, :, None].contiguous().to(device),
        geoms.radius[rows].float()[:, None].to(device),
    )


def fallen(bodies: BodyState, parts: Untouchables, low: float) -> Tensor:
    """(N,) bool: a part other than a foot touches the floor, and one is lower than ``low`` m.

    HumanoidAMP asks for contact forces, which also collisions of the body with itself cause; the shapes' own heights
    tell the floor apart and are the same in every engine.
    """
    height = bodies.pos.permute(2, 1, 0)[2]  # (B, N)
    w, x, y, z = bodies.rot.permute(2, 1, 0).index_select(1, parts.owner).unbind(0)
    px, py, pz = parts.point
    above = 2 * (x * z - w * y) * px + 2 * (y * z + w * x) * py + (1 - 2 * (x * x + y * y)) * pz
    touching = height.index_select(0, parts.owner) + above - parts.radius <= TOUCH
    return touching.any(dim=0) & (height.index_select(0, parts.bodies) < low).any(dim=0)


def toppled(bodies: BodyState, heights: tuple[float, float], tilt: float) -> Tensor:
    """(N,) bool: the root is out of its range of ``heights`` m, or rolls or pitches by more than ``tilt`` rad.

    Roll and pitch are the last two of the angles yaw, pitch, roll.
    """
    height = bodies.pos[:, 0, 2]
    w, x, y, z = bodies.rot[:, 0].unbind(-1)
    nose = tan_norm_components(w, x, y, z)[2]  # height of the rotated x axis
    pitch = torch.asin((-nose).clamp(-1.0, 1.0))
    roll = torch.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    return (height < heights[0]) | (height > heights[1]) | (roll.abs() > tilt) | (pitch.abs() > tilt)
