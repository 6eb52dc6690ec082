"""What a robot that follows no motion is asked to do, in NumPy: drawn as in training, or given. Needs no torch.

A goal is W numbers of the world frame (a command: of the robot's heading frame). Goals that are given are meant as the
robot sees them when its episode begins: angles in degrees to its left, places ahead of it and to its left. Rewards are
the trainer's, so that both can be compared; errors have units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from puffer_phc.deployment.metadata import FreeTask
from puffer_phc.deployment.rotations import heading_angle
from puffer_phc.deployment.sight import Bodies
from puffer_phc.errors import InputError
from puffer_phc.quaternions import Array

_THERE = 0.5  # m from a place
_STANDING = 0.1  # m/s, rad/s: smaller commands ask to stand
_WALK = np.array([[0.0, -0.3, -1.57], [1.5, 0.3, 1.57]])  # lowest and highest command
_RUN = (2.0, 3.0)  # m/s


class Goal(Protocol):
    """One kind of goal.

    Attributes:
        width: W.
        size: numbers that the policy sees of it.
        given: what a goal that is given consists of, for messages.
        errors: names and units of what :meth:`error` measures.
    """

    width: int
    size: int
    given: tuple[str, ...]
    errors: tuple[tuple[str, str], ...]

    def draw(self, generator: np.random.Generator, bodies: Bodies) -> Array:
        """A goal (1, W) for the robot (1, B, ...)."""
        ...

    def place(self, numbers: Array, bodies: Bodies) -> Array:
        """The goal (1, W) that ``numbers`` (len(given),) mean for the robot."""
        ...

    def observe(self, goal: Array, bodies: Bodies) -> Array:
        """What the policy sees of goals (N, W): (N, size)."""
        ...

    def reward(self, goal: Array, bodies: Bodies) -> Array:
        """The trainer's reward (N,)."""
        ...

    def error(self, goal: Array, bodies: Bodies) -> Array:
        """How far off the robots are, (N, len(errors))."""
        ...


def make_goal(task: FreeTask) -> Goal:
    """The goal of ``task``.

    Raises:
        InputError: it is not known here.
    """
    if task.goal not in GOALS:
        raise InputError(f"goal {task.goal!r}", "is not known here", f"use one of {', '.join(GOALS)}")
    return GOALS[task.goal](task)


def given_goal(goal: Goal, name: str, options: dict[str, Sequence[float] | None]) -> Array | None:
    """The numbers that the command line gives for a goal called ``name``; None where it gives none.

    Raises:
        InputError: it gives a goal of another kind, or numbers that are not finite.
    """
    for option, numbers in options.items():
        if numbers is None:
            continue
        if option != name:
            remedy = f"use --{name} {' '.join(goal.given)}" if goal.given else "leave it out"
            raise InputError(f"--{option}", f"this policy's goal is {name!r}", remedy)
        if not np.isfinite(numbers).all():
            raise InputError(f"--{option}", f"{list(numbers)} is not finite", f"give {' '.join(goal.given)}")
        return np.array(numbers, dtype=float)
    return None


class Alive:
    """To stay up is all."""

    width = size = 0
    given: tuple[str, ...] = ()
    errors: tuple[tuple[str, str], ...] = ()

    def __init__(self, task: FreeTask) -> None:
        """Takes nothing of the task."""

    def draw(self, generator: np.random.Generator, bodies: Bodies) -> Array:
        """(1, 0)."""
        return np.zeros((1, 0))

    def place(self, numbers: Array, bodies: Bodies) -> Array:
        """(1, 0)."""
        return np.zeros((1, 0))

    def observe(self, goal: Array, bodies: Bodies) -> Array:
        """(N, 0)."""
        return goal

    def reward(self, goal: Array, bodies: Bodies) -> Array:
        """1."""
        return np.ones(len(goal))

    def error(self, goal: Array, bodies: Bodies) -> Array:
        """(N, 0)."""
        return goal


