"""What a humanoid that moves in a given style is asked to do: pure functions of tensors.

A goal is W numbers in the world frame, drawn anew from time to time. Rewards of ``velocity``, ``heading`` and
``location`` follow the tasks of AMP and ASE; that of ``command`` the public AMP task of the G1, except that errors
along x and y cannot cancel each other as they can there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from poselib.rotations import heading_angle
from puffer_phc.robots.state import BodyState

GoalName = Literal["alive", "velocity", "heading", "location", "command"]
_NEAR = 0.5  # m: a place is reached
_STILL = 0.1  # m / s, rad / s: a command smaller than this is to stand
_FORWARD, _SIDE, _TURN, _RUN = (0.0, 1.5), (-0.3, 0.3), (-1.57, 1.57), (2.0, 3.0)  # ranges of a command


@dataclass(frozen=True)
class GoalConfig:
    """What the task asks for besides the style.

    Attributes:
        goal: alive asks for nothing; velocity for a direction and speed; heading also for where to face; location for
            a place; command for forward, sideways and turning speed (the G1's).
        goal_steps: control steps until the goal changes; an episode begins with a new one.
        speed_min, speed_max: m / s asked for by velocity and heading.
        goal_distance: m; places are no further away than this.
        run_share: share of commands that ask for running (2 to 3 m/s).
    """

    goal: GoalName = "alive"
    goal_steps: int = 200
    speed_min: float = 0.5
    speed_max: float = 2.0
    goal_distance: float = 5.0
    run_share: float = 0.1


class Goal(Protocol):
    """One kind of goal.

    Attributes:
        width: W, numbers of a goal.
        size: numbers that the policy sees of it.
        num_draws: R, random numbers that drawing one takes.
    """

    width: int
    size: int
    num_draws: int

    def draw(self, luck: Tensor, bodies: BodyState) -> Tensor:
        """Goals (N, W) of random numbers (R, N) in [0, 1) and humanoids."""
        ...

    def observe(self, goal: Tensor, bodies: BodyState) -> Tensor:
        """(N, size), in the humanoids' heading frame."""
        ...

    def reward(self, goal: Tensor, bodies: BodyState) -> Tensor:
        """(N,)."""
        ...


def make_goal(cfg: GoalConfig) -> Goal:
    """The goal named by ``cfg``."""
    makers: dict[GoalName, Callable[[GoalConfig], Goal]] = {
        "alive": Alive,
        "velocity": Velocity,
        "heading": Heading,
        "location": Location,
        "command": Command,
    }
    return makers[cfg.goal](cfg)


class Alive:
    """Nothing is asked; every step is worth 1."""

    width = size = num_draws = 0

    def __init__(self, cfg: GoalConfig) -> None:
        """Takes no option."""

    def draw(self, luck: Tensor, bodies: BodyState) -> Tensor:
        """(N, 0)."""
        return luck.T

    def observe(self, goal: Tensor, bodies: BodyState) -> Tensor:
        """(N, 0)."""
        return goal

    def reward(self, goal: Tensor, bodies: BodyState) -> Tensor:
        """1."""
        return torch.ones_like(bodies.pos[:, 0, 0])


class Velocity:
    """Move in a direction of the world at a speed: goal (x, y, speed)."""

    width = size = 3
    num_draws = 2

    def __init__(self, cfg: GoalConfig) -> None:
        self._slowest, self._fastest = cfg.speed_min, cfg.speed_max

    def draw(self, luck: Tensor, bodies: BodyState) -> Tensor:
        """See :class:`Goal`."""
        speed = self._slowest + (self._fastest - self._slowest) * luck[1]
        return torch.stack((*_direction(luck[0]), speed), dim=1)

    def observe(self, goal: Tensor, bodies: BodyState) -> Tensor:
        """Direction and speed."""
        return torch.cat((_into_heading(goal[:, :2], bodies), goal[:, 2:]), dim=1)

    def reward(self, goal: Tensor, bodies: BodyState) -> Tensor:
        """``e^(-0.25 (dv^2 + 0.1 across^2))``, 0 when moving the other way."""
        velocity = bodies.vel[:, 0, :2]
        along = (velocity * goal[:, :2]).sum(dim=1)
        across = goal[:, 0] * velocity[:, 1] - goal[:, 1] * velocity[:, 0]
        reward = torch.exp(-0.25 * ((goal[:, 2] - along).square() + 0.1 * across.square()))
        return torch.where(along > 0, reward, 0.0)


class Heading:
    """Move at a velocity and face a direction: goal (x, y, speed, facing x, facing y)."""

    width = size = 5
    num_draws = 3

    def __init__(self, cfg: GoalConfig) -> None:
        self._velocity = Velocity(cfg)

    def draw(self, luck: Tensor, bodies: BodyState) -> Tensor:
        """See :class:`Goal`."""
        facing = torch.stack(_direction(luck[2]), dim=1)
        return torch.cat((self._velocity.draw(luck[:2], bodies), facing), dim=1)

    def observe(self, goal: Tensor, bodies: BodyState) -> Tensor:
        """Direction, speed, facing."""
        velocity = self._velocity.observe(goal[:, :3], bodies)
        return torch.cat((velocity, _into_heading(goal[:, 3:], bodies)), dim=1)

    def reward(self, goal: Tensor, bodies: BodyState) -> Tensor:
        """0.7 of velocity's and 0.3 times the cosine to the direction to face, where that is positive."""
        facing = (goal[:, 3:] * _facing(bodies)).sum(dim=1).clamp_min(0.0)
        return 0.7 * self._velocity.reward(goal[:, :3], bodies) + 0.3 * facing


class Location:
    """Go to a place at 1 m/s or faster: goal (x, y) m."""

    width = size = 2
    num_draws = 2

    def __init__(self, cfg: GoalConfig) -> None:
        self._distance = cfg.goal_distance

    def draw(self, luck: Tensor, bodies: BodyState) -> Tensor:
        """Places evenly spread over a disc around where each humanoid is."""
        radius = self._distance * luck[1].sqrt()
        return bodies.pos[:, 0, :2] + radius[:, None] * torch.stack(_direction(luck[0]), dim=1)

    def observe(self, goal: Tensor, bodies: BodyState) -> Tensor:
        """The place as seen from the root."""
        return _into_heading(goal - bodies.pos[:, 0, :2], bodies)

    def reward(self, goal: Tensor, bodies: BodyState) -> Tensor:
        """``0.5 e^(-0.5 d^2)``, 0.4 for coming nearer at 1 m/s, 0.1 for facing it; these two in full when there."""
        away = goal - bodies.pos[:, 0, :2]
        distance = away.norm(dim=1)
        towards = away / distance[:, None].clamp_min(1e-6)
        speed = (towards * bodies.vel[:, 0, :2]).sum(dim=1)
        moving = torch.where(speed > 0, torch.exp(-4.0 * (1.0 - speed).clamp_min(0.0).square()), 0.0)
        facing = (towards * _facing(bodies)).sum(dim=1).clamp_min(0.0)
        there = distance < _NEAR
        moving, facing = torch.where(there, 1.0, moving), torch.where(there, 1.0, facing)
        return 0.5 * torch.exp(-0.5 * distance.square()) + 0.4 * moving + 0.1 * facing


class Command:
    """Forward and sideways velocity and turning rate in the heading frame: goal (vx, vy, yaw rate)."""

    width = size = 3
    num_draws = 5

    def __init__(self, cfg: GoalConfig) -> None:
        self._run_share = cfg.run_share

    def draw(self, luck: Tensor, bodies: BodyState) -> Tensor:
        """Walking, standing where next to nothing is asked, and now and then running."""
        command = torch.stack(
            [low + (high - low) * luck[i] for i, (low, high) in enumerate((_FORWARD, _SIDE, _TURN))], 1
        )
        command = torch.where(command.norm(dim=1, keepdim=True) > _STILL, command, 0.0)
        run = torch.where(luck[3] < self._run_share, _RUN[0] + (_RUN[1] - _RUN[0]) * luck[4], command[:, 0])
        return torch.cat((run[:, None], command[:, 1:]), dim=1)

    def observe(self, goal: Tensor, bodies: BodyState) -> Tensor:
        """The command."""
        return goal

    def reward(self, goal: Tensor, bodies: BodyState) -> Tensor:
        """``e^(-|dv|^2) + e^(-dw^2)``, at most 2."""
        velocity = _into_heading(bodies.vel[:, 0, :2], bodies)
        turn = goal[:, 2] - bodies.ang_vel[:, 0, 2]
        return torch.exp(-(goal[:, :2] - velocity).square().sum(dim=1)) + torch.exp(-turn.square())


def _direction(luck: Tensor) -> tuple[Tensor, Tensor]:
    angle = 2 * math.pi * luck
    return angle.cos(), angle.sin()


def _facing(bodies: BodyState) -> Tensor:
    """Unit vectors (N, 2) that the humanoids face."""
    yaw = heading_angle(bodies.rot[:, 0])
    return torch.stack((yaw.cos(), yaw.sin()), dim=1)


def _into_heading(vectors: Tensor, bodies: BodyState) -> Tensor:
    """Horizontal vectors (N, 2) of the world in the humanoids' heading frame."""
    facing = _facing(bodies)
    cos, sin = facing.unbind(1)
    x, y = vectors.unbind(1)
    return torch.stack((cos * x + sin * y, cos * y - sin * x), dim=1)
