"""Fits a robot's pose to wanted foot paths, a floor and joint limits: Gauss-Newton, all frames of a clip at once.

Unknowns of a frame are the root's shift and a small world-frame turn of some bodies about their joints, each of which
carries its whole subtree along. In these coordinates every derivative is a cross product, and the frames' normal
equations are one batch of small square systems. Bodies turn if a foot or something below the floor hangs from them: the
legs always, the rest seldom, which makes the systems small. Frames do not see each other: what is smooth in time comes
from smooth targets and from :func:`fit`'s smoothed second round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from poselib.motion import gaussian_smooth
from poselib.rotations import (
    exp_map_to_quat,
    quat_conj,
    quat_mul,
    quat_rotate,
    quat_rotate_inverse,
    quat_to_exp_map,
    quat_to_matrix,
)
from puffer_phc.motions.contacts import Foot
from puffer_phc.motions.feet import FootPath
from puffer_phc.robots.robot import Robot

_CHUNK = 128  # frames that share the set of turning bodies
_NEAR_FLOOR = 0.05  # m: a body that comes this near to the floor may have to be kept out of it
# Levenberg-Marquardt: damping in units of FitWeights.joint, and its factors after a bad and a good step.
_DAMPING, _MORE, _LESS = 0.1, 8.0, 0.3
_LARGEST_TURN = 0.3  # rad in one step
_DONE = 1e-3  # of a frame's cost: below rounding on the scale of the weights


@dataclass(frozen=True)
class FitWeights:
    """Costs: per rad^2 of turning a joint or the root, per m^2 of moving the root, missing a foot or sinking.

    A foot in the air (``swing``) costs less than one in contact, so that a body that must be lifted takes it along.
    """

    joint: float = 1.0
    root_turn: float = 30.0
    root_shift: float = 400.0
    foot_pos: float = 1e5
    foot_turn: float = 300.0
    swing: float = 0.03
    floor: float = 1e4
    limit: float = 30.0


_Rows = tuple[Tensor, Tensor, Tensor]
"""Derivatives (T, R, n), residuals (T, R) and costs (T, R) of R rows."""


class _Pose(NamedTuple):
    """Root positions (T, 3) m and local rotations (T, B, 4)."""

    root_pos: Tensor
    local_rot: Tensor

    def rows(self, rows: slice) -> _Pose:
        """Some of the frames."""
        return _Pose(self.root_pos[rows], self.local_rot[rows])


def fit(
    robot: Robot,
    root_pos: Tensor,
    local_rot: Tensor,
    feet: Sequence[Foot],
    paths: Sequence[FootPath],
    limits: tuple[Tensor, Tensor] | None = None,
    weights: FitWeights | None = None,
    rounds: int = 6,
) -> tuple[Tensor, Tensor]:
    """The motion nearest to the given one whose feet follow their paths and that keeps out of the floor.

    Args:
        robot: the robot.
        root_pos: (T, 3) m.
        local_rot: (T, B, 4) wxyz.
        feet, paths: the robot's feet and where they should be over the T frames.
        limits: lowest and highest exponential-map components (B, 3) rad of every joint; None for no limits.
        weights: what deviations cost.
        rounds: most Gauss-Newton steps before and after the smoothing of the corrections.

    Returns:
        The fitted ``root_pos`` and ``local_rot``.
    """
    problem = _Problem(robot, feet, paths, limits, weights or FitWeights())
    reference = _Pose(root_pos, local_rot)
    smooth = _smoothed(reference, _solve(problem, reference, rounds))
    return _solve(problem, smooth, rounds)


class _Problem:
    """What stays the same over the steps: the tree as a mask, targets, limits, costs."""

    def __init__(
        self,
        robot: Robot,
        feet: Sequence[Foot],
        paths: Sequence[FootPath],
        limits: tuple[Tensor, Tensor] | None,
        weights: FitWeights,
    ) -> None:
        self.robot, self.limits, self.weights = robot, limits, weights
        self.moves = _ancestors(robot.skeleton.parents)  # [b, j]: turning joint j turns body b
        self.feet = [foot.bodies[0] for foot in feet]
        self.turned = [body for foot in feet for body in foot.bodies]
        self.foot_pos = torch.stack([path.pos for path in paths], dim=1)  # (T, K, 3)
        self.foot_rot = torch.cat([path.rot for path in paths], dim=1)  # (T, M, 4)
        hold = [weights.swing + (1.0 - weights.swing) * path.hold for path in paths]  # (T,) each
        self.pos_cost = weights.foot_pos * torch.stack(hold, dim=1).repeat_interleave(3, dim=1)  # (T, 3 K)
        per_body = [h for h, foot in zip(hold, feet, strict=True) for _ in foot.bodies]
        self.turn_cost = weights.foot_turn * torch.stack(per_body, dim=1).repeat_interleave(3, dim=1)  # (T, 3 M)

    def turning(self, bodies: Tensor) -> Tensor:
        """Indices of the bodies (N,) above or among ``bodies`` (B,) bool, the root always."""
        chosen = (self.moves * bodies[:, None]).sum(dim=0) > 0
        chosen[0] = True
        return chosen.nonzero()[:, 0]


def _ancestors(parents: Sequence[int]) -> Tensor:
    """(B, B) float64: 1 where the column's body is the row's body or above it."""
    mask = torch.eye(len(parents), dtype=torch.float64)
    for body, parent in enumerate(parents):
        if parent >= 0:
            mask[body] += mask[parent]
    return mask


def _solve(problem: _Problem, reference: _Pose, rounds: int) -> _Pose:
    """Damped Gauss-Newton from ``reference``, which also is what the result should stay near to."""
    parts = []
    for first in range(0, len(reference.root_pos), _CHUNK):
        parts.append(_descend(_Chunk(problem, slice(first, first + _CHUNK), reference), rounds))
    return _Pose(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def _smoothed(reference: _Pose, fitted: _Pose) -> _Pose:
    """``reference`` with the corrections that lead to ``fitted``, smoothed over time by a Gaussian of one frame."""
    shift = gaussian_smooth(fitted.root_pos - reference.root_pos, sigma=1.0)
    turn = quat_to_exp_map(quat_mul(fitted.local_rot, quat_conj(reference.local_rot)))
    turned = quat_mul(exp_map_to_quat(gaussian_smooth(turn, sigma=1.0)), reference.local_rot)
    return _Pose(reference.root_pos + shift, turned)


def _descend(chunk: _Chunk, rounds: int) -> _Pose:
    """Levenberg-Marquardt with a damping of its own for every frame."""
    pose = chunk.reference
    cost, gradient, hessian = chunk.evaluate(pose)
    damping = torch.full_like(cost, _DAMPING)
    identity = torch.eye(gradient.shape[1], dtype=gradient.dtype)
    for _ in range(rounds):
        factor = torch.linalg.cholesky(hessian + damping[:, None, None] * identity)
        tried = chunk.moved(pose, -torch.cholesky_solve(gradient[..., None], factor)[..., 0])
        new_cost, new_gradient, new_hessian = chunk.evaluate(tried)
        better = new_cost < cost
        gain = (cost - new_cost).clamp_min(0.0)
        pose = _Pose(
            torch.where(better[:, None], tried.root_pos, pose.root_pos),
            torch.where(better[:, None, None], tried.local_rot, pose.local_rot),
        )
        cost = torch.where(better, new_cost, cost)
        gradient = torch.where(better[:, None], new_gradient, gradient)
        hessian = torch.where(better[:, None, None], new_hessian, hessian)
        damping = damping * torch.where(better, _LESS, _MORE)
        if float(gain.max()) < _DONE and bool(better.any()):
            break
    return pose


class _Chunk:
    """Consecutive frames that are solved together: their costs and derivatives."""

    def __init__(self, problem: _Problem, rows: slice, reference: _Pose) -> None:
        self.problem, self.rows, self.reference = problem, rows, reference.rows(rows)
        body_pos, body_rot = problem.robot.skeleton.forward_kinematics(*self.reference)
        active = _near_floor(problem.robot, body_pos, body_rot)
        active[problem.turned] = True
        self.columns = problem.turning(active)
        weights = problem.weights
        self.stay = body_pos.new_full((3 + 3 * len(self.columns),), weights.joint)
        self.stay[:3], self.stay[3:6] = weights.root_shift, weights.root_turn

    def evaluate(self, pose: _Pose) -> tuple[Tensor, Tensor, Tensor]:
        """Cost (T,), half its gradient (T, n) and half its Gauss-Newton Hessian (T, n, n)."""
        body_pos, body_rot = self.problem.robot.skeleton.forward_kinematics(*pose)
        parent_rot = self._parent_rot(body_rot)
        drift = quat_to_exp_map(quat_mul(pose.local_rot, quat_conj(self.reference.local_rot)))[:, self.columns]
        drift = quat_rotate(parent_rot, drift).flatten(1)
        residual = torch.cat((pose.root_pos - self.reference.root_pos, drift), dim=1)
        gradient = self.stay * residual
        cost = (gradient * residual).sum(dim=1)
        hessian = torch.diag(self.stay).expand(len(cost), -1, -1)
        for jacobian, residual, row_cost in (
            self._foot_positions(body_pos),
            self._foot_turns(body_rot),
            *self._sunk_points(body_pos, body_rot),
            *self._limits(pose, parent_rot),
        ):
            weighted = jacobian.transpose(1, 2) * row_cost[:, None]
            hessian = torch.baddbmm(hessian, weighted, jacobian)
            gradient = gradient + (weighted @ residual[..., None])[..., 0]
            cost = cost + (row_cost * residual * residual).sum(dim=1)
        return cost, gradient, hessian

    def moved(self, pose: _Pose, move: Tensor) -> _Pose:
        """``pose`` after a step (T, n)."""
        turns = move[:, 3:].unflatten(1, (-1, 3))
        turns = turns * (_LARGEST_TURN / turns.norm(dim=-1, keepdim=True).clamp_min(_LARGEST_TURN))
        parent_rot = self._parent_rot(self.problem.robot.skeleton.local_to_global(pose.local_rot))
        local_rot = pose.local_rot.clone()
        in_parent = exp_map_to_quat(quat_rotate_inverse(parent_rot, turns))
        local_rot[:, self.columns] = quat_mul(in_parent, local_rot[:, self.columns])
        return _Pose(pose.root_pos + move[:, :3], local_rot)

    def _parent_rot(self, body_rot: Tensor) -> Tensor:
        """World rotations (T, A, 4) of the parents of the turning bodies; the root's is the identity."""
        parents = torch.tensor(self.problem.robot.skeleton.parents)[self.columns]
        rot = body_rot[:, parents.clamp_min(0)]
        rot[:, 0] = rot.new_tensor((1.0, 0.0, 0.0, 0.0))
        return rot

    def _foot_positions(self, body_pos: Tensor) -> _Rows:
        problem = self.problem
        points = body_pos[:, problem.feet]
        jacobian = self._point_jacobian(body_pos, points, torch.tensor(problem.feet))
        return jacobian, (points - problem.foot_pos[self.rows]).flatten(1), problem.pos_cost[self.rows]

    def _foot_turns(self, body_rot: Tensor) -> _Rows:
        problem = self.problem
        wrong = quat_to_exp_map(quat_mul(body_rot[:, problem.turned], quat_conj(problem.foot_rot[self.rows])))
        blocks = torch.kron(problem.moves[problem.turned][:, self.columns], torch.eye(3, dtype=wrong.dtype))
        jacobian = torch.nn.functional.pad(blocks, (3, 0)).expand(len(wrong), -1, -1)
        return jacobian, wrong.flatten(1), problem.turn_cost[self.rows]

    def _sunk_points(self, body_pos: Tensor, body_rot: Tensor) -> Iterator[_Rows]:
        """One row per point below the floor; its centre turns with the body, its radius always points down."""
        centres, bottom = _shape_points(self.problem.robot, body_pos, body_rot)
        index = (bottom < 0).any(dim=0).nonzero()[:, 0]
        if not len(index):
            return
        owners = self.problem.robot.geoms.body[index]
        depth = bottom[:, index].clamp_max(0.0)
        jacobian = self._point_jacobian(body_pos, centres[:, index], owners)[:, 2::3]
        yield jacobian, depth, self.problem.weights.floor * (depth < 0).to(depth.dtype)

    def _limits(self, pose: _Pose, parent_rot: Tensor) -> Iterator[_Rows]:
        """Three rows per joint that leaves its limits."""
        if self.problem.limits is None:
            return
        low, high = self.problem.limits
        for at, body in enumerate(self.columns.tolist()):
            if not bool(torch.isfinite(low[body]).any() or torch.isfinite(high[body]).any()):
                continue
            angles = quat_to_exp_map(pose.local_rot[:, body])
            over = (angles - high[body]).clamp_min(0.0) + (angles - low[body]).clamp_max(0.0)
            if not bool((over != 0).any()):
                continue
            # How the components answer a world-frame turn: seen from the parent, then through the exponential map.
            slope = _inverse_left_jacobian(angles) @ quat_to_matrix(parent_rot[:, at]).transpose(1, 2)
            jacobian = slope.new_zeros(len(slope), 3, len(self.stay))
            jacobian[:, :, 3 + 3 * at : 6 + 3 * at] = slope
            yield jacobian, over, self.problem.weights.limit * (over != 0).to(slope.dtype)

    def _point_jacobian(self, body_pos: Tensor, points: Tensor, owners: Tensor) -> Tensor:
        """Derivatives (T, 3 R, n) of world points (T, R, 3) fixed to the bodies ``owners`` (R,)."""
        frames, count = points.shape[:2]
        moved = self.problem.moves[owners][:, self.columns]
        arm = (points[:, :, None] - body_pos[:, None, self.columns]) * moved[None, :, :, None]
        # point change = turn x arm = -[arm]x turn
        turns = (-_cross_matrix(arm)).permute(0, 1, 3, 2, 4).reshape(frames, 3 * count, -1)
        shift = torch.eye(3, dtype=points.dtype).repeat(count, 1).expand(frames, -1, -1)
        return torch.cat((shift, turns), dim=2)


