"""What DeepMimic observes and rewards, as pure functions of tensors.

Source: MimicKit's DeepMimic environment (464 numbers and the weights below for the 28-dof humanoid); sizes follow the
robot, whatever its joints.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from poselib.rotations import tan_norm_components
from puffer_phc.envs.observations import interleave, turn_rotations, turn_vectors
from puffer_phc.envs.rewards import rotation_angle
from puffer_phc.envs.style import KEY_BODIES
from puffer_phc.errors import InputError
from puffer_phc.robots.blocks import multiply
from puffer_phc.robots.robot import Robot
from puffer_phc.robots.state import BodyState

TERM_NAMES = ("pose", "velocity", "root_pose", "root_velocity", "key_pos")
_SPIN = 0.1  # weight of rotations beside translations, m2 / rad2, in the terms of the root
_OCTAVES = 4
PHASE_SIZE = 1 + 2 * _OCTAVES


@dataclass(frozen=True)
class ImitationConfig:
    """Weights and scales of the reward; the defaults are MimicKit's.

    Attributes:
        w_pose, w_velocity, w_root_pose, w_root_velocity, w_key_pos: weight of each term; they sum to 1.
        k_pose: 1 / rad2, sharpness of the term of the joints' rotations.
        k_velocity: s2 / rad2, of the joints' velocities.
        k_root_pose: 1 / m2.
        k_root_velocity: s2 / m2.
        k_key_pos: 1 / m2.
        joint_weights: pattern=weight of the joints of bodies whose names match; the first that matches counts, and
            joints that none matches weigh 1.
        key_bodies: bodies whose place relative to the root is observed and rewarded; empty for the robot's own (hands
            and feet) and its head.
    """

    w_pose: float = 0.5
    w_velocity: float = 0.1
    w_root_pose: float = 0.15
    w_root_velocity: float = 0.1
    w_key_pos: float = 0.15
    k_pose: float = 0.25
    k_velocity: float = 0.01
    k_root_pose: float = 5.0
    k_root_velocity: float = 1.0
    k_key_pos: float = 10.0
    joint_weights: tuple[str, ...] = (
        "head=0.6",
        "*_upper_arm=0.6",
        "*_lower_arm=0.4",
        "*_hand=0",
        "*_shin=0.6",
        "*_foot=0.4",
    )
    key_bodies: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImitationTables:
    """What observation and reward must know about a robot of B bodies; J = B - 1 of them have a joint or are welded on.

    Attributes:
        parents: (J,) int64.
        rest: (4, J, 1) wxyz, each body's rotation in its parent when its joint is at rest.
        keys: (K,) int64.
        joint_weights: (J, 1).
        dof_weights: (D,), of the joint that each dof belongs to.
    """

    parents: Tensor
    rest: Tensor
    keys: Tensor
    joint_weights: Tensor
    dof_weights: Tensor

    def self_size(self) -> int:
        """Numbers of :func:`self_rows`: 140 for the 28-dof humanoid."""
        return 13 + 6 * len(self.parents) + len(self.dof_weights) + 3 * len(self.keys)

    def target_size(self) -> int:
        """Numbers of :func:`target_rows`: 108 for the 28-dof humanoid."""
        return 9 + 6 * len(self.parents) + 3 * len(self.keys)


def imitation_tables(robot: Robot, cfg: ImitationConfig, device: torch.device) -> ImitationTables:
    """The tables of ``robot``.

    Raises:
        InputError: weights that are none, or key bodies that the robot has not.
    """
    model, names = robot.model, robot.body_names
    weights = _joint_weights(names[1:], cfg.joint_weights)
    owners = torch.from_numpy(model.dof_bodyid[6:].astype("int64")) - 2  # among the J bodies
    return ImitationTables(
        parents=torch.tensor(robot.skeleton.parents[1:], device=device),
        rest=torch.from_numpy(model.body_quat[2:].copy()).float().T[:, :, None].contiguous().to(device),
        keys=torch.tensor(robot.body_ids(_key_bodies(robot, cfg.key_bodies)), device=device),
        joint_weights=weights[:, None].to(device),
        dof_weights=weights[owners].to(device),
    )


def _joint_weights(names: tuple[str, ...], texts: tuple[str, ...]) -> Tensor:
    rules = []
    for text in texts:
        pattern, _, number = text.partition("=")
        try:
            rules.append((pattern, float(number)))
        except ValueError:
            fault = f"{text!r} is no weight"
            raise InputError("--deepmimic.joint_weights", fault, "write pattern=number, such as *_hand=0") from None
    return torch.tensor([next((w for pattern, w in rules if fnmatchcase(name, pattern)), 1.0) for name in names])


def _key_bodies(robot: Robot, wanted: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [name for name in wanted if name not in robot.body_names]:
        known = ", ".join(robot.body_names)
        raise InputError("--deepmimic.key_bodies", f"robot {robot.name} has no {unknown[0]!r}", f"it has {known}")
    heads = tuple(name for name in robot.body_names if name.lower() == "head")
    own = robot.body_sets.get(KEY_BODIES, ())
    return wanted or heads + tuple(name for name in own if name not in heads)


def joint_rotations(rot: Tensor, tables: ImitationTables) -> Tensor:
    """How far each of the J bodies has turned from its rest in its parent's frame (4, J, N), of rotations (N, B, 4)."""
    columns = rot.permute(2, 1, 0)
    w, x, y, z = multiply(columns.index_select(1, tables.parents), tables.rest).unbind(0)
    return multiply(torch.stack((w, -x, -y, -z)), columns[:, 1:])


