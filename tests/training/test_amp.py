"""Adversarial motion priors: losses by hand, whose reward is whose, what is frozen when, and learning itself."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from puffer_phc.config import BaseConfig, Config, EnvConfig, PolicyConfig, StyleConfig, TrainConfig, resolve
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.policies.discriminator import Discriminator, style_reward
from puffer_phc.training.amp import STYLE_METRICS, StyleLearner, discriminator_loss
from puffer_phc.training.learner import Learner

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "envs"))
from small_env import FAR, short_library
from small_style import make_amp, make_tracking

CPU = torch.device("cpu")
SMALL = StyleConfig(hidden=(16, 8), batch=32, demo_buffer=200, demo_fresh=20, replay_buffer=300, learning_rate=1e-3)


def metric(values, name):
    return float(values[STYLE_METRICS.index(name)])


def make_learner(env, style=SMALL, **train):
    train = {"horizon": 8, "epochs": 2, "minibatches": 2, **train}
    cfg = Config(
        base=BaseConfig(seed=3),
        env=EnvConfig(use_amp_obs=True),
        policy=PolicyConfig(hidden=(16,)),
        style=style,
        train=TrainConfig(**train),
    )
    torch.manual_seed(0)
    policy = ActorCritic(env.num_obs, env.num_actions, cfg.policy, (16,))
    return Learner(resolve(cfg, CPU), env, policy)


# --- defaults and losses ---------------------------------------------------------------------------------------------


def test_defaults_are_humanoid_amps():
    cfg = resolve(Config(), torch.device("cuda")).style
    assert (cfg.hidden, cfg.learning_rate, cfg.reward_scale, cfg.batch) == ((1024, 512), 5e-5, 2.0, 4096)
    assert (cfg.loss_weight, cfg.logit_reg, cfg.grad_penalty, cfg.weight_decay) == (5.0, 0.05, 5.0, 1e-4)
    assert (cfg.demo_buffer, cfg.demo_fresh, cfg.replay_buffer, cfg.replay_keep) == (200_000, 512, 1_000_000, 0.01)
    small = resolve(Config(), CPU).style  # the same, less of it
    assert (small.hidden, small.batch, small.demo_buffer, small.replay_buffer) == ((256, 128), 256, 20_000, 100_000)
    assert small.demo_fresh == 64
    amp = resolve(Config(env=EnvConfig(task="amp")), CPU).style
    assert (amp.steps, amp.root, amp.task_weight, amp.style_weight) == (2, "global", 0.0, 1.0)
    phc = resolve(Config(env=EnvConfig(use_amp_obs=True)), CPU).style
    assert (phc.steps, phc.root, phc.task_weight) == (10, "heading", 1.0)
    assert resolve(Config(env=EnvConfig(task="amp", goal="command")), CPU).style.task_weight == 1.0


@pytest.mark.parametrize("kind", ["amp", "add"])
def test_the_loss_is_the_sum_of_its_parts(kind):
    torch.manual_seed(1)
    net = Discriminator(5, (7, 4), kind)
    agent, replay = torch.randn(6, 5), torch.randn(9, 5)
    demo = torch.zeros(1, 5) if kind == "add" else torch.randn(4, 5) + 1
    cfg = replace(SMALL, kind=kind, grad_penalty=3.0, logit_reg=0.2, weight_decay=0.01, loss_weight=2.0)
    loss, metrics = discriminator_loss(net, agent, replay, demo, cfg)

    def penalty(rows):
        rows = rows.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(net(rows).sum(), rows, create_graph=True)
        return gradient.square().sum(dim=1).mean()

    fake = torch.cat((net(agent), net(replay)))
    real = net(demo)
    prediction = 0.5 * (bce(fake, torch.zeros_like(fake)) + bce(real, torch.ones_like(real)))
    gradient = penalty(demo)
    if kind == "add":
        gradient = 0.5 * (gradient + penalty(torch.cat((agent, replay))))
    squares = [w.square().sum() for w in (net.hidden[0].weight, net.hidden[1].weight, net.logit.weight)]
    expected = 2.0 * (prediction + 0.2 * squares[2] + 3.0 * gradient + 0.01 * sum(squares))
    torch.testing.assert_close(loss, expected)
    by_name = dict(zip(STYLE_METRICS, metrics.tolist(), strict=False))
    assert by_name["loss"] == pytest.approx(expected.item())
    assert by_name["prediction_loss"] == pytest.approx(prediction.item())
    assert by_name["grad_penalty"] == pytest.approx(gradient.item())
    assert by_name["agent_logit"] == pytest.approx(net(agent).mean().item())
    assert by_name["demo_accuracy"] == pytest.approx(float((real > 0).float().mean()))
    own = torch.autograd.grad(loss, list(net.parameters()))
    theirs = torch.autograd.grad(expected, list(net.parameters()))
    for mine, other in zip(own, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_the_penalty_of_a_linear_discriminator_is_its_weights_length():
    net = Discriminator(5, (3,), "amp")
    with torch.no_grad():
        net.hidden[0].bias.fill_(100.0)  # every unit is always on: D is linear
    demo = torch.randn(6, 5, requires_grad=True)
    _, metrics = discriminator_loss(net, torch.randn(4, 5), torch.randn(4, 5), demo, SMALL)
    whole = net.logit.weight @ net.hidden[0].weight
    assert metric(metrics, "grad_penalty") == pytest.approx(whole.square().sum().item(), rel=1e-5)


# --- whose reward ----------------------------------------------------------------------------------------------------


class Feature(torch.nn.Module):
    """A discriminator whose logit is one number of the motion it sees."""

    def __init__(self, index):
        super().__init__()
        self.index, self.norm = index, torch.nn.Identity()

    def forward(self, rows):
        return rows[:, self.index]


def test_each_step_is_rewarded_for_the_state_it_led_to():
    """Row by row against the heights that the simulator had, through ends of episodes of both kinds."""
    env = make_tracking(envs=6, steps=3, library=short_library(6, 9), termination_distance=0.1)
    learner = make_learner(env, replace(SMALL, task_weight=0.0, style_weight=1.0), horizon=16)
    learner.style.discriminator = Feature(0)  # the root's height now
    heights, advance = [], env._advance

    def watched():
        advance()
        heights.append(env.simulator.stepped.pos[:, 0, 2].clone())

    env._advance = watched
    learner.collect()
    assert learner.buffer.terminated.any()
    assert learner.buffer.truncated.any()
    learner.style.add_reward(learner.buffer)
    expected = style_reward(torch.stack(heights))
    torch.testing.assert_close(learner.buffer.rewards, expected)
    assert expected.std() > 1e-4


def test_rewards_are_mixed_before_advantages_with_the_discriminator_before_its_update():
    env = make_tracking(steps=2, termination_distance=FAR)
    learner = make_learner(env, replace(SMALL, task_weight=0.25, style_weight=0.5))
    learner.collect()
    buffer, style = learner.buffer, learner.style
    task = buffer.rewards.clone()
    before = {name: tensor.clone() for name, tensor in style.discriminator.state_dict().items()}
    judged = style_reward(style.discriminator(style.discriminator.norm(buffer.style.flatten(0, 1)))).view_as(task)
    seen = []
    update = learner.ppo.update
    learner.ppo.update = lambda *arguments: (
        seen.append((buffer.rewards.clone(), style.discriminator.state_dict(), arguments[2])),
        update(*arguments),
    )[1]
    learner.learn()
    rewards, _, targets = seen[0]
    torch.testing.assert_close(rewards, 0.25 * task + 0.5 * judged.detach())
    assert targets.std() > 0
    changed = [
        name for name, tensor in style.discriminator.state_dict().items() if not torch.equal(tensor, before[name])
    ]
    assert {"norm.mean", "norm.var", "norm.count", "logit.weight"} <= set(changed)
    assert metric(learner.style_metrics, "reward") == pytest.approx(float(judged.detach().mean()))


def test_statistics_stand_still_while_rewards_and_losses_are_computed():
    env = make_tracking(steps=2)
    learner = make_learner(env)
    learner.collect()
    style, norm = learner.style, learner.style.discriminator.norm
    before = [norm.mean.clone(), norm.var.clone(), norm.count.clone()]
    style.add_reward(learner.buffer)
    for _ in range(3):
        style.step(*style._parts(learner.buffer.style.flatten(0, 1)))
    for old, new in zip(before, (norm.mean, norm.var, norm.count), strict=True):
        assert torch.equal(old, new)
    style.update(learner.buffer)
    assert norm.count > before[2]


# --- demonstrations --------------------------------------------------------------------------------------------------


def test_demonstrations_have_their_whole_past_in_the_clip():
    env = make_tracking(steps=4, library=short_library(9, 30))
    style = make_learner(env).style
    asked = []
    recorded = env.style.recorded
    env.style.recorded = lambda clip_ids, times: (asked.append((clip_ids, times)), recorded(clip_ids, times))[1]
    rows = style._demos.fetch(400)
    clip_ids, times = asked[0]
    assert rows.shape == (400, 4 * 196)
    assert set(clip_ids.tolist()) == {0, 1}
    durations = env.library.duration[clip_ids]
    assert (times >= env.style.reach - 1e-6).all()
    assert (times <= durations + 1e-6).all()
    long = times[clip_ids == 1]
    assert long.min() < 0.15
    assert long.max() > 0.9
    assert torch.equal(rows, recorded(clip_ids, times))


def test_a_clip_shorter_than_the_history_still_demonstrates():
    env = make_tracking(steps=10, library=short_library(6))
    assert make_learner(env).style._demos.fetch(5).isfinite().all()


# --- learning --------------------------------------------------------------------------------------------------------


def fake_style(size, motion):
    """A style history of noise whose recordings are ``motion`` (size,) and noise."""

    def recorded(clip_ids, times):
        return motion + 0.3 * torch.randn(len(times), size)

    library = SimpleNamespace(duration=torch.ones(1), num_clips=1, weights=None, device=CPU, names=("clip",))
    scene = SimpleNamespace(device=CPU, library=library)
    return SimpleNamespace(size=size, reach=0.0, scene=scene, recorded=recorded)


@pytest.mark.parametrize("kind", ["amp", "add"])
def test_the_discriminator_learns_to_tell(kind):
    torch.manual_seed(0)
    style = StyleLearner(replace(SMALL, kind=kind, grad_penalty=0.1), fake_style(6, torch.tensor([1.0] * 6)), 8, seed=0)
    for _ in range(25):
        buffer = SimpleNamespace(style=torch.randn(4, 16, 6) - 0.5, rewards=torch.zeros(4, 16))
        style.add_reward(buffer)
        metrics = style.update(buffer)
    assert metric(metrics, "agent_accuracy") > 0.85
    assert metric(metrics, "demo_accuracy") > 0.9
    assert metric(metrics, "agent_logit") < metric(metrics, "demo_logit")
    good = torch.ones(50, 6) if kind == "amp" else torch.zeros(50, 6)
    assert style._reward(good).mean() > 2 * metric(metrics, "reward")


@pytest.mark.parametrize("make", [make_amp, lambda: make_tracking(steps=1, paired=True)])
def test_an_iteration_of_everything(make):
    env = make()
    learner = make_learner(env, replace(SMALL, kind="amp" if env.style.size == 210 else "add"))
    for _ in range(3):
        learner.collect()
        losses = learner.learn()
    assert losses.isfinite().all()
    assert learner.style_metrics.isfinite().all()
    assert len(learner.style.replay) == 3 * 4 * 8
    assert all(p.grad is None or p.grad.isfinite().all() for p in learner.policy.parameters())


def test_off_leaves_the_tasks_reward():
    env = make_tracking(steps=2)
    learner = make_learner(env, replace(SMALL, kind="off"))
    learner.collect()
    before = learner.buffer.rewards.clone()
    learner.learn()
    assert learner.style is None
    assert torch.equal(learner.buffer.rewards, before)


def test_the_policys_gradient_never_reaches_the_discriminator_nor_the_other_way():
    learner = make_learner(make_tracking(steps=2))
    learner.collect()
    learner.style.add_reward(learner.buffer)
    assert not learner.buffer.rewards.requires_grad
    style = {id(p) for p in learner.style.discriminator.parameters()}
    policy = {id(p) for group in learner.ppo.optimizer.param_groups for p in group["params"]}
    assert not style & policy
    before = [p.clone() for p in learner.policy.parameters()]
    learner.style.update(learner.buffer)
    assert all(torch.equal(a, b) for a, b in zip(before, learner.policy.parameters(), strict=True))


def test_saved_state_goes_on():
    first, second = (make_learner(make_tracking(steps=2, seed=seed)) for seed in (0, 1))
    first.collect()
    first.learn()
    second.style.load_state_dict(first.style.state_dict())
    rows = torch.randn(5, 392)
    torch.testing.assert_close(second.style._reward(rows), first.style._reward(rows))
    assert (
        second.style.optimizer.state_dict()["state"][0]["step"]
        == first.style.optimizer.state_dict()["state"][0]["step"]
    )


def test_rehearsing_changes_nothing():
    learner = make_learner(make_tracking(steps=2))
    before = {name: tensor.clone() for name, tensor in learner.style.discriminator.state_dict().items()}
    learner.style.rehearse(learner.buffer)
    assert all(torch.equal(before[name], now) for name, now in learner.style.discriminator.state_dict().items())
    assert all(p.grad is None for p in learner.style.discriminator.parameters())
