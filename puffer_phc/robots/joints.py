"""Joint coordinates of a tree whose bodies hang on ball joints, on one to three hinges, or on none.

A body's rotation in its parent's frame is its rest rotation, then the turn of its ball joint, or those of its hinges in
MJCF order, each about its axis in the frame that the ones before it have turned. Coordinates of a ball joint are its
exponential map (three), of a hinge its angle (one).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
import torch
from torch import Tensor

from poselib.rotations import (
    exp_map_to_quat,
    quat_conj,
    quat_mul,
    quat_rotate,
    quat_rotate_inverse,
    quat_to_exp_map,
    wrap_angle,
)
from puffer_phc.robots.blocks import multiply, rotate_inverse

_Vec = tuple[float, ...]
REST: _Vec = (1.0, 0.0, 0.0, 0.0)
"""The rest rotation of a body that is turned like its parent."""
_SQUARE = 1e-3  # cosine: hinge axes of one body this near to a right angle are at one
_MOST_HINGES = 3


@dataclass(frozen=True)
class JointRow:
    """How one body hangs on its parent.

    Attributes:
        body: its name, for messages.
        rest: wxyz, its rotation in the parent's frame at zero joint angles.
        ball: whether it turns on a ball joint.
        axes: unit axes of its hinges in order.
        centres: rad, an angle in the middle of each hinge's range; extracted angles are within half a turn of it.
    """

    body: str
    rest: _Vec = REST
    ball: bool = False
    axes: tuple[_Vec, ...] = ()
    centres: _Vec = ()

    def __post_init__(self) -> None:
        """Refuses hinges whose angles a rotation does not tell.

        Raises:
            ValueError: more than three hinges, hinges beside a ball joint, or axes that are not at right angles.
        """
        if self.ball and self.axes:
            raise ValueError(f"body {self.body} has a ball joint and hinges")
        if len(self.axes) > _MOST_HINGES:
            raise ValueError(f"body {self.body} has {len(self.axes)} hinges, more than {_MOST_HINGES}")
        for one in range(len(self.axes)):
            for other in range(one):
                if abs(float(np.dot(self.axes[one], self.axes[other]))) > _SQUARE:
                    raise ValueError(f"the hinges of body {self.body} are not at right angles to each other")


def joint_rows(model: mujoco.MjModel) -> tuple[JointRow, ...]:
    """The joints of all bodies below the root, in body order.

    Raises:
        ValueError: a joint is of a kind that this program has no coordinates for; the message names it.
    """
    return tuple(_row(model, body) for body in range(2, model.nbody))


def _row(model: mujoco.MjModel, body: int) -> JointRow:
    name, first = model.body(body).name, int(model.body_jntadr[body])
    rest = tuple(float(x) for x in model.body_quat[body])
    joints = range(first, first + int(model.body_jntnum[body]))
    hinges: list[tuple[_Vec, float]] = []
    for joint in joints:
        kind = model.jnt_type[joint]
        if kind == mujoco.mjtJoint.mjJNT_BALL and len(joints) == 1:
            _check_place(model, joint)
            return JointRow(name, rest, ball=True)
        if kind != mujoco.mjtJoint.mjJNT_HINGE:
            raise ValueError(f"joint {model.joint(joint).name} is no hinge, nor the only ball joint of its body")
        _check_place(model, joint)
        centre = float(model.jnt_range[joint].mean()) if model.jnt_limited[joint] else 0.0
        hinges.append((tuple(float(x) for x in model.jnt_axis[joint]), centre))
    return JointRow(name, rest, axes=tuple(axis for axis, _ in hinges), centres=tuple(centre for _, centre in hinges))


def _check_place(model: mujoco.MjModel, joint: int) -> None:
    name = model.joint(joint).name
    if np.abs(model.jnt_pos[joint]).max() > 1e-9:
        raise ValueError(f"joint {name} is not at its body's origin")
    if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_HINGE and model.qpos0[model.jnt_qposadr[joint]] != 0:
        raise ValueError(f"joint {name} has a reference angle")


class JointTable:
    """Maps between body rotations, joint coordinates and MuJoCo's positions, on one device in one dtype.

    Nothing depends on the values of tensors, so all of it can be compiled and captured.

    Attributes:
        all_balls: every body but the root has a ball joint and no rest rotation.
        num_dofs: D.
    """

    def __init__(self, rows: Sequence[JointRow], device: torch.device, dtype: torch.dtype) -> None:
        self.all_balls = all(row.ball and row.rest == REST for row in rows)
        self._rows, self._device, self._dtype = tuple(rows), device, dtype
        self._balls = [i for i, row in enumerate(rows) if row.ball]
        self._singles = [i for i, row in enumerate(rows) if len(row.axes) == 1]
        self._chains = [i for i, row in enumerate(rows) if len(row.axes) > 1]
        self._ball_ids, self._single_ids, self._chain_ids = (
            self._index(ids) for ids in (self._balls, self._singles, self._chains)
        )
        rests = [row.rest for row in rows]
        self._rests = None if all(rest == REST for rest in rests) else self._constant(rests)  # (J, 4)
        self._single_axes = self._constant([rows[i].axes[0] for i in self._singles]).view(-1, 3)
        frames = [_chain_frame(rows[i].axes) for i in self._chains]
        self._chain_frames = self._constant(frames).view(-1, 3, 3)  # rows: first axis, second, their cross product
        self._chain_signs = self._constant(
            [_handedness(rows[i].axes, frame) for i, frame in zip(self._chains, frames, strict=True)]
        ).view(-1)
        self._number(rows)

    def _index(self, ids: Sequence[int]) -> Tensor:
        return torch.tensor(ids, dtype=torch.int64, device=self._device)

    def _constant(self, values: object) -> Tensor:
        return torch.tensor(values, dtype=self._dtype, device=self._device)

    def _number(self, rows: Sequence[JointRow]) -> None:
        """Where every coordinate stands in MuJoCo's order, and in the order of balls, single hinges, chains."""
        dofs, self.num_dofs = _columns(rows, ball=3)
        places, num_places = _columns(rows, ball=4)
        extracted = [(i, 0) for i in self._singles] + [(i, k) for i in self._chains for k in range(3)]
        self._dof_order = self._index(_order(dofs, self._balls, extracted, self.num_dofs))
        self._place_order = self._index(_order(places, self._balls, extracted, num_places))
        centres = [(*rows[i].centres, 0.0, 0.0)[k] for i, k in extracted]
        self._hinge_centres = self._constant(centres)
        hinges = [(i, k) for i, row in enumerate(rows) for k in range(len(row.axes))]
        self._hinge_axes = self._constant([rows[i].axes[k] for i, k in hinges]).view(-1, 3).T[:, :, None]  # (3, H, 1)
        self._ball_dofs, self._ball_places = (
            self._index([c for i in self._balls for c in columns[i]]) for columns in (dofs, places)
        )
        self._hinge_dofs, self._hinge_places = (
            self._index([columns[i][k] for i, k in hinges]) for columns in (dofs, places)
        )
        self._dofs_of_places = torch.cat((self._ball_dofs, self._hinge_dofs)).argsort()
        # Per place in a chain, which of (balls, hinges, none) turns each body there.
        turns: dict[tuple[int, int], int] = {(i, 0): at for at, i in enumerate(self._balls)}
        turns |= {hinge: len(self._balls) + at for at, hinge in enumerate(hinges)}
        longest = max((len(row.axes) for row in rows), default=1)
        self._slots = [
            self._index([turns.get((i, k), len(turns)) for i in range(len(rows))]) for k in range(max(longest, 1))
        ]

    def to(self, device: torch.device, dtype: torch.dtype) -> JointTable:
        """The same joints elsewhere."""
        return JointTable(self._rows, device, dtype)

    # -- from rotations to coordinates ---------------------------------------------------------------------------

    def dofs(self, local_rot: Tensor) -> Tensor:
        """Joint coordinates (..., D) rad of the bodies' rotations in their parents (..., B, 4).

        What a joint cannot do is left out: a hinge keeps the turn about its axis, of two hinges' three Euler angles the
        third is dropped. Of three hinges the middle one is within a quarter of a turn of zero.
        """
        if self.all_balls:
            return quat_to_exp_map(local_rot[..., 1:, :]).flatten(-2)
        turn = self._from_rest(local_rot)
        balls = quat_to_exp_map(turn.index_select(-2, self._ball_ids)).flatten(-2)
        return torch.cat((balls, self._angles(turn)), dim=-1).index_select(-1, self._dof_order)

    def qpos(self, local_rot: Tensor) -> Tensor:
        """MuJoCo's positions (..., Q) of all joints but the root's."""
        if self.all_balls:
            return local_rot[..., 1:, :].flatten(-2)
        turn = self._from_rest(local_rot)
        balls = turn.index_select(-2, self._ball_ids).flatten(-2)
        return torch.cat((balls, self._angles(turn)), dim=-1).index_select(-1, self._place_order)

    def steps(self, now: Tensor, then: Tensor) -> Tensor:
        """Turns (..., D) rad that lead from ``now`` to ``then`` (..., B, 4): MuJoCo's velocities, times the time."""
        if self.all_balls:
            return quat_to_exp_map(quat_mul(quat_conj(now[..., 1:, :]), then[..., 1:, :])).flatten(-2)
        first, second = self._from_rest(now), self._from_rest(then)
        pair = (turn.index_select(-2, self._ball_ids) for turn in (first, second))
        balls = quat_to_exp_map(quat_mul(quat_conj(next(pair)), next(pair))).flatten(-2)
        hinges = wrap_angle(self._angles(second) - self._angles(first))
        return torch.cat((balls, hinges), dim=-1).index_select(-1, self._dof_order)

    def _from_rest(self, local_rot: Tensor) -> Tensor:
        turn = local_rot[..., 1:, :]
        return turn if self._rests is None else quat_mul(quat_conj(self._rests), turn)

    def _angles(self, turn: Tensor) -> Tensor:
        """Angles (..., S + 3 C) of S single hinges and of C chains, from rotations (..., B - 1, 4)."""
        single = turn.index_select(-2, self._single_ids)
        angles = 2.0 * torch.atan2((single[..., 1:] * self._single_axes).sum(dim=-1), single[..., 0])
        if self._chains:
            chains = self._euler(turn.index_select(-2, self._chain_ids)).flatten(-2)
            angles = torch.cat((angles, chains), dim=-1)
        return wrap_angle(angles - self._hinge_centres) + self._hinge_centres

    def _euler(self, quat: Tensor) -> Tensor:
        """Angles (..., C, 3) of three turns in sequence about square axes a, b and +-(a x b) that make up ``quat``.

        With c = a x b: R c = sin t2 a + cos t2 (cos t1 c - sin t1 b), and likewise for R^-1 a with the last angle.
        """
        frame = self._chain_frames
        a, c = frame[:, 0].expand(*quat.shape[:-1], 3), frame[:, 2].expand(*quat.shape[:-1], 3)
        x, y, z = (frame @ quat_rotate(quat, c)[..., None])[..., 0].unbind(-1)
        first, second = torch.atan2(-y, z), torch.atan2(x, torch.hypot(y, z))
        x, y, _ = (frame @ quat_rotate_inverse(quat, a)[..., None])[..., 0].unbind(-1)
        return torch.stack((first, second, self._chain_signs * torch.atan2(-y, x)), dim=-1)

    def coordinates(self, places: Tensor) -> Tensor:
        """Joint coordinates (N, D) rad of MuJoCo's positions (N, Q) of all joints but the root's."""
        balls = quat_to_exp_map(places.index_select(1, self._ball_places).unflatten(1, (-1, 4))).flatten(1)
        hinges = places.index_select(1, self._hinge_places)
        return torch.cat((balls, hinges), dim=1).index_select(1, self._dofs_of_places)

    # -- from coordinates to rotations ---------------------------------------------------------------------------

    def local_rot(self, root_rot: Tensor, dofs: Tensor) -> Tensor:
        """Rotations (..., B, 4) of the bodies in their parents, of the root (..., 4) and joint coordinates (..., D)."""
        rows = dofs.reshape(-1, self.num_dofs)  # (N, D)
        balls = exp_map_to_quat(rows.index_select(1, self._ball_dofs).view(len(rows), len(self._balls), 3))
        hinges = self._hinge_quats(rows.T.index_select(0, self._hinge_dofs))
        rot = self._composed(balls.permute(2, 1, 0), hinges).permute(2, 1, 0)
        return torch.cat((root_rot[..., None, :], rot.view(*dofs.shape[:-1], *rot.shape[1:])), dim=-2)

    def motion(self, qpos: Tensor, qvel: Tensor) -> tuple[Tensor, Tensor]:
        """Rotations (4, B - 1, N) in the parent, and velocities (3, B - 1, N) relative to it in each body's own frame.

        Args:
            qpos: (N, Q) MuJoCo's positions of all joints but the root's.
            qvel: (N, D) MuJoCo's velocities of the same.
        """
        places, rates, envs = qpos.T, qvel.T, qpos.shape[0]
        count = len(self._balls)
        balls = places.index_select(0, self._ball_places).view(count, 4, envs).transpose(0, 1)
        ball_vel = rates.index_select(0, self._ball_dofs).view(count, 3, envs).transpose(0, 1)
        hinges = self._hinge_quats(places.index_select(0, self._hinge_places))
        hinge_vel = self._hinge_axes * rates.index_select(0, self._hinge_dofs)
        vel = torch.cat((ball_vel, hinge_vel, qpos.new_zeros(3, 1, envs)), dim=1)
        return self._composed(balls, hinges), self._chained(vel, balls, hinges)

    def _hinge_quats(self, angles: Tensor) -> Tensor:
        """(4, H, N) of angles (H, N)."""
        half = 0.5 * angles
        return torch.cat((half.cos()[None], self._hinge_axes * half.sin()))

    @staticmethod
    def _pieces(balls: Tensor, hinges: Tensor) -> Tensor:
        """All joints' turns (4, balls + H + 1, N); the last is none at all."""
        identity = balls.new_zeros(4, 1, max(balls.shape[2], hinges.shape[2]))
        identity[0] = 1.0
        return torch.cat((balls, hinges, identity), dim=1)

    def _composed(self, balls: Tensor, hinges: Tensor) -> Tensor:
        pieces = self._pieces(balls, hinges)
        rot = pieces.index_select(1, self._slots[0])
        for slot in self._slots[1:]:
            rot = multiply(rot, pieces.index_select(1, slot))
        return rot if self._rests is None else multiply(self._rests.T[:, :, None], rot)

    def _chained(self, vel: Tensor, balls: Tensor, hinges: Tensor) -> Tensor:
        """Velocities of the bodies from those of single joints: each further hinge carries the ones before along."""
        pieces = self._pieces(balls, hinges)
        total = vel.index_select(1, self._slots[0])
        for slot in self._slots[1:]:
            total = rotate_inverse(pieces.index_select(1, slot), total) + vel.index_select(1, slot)
        return total


