"""What a policy that moves in a style sees, in NumPy: one step of its own motion, and its goal. Needs no torch.

Written anew from the description of HumanoidAMP's observation (105 numbers for the 28-dof humanoid); the same layout
serves the SMPL body and robots of hinges such as the G1.
"""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from puffer_phc.deployment.goals import make_goal
from puffer_phc.deployment.metadata import Block, FreeTask, Metadata, RobotInfo
from puffer_phc.deployment.rotations import heading_angle, quat_conj, quat_to_tan_norm, unturn, unturn_rotations
from puffer_phc.deployment.sight import Bodies, Observer, Sight
from puffer_phc.errors import InputError
from puffer_phc.quaternions import Array, quat_mul

_KEY_BODIES = "key"
_EXPORT = "export the policy again with --mode export"


class StyleParts(NamedTuple):
    """What the observation takes from the robot.

    Attributes:
        bodies, parents: (J,) bodies that a joint moves, and their parents.
        rest: (J, 4) wxyz, rotation in the parent with the joint at zero.
        axes: (J, 3) of hinges, in the body's frame.
        hinges: (J,) bool: observed by its angle; joints of more axes by six numbers.
        dofs: (D',) dofs whose velocity is observed.
        keys: (K,) bodies whose position is observed.
        local_root: take the heading out of the root's rotation.
    """

    bodies: NDArray[np.int64]
    parents: NDArray[np.int64]
    rest: Array
    axes: Array
    hinges: NDArray[np.bool_]
    dofs: NDArray[np.int64]
    keys: NDArray[np.int64]
    local_root: bool


def style_parts(model: mujoco.MjModel, robot: RobotInfo, local_root: bool) -> StyleParts:
    """Read the parts off ``model``; joints that training holds still are left out.

    Raises:
        InputError: the robot names no key bodies.
    """
    keys = robot.body_sets.get(_KEY_BODIES, ())
    if not keys:
        raise InputError(f"robot {robot.name!r}", f"has no body set {_KEY_BODIES!r}", _EXPORT)
    frozen = np.array(robot.frozen_dofs)
    first, count = model.body_dofadr - 6, model.body_dofnum
    moved = [body for body in range(2, model.nbody) if count[body] and not frozen[first[body] :][: count[body]].all()]
    joints = model.body_jntadr[moved]
    return StyleParts(
        bodies=np.array(moved) - 1,  # ours are numbered without the world
        parents=model.body_parentid[moved] - 1,
        rest=model.body_quat[moved],
        axes=model.jnt_axis[joints],
        hinges=count[moved] == 1,
        dofs=np.concatenate([np.arange(first[body], first[body] + count[body]) for body in moved]),
        keys=np.array([robot.body_names.index(name) for name in keys]),
        local_root=local_root,
    )


def style_blocks(parts: StyleParts, task: FreeTask) -> tuple[Block, ...]:
    """Names and sizes of the parts of the observation, in order."""
    blocks = (
        Block("root_height", 1),
        Block("root_rot", 6),
        Block("root_vel", 3),
        Block("root_ang_vel", 3),
        Block("joints", int(np.where(parts.hinges, 1, 6).sum())),
        Block("dof_vel", len(parts.dofs)),
        Block("key_pos", 3 * len(parts.keys)),
    )
    size = make_goal(task).size
    return (*blocks, Block(f"goal_{task.goal}", size)) if size else blocks


def style_observer(model: mujoco.MjModel, metadata: Metadata) -> Observer:
    """One step of style, then the goal.

    Raises:
        InputError: the metadata describe no task, or one that is not known.
    """
    task = metadata.task
    if task is None:
        raise InputError("observation layout 'style'", "comes without a task", _EXPORT)
    parts, goal = style_parts(model, metadata.robot, task.local_root), make_goal(task)

    def observe(sight: Sight) -> Array:
        seen = style_observation(sight.bodies, sight.dof_vel, parts)
        return seen if sight.goal is None else np.hstack((seen, goal.observe(sight.goal, sight.bodies)))

    return observe


def style_observation(bodies: Bodies, dof_vel: Array, parts: StyleParts) -> Array:
    """One step of motion (N, F): root in the heading frame, joints in their parents, key bodies relative to the root.

    Args:
        bodies: N robots.
        dof_vel: (N, D) rad / s.
        parts: of the robot.
    """
    root = bodies.rot[:, :1]
    yaw = heading_angle(root[:, 0])
    rows = (
        bodies.pos[:, 0, 2:],
        quat_to_tan_norm(unturn_rotations(root, yaw) if parts.local_root else root)[:, 0],
        unturn(bodies.vel[:, :1], yaw)[:, 0],
        unturn(bodies.ang_vel[:, :1], yaw)[:, 0],
        *_joints(bodies.rot, parts),
        dof_vel[:, parts.dofs],
        unturn(bodies.pos[:, parts.keys] - bodies.pos[:, :1], yaw).reshape(len(yaw), -1),
    )
    return np.concatenate(rows, axis=1)


def _joints(rot: Array, parts: StyleParts) -> list[Array]:
    """For each joint its angle (N, 1) or its rotation's code (N, 6)."""
    turned = quat_mul(quat_conj(quat_mul(rot[:, parts.parents], parts.rest)), rot[:, parts.bodies])
    along, real = (turned[..., 1:] * parts.axes).sum(axis=-1), turned[..., 0]
    angle = 2.0 * np.arctan2(np.where(real < 0, -along, along), np.abs(real))  # the same for both signs of a quaternion
    code = quat_to_tan_norm(turned)
    return [angle[:, [j]] if hinge else code[:, j] for j, hinge in enumerate(parts.hinges)]