def self_rows(bodies: BodyState, dof_vel: Tensor, yaw: Tensor, tables: ImitationTables) -> list[Tensor]:
    """The humanoid's own state as rows (numbers, N), seen from a frame turned by ``yaw`` (N,) about the vertical.

    In order: root height; root rotation as x and z axis; root velocity and angular velocity; rotations of all joints
    from their rest, in the same code; joint velocities; key bodies relative to the root.

    Args:
        bodies: N humanoids.
        dof_vel: (N, D) rad / s.
        yaw: rad; zeros for the world's frame.
        tables: of the robot.
    """
    return [
        bodies.pos[:, 0, 2:].T,
        interleave(tan_norm_components(*turn_rotations(bodies.rot[:, :1], yaw))),
        turn_vectors(bodies.vel[:, :1], yaw),
        turn_vectors(bodies.ang_vel[:, :1], yaw),
        interleave(tan_norm_components(*joint_rotations(bodies.rot, tables).unbind(0))),
        dof_vel.T,
        turn_vectors(_from_root(bodies.pos, tables.keys), yaw),
    ]


def target_rows(root_pos: Tensor, target: BodyState, yaw: Tensor, tables: ImitationTables) -> list[Tensor]:
    """One future moment of the reference as rows (numbers, N).

    In order: its root's place relative to the humanoid's, but its height above the floor; its root's rotation; its
    joints' rotations; its key bodies relative to its own root.

    Args:
        root_pos: (N, 3) m, the humanoids'.
        target: N references.
        yaw, tables: as in :func:`self_rows`.
    """
    root = target.pos[:, 0]
    ahead = torch.cat((root[:, :2] - root_pos[:, :2], root[:, 2:]), dim=1)
    return [
        turn_vectors(ahead[:, None], yaw),
        interleave(tan_norm_components(*turn_rotations(target.rot[:, :1], yaw))),
        interleave(tan_norm_components(*joint_rotations(target.rot, tables).unbind(0))),
        turn_vectors(_from_root(target.pos, tables.keys), yaw),
    ]


def phase_rows(phase: Tensor) -> Tensor:
    """(9, N): the phase (N,) in [0, 1), then sines and cosines of 1, 2, 4 and 8 turns in it."""
    turns = 2.0 * torch.pi * phase * (2.0 ** torch.arange(_OCTAVES, device=phase.device))[:, None]
    return torch.cat((phase[None], turns.sin(), turns.cos()))


def _from_root(pos: Tensor, keys: Tensor) -> Tensor:
    """(N, K, 3) m."""
    return pos.index_select(1, keys) - pos[:, :1]


def imitation_terms(
    bodies: BodyState,
    dof_vel: Tensor,
    reference: BodyState,
    ref_dof_vel: Tensor,
    cfg: ImitationConfig,
    t: ImitationTables,
) -> tuple[Tensor, Tensor]:
    """Reward (N,), at most the sum of the weights, and its unweighted terms (N, 5) in the order of ``TERM_NAMES``.

    Each term is ``exp(-k error)``. Errors: weighted sum over joints of the squared angle between the two rotations; the
    same over dofs, of velocities; squared distance of the roots plus 0.1 times their squared angle; the same of their
    velocities; summed squared distances of the key bodies, each relative to its own root.

    Args:
        bodies, reference: N humanoids and where they should be.
        dof_vel, ref_dof_vel: (N, D) rad / s.
        cfg: weights and scales.
        t: tables of the robot.
    """
    own, wanted = joint_rotations(bodies.rot, t), joint_rotations(reference.rot, t)
    angle = rotation_angle(own.permute(1, 2, 0), wanted.permute(1, 2, 0))  # (J, N)
    tilt = rotation_angle(bodies.rot[:, 0], reference.rot[:, 0])
    slip, drift, spin = (
        (a[:, 0] - b[:, 0]).square().sum(dim=1)
        for a, b in zip((bodies.pos, *bodies[2:]), (reference.pos, *reference[2:]), strict=True)
    )
    reach = _from_root(bodies.pos, t.keys) - _from_root(reference.pos, t.keys)
    errors = (
        cfg.k_pose * (t.joint_weights * angle.square()).sum(dim=0),
        cfg.k_velocity * (t.dof_weights * (dof_vel - ref_dof_vel).square()).sum(dim=1),
        cfg.k_root_pose * (slip + _SPIN * tilt.square()),
        cfg.k_root_velocity * (drift + _SPIN * spin),
        cfg.k_key_pos * reach.square().sum(dim=(1, 2)),
    )
    terms = torch.exp(-torch.stack(errors, dim=1))
    pose, velocity, root_pose, root_velocity, key_pos = terms.unbind(1)
    reward = cfg.w_pose * pose + cfg.w_velocity * velocity + cfg.w_root_pose * root_pose
    return reward + cfg.w_root_velocity * root_velocity + cfg.w_key_pos * key_pos, terms
