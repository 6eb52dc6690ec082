"""A recorded control step does what the same code does step by step; only where there is a GPU."""

import pytest
import torch

from puffer_phc.config import Config, EnvConfig, PolicyConfig, TrainConfig, resolve
from puffer_phc.factory import make_env, make_library, make_robot
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training.learner import Learner

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
ENVS, STEPS = 64, 4


def rollout(captured):
    """The first rollout of a learner, from the same states with the same luck either way."""
    device = torch.device("cuda", 0)
    train = TrainConfig(horizon=STEPS, epochs=1, total_steps=1000, capture=captured)
    cfg = resolve(Config(env=EnvConfig(num_envs=ENVS), policy=PolicyConfig(hidden=(64, 64)), train=train), device)
    robot = make_robot(cfg)
    torch.manual_seed(0)
    env = make_env(cfg, robot, make_library(cfg, robot, device), ENVS, device, 1)
    learner = Learner(cfg, env, ActorCritic(env.num_obs, env.num_actions, cfg.policy, (64, 64)).to(device))
    runner = learner.runner
    runner.record()  # which plays a few steps
    env.generator.manual_seed(5)
    runner.generator.manual_seed(6)
    env.reset()
    runner._fresh.fill_(True)
    for tensor in (env.terminated, env.truncated):
        tensor.zero_()
    learner.collect()
    return learner.buffer


@pytest.mark.timeout(600)  # compiles everything
def test_both_paths_play_the_same_rollout():
    recorded, stepped = rollout(True), rollout(False)
    assert torch.equal(recorded.terminated, stepped.terminated)
    for name, tolerance in (("actions", 1e-4), ("rewards", 1e-4), ("obs", 1e-2), ("values", 1e-3)):
        torch.testing.assert_close(getattr(recorded, name), getattr(stepped, name), atol=tolerance, rtol=1e-3)
