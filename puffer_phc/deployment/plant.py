"""The robot of an exported folder in plain MuJoCo: one model, one state, ``mj_step``. Needs no torch."""

from __future__ import annotations

import logging
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from puffer_phc.deployment.metadata import MODEL_FILE, Metadata
from puffer_phc.deployment.sight import Bodies
from puffer_phc.errors import InputError
from puffer_phc.quaternions import Array

_EXPORT = "export the policy again with --mode export"
_MAX_SPEED = 150.0  # rad/s or m/s of any degree of freedom: faster is divergence, as in training
_STEP_SLACK = 1e-3  # of a physics step that a control step may be off


class Plant:
    """Simulates the robot of ``folder`` with physics steps of ``timestep`` s.

    Attributes:
        model: MuJoCo's.
        timestep, substeps: s of one physics step, and how many make a control step.
        torque_steps: physics steps since the last reset.
        torque_sum, torque_peak: (D,) N m, sum over these of the absolute joint torques, and the largest.
        torque_over: (D,) how many of them were at or above the joint's limit.

    Raises:
        InputError: the model is missing, damaged or another robot's, or ``timestep`` does not divide the control step.
    """

    def __init__(self, folder: Path, metadata: Metadata, timestep: float) -> None:
        self.model = _load_model(folder / MODEL_FILE)
        _check_names(self.model, metadata, folder / MODEL_FILE)
        self.timestep, self.substeps = timestep, count_substeps(metadata.control_dt, timestep)
        self.model.opt.timestep = timestep
        self.data = mujoco.MjData(self.model)
        self._limit = np.array([np.inf if x is None else x for x in metadata.robot.torque_limit])
        self._kp, self._kd = np.array(metadata.robot.kp), np.array(metadata.robot.kd)
        self._clear_torque()
        # What diverges is reported by us; MuJoCo would write a file into the working directory.
        mujoco.set_mju_user_warning(logging.getLogger("puffer_phc.mujoco").debug)

    def _clear_torque(self) -> None:
        dofs = len(self._limit)
        self.torque_sum, self.torque_peak = np.zeros(dofs), np.zeros(dofs)
        self.torque_over, self.torque_steps = np.zeros(dofs, dtype=np.int64), 0

    def reset(self, qpos: Array, qvel: Array) -> None:
        """Put the robot into a state, MuJoCo's ``qpos`` (nq,) and ``qvel`` (nv,).

        Raises:
            InputError: the state is another robot's.
        """
        if len(qpos) != self.model.nq or len(qvel) != self.model.nv:
            fault = (
                f"has states of {len(qpos)} + {len(qvel)} numbers, {MODEL_FILE} of {self.model.nq} + {self.model.nv}"
            )
            raise InputError("motion", fault, "use motions that were exported with this policy")
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = qpos, qvel
        self._clear_torque()

    def step(self, target: NDArray[np.floating]) -> None:
        """One control step towards joint targets (D,) rad, with torques within the robot's limits.

        A motor limits stiffness and damping together, MuJoCo's implicit damping needs to be a force of its own: so
        each physics step aims at the nearest target whose whole torque the motor can give.
        """
        for _ in range(self.substeps):
            mujoco.mj_transmission(self.model, self.data)
            position, brake = self.data.actuator_length, self._kd * self.data.qvel[6:]
            low, high = ((brake + sign * self._limit) / self._kp + position for sign in (-1.0, 1.0))
            self.data.ctrl[:] = np.clip(target, low, high)
            torque = np.abs(self._kp * (self.data.ctrl - position) - brake)
            mujoco.mj_step(self.model, self.data)
            self.torque_sum += torque
            np.maximum(self.torque_peak, torque, out=self.torque_peak)
            self.torque_over += torque >= self._limit * (1.0 - 1e-6)
            self.torque_steps += 1

    @property
    def diverged(self) -> bool:
        """The state is not finite or moves impossibly fast."""
        return not bool(np.abs(self.data.qvel).max() < _MAX_SPEED)

    @property
    def qpos(self) -> Array:
        """MuJoCo's positions (nq,), a copy."""
        return self.data.qpos.copy()

    @property
    def dof_vel(self) -> Array:
        """Joint velocities (1, D) rad / s, a copy."""
        return self.data.qvel[None, 6:].copy()

    def bodies(self) -> Bodies:
        """World motion (1, B, ...) of the bodies in the present state."""
        # After a step these fields are one physics step old; this refreshes them without touching the solver.
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_comVel(self.model, self.data)
        velocity = np.zeros((self.model.nbody - 1, 6))  # angular, then linear
        kind = mujoco.mjtObj.mjOBJ_XBODY.value
        for body, row in enumerate(velocity, start=1):
            mujoco.mj_objectVelocity(self.model, self.data, kind, body, row, 0)
        pos, rot = self.data.xpos[None, 1:].copy(), self.data.xquat[None, 1:].copy()
        return Bodies(pos, rot, velocity[None, :, 3:], velocity[None, :, :3])


def count_substeps(control_dt: float, timestep: float) -> int:
    """Physics steps of ``timestep`` s in a control step.

    Raises:
        InputError: they do not divide it.
    """
    substeps = round(control_dt / timestep) if timestep > 0 else 0
    if substeps < 1 or abs(control_dt / timestep - substeps) > _STEP_SLACK:
        remedy = f"use a fraction of it, such as {control_dt / 4:.9g}"
        raise InputError("--timestep", f"{timestep:g} s does not divide the control step of {control_dt:g} s", remedy)
    return substeps


def _load_model(path: Path) -> mujoco.MjModel:
    if not path.is_file():
        raise InputError(path, "does not exist", "name a folder that --mode export wrote")
    try:
        return mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        raise InputError(path, f"is no model that MuJoCo {mujoco.__version__} reads ({error})", _EXPORT) from None


def _check_names(model: mujoco.MjModel, metadata: Metadata, path: Path) -> None:
    bodies = tuple(model.body(body).name for body in range(1, model.nbody))
    dofs = tuple(model.actuator(dof).name for dof in range(model.nu))
    for what, found, wanted in (
        ("bodies", bodies, metadata.robot.body_names),
        ("actuators", dofs, metadata.robot.dof_names),
    ):
        if found != wanted:
            fault = f"has {len(found)} {what}, not the {len(wanted)} of robot {metadata.robot.name!r} of the policy"
            if len(found) == len(wanted):
                fault = f"has other {what} than robot {metadata.robot.name!r} of the policy"
            raise InputError(path, fault, _EXPORT)
