"""Finds the poses nearest to given ones that a robot's joints can make: hinges turn one way, and within their limits.

Retargeting treats every joint as a ball. A knee that is a hinge then loses part of its turn, and everything below it
would be in another place. Here all joints share the correction, so that bodies stay where they should be.
"""

from __future__ import annotations

import math
from dataclasses import replace

import mujoco
import torch
from torch import Tensor

from poselib.rotations import exp_map_to_quat, quat_conj, quat_mul, quat_rotate, quat_to_exp_map
from puffer_phc.motions.clip import MotionClip
from puffer_phc.robots.joints import joint_rows
from puffer_phc.robots.robot import Robot

_CHUNK = 256  # frames that are solved together
_ROUNDS = 12
# Costs per m^2 and rad^2, relative to each other. Feet count most: what is planted must not slide.
_POS, _FOOT_POS, _ROT, _FOOT_ROT = 1.0, 30.0, 0.03, 0.3
_DAMPING, _MORE, _LESS = 1e-3, 8.0, 0.3
_DONE = 1e-7


def bend(clip: MotionClip, robot: Robot, steered: Tensor | None = None, placed: Tensor | None = None) -> MotionClip:
    """``clip``, of the robot's bodies, with rotations that its joints can make: Gauss-Newton, each frame by itself.

    Args:
        clip: any rotations of the robot's bodies.
        robot: the robot. Nothing is done to one whose joints are all balls.
        steered: (B,) how much each body's rotation counts, 0 to 1; None for all.
        placed: (B,) bool, bodies whose place counts; None for all.
    """
    if robot.joints.all_balls:
        return clip
    problem = _Joints(robot, steered, placed)
    parts = [
        problem.solve(clip.root_pos[first : first + _CHUNK], clip.local_rot[first : first + _CHUNK])
        for first in range(0, clip.num_frames, _CHUNK)
    ]
    root_pos, local_rot = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return replace(clip, root_pos=root_pos, local_rot=local_rot)


