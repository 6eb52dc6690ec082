"""Small games: SMPL tracking on a piece of the walk, and the 28-dof humanoid moving in the style of a sway."""

from pathlib import Path

import torch

from puffer_phc.config import (
    BaseConfig,
    Config,
    EnvConfig,
    EvalConfig,
    PolicyConfig,
    RobotConfig,
    TrainConfig,
    resolve,
)
from puffer_phc.motions.clip import MotionClip
from puffer_phc.training.amp import StyleConfig

CPU = torch.device("cpu")
WALK = Path(__file__).resolve().parents[2] / "sample_data" / "walk.npz"
HIDDEN = (32, 32)
TASKS = {
    "tracking": {"env": EnvConfig(num_envs=6, termination_distance=0.1), "robot": RobotConfig()},
    "amp": {
        "env": EnvConfig(task="amp", action_mode="absolute", adaptive=0.0, num_envs=6, episode_steps=12),
        "robot": RobotConfig(kind="amp_humanoid"),
    },
}


def config(task="tracking", **sections):
    """Options of a small run; sections replace those here."""
    parts = {
        "base": BaseConfig(device="cpu", seed=3),
        "policy": PolicyConfig(hidden=HIDDEN, log_std=-1.5, lstm_size=8),
        "train": TrainConfig(horizon=8, epochs=2, minibatches=2, segment=4, total_steps=1000, time_limit=-1.0),
        "eval": EvalConfig(num_envs=1, video=False),
        "style": StyleConfig(hidden=(16,), batch=16, demo_buffer=64, demo_fresh=4, replay_buffer=64),
        **TASKS[task],
        **sections,
    }
    return resolve(Config(**parts), CPU)


def sway(robot, frames=40, fps=30.0):
    """The 28-dof humanoid swaying on the spot."""
    time = torch.arange(frames, dtype=torch.float64) / fps
    state = robot.default_state()
    dofs = robot.default_dof.double().repeat(frames, 1)
    dofs[:, 17] += 0.3 * torch.sin(3 * time).abs()
    pos = state.root_pos.double().repeat(frames, 1)
    return MotionClip(
        "sway",
        fps,
        robot.body_names,
        pos,
        robot.local_rot_from_dof(state.root_rot.double().expand(frames, 4), dofs),
    )


def noisy(policy, seed=1):
    """Outputs that matter, and a normaliser that has seen something, so that a wrong input shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for head in (policy.mean_head, policy.value_head):
            head.weight.normal_(std=0.05, generator=generator)
    norm = policy.obs_norm
    mean = 0.1 * torch.randn(len(norm.mean), generator=generator)
    norm.merge(mean, torch.full_like(mean, 0.5), torch.tensor(1e4, dtype=torch.float64))
    return policy
