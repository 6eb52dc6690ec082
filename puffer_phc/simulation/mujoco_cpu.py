"""The CPU engine: ``mujoco.batch`` steps all environments on all cores."""

from __future__ import annotations

import logging

import mujoco
import torch
from mujoco.batch import Batch
from torch import Tensor

import gymtorch
from poselib.rotations import quat_rotate_inverse
from puffer_phc.processor import cores
from puffer_phc.robots.kinematics import TreeKinematics
from puffer_phc.robots.robot import PhysicsOptions, Robot
from puffer_phc.robots.state import BodyState, MotionState
from puffer_phc.simulation.servos import limited_servos
from puffer_phc.simulation.simulator import MAX_SPEED

# Divergence is counted by us; MuJoCo's own warnings would go to stderr and a file in the working directory.
mujoco.set_mju_user_warning(logging.getLogger("puffer_phc.mujoco").debug)


class MujocoCpu:
    """See :class:`puffer_phc.simulation.simulator.Simulator`. Physics is float64, what it hands out float32."""

    def __init__(self, robot: Robot, num_envs: int, physics: PhysicsOptions, threads: int = 0) -> None:
        """Start ``num_envs`` humanoids in their default pose.

        Args:
            robot: what to simulate.
            num_envs: N.
            physics: substeps of a control step; its time step and integrator are already in the robot's model.
            threads: worker threads, 0 for one on each core.
        """
        self.robot, self.num_envs, self.device = robot, num_envs, torch.device("cpu")
        self._substeps = physics.substeps
        self._batch = Batch(robot.model, num_envs, threads or cores())
        self._qpos, self._qvel, self._ctrl, self._warmstart = (
            gymtorch.wrap(self._batch.bind(name)) for name in ("qpos", "qvel", "ctrl", "qacc_warmstart")
        )
        self._force = gymtorch.wrap(self._batch.bind("actuator_force"), readonly_ok=True)
        self._servos = limited_servos(robot, self.device, torch.float64)
        self._kinematics = TreeKinematics(robot.skeleton, self.device, robot.joints)
        self._batch.reset()
        self.dof_vel, self.dof_force = torch.zeros(num_envs, robot.num_dofs), torch.zeros(num_envs, robot.num_dofs)
        self.diverged = torch.zeros(num_envs, dtype=torch.bool)
        self.read()

    def step(self, target: Tensor) -> None:
        """Advance one control step with PD targets (N, D) rad."""
        self.physics(target)
        self.read()

    def physics(self, target: Tensor) -> None:
        """Only the physics of :meth:`step`."""
        if self._servos is None:
            self._ctrl.copy_(target)
            self._batch.step(nstep=self._substeps)
            return
        for _ in range(self._substeps):
            reached, self._force = self._servos(target, self._qpos, self._qvel)
            self._ctrl.copy_(reached)
            self._batch.step(nstep=1)

    def reset(self, which: Tensor, state: MotionState) -> None:
        """Place the environments ``which``, a mask (N,) bool with N rows or a list (K,) int64 with K rows."""
        if which.dtype == torch.bool:
            ids = which.nonzero().squeeze(1)
            state = MotionState(*(rows[ids] for rows in state))
        else:
            ids = which
        rot = state.local_rot
        self._qpos[ids] = self.robot.qpos(state.root_pos, rot).double()
        root_ang_vel = quat_rotate_inverse(rot[:, 0], state.root_ang_vel)  # MuJoCo wants it in the body's frame
        self._qvel[ids] = torch.cat((state.root_vel, root_ang_vel, state.dof_vel), dim=1).double()
        self._warmstart[ids] = 0.0
        for own, new in zip(self.bodies, state.bodies, strict=True):
            own[ids] = new
        self.dof_vel[ids] = state.dof_vel
        self.dof_force[ids] = 0.0
        self.diverged[ids] = False

    def push(self, velocity: Tensor) -> None:
        """Add velocities (N, 3) m / s to the root, and so to all that hangs on it."""
        self._qvel[:, :3] += velocity
        self.read()

    def read_overflow(self) -> dict[str, int]:
        """Nothing: this engine grows its arrays as needed."""
        return {}

    def qpos(self) -> Tensor:
        """MuJoCo positions (N, nq) float64, a copy."""
        return self._qpos.clone()

    def read(self) -> None:
        """The rest of :meth:`step`."""
        qvel = self._qvel.float()
        self.bodies: BodyState = self._kinematics(self._qpos.float(), qvel)
        self.dof_vel.copy_(qvel[:, 6:])
        self.dof_force.copy_(self._force)
        # A comparison with NaN is false, so this also finds what is not finite.
        torch.logical_not(qvel.abs().amax(dim=1) < MAX_SPEED, out=self.diverged)
