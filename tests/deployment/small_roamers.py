"""Small environments whose policies follow no motion, for three bodies, and their metadata."""

import functools
from pathlib import Path

import mujoco
import torch
from small_policy import save_checkpoint

from puffer_phc.config import ROOT, Config, EnvConfig, RobotConfig, StyleConfig
from puffer_phc.deployment.export import Source, describe
from puffer_phc.deployment.sight import Bodies
from puffer_phc.factory import make_env, make_robot
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.robots.g1 import write_g1_stand_in

ROBOTS = ("amp_humanoid", "mjcf", "smpl")
GOALS = ("alive", "velocity", "heading", "location", "command")


@functools.cache
def robot_config(kind, folder):
    if kind != "mjcf":
        return RobotConfig(kind=kind)
    write_g1_stand_in(Path(folder) / "g1.xml")
    return RobotConfig(kind=kind, mjcf=f"{folder}/g1.xml", settings=str(ROOT / "configs" / "g1.yaml"))


def swaying(robot, frames=31):
    """The robot leaning to and fro on the spot, as a clip."""
    time = torch.arange(frames, dtype=torch.float64) / 30.0
    state = robot.default_state()
    dofs = robot.default_dof.double().repeat(frames, 1)
    dofs[:, 0] += 0.2 * torch.sin(4 * time)
    pos = state.root_pos.double().repeat(frames, 1)
    pos[:, 0] += 0.3 * time
    rot = robot.local_rot_from_dof(state.root_rot.double().expand(frames, 4), dofs)
    return MotionClip("sway", 30.0, robot.body_names, pos, rot)


def make_roamer(kind, folder, goal="alive", envs=4, frames=31, **options):
    """The environment of ``--env.task amp`` on a clip of a second."""
    cfg = Config(
        env=EnvConfig(task="amp", action_mode="absolute", adaptive=0.0, goal=goal, **options),
        robot=robot_config(kind, str(folder)),
        style=StyleConfig(steps=2, root="heading" if kind == "smpl" else "global"),
    )
    robot = make_robot(cfg)
    return make_env(cfg, robot, MotionLibrary([swaying(robot, frames)], robot), envs, torch.device("cpu"), 1), cfg


def metadata_of(env, cfg, policy, folder):
    """What an export of ``policy`` would say."""
    file = save_checkpoint(Path(folder) / "checkpoints" / "best.pt", policy)
    return describe(env, policy, Source(file, 0, cfg.robot, 0.5, 1, ()))


def in_numpy(bodies, row=None):
    """The environment's bodies as the deployed policy gets them; one robot's where a row is given."""
    return Bodies(*((x if row is None else x[row : row + 1]).double().numpy() for x in bodies))


def state_of(env, row):
    """One robot's state in plain MuJoCo, its kinematics current."""
    data = mujoco.MjData(env.robot.model)
    data.qpos[:] = env.simulator.qpos()[row].numpy()
    mujoco.mj_kinematics(env.robot.model, data)
    return data


def tumble(env, steps, seed=0):
    """Random actions, step by step."""
    generator = torch.Generator().manual_seed(seed)
    env.reset()
    for _ in range(steps):
        yield env
        env.step(torch.randn(env.num_envs, env.num_actions, generator=generator))
    assert torch.isfinite(env.obs).all()