def _columns(rows: Sequence[JointRow], ball: int) -> tuple[list[list[int]], int]:
    """Every body's columns in a table where ball joints have ``ball`` columns and hinges one, and their number."""
    columns: list[list[int]] = []
    count = 0
    for row in rows:
        width = ball if row.ball else len(row.axes)
        columns.append(list(range(count, count + width)))
        count += width
    return columns, count


def _order(
    columns: Sequence[Sequence[int]], balls: Sequence[int], extracted: Sequence[tuple[int, int]], count: int
) -> list[int]:
    """Where each of ``count`` columns stands among those of the balls followed by extracted hinge angles.

    Two hinges have three Euler angles, of which the last is in no column.
    """
    found = [c for i in balls for c in columns[i]]
    found += [columns[i][k] if k < len(columns[i]) else -1 for i, k in extracted]
    return [found.index(column) for column in range(count)]


def _chain_frame(axes: Sequence[_Vec]) -> list[list[float]]:
    a, b = np.array(axes[0]), np.array(axes[1])
    return [a.tolist(), b.tolist(), np.cross(a, b).tolist()]


def _handedness(axes: Sequence[_Vec], frame: list[list[float]]) -> float:
    """1 if the third axis is the cross product of the first two, -1 if it is its opposite."""
    return 1.0 if len(axes) < 3 else math.copysign(1.0, float(np.dot(axes[2], frame[2])))
