"""What the rest of the program needs to know about a humanoid."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import mujoco
import torch
from torch import Tensor

from poselib.rotations import quat_identity
from poselib.skeleton import Skeleton
from puffer_phc.robots.geoms import Geoms, read_geoms
from puffer_phc.robots.joints import JointTable, joint_rows
from puffer_phc.robots.state import MotionState

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


def _unset() -> Tensor:
    return torch.empty(0)


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
        action_offset: (D,) rad, PD target of action 0 in that mode.
        frozen_dofs: (D,) bool, dofs whose PD target stays 0 in ``absolute`` mode.
        body_sets: named groups of bodies, such as ``feet``.
        torque_limit: (D,) N m that an actuator can give, infinite where none is set.
        default_dof: (D,) rad, joint coordinates in which the robot stands.
        default_height: m, height of the root then.
        root_heights: m, lowest and highest root of a robot that has not fallen, where the robot says so.
        joint_map: source joints by body, for retargeting, where names and tree do not tell.
        spec: what ``model`` was compiled from, for writing it as MJCF; None where that is not kept.
    """

    name: str
    model: mujoco.MjModel
    skeleton: Skeleton
    kp: Tensor
    kd: Tensor
    action_scale: Tensor
    frozen_dofs: Tensor
    body_sets: dict[str, tuple[str, ...]]
    action_offset: Tensor = field(default_factory=_unset)
    torque_limit: Tensor = field(default_factory=_unset)
    default_dof: Tensor = field(default_factory=_unset)
    default_height: float = 0.95
    root_heights: tuple[float, float] = (0.0, float("inf"))
    joint_map: dict[str, str] = field(default_factory=dict)
    spec: mujoco.MjSpec | None = None
    _tables: dict[tuple[torch.device, torch.dtype], JointTable] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, value in (("action_offset", 0.0), ("torque_limit", torch.inf), ("default_dof", 0.0)):
            if not getattr(self, name).numel():
                object.__setattr__(self, name, torch.full((self.num_dofs,), value))

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

    @cached_property
    def joints(self) -> JointTable:
        """Coordinates of the joints, float64 on the CPU."""
        return JointTable(joint_rows(self.model), torch.device("cpu"), torch.float64)

    def joints_like(self, tensor: Tensor) -> JointTable:
        """:attr:`joints` where ``tensor`` is, in its dtype; made once for each."""
        key = (tensor.device, tensor.dtype)
        if key not in self._tables:
            self._tables[key] = self.joints.to(*key)
        return self._tables[key]

    def dof_from_local_rot(self, local_rot: Tensor) -> Tensor:
        """Joint coordinates (..., D) rad of rotations (..., B, 4), see :meth:`JointTable.dofs`."""
        return self.joints_like(local_rot).dofs(local_rot)

    def local_rot_from_dof(self, root_rot: Tensor, dof_pos: Tensor) -> Tensor:
        """Rotations (..., B, 4) of a root rotation (..., 4) and joint coordinates (..., D) rad."""
        return self.joints_like(dof_pos).local_rot(root_rot, dof_pos)

    def qpos(self, root_pos: Tensor, local_rot: Tensor) -> Tensor:
        """MuJoCo positions (..., nq) of a root position (..., 3) and local rotations (..., B, 4)."""
        return torch.cat((root_pos, local_rot[..., 0, :], self.joints_like(local_rot).qpos(local_rot)), dim=-1)

    def default_state(self, device: torch.device | str = "cpu") -> MotionState:
        """One row: standing still, upright, at the origin, with the joints at :attr:`default_dof`."""
        local_rot = self.local_rot_from_dof(quat_identity(1, dtype=torch.float64), self.default_dof.double()[None])
        root_pos = torch.tensor([[0.0, 0.0, self.default_height]], dtype=torch.float64)
        body_pos, body_rot = self.skeleton.forward_kinematics(root_pos, local_rot)
        still = torch.zeros_like(body_pos)
        dof_vel = torch.zeros(1, self.num_dofs)
        return MotionState(*(x.float().to(device) for x in (body_pos, body_rot, still, still, local_rot, dof_vel)))

    @cached_property
    def geoms(self) -> Geoms:
        """Collision shapes read back from the compiled model."""
        return read_geoms(self.model)
