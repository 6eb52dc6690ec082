"""How a humanoid moves, in the numbers that a discriminator of motions sees; pure functions of tensors.

The same function serves the simulation and the recordings. Sources: HumanoidAMP's observation (105 numbers for the
28-dof humanoid), PHC's AMP observation (196 for the SMPL body), MimicKit's ADD observation (172 for the 28-dof
humanoid).
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import torch
from torch import Tensor

from poselib.rotations import heading_angle, tan_norm_components
from puffer_phc.envs.observations import Components, interleave, turn_rotations, turn_vectors
from puffer_phc.errors import InputError
from puffer_phc.robots.robot import Robot
from puffer_phc.robots.state import BodyState

KEY_BODIES = "key"
"""The robot's body set whose positions count, such as hands and feet."""


@dataclass(frozen=True)
class StyleTables:
    """What :func:`style_features` must know about a robot; index tensors live on the device.

    Attributes:
        num_bodies: B.
        bodies, parents: (J,) int64, bodies that a joint moves and their parents.
        rest: (4, J, 1) wxyz, each body's rotation in its parent when its joint is at rest.
        balls: (J3,) int64 among the J, bodies that turn about several axes: 6 numbers each.
        hinges: (J1,) int64 among the J, bodies that turn about one: its angle.
        axes: (3, J1, 1) axis of each hinge, in the body's frame.
        order: (6 J3 + J1,) int64, puts the numbers of balls and hinges into the order of the bodies.
        dofs: (D',) int64, dofs whose velocity counts.
        keys: (K,) int64, bodies whose position relative to the root counts.
        local_root: take the heading out of the root's rotation, as PHC does and HumanoidAMP does not.
    """

    num_bodies: int
    bodies: Tensor
    parents: Tensor
    rest: Tensor
    balls: Tensor
    hinges: Tensor
    axes: Tensor
    order: Tensor
    dofs: Tensor
    keys: Tensor
    local_root: bool

    @property
    def size(self) -> int:
        """F, numbers of one step: 105 for the 28-dof humanoid, 196 for the SMPL body, 74 for a G1 of 23 hinges."""
        return 13 + len(self.order) + len(self.dofs) + 3 * len(self.keys)

    @property
    def difference_size(self) -> int:
        """Numbers of :func:`world_features`: 160 for the 28-dof humanoid."""
        return 15 + 6 * len(self.bodies) + len(self.dofs) + 3 * self.num_bodies