class _Joints:
    """What stays the same over frames: columns of the unknowns, limits, costs.

    Unknowns of a frame are the root's shift and turns about axes fixed in each body: three for the root, for ball
    joints and for several hinges, one for a single hinge.
    """

    def __init__(self, robot: Robot, steered: Tensor | None, placed: Tensor | None) -> None:
        self.robot = robot
        eye = torch.eye(3, dtype=torch.float64)
        bodies, axes = [0] * 3, [eye]
        for body, row in enumerate(joint_rows(robot.model), start=1):
            if row.ball or row.axes:
                own = torch.tensor(row.axes, dtype=torch.float64) if len(row.axes) == 1 else eye
                bodies += [body] * len(own)
                axes.append(own)
        self.bodies, self.axes = torch.tensor(bodies), torch.cat(axes)  # (n,), (n, 3)
        parents = robot.skeleton.parents
        above = torch.eye(len(parents), dtype=torch.float64)
        for body, parent in enumerate(parents[1:], start=1):
            above[body] += above[parent]
        self.moved = above[:, self.bodies]  # (B, n)
        feet = torch.zeros(len(parents), dtype=torch.bool)
        feet[robot.body_ids(robot.body_sets.get("feet", ()))] = True
        rot = torch.where(feet, _FOOT_ROT, _ROT).double()
        pos = torch.where(feet, _FOOT_POS, _POS).double()
        rot = rot if steered is None else rot * steered
        pos = pos if placed is None else pos * placed
        self.costs = torch.cat((pos, rot)).repeat_interleave(3)  # (6 B,)
        self.low, self.high = dof_limits(robot)

    def solve(self, root_pos: Tensor, local_rot: Tensor) -> tuple[Tensor, Tensor]:
        """Feasible root positions (T, 3) and rotations (T, B, 4) near the given ones."""
        wanted = self.robot.skeleton.forward_kinematics(root_pos, local_rot)
        local_rot = self._feasible(local_rot)
        cost, gradient, hessian = self._evaluate(root_pos, local_rot, wanted)
        damping = torch.full_like(cost, _DAMPING)
        identity = torch.eye(gradient.shape[1], dtype=gradient.dtype)
        for _ in range(_ROUNDS):
            factor = torch.linalg.cholesky(hessian + damping[:, None, None] * identity)
            step = -torch.cholesky_solve(gradient[..., None], factor)[..., 0]
            tried = root_pos + step[:, :3], self._turned(local_rot, step[:, 3:])
            new_cost, new_gradient, new_hessian = self._evaluate(*tried, wanted)
            better = new_cost < cost
            gain = float((cost - new_cost).clamp_min(0.0).max())
            root_pos = torch.where(better[:, None], tried[0], root_pos)
            local_rot = torch.where(better[:, None, None], tried[1], local_rot)
            cost = torch.where(better, new_cost, cost)
            gradient = torch.where(better[:, None], new_gradient, gradient)
            hessian = torch.where(better[:, None, None], new_hessian, hessian)
            damping = damping * torch.where(better, _LESS, _MORE)
            if gain < _DONE and bool(better.any()):
                break
        return root_pos, local_rot

    def _feasible(self, local_rot: Tensor) -> Tensor:
        dofs = self.robot.dof_from_local_rot(local_rot)
        return self.robot.local_rot_from_dof(local_rot[:, 0], dofs.maximum(self.low).minimum(self.high))

    def _turned(self, local_rot: Tensor, turns: Tensor) -> Tensor:
        """Rotations after turns (T, n) about the bodies' own axes."""
        vectors = torch.zeros(*local_rot.shape[:2], 3, dtype=local_rot.dtype)
        vectors.index_add_(1, self.bodies, turns[..., None] * self.axes)
        return self._feasible(quat_mul(local_rot, exp_map_to_quat(vectors)))

    def _evaluate(
        self, root_pos: Tensor, local_rot: Tensor, wanted: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cost (T,), half its gradient (T, n + 3) and half its Gauss-Newton Hessian."""
        pos, rot = self.robot.skeleton.forward_kinematics(root_pos, local_rot)
        wrong = quat_to_exp_map(quat_mul(rot, quat_conj(wanted[1])))
        residual = torch.cat((pos - wanted[0], wrong), dim=1).flatten(1)  # (T, 6 B)
        axes = quat_rotate(rot[:, self.bodies], self.axes.expand(len(rot), -1, 3))  # (T, n, 3) in the world
        arms = pos[:, :, None] - pos[:, None, self.bodies]  # (T, B, n, 3)
        moves = torch.linalg.cross(axes[:, None].expand_as(arms), arms) * self.moved[..., None]
        turns = axes[:, None] * self.moved[..., None]
        shift = torch.zeros(len(pos), 2 * pos.shape[1], 3, 3, dtype=pos.dtype)
        shift[:, : pos.shape[1]] = torch.eye(3, dtype=pos.dtype)
        jacobian = torch.cat((shift, torch.cat((moves, turns), dim=1).transpose(2, 3)), dim=3).flatten(1, 2)
        weighted = (jacobian * self.costs[:, None]).transpose(1, 2)
        cost = (self.costs * residual * residual).sum(dim=1)
        return cost, (weighted @ residual[..., None])[..., 0], weighted @ jacobian


def dof_limits(robot: Robot) -> tuple[Tensor, Tensor]:
    """Lowest and highest joint coordinates (D,) rad: of limited hinges; infinite elsewhere."""
    low = torch.full((robot.num_dofs,), -math.inf, dtype=torch.float64)
    high = torch.full((robot.num_dofs,), math.inf, dtype=torch.float64)
    model = robot.model
    for joint in range(1, model.njnt):
        if model.jnt_limited[joint] and model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_HINGE:
            dof = int(model.jnt_dofadr[joint]) - 6
            low[dof], high[dof] = (float(x) for x in model.jnt_range[joint])
    return low, high
