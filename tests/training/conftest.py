"""A humanoid small enough to learn with in a test."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from puffer_phc.config import BaseConfig, Config, EnvConfig, EvalConfig, PolicyConfig, TrainConfig
from puffer_phc.factory import make_env, make_robot
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.motions.loading import load_motions
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training.learner import Learner

ROOT = Path(__file__).resolve().parent.parent.parent
CPU = torch.device("cpu")
torch.set_num_threads(1)  # networks this small are not worth sharing, least of all among busy cores


@pytest.fixture(scope="session")
def walk():
    return ROOT / "sample_data" / "walk.npz"


@pytest.fixture(scope="session")
def train_command(walk):
    """A run of a few seconds: eight rollouts of eight humanoids over eight steps."""
    return [
        sys.executable,
        str(ROOT / "scripts" / "train.py"),
        *("--env.motion_file", str(walk), "--device", "cpu", "--env.num_envs", "8", "--policy.hidden", "32", "32"),
        *("--train.horizon", "8", "--train.total_steps", "512", "--train.time_limit", "-1"),
        *("--train.eval_interval", "0", "--eval.video", "false"),
    ]


@pytest.fixture(scope="session")
def robot():
    return make_robot(Config())


@pytest.fixture(scope="session")
def make_learner(robot, walk):
    """Makes a learner on a piece of the walk so short that episodes end both ways within one rollout."""
    clip = load_motions(walk)[0]
    piece = replace(clip, root_pos=clip.root_pos[:9], local_rot=clip.local_rot[:9])  # 8 control steps
    library = MotionLibrary([piece], robot, CPU)

    def make(kind="mlp", envs=8, horizon=16, segment=4, log_std=-1.5, distance=0.1, learn_std=False, **train):
        train = {"epochs": 2, "total_steps": 10_000, "time_limit": -1.0, **train}
        cfg = Config(
            base=BaseConfig(device="cpu", seed=3),
            env=EnvConfig(num_envs=envs, termination_distance=distance),
            policy=PolicyConfig(kind=kind, hidden=(32, 32), lstm_size=16, log_std=log_std, learn_std=learn_std),
            train=TrainConfig(horizon=horizon, segment=segment, **train),
            eval=EvalConfig(num_envs=1, video=False),
        )
        make.cfg = cfg
        torch.manual_seed(0)
        env = make_env(cfg, robot, library, envs, CPU, cfg.base.seed)
        policy = ActorCritic(env.num_obs, env.num_actions, cfg.policy, cfg.policy.hidden)
        for head in (policy.mean_head, policy.value_head):  # outputs that matter, so that a wrong input shows
            torch.nn.init.normal_(head.weight, std=0.05)
        return Learner(cfg, env, policy)

    return make
