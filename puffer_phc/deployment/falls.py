"""When a robot that follows no motion has fallen: the trainer's rules, from the shapes themselves. Needs no torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import mujoco
import numpy as np

from puffer_phc.deployment.metadata import FreeTask, Metadata
from puffer_phc.deployment.sight import Bodies
from puffer_phc.errors import InputError

FallRule = Callable[[mujoco.MjData, Bodies], bool]
"""From a state whose kinematics are current to whether the robot is down."""

_TOUCH, _FAR = 0.01, 0.1  # m over the floor: touches it; need not be measured


def make_fall_rule(model: mujoco.MjModel, metadata: Metadata, task: FreeTask) -> FallRule:
    """The rule of ``task``: ``contact``, ``pose`` or ``never``.

    Raises:
        InputError: the rule is not known here, or needs the robot's feet, which it does not name.
    """
    if task.fall == "never":
        return lambda data, bodies: False
    if task.fall == "pose":
        return lambda data, bodies: _toppled(bodies, task)
    if task.fall == "contact":
        return _contact_rule(model, metadata, task)
    raise InputError(f"fall rule {task.fall!r}", "is not known here", "use contact, pose or never")


def _contact_rule(model: mujoco.MjModel, metadata: Metadata, task: FreeTask) -> FallRule:
    """A part other than a foot touches the floor, and one is lower than ``fall_height``.

    By distance, not by force: forces depend on the time step, and shapes that touch each other have them, too.
    """
    robot = metadata.robot
    if "feet" not in robot.body_sets:
        raise InputError(f"robot {robot.name!r}", "names no feet", "export the policy again with --mode export")
    others = [i for i, name in enumerate(robot.body_names) if name not in robot.body_sets["feet"]]
    solid = np.flatnonzero((model.geom_contype != 0) | (model.geom_conaffinity != 0)).tolist()
    ground = [geom for geom in solid if model.geom_bodyid[geom] == 0]
    parts = [geom for geom in solid if model.geom_bodyid[geom] - 1 in others]

    def fallen(data: mujoco.MjData, bodies: Bodies) -> bool:
        if bodies.pos[0, others, 2].min() >= task.fall_height:
            return False
        pairs = itertools.product(ground, parts)
        return any(mujoco.mj_geomDistance(model, data, *pair, _FAR, None) <= _TOUCH for pair in pairs)

    return fallen


def _toppled(bodies: Bodies, task: FreeTask) -> bool:
    """The root is out of its range of heights, or rolls or pitches too far."""
    height = bodies.pos[0, 0, 2]
    lowest, highest = task.root_heights
    if (lowest is not None and height < lowest) or (highest is not None and height > highest):
        return True
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, bodies.rot[0, 0])
    forward, left, up = matrix[6:]  # heights of the rotated axes
    roll, pitch = np.arctan2(left, up), np.arcsin(np.clip(-forward, -1.0, 1.0))
    return bool(max(abs(roll), abs(pitch)) > task.fall_tilt)