class Velocity:
    """A direction (x, y) and a speed."""

    width = size = 3
    given: tuple[str, ...] = ("DEGREES", "SPEED")
    errors: tuple[tuple[str, str], ...] = (("velocity error", "m/s"),)

    def __init__(self, task: FreeTask) -> None:
        self._slowest, self._fastest = task.speed_range

    def draw(self, generator: np.random.Generator, bodies: Bodies) -> Array:
        """See :class:`Goal`."""
        return np.array([[*_random_direction(generator), generator.uniform(self._slowest, self._fastest)]])

    def place(self, numbers: Array, bodies: Bodies) -> Array:
        """See :class:`Goal`."""
        return np.array([[*_direction_to(numbers[0], bodies), numbers[1]]])

    def observe(self, goal: Array, bodies: Bodies) -> Array:
        """Direction in the heading frame, speed."""
        return np.hstack((_as_seen(goal[:, :2], bodies), goal[:, 2:]))

    def reward(self, goal: Array, bodies: Bodies) -> Array:
        """``e^(-0.25 (dv^2 + 0.1 across^2))`` of speed along and across; 0 when not moving that way."""
        velocity, (x, y, speed) = bodies.vel[:, 0, :2], goal.T
        along, across = velocity[:, 0] * x + velocity[:, 1] * y, velocity[:, 1] * x - velocity[:, 0] * y
        return np.where(along > 0, np.exp(-0.25 * ((speed - along) ** 2 + 0.1 * across**2)), 0.0)

    def error(self, goal: Array, bodies: Bodies) -> Array:
        """Length of the difference of velocities in the plane."""
        return np.linalg.norm(goal[:, :2] * goal[:, 2:] - bodies.vel[:, 0, :2], axis=1)[:, None]


class Heading:
    """A velocity, and a direction to face."""

    width = size = 5
    given: tuple[str, ...] = ("DEGREES", "SPEED", "FACING_DEGREES")
    errors: tuple[tuple[str, str], ...] = (("velocity error", "m/s"), ("facing error", "degrees"))

    def __init__(self, task: FreeTask) -> None:
        self._velocity = Velocity(task)

    def draw(self, generator: np.random.Generator, bodies: Bodies) -> Array:
        """See :class:`Goal`."""
        return np.hstack((self._velocity.draw(generator, bodies), [_random_direction(generator)]))

    def place(self, numbers: Array, bodies: Bodies) -> Array:
        """See :class:`Goal`."""
        return np.hstack((self._velocity.place(numbers[:2], bodies), [_direction_to(numbers[2], bodies)]))

    def observe(self, goal: Array, bodies: Bodies) -> Array:
        """Direction, speed, direction to face."""
        return np.hstack((self._velocity.observe(goal[:, :3], bodies), _as_seen(goal[:, 3:], bodies)))

    def reward(self, goal: Array, bodies: Bodies) -> Array:
        """0.7 of the velocity's, 0.3 of the cosine to the direction to face."""
        cosine = (goal[:, 3:] * _facing(bodies)).sum(axis=1)
        return 0.7 * self._velocity.reward(goal[:, :3], bodies) + 0.3 * np.maximum(cosine, 0.0)

    def error(self, goal: Array, bodies: Bodies) -> Array:
        """The velocity's, and the angle between where the robot faces and where it should."""
        cosine = (goal[:, 3:] * _facing(bodies)).sum(axis=1)
        angle = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
        return np.column_stack((self._velocity.error(goal[:, :3], bodies), angle))


