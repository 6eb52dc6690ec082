"""MimicKit's way of learning: hand-made steps of critic and actor, exploration, and what lies beyond the end."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from puffer_phc.config import BaseConfig, Config, EnvConfig, PolicyConfig, RobotConfig, TrainConfig
from puffer_phc.config_checks import check
from puffer_phc.envs.deepmimic import DeepMimicConfig
from puffer_phc.errors import InputError
from puffer_phc.factory import make_env, make_robot
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.policies.normalizer import RunningNorm
from puffer_phc.training.learner import Learner, exploration
from puffer_phc.training.ppo import METRIC_NAMES, Batches, PPOConfig
from puffer_phc.training.separate_ppo import SeparatePPO

OBS, ACTIONS, HORIZON, ENVS = 3, 2, 8, 16
CPU = torch.device("cpu")


def make_policy(log_std=0.0):
    torch.manual_seed(0)
    return ActorCritic(OBS, ACTIONS, PolicyConfig(log_std=log_std, style="mimickit"), (8,))


@torch.no_grad()
def make_buffer(policy, explored=None):
    generator = torch.Generator().manual_seed(1)
    obs = torch.randn(HORIZON, ENVS, OBS, generator=generator)
    never = torch.zeros(HORIZON, ENVS, dtype=torch.bool)
    mean, values, _ = policy(obs, policy.initial_state(HORIZON), never)
    actions = mean + policy.log_std.exp() * torch.randn(mean.shape, generator=generator)
    return SimpleNamespace(
        obs=obs,
        actions=actions,
        log_probs=policy.log_prob(mean, actions),
        values=values,
        fresh=never,
        states=policy.initial_state(ENVS)[None],
        horizon=HORIZON,
        segment=HORIZON,
        explored=torch.ones(HORIZON, ENVS) if explored is None else explored,
    )


def update(ppo, buffer, advantages=None, returns=None):
    zeros = torch.zeros_like(buffer.values)
    advantages = zeros if advantages is None else advantages
    metrics = ppo.update(buffer, advantages, zeros if returns is None else returns, torch.Generator().manual_seed(0))
    return dict(zip(METRIC_NAMES, metrics.tolist(), strict=True))


def weights(*modules):
    return [parameter.detach().clone() for module in modules for parameter in module.parameters()]


def same(first, second):
    return [torch.equal(a, b) for a, b in zip(first, second, strict=True)]


SGD = {"separate": True, "optimizer": "sgd", "value_clip": 0.0, "max_grad_norm": 0.0, "action_bound": 1.0}


def test_a_pass_changes_only_its_own_network():
    for rates, moved in (((0.1, 0.0), "critic"), ((0.0, 0.1), "actor")):
        policy = make_policy()
        ppo = SeparatePPO(policy, PPOConfig(critic_learning_rate=rates[0], learning_rate=rates[1], **SGD))
        critic, actor = weights(policy.critic, policy.value_head), weights(policy.actor, policy.mean_head)
        buffer = make_buffer(policy)
        update(ppo, buffer, torch.randn(HORIZON, ENVS), torch.randn(HORIZON, ENVS))
        stayed = same(critic, weights(policy.critic, policy.value_head))
        assert stayed == [moved != "critic"] * len(stayed)
        stayed = same(actor, weights(policy.actor, policy.mean_head))
        assert stayed == [moved != "actor"] * len(stayed)


def test_two_steps_of_the_critic_by_hand():
    """Whole-rollout batches: ``v = 0.9 v + g``, ``w -= rate v`` with the gradient of the mean squared error."""
    policy, twin = make_policy(), make_policy()
    buffer, returns = make_buffer(policy), torch.randn(HORIZON, ENVS)
    cfg = PPOConfig(critic_learning_rate=0.05, critic_epochs=2, critic_minibatches=1, **SGD)
    ppo = SeparatePPO(policy, cfg)
    metrics = update(ppo, buffer, returns=returns)
    own = [*twin.critic.parameters(), *twin.value_head.parameters()]
    speed, losses = [torch.zeros_like(p) for p in own], []
    for _ in range(2):
        value = twin.value(buffer.obs.flatten(0, 1), twin.initial_state(HORIZON * ENVS))
        loss = (returns.flatten() - value).square().mean()
        losses.append(loss.item())
        for p, v, g in zip(own, speed, torch.autograd.grad(loss, own), strict=True):
            v.mul_(0.9).add_(g)
            p.data.sub_(0.05 * v)
    for mine, theirs in zip(own, weights(policy.critic, policy.value_head), strict=True):
        torch.testing.assert_close(mine.detach(), theirs)
    assert metrics["value_loss"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_advantages_are_standardised_over_the_samples_and_clipped():
    generator = torch.Generator().manual_seed(0)
    advantages = 3.0 + 2.0 * torch.randn(HORIZON, ENVS, generator=generator)
    explored = (torch.rand(HORIZON, ENVS, generator=generator) < 0.6).float()
    ppo = SeparatePPO(make_policy(), PPOConfig(advantage_clip=1.5, **SGD))
    chosen = advantages[explored > 0].numpy().astype(float)
    expected = np.clip((advantages.numpy() - chosen.mean()) / chosen.std(ddof=1), -1.5, 1.5)
    np.testing.assert_allclose(ppo.standardised(advantages, explored), expected, atol=1e-5)
    assert ppo.standardised(torch.ones(2, 2), torch.ones(2, 2)).tolist() == [[0.0] * 2] * 2
    assert ppo.standardised(torch.ones(2, 2), torch.zeros(2, 2)).isfinite().all()


def test_means_say_nothing_about_the_actor():
    """The loss of a minibatch with means in it is the loss of its samples alone."""
    policy = make_policy()
    ppo = SeparatePPO(policy, PPOConfig(bound_coef=280.0, action_coef=0.1, entropy_coef=0.01, **SGD))
    with torch.no_grad():
        policy.mean_head.weight.mul_(200)  # means beyond the bounds
    explored = (torch.rand(HORIZON, ENVS, generator=torch.Generator().manual_seed(2)) < 0.5).float()
    buffer = make_buffer(policy, explored)
    buffer.log_probs += 0.3 * torch.randn(HORIZON, ENVS)
    batches = Batches(policy, buffer, torch.randn(HORIZON, ENVS), buffer.values)
    flags = batches.sequences(explored)
    loss, metrics = ppo.actor_loss(batches.take(torch.arange(batches.count)), flags)
    samples = flags[:, 0].nonzero()[:, 0]
    expected, alone = ppo.actor_loss(batches.take(samples), flags[samples])
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(metrics, alone)
    assert metrics[METRIC_NAMES.index("bound_loss")] > 0

    batch = batches.take(samples)
    with torch.no_grad():
        mean = policy.means(batch.obs, batch.state, batch.fresh)[0][:, 0]
        ratio = (policy.log_prob(mean, batch.action[:, 0]) - batch.log_prob[:, 0]).exp()
        gain = torch.minimum(ratio * batch.advantage[:, 0], ratio.clamp(0.7, 1.3) * batch.advantage[:, 0])
        beyond = 10.0 * (mean.abs() - 1.0).clamp_min(0.0).square().sum(dim=1)
        wanted = (beyond * 280.0 / (10.0 * ACTIONS) - gain + 0.1 * mean.square().sum(dim=1)).mean()
    torch.testing.assert_close(loss, wanted - 0.01 * policy.entropy())


def test_preferred_actions_become_means():
    policy = make_policy(log_std=-1.0)
    rates = {"learning_rate": 1e-2, "critic_learning_rate": 1e-2}
    cfg = PPOConfig(separate=True, critic_minibatches=4, value_clip=0.0, **rates)
    ppo = SeparatePPO(policy, cfg)
    target, losses = torch.tensor([0.5, -0.4]), []
    for _ in range(25):
        buffer = make_buffer(policy)
        better = -(buffer.actions - target).square().sum(dim=-1)
        losses.append(update(ppo, buffer, better, torch.full_like(better, 0.7))["value_loss"])
    with torch.no_grad():
        mean, _, _ = policy(buffer.obs, policy.initial_state(HORIZON), buffer.fresh)
    assert (mean - target).abs().mean() < 0.15
    assert losses[-1] < 0.1 * losses[0]


def test_restoring_keeps_momentum_and_the_rates_of_this_run():
    policy = make_policy()
    first = SeparatePPO(policy, PPOConfig(**SGD))
    update(first, make_buffer(policy), torch.randn(HORIZON, ENVS))
    second = SeparatePPO(policy, PPOConfig(learning_rate=0.5, **SGD))
    second.restore(first.optimizer.state_dict(), first.learning_rate, first.updates, [])
    assert second.updates == 1
    assert [float(group["lr"]) for group in second.optimizer.param_groups] == pytest.approx([1e-4, 0.5])
    buffers = zip(first.optimizer.state.values(), second.optimizer.state.values(), strict=True)
    assert all(torch.equal(a["momentum_buffer"], b["momentum_buffer"]) for a, b in buffers)


# --- exploration, statistics -----------------------------------------------------------------------------------------


def test_the_probability_of_exploring_falls_linearly():
    train = TrainConfig(separate=True, exp_prob_begin=1.0, exp_prob_end=0.2, exp_anneal_samples=1000)
    assert [exploration(train, n) for n in (0, 250, 1000, 5000)] == pytest.approx([1.0, 0.8, 0.2, 0.2])
    assert exploration(replace(train, exp_anneal_samples=0), 10**9) == 1.0


def test_settled_statistics_stay():
    norm = RunningNorm(2)
    norm.settled = 100
    norm.merge(torch.ones(2), torch.ones(2), torch.tensor(80.0))
    norm.merge(torch.zeros(2), torch.ones(2), torch.tensor(80.0))
    mean, var = norm.mean.clone(), norm.var.clone()
    torch.testing.assert_close(mean, torch.full((2,), 0.5))
    norm.merge(torch.full((2,), 50.0), torch.full((2,), 9.0), torch.tensor(1000.0))
    assert torch.equal(norm.mean, mean)
    assert torch.equal(norm.var, var)
    assert norm.count.item() == 160


def test_options_of_the_other_way_are_refused():
    for option in ({"exp_prob_end": 0.5}, {"advantage_clip": 4.0}, {"action_coef": 0.1}):
        with pytest.raises(InputError, match="separate"):
            check(Config(train=TrainConfig(**option)))
        check(Config(train=TrainConfig(separate=True, **option)))
    with pytest.raises(InputError, match="l2_init"):
        check(Config(train=TrainConfig(separate=True, l2_init_coef=0.1)))


# --- in the environment ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deepmimic():
    """A learner on a clip of five control steps that does not loop, so that successes and time-outs are frequent."""
    cfg = Config(
        base=BaseConfig(device="cpu", threads=1),
        env=EnvConfig(task="deepmimic", num_envs=8, action_mode="absolute", adaptive=0.0, episode_steps=4),
        robot=RobotConfig(kind="amp_humanoid", gains="mimickit", action_bounds="mimickit"),
        deepmimic=DeepMimicConfig(termination_distance=1e6, floor_contact=False),
        policy=PolicyConfig(hidden=(16,), style="mimickit", log_std=-3.0),
        train=TrainConfig(
            epochs=2,
            horizon=16,
            reward_scale=1.0,
            gamma=0.9,
            exp_prob_begin=0.5,
            exp_prob_end=0.5,
            learning_rate=1e-3,
            **SGD,
        ),
    )
    robot = make_robot(cfg)
    state = robot.default_state()
    root = torch.tensor([[0.01 * i, 0.0, 0.9] for i in range(6)], dtype=torch.float64)
    clip = MotionClip("stand", 30.0, robot.body_names, root, state.local_rot.double().repeat(6, 1, 1))
    env = make_env(cfg, robot, MotionLibrary([clip], robot), 8, CPU, 0)
    torch.manual_seed(0)
    return Learner(cfg, env, ActorCritic(env.num_obs, env.num_actions, cfg.policy, cfg.policy.hidden))


def test_success_leaves_nothing_beyond_and_time_does(deepmimic):
    kinds = []
    step = deepmimic.env.step

    def watched(action):
        result = step(action)
        env = deepmimic.env
        kinds.append((env.succeeded.clone(), env.truncated & ~env.succeeded, env.terminated.clone()))
        return result

    deepmimic.env.step = watched
    stats = deepmimic.collect()
    deepmimic.env.step = step
    success, time, failure = (torch.stack(flags) for flags in zip(*kinds, strict=True))
    buffer = deepmimic.buffer
    assert success.any()
    assert time.any()
    assert not failure.any()
    assert torch.equal(buffer.terminated, success)
    assert torch.equal(buffer.truncated, time)
    assert stats.successes.item() == (success | time).sum()
    _, returns = deepmimic.advantages()
    torch.testing.assert_close(returns[success], buffer.rewards[success])
    beyond = buffer.final_values[time]
    torch.testing.assert_close(returns[time], buffer.rewards[time] + 0.9 * beyond)
    assert beyond.abs().min() > 0


def test_half_of_the_actions_are_means(deepmimic):
    deepmimic.collect()
    buffer, policy = deepmimic.buffer, deepmimic.policy
    with torch.no_grad():
        mean, _ = policy.actor_step(buffer.obs.flatten(0, 1), policy.initial_state(128), torch.zeros(128).bool())
    apart = (buffer.actions.flatten(0, 1) - mean).abs().amax(dim=1)
    explored = buffer.explored.flatten() > 0
    assert 0.3 < explored.float().mean() < 0.7
    assert apart[~explored].max() < 1e-6
    assert apart[explored].min() > 1e-3
    deepmimic.learn()
    assert all(parameter.isfinite().all() for parameter in policy.parameters())
