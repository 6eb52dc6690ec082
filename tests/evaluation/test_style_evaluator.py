"""Evaluation without a reference: against playing by hand, the same each time, and as the trainer uses it."""

import json
import sys
from pathlib import Path

import pytest
import torch

from puffer_phc.config import BaseConfig, Config, EnvConfig, EvalConfig, PolicyConfig, StyleConfig, TrainConfig, resolve
from puffer_phc.errors import InputError
from puffer_phc.evaluation.style_evaluator import (
    EpisodeResult,
    StyleEvaluator,
    episode_score,
    episode_table,
    summarize_episodes,
    write_episodes,
)
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.policies.actor_critic import PolicyConfig as Network
from puffer_phc.policies.discriminator import Discriminator, style_reward
from puffer_phc.training import checkpoint
from puffer_phc.training.dashboard import Lines
from puffer_phc.training.run_folder import RunFolder
from puffer_phc.training.trainer import Trainer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "envs"))
from rich.console import Console
from small_style import make_amp

CPU = torch.device("cpu")
STEPS = 25


@pytest.fixture
def policy():
    torch.manual_seed(0)
    return ActorCritic(108, 28, Network(), (16,))


def make_evaluator(seed=5, judged=True):
    env = make_amp(envs=6, goal="velocity", goal_steps=10, episode_steps=STEPS, state_init="hybrid", seed=9)
    evaluator = StyleEvaluator(env, STEPS, seed)
    if judged:
        torch.manual_seed(1)
        evaluator.discriminator = Discriminator(210, (8,), "amp")
    return evaluator


@torch.no_grad()
def by_hand(policy, evaluator, seed=5):
    """The first episode of every environment."""
    env = make_amp(envs=6, goal="velocity", goal_steps=10, episode_steps=STEPS, state_init="hybrid", seed=seed)
    env.reset()
    results, sums = {}, torch.zeros(3, 6)
    fresh = torch.zeros(6, dtype=torch.bool)
    for step in range(1, STEPS + 1):
        action, _ = policy.act(env.obs, policy.initial_state(6), fresh)
        env.step(action)
        logit = evaluator.discriminator(evaluator.discriminator.norm(env.style.observed))
        sums += torch.stack((env.reward, logit, style_reward(logit)))
        for row in env.done.nonzero()[:, 0].tolist():
            results.setdefault(row, (step, bool(env.terminated[row]), *(sums[:, row] / step).tolist()))
    return [results[row] for row in range(6)]


def test_it_measures_the_first_episode_of_each_environment(policy):
    evaluator = make_evaluator()
    expected = by_hand(policy, evaluator)
    assert len({steps for steps, *_ in expected}) > 1  # some fall
    for _ in range(2):  # the same each time, whatever was played before
        summary, results = evaluator.run(policy)
        for result, wanted in zip(results, expected, strict=True):
            assert (result.steps, result.fell) == wanted[:2]
            found = (result.task_reward, result.style_logit, result.style_reward)
            assert found == pytest.approx(wanted[2:], abs=1e-5)
    assert summary["fall_rate"] == sum(fell for _, fell, *_ in expected) / 6


def test_another_luck_is_another_evaluation(policy):
    evaluator = make_evaluator()
    assert evaluator.play(policy, luck=1) != evaluator.play(policy)


def test_summary_and_score(tmp_path):
    results = [EpisodeResult(10, True, 0.5, -1.0, 0.25), EpisodeResult(30, False, 1.0, 2.0, 0.75)]
    summary = summarize_episodes(results)
    assert summary == {
        "episodes": 2,
        "episode_steps": 20.0,
        "fall_rate": 0.5,
        "task_reward": 0.75,
        "test_return": 17.5,
        "style_logit": 0.5,
        "style_reward": 0.5,
    }
    assert episode_score(summary) == (20.0, 1.25)
    unjudged = summarize_episodes([EpisodeResult(10, True, 0.5)])
    assert unjudged["style_logit"] is None
    assert episode_score(unjudged) == (10.0, 0.5)
    assert episode_table(unjudged).row_count == 7
    path = write_episodes(tmp_path, summary, results, {"steps": 3})
    document = json.loads(path.read_text())
    assert document["results"][1]["steps"] == 30
    assert document["extra"] == {"steps": 3}


def test_a_recording_has_no_reference(policy):
    recording = make_evaluator(judged=False).record(policy)
    assert recording.reference is None
    assert recording.name == "velocity"
    assert 1 < len(recording.simulated) <= STEPS + 1
    assert recording.simulated.shape[1] == 43
    assert recording.success is (len(recording.simulated) == STEPS)


# --- the trainer -----------------------------------------------------------------------------------------------------


def make_trainer(folder=None):
    style = StyleConfig(hidden=(8,), batch=16, demo_buffer=50, demo_fresh=5, replay_buffer=60)
    cfg = Config(
        base=BaseConfig(device="cpu", seed=2),
        env=EnvConfig(task="amp", action_mode="absolute", episode_steps=STEPS, num_envs=4),
        policy=PolicyConfig(hidden=(16,)),
        style=style,
        train=TrainConfig(horizon=8, total_steps=64, time_limit=-1.0, eval_interval=0.0),
        eval=EvalConfig(num_envs=4),
    )
    cfg = resolve(cfg, CPU)
    torch.manual_seed(0)
    envs = [make_amp(cfg=cfg.env) for _ in range(2)]
    policy = ActorCritic(105, 28, cfg.policy, (16,))
    return Trainer(cfg, envs[0], policy, StyleEvaluator(envs[1], STEPS, 5), folder)


def test_training_evaluates_keeps_the_best_and_goes_on(tmp_path):
    first = make_trainer()
    with RunFolder(first.cfg, tmp_path, resumed=False) as folder:
        first = make_trainer(folder)
        first.train(Lines(Console(quiet=True)))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    logged = {key for row in rows for key in row}
    assert {"style/agent_logit", "style/demo_accuracy", "style/grad_penalty", "style/reward"} <= logged
    assert {"eval/episode_steps", "eval/fall_rate", "eval/style_logit", "best/episode_steps"} <= logged
    data = checkpoint.load(tmp_path)
    saved = first.learner.style.state_dict()["discriminator"]
    judge = checkpoint.load_discriminator(data, 210, "here")
    assert all(torch.equal(saved[name], tensor) for name, tensor in judge.state_dict().items())
    second = make_trainer()
    second.restore(checkpoint.load(tmp_path / "checkpoints" / checkpoint.LAST))
    assert all(torch.equal(saved[name], t) for name, t in second.learner.style.discriminator.state_dict().items())
    assert second._best == first._best
    second.iterate()


def test_a_damaged_discriminator_is_refused(tmp_path):
    with RunFolder(make_trainer().cfg, tmp_path, resumed=False) as folder:
        make_trainer(folder).save(checkpoint.LAST)
    data = checkpoint.load(tmp_path / "checkpoints" / checkpoint.LAST)
    with pytest.raises(InputError, match="discriminator"):
        checkpoint.load_discriminator(data, 99, "here")
    with pytest.raises(InputError, match="discriminator"):
        checkpoint.load_discriminator({**data, "style": {"discriminator": 3}}, 210, "here")
    assert checkpoint.load_discriminator({**data, "style": None}, 210, "here") is None
