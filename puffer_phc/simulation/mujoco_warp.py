"""The GPU engine: MuJoCo Warp steps all environments on one device, from the same ``MjModel`` as the CPU engine."""

from __future__ import annotations

import copy
import functools

import mujoco
import numpy as np
import torch
from torch import Tensor

from gymtorch import fused, latch, torch_stream_as_warp, wrap
from poselib.rotations import quat_rotate_inverse
from puffer_phc.errors import InputError
from puffer_phc.robots.kinematics import TreeKinematics
from puffer_phc.robots.robot import PhysicsOptions, Robot
from puffer_phc.robots.state import BodyState, MotionState, write_rows
from puffer_phc.simulation.servos import limited_servos
from puffer_phc.simulation.simulator import MAX_SPEED

# A standing SMPL body has 16 to 17 contacts and 64 to 68 constraint rows; of 8,192 learning to dance a few dozen had
# more than 96. Rows cost little speed, contacts are shared by all worlds.
CONTACTS_PER_BOX, CONTACTS_PER_SHAPE, SPARE_CONTACTS = 4, 1, 16
ROWS_PER_CONTACT = 4  # pyramidal friction cone


class MujocoWarp:
    """See :class:`puffer_phc.simulation.simulator.Simulator`. Everything is float32 and stays on the device.

    No call waits for the device, so a control step can be captured as a CUDA graph. State is handed over by masked
    writes; what the reward and observation need is computed from it by the same code as on the CPU.

    Attributes:
        overflow: (N,) int32 bits of :class:`mujoco_warp.OverflowType`, gathered until :meth:`read_overflow`.
    """

    def __init__(
        self,
        robot: Robot,
        num_envs: int,
        physics: PhysicsOptions,
        device: torch.device,
    ) -> None:
        """Start ``num_envs`` humanoids in their default pose.

        Args:
            robot: what to simulate.
            num_envs: N.
            physics: substeps of a control step and sizes; time step and solver are already in the robot's model.
            device: a CUDA device, or the CPU (slow; for comparing the engines).

        Raises:
            InputError: MuJoCo Warp is not installed.
        """
        try:
            import mujoco_warp as mjw
            import warp as wp
        except ImportError:
            remedy = "run: uv sync --extra gpu"
            raise InputError("--device", "MuJoCo Warp, which simulates on a GPU, is not installed", remedy) from None
        self.robot, self.num_envs, self.device = robot, num_envs, device
        self._mjw, self._substeps = mjw, physics.substeps
        wp.config.log_level = wp.LOG_WARNING  # no banner, no line for each of its hundred modules
        wp.init()
        contacts, rows = constraint_sizes(robot.model)
        contacts, rows = physics.max_contacts or contacts, physics.max_rows or rows
        model = copy.copy(robot.model)
        # Warp never puts a diverged world back by itself, and refuses the flag that says so.
        model.opt.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        # Warp launches on its current device, which need not be where these arrays are.
        self._on_device = functools.partial(wp.ScopedDevice, wp.device_from_torch(device))
        with self._on_device():
            self._model = mjw.put_model(model)
            # The solver starts from the last acceleration, always: the unconstrained one would cost a factorisation.
            self._model.opt.run_qacc_smooth = False
            self._model.opt.warn_overflow = 0  # printing from a kernel would serialise it; the bits are read instead
            self._data = mjw.put_data(model, data, nworld=num_envs, nconmax=contacts, njmax=rows)
        fields = ("qpos", "qvel", "ctrl", "qacc_warmstart", "actuator_force", "overflow", "time")
        self._qpos, self._qvel, self._ctrl, self._warmstart, self._force, self.overflow, self._time = (
            wrap(getattr(self._data, name)) for name in fields
        )
        self._kinematics = fused(TreeKinematics(robot.skeleton, device, robot.joints).__call__, device)
        servos = limited_servos(robot, device, torch.float32)
        self._servos = servos and fused(servos.__call__, device)
        shape = (num_envs, robot.num_dofs)
        self.dof_vel, self.dof_force, self._torque = (torch.zeros(shape, device=device) for _ in range(3))
        self.diverged = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self.bodies: BodyState = self._kinematics(self._qpos, self._qvel)

    def step(self, target: Tensor) -> None:
        """Advance one control step with PD targets (N, D) rad."""
        self.physics(target)
        self.read()

    def physics(self, target: Tensor) -> None:
        """Only the physics of :meth:`step`."""
        if self._servos is None:
            self._ctrl.copy_(target)
        with self._on_device(), torch_stream_as_warp(self.device):
            for _ in range(self._substeps):
                if self._servos is not None:
                    reached, torque = self._servos(target, self._qpos, self._qvel)
                    self._ctrl.copy_(reached)
                    self._torque.copy_(torque)
                self._mjw.step(self._model, self._data)

    def reset(self, which: Tensor, state: MotionState) -> None:
        """Place the environments ``which``, a mask (N,) bool with N rows or a list (K,) int64 with K rows."""
        rot = state.local_rot
        root_ang_vel = quat_rotate_inverse(rot[:, 0], state.root_ang_vel)  # MuJoCo wants it in the body's frame
        qvel = torch.cat((state.root_vel, root_ang_vel, state.dof_vel), dim=1)
        write_rows(self._qpos, which, self.robot.qpos(state.root_pos, rot))
        write_rows(self._qvel, which, qvel)
        write_rows(self._warmstart, which, torch.zeros_like(qvel))
        for own, new in zip(self.bodies, state.bodies, strict=True):
            write_rows(own, which, new)
        write_rows(self.dof_vel, which, state.dof_vel)
        write_rows(self.dof_force, which, torch.zeros_like(state.dof_vel))
        write_rows(self.diverged, which, torch.zeros(len(which), dtype=torch.bool, device=self.device))

    def push(self, velocity: Tensor) -> None:
        """Add velocities (N, 3) m / s to the root, and so to all that hangs on it."""
        self._qvel[:, :3] += velocity
        self.read()

    def qpos(self) -> Tensor:
        """MuJoCo positions (N, nq) float64 on the CPU, a copy."""
        return self._qpos.double().cpu()

    def read_overflow(self) -> dict[str, int]:
        """Worlds that overflowed since the last call, by kind; waits for the device."""
        kinds = self._mjw.OverflowType
        bits = self.overflow.clone()
        self.overflow.zero_()
        found = {kind.name.lower(): int(((bits & int(kind)) != 0).sum()) for kind in kinds if kind.name != "ALL"}
        return {name: count for name, count in found.items() if count}

    def read(self) -> None:
        """The rest of :meth:`step`."""
        self.bodies = latch(self.bodies, self._kinematics(self._qpos, self._qvel))
        self.dof_vel.copy_(self._qvel[:, 6:])
        self.dof_force.copy_(self._force if self._servos is None else self._torque)
        # A comparison with NaN is false, so this also finds what is not finite.
        self.diverged.copy_(torch.logical_not(self._qvel.abs().amax(dim=1) < MAX_SPEED))


def constraint_sizes(model: mujoco.MjModel) -> tuple[int, int]:
    """Contacts and constraint rows per world that a robot of ``model`` can be expected to need.

    Every box may lie on the floor with four corners and a third of the other shapes may touch something, with some
    contacts to spare: 128 rows for the SMPL body. Every limited joint may be at one of its ends.
    """
    solid = (model.geom_contype | model.geom_conaffinity) != 0
    pointed = (mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_MESH)
    boxes = int((np.isin(model.geom_type, pointed) & solid).sum())
    others = int(solid.sum()) - 1 - boxes
    contacts = CONTACTS_PER_BOX * boxes + CONTACTS_PER_SHAPE * (others // 3) + SPARE_CONTACTS
    rows = ROWS_PER_CONTACT * (CONTACTS_PER_BOX * boxes + SPARE_CONTACTS)
    rows += int(model.jnt_limited.sum())
    return contacts, rows
