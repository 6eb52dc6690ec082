"""Body poses and velocities of a humanoid, batched in torch.

MuJoCo's own derived fields are one physics step old after a step, and its cheapest refresh (``mjSTAGE_VEL``) also
finds contacts and factorises the mass matrix. This computes just what the environment reads, in a third of the time
(``docs/physics.md``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from poselib.skeleton import Skeleton
from puffer_phc.robots.blocks import cross, multiply, rotate
from puffer_phc.robots.joints import JointTable
from puffer_phc.robots.state import BodyState


class TreeKinematics:
    """Forward kinematics and velocities of ``skeleton`` for any number of humanoids on ``device``.

    Rotations go down the tree by pointer jumping: each of log2(depth) rounds multiplies every body's rotation by that
    of the ancestor reached so far. Positions and velocities are sums over ancestors, that is, products with one
    constant matrix. All work is done component by component on (B, N) blocks, see :mod:`puffer_phc.robots.state`.
    """

    def __init__(self, skeleton: Skeleton, device: torch.device, joints: JointTable | None = None) -> None:
        """Tables for one tree.

        Args:
            skeleton: the tree.
            device: where states are.
            joints: of all bodies but the root; None for ball joints without rest rotations.
        """
        self._joints = None if joints is None or joints.all_balls else joints.to(device, torch.float32)
        parents = list(skeleton.parents)
        count = len(parents)
        ancestors = torch.zeros(count, count)  # [body, a] = 1 where a is body or above it, the root left out
        for body in range(1, count):
            ancestors[body] = ancestors[parents[body]]
            ancestors[body, body] = 1.0
        self._ancestors = ancestors.to(device)
        self._parents = torch.tensor([0, *parents[1:]], device=device)
        self._offsets = skeleton.offsets.to(device=device, dtype=torch.float32).T[:, :, None]  # (3, B, 1)
        self._jumps = self._jump_table(parents, device)

    @staticmethod
    def _jump_table(parents: list[int], device: torch.device) -> list[Tensor]:
        """Per round, the ancestor whose accumulated rotation a body takes; index B stands for "none left"."""
        none = len(parents)
        ancestor = [parent if parent >= 0 else none for parent in parents]
        rounds = []
        while any(a != none for a in ancestor):
            rounds.append(torch.tensor(ancestor, device=device))
            ancestor = [none if a == none else ancestor[a] for a in ancestor]
        return rounds

    def __call__(self, qpos: Tensor, qvel: Tensor) -> BodyState:
        """Bodies at float32 positions (N, nq) and velocities (N, nv) in MuJoCo's layout."""
        local_rot, joint_vel = self._joint_motion(qpos, qvel)
        root_pos, root_vel = qpos[:, :3].T[:, None], qvel[:, :3].T[:, None]

        rot, arm = self._chain(local_rot)
        joint_vel = rotate(rot, joint_vel)
        ang_vel = torch.matmul(self._ancestors, joint_vel) + joint_vel[:, :1]
        arm_vel = cross(ang_vel.index_select(1, self._parents), arm)
        return BodyState(
            pos=(torch.matmul(self._ancestors, arm) + root_pos).permute(2, 1, 0),
            rot=rot.permute(2, 1, 0),
            vel=(torch.matmul(self._ancestors, arm_vel) + root_vel).permute(2, 1, 0),
            ang_vel=ang_vel.permute(2, 1, 0),
        )

    def _joint_motion(self, qpos: Tensor, qvel: Tensor) -> tuple[Tensor, Tensor]:
        """Local rotations (4, B, N) and velocities relative to the parent in each body's own frame (3, B, N)."""
        envs, count = qpos.shape[0], len(self._parents)
        if self._joints is None:
            local_rot = qpos[:, 3:].reshape(envs, count, 4).permute(2, 1, 0).contiguous()
            return local_rot, qvel[:, 3:].reshape(envs, count, 3).permute(2, 1, 0).contiguous()
        rot, vel = self._joints.motion(qpos[:, 7:], qvel[:, 6:])
        return torch.cat((qpos[:, 3:7].T[:, None], rot), dim=1), torch.cat((qvel[:, 3:6].T[:, None], vel), dim=1)

    def poses(self, root_pos: Tensor, local_rot: Tensor) -> tuple[Tensor, Tensor]:
        """World positions (3, B, N) and rotations (4, B, N) at root positions (3, N) and local rotations (4, B, N)."""
        rot, arm = self._chain(local_rot)
        return torch.matmul(self._ancestors, arm) + root_pos[:, None], rot

    def _chain(self, rot: Tensor) -> tuple[Tensor, Tensor]:
        """World rotations (4, B, N), and from each parent's origin to the body's (3, B, N), of local rotations."""
        identity = torch.zeros_like(rot[:, :1])
        identity[0] = 1.0
        for ancestor in self._jumps:
            rot = multiply(torch.cat((rot, identity), dim=1).index_select(1, ancestor), rot)
        return rot, rotate(rot.index_select(1, self._parents), self._offsets)
