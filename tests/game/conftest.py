"""Small games, see ``small_game.py``."""

from dataclasses import replace

import pytest
import torch
from small_game import CPU, HIDDEN, TASKS, WALK, config, noisy, sway

from puffer_phc.config import to_dict
from puffer_phc.factory import make_env, make_robot
from puffer_phc.game.options import GameConfig
from puffer_phc.game.setup import set_up
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.motions.loading import load_motions
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training import checkpoint
from puffer_phc.training.distributed import World


@pytest.fixture(scope="session")
def bodies():
    """Robot and library of each task."""
    smpl, humanoid = (make_robot(config(task)) for task in TASKS)
    clip = load_motions(WALK)[0]
    piece = replace(clip, root_pos=clip.root_pos[:9], local_rot=clip.local_rot[:9])  # 8 control steps
    return {
        "tracking": (smpl, MotionLibrary([piece], smpl, CPU)),
        "amp": (humanoid, MotionLibrary([sway(humanoid)], humanoid, CPU)),
    }


@pytest.fixture(scope="session")
def human_file(bodies, tmp_path_factory):
    """Makes the checkpoint of a policy of the whole body, for a task."""
    folder = tmp_path_factory.mktemp("humans")

    def make(task="tracking", name="human", **sections):
        path = folder / f"{task}-{name}.pt"
        if path.exists():
            return path
        cfg, (robot, library) = config(task, **sections), bodies[task]
        env = make_env(cfg, robot, library, 1, CPU, 0)
        torch.manual_seed(sum(map(ord, name)))
        policy = noisy(ActorCritic(env.num_obs, env.num_actions, cfg.policy, HIDDEN))
        data = {"config": to_dict(cfg), "robot": robot.name, "num_obs": env.num_obs, "num_actions": env.num_actions}
        checkpoint.save(path, {**data, "policy": policy.state_dict()})
        return path

    return make


@pytest.fixture(scope="session")
def make_game(bodies, human_file):
    """Makes a game and its learner, which share networks."""

    def make(mode, task="tracking", robot=None, human=None, train=None, policy=None, **game):
        path = human or human_file(task)
        cfg = config(task, game=GameConfig(mode=mode, human_checkpoint=str(path), **game))
        cfg = replace(cfg, train=replace(cfg.train, **(train or {})), policy=replace(cfg.policy, **(policy or {})))
        own, library = bodies[task]
        torch.manual_seed(5)
        env = make_env(cfg, robot or own, library, cfg.env.num_envs, CPU, 3)
        made = set_up(cfg, env, None, CPU, 3)
        noisy(made.joint.learner, seed=2)
        return cfg, made, made.make_learner(cfg, World())

    return make
