"""Test returns of the task deepmimic against a rollout of one's own, and what a video of it shows."""

from dataclasses import replace

import pytest
import torch

from puffer_phc.config import BaseConfig, Config, EnvConfig, PolicyConfig, RobotConfig
from puffer_phc.evaluation.style_evaluator import StyleEvaluator, summarize_episodes
from puffer_phc.factory import make_env, make_robot
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training.judging import score_of

CFG = Config(
    base=BaseConfig(device="cpu", threads=1),
    env=EnvConfig(task="deepmimic", action_mode="absolute", adaptive=0.0, episode_steps=12),
    robot=RobotConfig(kind="amp_humanoid"),
    policy=PolicyConfig(hidden=(8,)),
)


def make(seed=0):
    """Humanoids that should stand and rise a little, over and over."""
    robot = make_robot(CFG)
    state = robot.default_state()
    root = torch.tensor([[0.01 * i, 0.0, 0.9 + 0.01 * i] for i in range(6)], dtype=torch.float64)
    clip = MotionClip("stand", 30.0, robot.body_names, root, state.local_rot.double().repeat(6, 1, 1), loops=True)
    env = make_env(CFG, robot, MotionLibrary([clip], robot), 3, torch.device("cpu"), seed)
    torch.manual_seed(0)
    return env, ActorCritic(env.num_obs, env.num_actions, CFG.policy, CFG.policy.hidden)


def test_the_test_return_is_the_mean_return_of_an_episode():
    env, policy = make()
    evaluator = StyleEvaluator(env, 12, seed=5, captured=False)
    results = evaluator.play(policy)
    evaluator._begin(policy)  # the same starts once more
    total, running = torch.zeros(3), torch.ones(3, dtype=torch.bool)
    with torch.no_grad():
        for _ in range(12):
            env.step(policy.act(env.obs, policy.initial_state(3), torch.zeros(3, dtype=torch.bool))[0])
            total += env.reward * running
            running &= ~env.done
    summary = summarize_episodes(results)
    assert 3.0 < summary["test_return"] < 12.0
    assert summary["test_return"] == pytest.approx(float(total.mean()), rel=1e-4)
    assert score_of(summary, by_return=True) == (summary["test_return"], 0.0)
    longer = summarize_episodes([replace(result, steps=result.steps + 1) for result in results])
    assert score_of(longer, by_return=True) > score_of(summary, by_return=True)


def test_a_video_shows_the_reference_too():
    env, policy = make()
    recording = StyleEvaluator(env, 12, seed=5, captured=False).record(policy)
    assert recording.name == "stand"
    assert recording.reference.shape == recording.simulated.shape
    torch.testing.assert_close(recording.reference[0], recording.simulated[0], atol=1e-5, rtol=0)
    assert len(recording.error) == len(recording.simulated)
    assert recording.error[0] == 0.0
    assert (recording.error[1:] > 0).all()