def _shape_points(robot: Robot, body_pos: Tensor, body_rot: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (T, P, 3) m of the spheres that span the collision shapes, and their lowest heights (T, P) m."""
    geoms = robot.geoms
    centres = body_pos[:, geoms.body] + quat_rotate(body_rot[:, geoms.body], geoms.point)
    return centres, centres[..., 2] - geoms.radius


def _near_floor(robot: Robot, body_pos: Tensor, body_rot: Tensor) -> Tensor:
    """Bodies (B,) bool that come near the floor in some frame."""
    _, bottom = _shape_points(robot, body_pos, body_rot)
    near = torch.zeros(robot.num_bodies, dtype=torch.bool)
    near[robot.geoms.body[(bottom < _NEAR_FLOOR).any(dim=0)]] = True
    return near


def _cross_matrix(vector: Tensor) -> Tensor:
    """(..., 3, 3): the matrix that takes a vector u to ``vector`` x u."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1).unflatten(-1, (3, 3))


def _inverse_left_jacobian(vector: Tensor) -> Tensor:
    """(T, 3, 3): how the rotation vector (T, 3) changes when a small turn is applied after it (Sola et al. 2018)."""
    half = 0.5 * vector.norm(dim=-1).clamp_min(1e-4)[:, None, None]
    cross = _cross_matrix(vector)
    factor = (1.0 - half * torch.cos(half) / torch.sin(half).clamp_min(1e-6)) / (4.0 * half * half)
    return torch.eye(3, dtype=vector.dtype) - 0.5 * cross + factor * (cross @ cross)