class Location:
    """A place."""

    width = size = 2
    given: tuple[str, ...] = ("AHEAD", "LEFT")
    errors: tuple[tuple[str, str], ...] = (("distance", "m"),)

    def __init__(self, task: FreeTask) -> None:
        self._furthest = task.goal_distance

    def draw(self, generator: np.random.Generator, bodies: Bodies) -> Array:
        """Evenly over a disc around the robot."""
        distance = self._furthest * np.sqrt(generator.uniform())
        return bodies.pos[:, 0, :2] + distance * np.array([_random_direction(generator)])

    def place(self, numbers: Array, bodies: Bodies) -> Array:
        """See :class:`Goal`."""
        (cos, sin), (ahead, left) = _facing(bodies)[0], numbers
        return bodies.pos[:, 0, :2] + np.array([[cos * ahead - sin * left, sin * ahead + cos * left]])

    def observe(self, goal: Array, bodies: Bodies) -> Array:
        """The place relative to the root."""
        return _as_seen(goal - bodies.pos[:, 0, :2], bodies)

    def reward(self, goal: Array, bodies: Bodies) -> Array:
        """0.5 for being there, 0.4 for approaching at 1 m/s or faster, 0.1 for facing it."""
        offset = goal - bodies.pos[:, 0, :2]
        distance = np.linalg.norm(offset, axis=1)
        direction = offset / np.maximum(distance, 1e-6)[:, None]
        speed = (direction * bodies.vel[:, 0, :2]).sum(axis=1)
        approach = np.where(speed > 0, np.exp(-4.0 * np.maximum(1.0 - speed, 0.0) ** 2), 0.0)
        facing = np.maximum((direction * _facing(bodies)).sum(axis=1), 0.0)
        near = distance < _THERE
        return (
            0.5 * np.exp(-0.5 * distance**2) + 0.4 * np.where(near, 1.0, approach) + 0.1 * np.where(near, 1.0, facing)
        )

    def error(self, goal: Array, bodies: Bodies) -> Array:
        """The distance left."""
        return np.linalg.norm(goal - bodies.pos[:, 0, :2], axis=1)[:, None]


class Command:
    """Speed forwards and to the left, and turning speed."""

    width = size = 3
    given: tuple[str, ...] = ("FORWARD", "LEFT", "TURN")
    errors: tuple[tuple[str, str], ...] = (("velocity error", "m/s"), ("turning error", "rad/s"))

    def __init__(self, task: FreeTask) -> None:
        self._run_share = task.run_share

    def draw(self, generator: np.random.Generator, bodies: Bodies) -> Array:
        """A walk, standing where that is next to nothing; now and then at a run."""
        command = generator.uniform(*_WALK)
        if np.linalg.norm(command) <= _STANDING:
            command[:] = 0.0
        if generator.uniform() < self._run_share:
            command[0] = generator.uniform(*_RUN)
        return command[None]

    def place(self, numbers: Array, bodies: Bodies) -> Array:
        """See :class:`Goal`."""
        return numbers[None]

    def observe(self, goal: Array, bodies: Bodies) -> Array:
        """The command."""
        return goal

    def reward(self, goal: Array, bodies: Bodies) -> Array:
        """``e^(-|dv|^2) + e^(-dw^2)``."""
        return np.exp(-(self.error(goal, bodies) ** 2)).sum(axis=1)

    def error(self, goal: Array, bodies: Bodies) -> Array:
        """Lengths of the differences of velocity and of turning speed."""
        difference = goal[:, :2] - _as_seen(bodies.vel[:, 0, :2], bodies)
        return np.column_stack((np.linalg.norm(difference, axis=1), np.abs(goal[:, 2] - bodies.ang_vel[:, 0, 2])))


GOALS: dict[str, type[Alive] | type[Velocity] | type[Heading] | type[Location] | type[Command]] = {
    "alive": Alive,
    "velocity": Velocity,
    "heading": Heading,
    "location": Location,
    "command": Command,
}
"""Kinds of goals by name."""


def _random_direction(generator: np.random.Generator) -> tuple[float, float]:
    angle = generator.uniform(0.0, 2 * np.pi)
    return float(np.cos(angle)), float(np.sin(angle))


def _direction_to(degrees: float, bodies: Bodies) -> tuple[float, float]:
    """The direction so many degrees to the left of where the robot (1, B, ...) faces."""
    angle = float(heading_angle(bodies.rot[0, 0])) + np.radians(degrees)
    return float(np.cos(angle)), float(np.sin(angle))


def _facing(bodies: Bodies) -> Array:
    """Unit vectors (N, 2) that the robots face."""
    yaw = heading_angle(bodies.rot[:, 0])
    return np.column_stack((np.cos(yaw), np.sin(yaw)))


def _as_seen(vectors: Array, bodies: Bodies) -> Array:
    """Horizontal vectors (N, 2) of the world in the robots' heading frames."""
    cos, sin = _facing(bodies).T
    x, y = vectors.T
    return np.column_stack((cos * x + sin * y, cos * y - sin * x))
