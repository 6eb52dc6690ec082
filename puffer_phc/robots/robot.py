"""What the rest of the program needs to know about a humanoid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import mujoco
import numpy as np
import torch
from torch import Tensor

from poselib.rotations import quat_to_exp_map
from poselib.skeleton import Skeleton

FLOOR = "floor"
Integrator = Literal["discrete", "implicitfast"]


@dataclass(frozen=True)
class PhysicsOptions:
    """Time stepping of one control step. The defaults are the measured choice of ``docs/physics.md``.

    Attributes:
        integrator: MuJoCo integrator, ``discrete`` or ``implicitfast``.
        timestep: seconds of one physics step.
        substeps: physics steps of one control step.
        iterations: of the Newton solver, at most; it stops earlier when all humanoids have converged.
        line_search_iterations: of each solver iteration, at most.
        max_contacts: contacts that the GPU engine has room for, per humanoid and shared by all; 0 is auto.
        max_rows: constraint rows that the GPU engine has room for in each humanoid; 0 is auto.
    """

    integrator: Integrator = "discrete"
    timestep: float = 1 / 60
    substeps: int = 2
    iterations: int = 10
    line_search_iterations: int = 20
    max_contacts: int = 0
    max_rows: int = 0

    @property
    def control_dt(self) -> float:
        """Seconds of one control step."""
        return self.timestep * self.substeps


@dataclass(frozen=True)
class Geoms:
    """Collision shapes of the bodies: every shape is the convex hull of spheres, so one formula serves all.

    A capsule is two spheres, a box eight of radius zero.

    Attributes:
        body: (P,) int64, the body each point is fixed to.
        point: (P, 3) m in the body's frame.
        radius: (P,) m.
    """

    body: Tensor
    point: Tensor
    radius: Tensor


@dataclass(frozen=True, eq=False)
class Robot:
    """A humanoid: its compiled model, skeleton, gains and action map.

    Bodies are numbered 0..B-1 in MJCF order without MuJoCo's world body; dofs are numbered without the free root.

    Attributes:
        name: short name, stored in checkpoints.
        model: compiled MuJoCo model; the robot is its only tree and its root is a free joint.
        skeleton: names, parents and joint offsets of the B bodies.
        kp, kd: (D,) N m / rad and N m s / rad, gains of the position actuators in dof order.
        action_scale: (D,) rad of PD target per unit of action in ``absolute`` mode.
        frozen_dofs: (D,) bool, dofs whose PD target stays 0 in ``absolute`` mode.
        body_sets: named groups of bodies, such as ``feet``.
    """

    name: str
    model: mujoco.MjModel
    skeleton: Skeleton
    kp: Tensor
    kd: Tensor
    action_scale: Tensor
    frozen_dofs: Tensor
    body_sets: dict[str, tuple[str, ...]]

    @property
    def body_names(self) -> tuple[str, ...]:
        """The B body names."""
        return self.skeleton.names

    @property
    def num_bodies(self) -> int:
        """B."""
        return len(self.skeleton.names)

    @property
    def num_dofs(self) -> int:
        """D, actuated degrees of freedom."""
        return int(self.model.nv) - 6

    def body_ids(self, names: tuple[str, ...]) -> list[int]:
        """Body indices of ``names``, in their order."""
        return [self.skeleton.index(name) for name in names]

    def dof_from_local_rot(self, local_rot: Tensor) -> Tensor:
        """Joint coordinates (..., D) rad, the exponential map of each ball joint, of rotations (..., B, 4)."""
        return quat_to_exp_map(local_rot[..., 1:, :]).flatten(-2)

    def qpos(self, root_pos: Tensor, local_rot: Tensor) -> Tensor:
        """MuJoCo positions (..., nq) of a root position (..., 3) and local rotations (..., B, 4)."""
        return torch.cat((root_pos, local_rot.flatten(-2)), dim=-1)

    @cached_property
    def geoms(self) -> Geoms:
        """Collision shapes read back from the compiled model."""
        body: list[int] = []
        point: list[np.ndarray] = []
        radius: list[float] = []
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
        for geom in range(self.model.ngeom):
            owner = int(self.model.geom_bodyid[geom]) - 1
            if owner < 0 or not self.model.geom_contype[geom]:
                continue
            kind, size = self.model.geom_type[geom], self.model.geom_size[geom]
            if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
                local, r = np.zeros((1, 3)), size[0]
            elif kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
                local, r = np.array([[0, 0, -size[1]], [0, 0, size[1]]]), size[0]
            elif kind == mujoco.mjtGeom.mjGEOM_BOX:
                local, r = corners * size, 0.0
            else:
                raise ValueError(f"robot {self.name}: geom {geom} is no sphere, capsule or box")
            matrix = np.zeros(9)
            mujoco.mju_quat2Mat(matrix, self.model.geom_quat[geom])
            world = local @ matrix.reshape(3, 3).T + self.model.geom_pos[geom]
            body += [owner] * len(world)
            point += list(world)
            radius += [float(r)] * len(world)
        return Geoms(torch.tensor(body), torch.tensor(np.array(point)), torch.tensor(radius, dtype=torch.float64))