def style_tables(robot: Robot, device: torch.device, local_root: bool) -> StyleTables:
    """The tables of ``robot``; joints that the robot holds still (PHC: hands and toes) are left out.

    Raises:
        InputError: the robot names no key bodies.
    """
    if not robot.body_sets.get(KEY_BODIES):
        remedy = f"give it a body set {KEY_BODIES!r}, such as hands and feet"
        raise InputError(f"robot {robot.name}", "names no bodies whose positions tell its style", remedy)
    bodies, dofs, counts, axes = _moving_joints(robot)
    balls = [i for i, count in enumerate(counts) if count > 1]
    hinges = [i for i, count in enumerate(counts) if count == 1]
    rest = torch.tensor(robot.model.body_quat[[body + 1 for body in bodies]], dtype=torch.float32).reshape(-1, 4)

    def ids(numbers: list[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.long, device=device)

    return StyleTables(
        num_bodies=robot.num_bodies,
        bodies=ids(bodies),
        parents=ids([robot.skeleton.parents[body] for body in bodies]),
        rest=rest.T[:, :, None].contiguous().to(device),
        balls=ids(balls),
        hinges=ids(hinges),
        axes=torch.tensor([axes[i] for i in hinges]).reshape(-1, 3).T[:, :, None].contiguous().to(device),
        order=ids(_body_order(counts)),
        dofs=ids(dofs),
        keys=ids(robot.body_ids(robot.body_sets[KEY_BODIES])),
        local_root=local_root,
    )


def _moving_joints(robot: Robot) -> tuple[list[int], list[int], list[int], list[tuple[float, ...]]]:
    """Bodies that move, their dofs, and for each such body the number of its dofs and the first one's axis."""
    model, frozen = robot.model, robot.frozen_dofs.tolist()
    bodies: list[int] = []
    dofs: list[int] = []
    counts: list[int] = []
    axes: list[tuple[float, ...]] = []
    for body in range(1, robot.num_bodies):
        first, count = int(model.body_dofadr[body + 1]) - 6, int(model.body_dofnum[body + 1])
        if count and not all(frozen[first : first + count]):
            joint = int(model.body_jntadr[body + 1])
            bodies.append(body)
            dofs += range(first, first + count)
            counts.append(3 if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_BALL else count)
            axes.append(tuple(float(x) for x in model.jnt_axis[joint]))
    return bodies, dofs, counts, axes


def _body_order(counts: list[int]) -> list[int]:
    """Where the numbers of each joint lie when those of all balls come first, six each, then those of the hinges."""
    balls = sum(count > 1 for count in counts)
    order: list[int] = []
    ball = hinge = 0
    for count in counts:
        if count > 1:
            order += range(6 * ball, 6 * ball + 6)
            ball += 1
        else:
            order.append(6 * balls + hinge)
            hinge += 1
    return order


def style_features(bodies: BodyState, dof_vel: Tensor, tables: StyleTables) -> Tensor:
    """One step of motion, ``(N, F)``.

    In order: root height; root rotation as x and z axis, with or without the heading; root velocity and angular
    velocity in the heading frame; for every joint its rotation as x and z axis of the body in its parent's frame, or
    the angle of a hinge; joint velocities; positions of the key bodies relative to the root, in the heading frame.

    Args:
        bodies: N humanoids.
        dof_vel: (N, D) rad / s.
        tables: of the robot.
    """
    yaw = heading_angle(bodies.rot[:, 0])
    root = bodies.rot[:, :1]
    code = turn_rotations(root, yaw) if tables.local_root else tuple(part.T for part in root.unbind(-1))
    position = _columns(bodies.pos)
    keys = position.index_select(1, tables.keys) - position[:, :1]
    rows = [
        bodies.pos[:, 0, 2:].T,
        interleave(tan_norm_components(*code)),
        turn_vectors(bodies.vel[:, :1], yaw),
        turn_vectors(bodies.ang_vel[:, :1], yaw),
        _joint_codes(bodies, tables),
        dof_vel.T.index_select(0, tables.dofs),
        turn_vectors(keys.permute(2, 1, 0), yaw),
    ]
    return torch.cat(rows).T


def world_features(bodies: BodyState, dof_vel: Tensor, tables: StyleTables) -> Tensor:
    """One step of motion as it is in the world, ``(N, F)``: what ADD compares with the reference of the same moment.

    In order: root position; root rotation as x and z axis; rotations of all joints, hinges too, in the same code;
    positions of all bodies relative to the root; root velocity and angular velocity; joint velocities. MimicKit's 172
    numbers for the 28-dof humanoid are these 160 and the rotations of two hands that cannot turn.
    """
    position = _columns(bodies.pos)
    root = tuple(part.T for part in bodies.rot[:, :1].unbind(-1))
    rows = [
        bodies.pos[:, 0].T,
        interleave(tan_norm_components(*root)),
        interleave(tan_norm_components(*_joint_rotations(bodies, tables))),
        interleave((position - position[:, :1]).unbind(0)),
        bodies.vel[:, 0].T,
        bodies.ang_vel[:, 0].T,
        dof_vel.T.index_select(0, tables.dofs),
    ]
    return torch.cat(rows).T


def _joint_codes(bodies: BodyState, tables: StyleTables) -> Tensor:
    """Rotations of balls and angles of hinges in the order of the bodies, as rows (6 J3 + J1, N)."""
    rotation = torch.stack(_joint_rotations(bodies, tables))  # (4, J, N)
    balls = interleave(tan_norm_components(*rotation.index_select(1, tables.balls).unbind(0)))
    hinge = rotation.index_select(1, tables.hinges)
    along = (tables.axes * hinge[1:]).sum(dim=0)
    angle = 2.0 * torch.atan2(torch.where(hinge[0] < 0, -along, along), hinge[0].abs())
    return torch.cat((balls, angle)).index_select(0, tables.order)


def _joint_rotations(bodies: BodyState, tables: StyleTables) -> Components:
    """How far each of the J bodies has turned from its rest in its parent's frame, as components (J, N)."""
    rot = _columns(bodies.rot)
    at_rest = _multiply(rot.index_select(1, tables.parents).unbind(0), tables.rest.unbind(0))
    w, x, y, z = at_rest
    return _multiply((w, -x, -y, -z), rot.index_select(1, tables.bodies).unbind(0))


def _columns(tensor: Tensor) -> Tensor:
    """(N, B, C) as (C, B, N), which is how it lies in memory."""
    return tensor.permute(2, 1, 0)


def _multiply(a: Components, b: Components) -> Components:
    """Quaternion product of components."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )
