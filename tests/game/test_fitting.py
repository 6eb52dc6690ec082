"""A physical prosthesis: other masses, gains and limits, on the bodies that were named and nowhere else."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
import torch
from small_game import CPU, config

from puffer_phc.config import RobotConfig
from puffer_phc.errors import InputError
from puffer_phc.factory import make_env, make_robot
from puffer_phc.game.fitting import refitted
from puffer_phc.game.options import GameConfig
from puffer_phc.robots.amp_humanoid import amp_humanoid_robot
from puffer_phc.robots.smpl import smpl_robot

SMPL = smpl_robot()
LEG = slice(3, 12)  # dofs of L_Knee, L_Ankle, L_Toe


def test_the_leg_is_lighter_and_softer_and_the_rest_as_it_was():
    robot = refitted(SMPL, GameConfig(mass_scale=0.5, gain_scale=0.25))
    ids = [robot.model.body(name).id for name in ("L_Knee", "L_Ankle", "L_Toe")]
    rest = [body for body in range(robot.model.nbody) if body not in ids]
    for name in ("body_mass", "body_inertia"):
        before, after = getattr(SMPL.model, name), getattr(robot.model, name)
        np.testing.assert_allclose(after[ids], 0.5 * before[ids])
        np.testing.assert_array_equal(after[rest], before[rest])
    hip, total = robot.model.body("L_Hip").id, SMPL.model.body_mass[ids].sum()
    saved = SMPL.model.body_subtreemass[hip] - robot.model.body_subtreemass[hip]
    assert saved == pytest.approx(0.5 * total)  # derived anew
    torch.testing.assert_close(robot.kp[LEG], 0.25 * SMPL.kp[LEG])
    torch.testing.assert_close(robot.kp[LEG.stop :], SMPL.kp[LEG.stop :])
    data = mujoco.MjData(robot.model)
    data.ctrl[:] = 0.1
    mujoco.mj_forward(robot.model, data)
    np.testing.assert_allclose(data.actuator_force, 0.1 * robot.kp.numpy(), rtol=1e-5)
    data.qvel[6:] = 1.0
    mujoco.mj_forward(robot.model, data)
    np.testing.assert_allclose(data.actuator_force, (0.1 * robot.kp - robot.kd).numpy(), rtol=1e-5)
    assert SMPL.model.body("L_Knee").mass[0] != robot.model.body("L_Knee").mass[0]  # the original is untouched


def test_torque_limits_are_scaled_where_there_are_any():
    humanoid = amp_humanoid_robot(gains="mimickit")
    robot = refitted(humanoid, GameConfig(torque_scale=0.5, gain_scale=2.0, bodies="left_shin,left_foot"))
    own = torch.tensor([24, 25, 26, 27])
    torch.testing.assert_close(robot.torque_limit[own], 0.5 * humanoid.torque_limit[own])
    torch.testing.assert_close(robot.torque_limit[:24], humanoid.torque_limit[:24])
    np.testing.assert_allclose(robot.model.dof_damping[30:], 2.0 * humanoid.model.dof_damping[30:])
    with pytest.raises(InputError, match="no torque limits"):
        refitted(SMPL, GameConfig(torque_scale=0.5))
    with pytest.raises(InputError, match="no body 'left_shin'"):
        refitted(SMPL, GameConfig(mass_scale=0.5, bodies="left_shin"))


def test_options_reach_the_robot_and_the_reward(bodies):
    cfg = config("amp", robot=RobotConfig(kind="amp_humanoid"), game=GameConfig(gain_scale=0.5))
    robot, intact = make_robot(cfg), bodies["amp"][0]
    torch.testing.assert_close(robot.kp[24:], 0.5 * intact.kp[24:])
    assert make_robot(replace(cfg, game=GameConfig(mode="sarl"))).spec is not None
    for task, reward in (("tracking", "survival"), ("amp", "survival")):
        cfg = config(task, game=GameConfig(mode="sarl", reward=reward))
        env = make_env(cfg, *bodies[task], 3, CPU, 0)
        env.reset()
        env.step(torch.zeros(3, env.num_actions))
        assert torch.equal(env.reward, torch.ones(3))
        assert env.reward_terms.shape == (3, 1)
        assert (cfg.style.task_weight, cfg.style.style_weight) == (1.0, 0.0)
    cfg = config("tracking", game=GameConfig(mode="marl", reward="style"))
    assert cfg.env.use_amp_obs
    assert (cfg.style.task_weight, cfg.style.style_weight) == (0.0, 1.0)
    assert make_env(cfg, *bodies["tracking"], 1, CPU, 0).style is not None


def test_style_is_the_whole_reward_when_it_is_the_teams(make_game):
    for mode, task in (("sarl", "amp"), ("marl", "tracking")):
        _, _, learner = make_game(mode, task, reward="style")
        learner.collect()
        learner.style.add_reward(learner.buffer)
        with torch.no_grad():
            wanted = torch.stack([learner.style._reward_of(rows) for rows in learner.buffer.style])
        torch.testing.assert_close(learner.buffer.rewards, wanted)
