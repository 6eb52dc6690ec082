"""A physical prosthesis: some bodies of a robot with other masses, gains and torque limits."""

from __future__ import annotations

import copy
from dataclasses import replace

import mujoco
import numpy as np
import torch

from puffer_phc.errors import InputError
from puffer_phc.game.agents import parse_agents
from puffer_phc.game.options import GameConfig
from puffer_phc.robots.robot import Robot


def refitted(robot: Robot, game: GameConfig) -> Robot:
    """``robot`` with the scales of ``game`` on its bodies; it keeps its name, so that policies fit both.

    Masses and inertias, stiffness and damping of the joints that hang these bodies on their parents, and the torque
    those joints' actuators can give. What MuJoCo derives from masses is derived anew.

    Raises:
        InputError: a body is unknown, or there are no torque limits to scale.
    """
    model = copy.deepcopy(robot.model)
    bodies = _bodies(robot, game)
    model.body_mass[bodies] *= game.mass_scale
    model.body_inertia[bodies] *= game.mass_scale
    joints = [number for number in range(model.njnt) if model.jnt_bodyid[number] in bodies]
    dofs = [dof for dof in range(model.nv) if model.dof_jntid[dof] in joints]
    actuators = [number for number in range(model.nu) if model.actuator_trnid[number, 0] in joints]
    model.dof_damping[dofs] *= game.gain_scale
    model.actuator_gainprm[actuators, 0] *= game.gain_scale  # force = kp ctrl - kp length - kd velocity
    model.actuator_biasprm[np.ix_(actuators, [1, 2])] *= game.gain_scale
    if game.torque_scale != 1.0 and not robot.torque_limit[actuators].isfinite().all():
        fault = f"the joints of {robot.name} have no torque limits"
        raise InputError("--game.torque_scale", fault, "use a robot that has (--robot.gains mimickit)")
    mujoco.mj_setConst(model, mujoco.MjData(model))
    own = torch.tensor(dofs, dtype=torch.long) - 6
    gain, torque = torch.ones(robot.num_dofs), torch.ones(robot.num_dofs)
    gain[own], torque[own] = game.gain_scale, game.torque_scale
    return replace(
        robot,
        model=model,
        kp=robot.kp * gain,
        kd=robot.kd * gain,
        torque_limit=robot.torque_limit * torque,
        spec=None,  # it would describe the robot as it was
    )


def _bodies(robot: Robot, game: GameConfig) -> list[int]:
    """MuJoCo's numbers of the bodies to change."""
    model = robot.model
    if not game.bodies:
        dofs = parse_agents(game.agents, robot).of(game.learner)
        return sorted({int(model.dof_bodyid[6 + dof]) for dof in dofs})
    names = game.bodies.replace(",", " ").split()
    for name in names:
        if name not in robot.body_names:
            wanted = ", ".join(robot.body_names[:6])
            raise InputError("--game.bodies", f"{robot.name} has no body {name!r}", f"use names such as {wanted}")
    return [model.body(name).id for name in names]
