"""The PPO update: hand-made losses, the learning rate, the order of samples, and learning itself."""

import math
from types import SimpleNamespace

import pytest
import torch

from puffer_phc.policies.actor_critic import ActorCritic, PolicyConfig
from puffer_phc.training.ppo import LR_FACTOR, METRIC_NAMES, PPO, Batch, Batches, PPOConfig

KINDS = ("mlp", "lstm", "lstm_critic")
OBS, ACTIONS = 3, 2


def index(name):
    return METRIC_NAMES.index(name)


def make_policy(mean=0.0, value=0.0, **options):
    """A policy whose mean and value are the same for every observation until it learns."""
    torch.manual_seed(0)
    policy = ActorCritic(OBS, ACTIONS, PolicyConfig(**{"log_std": 0.0, **options}), (8,))
    for head, bias in ((policy.mean_head, mean), (policy.value_head, value)):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.constant_(head.bias, bias)
    return policy


@torch.no_grad()
def replay(policy, obs):
    """Means (T, N, A) and values (T, N) of observations (T, N, O) that begin with a zero state."""
    envs = obs.shape[1]
    never = torch.zeros(envs, len(obs), dtype=torch.bool)
    mean, values, _ = policy(obs.transpose(0, 1), policy.initial_state(envs), never)
    return mean.transpose(0, 1), values.T


@torch.no_grad()
def make_buffer(policy, horizon=8, envs=16, seed=0):
    """A rollout in a world of random observations."""
    generator = torch.Generator().manual_seed(seed)
    obs = torch.randn(horizon, envs, OBS, generator=generator)
    mean, values = replay(policy, obs)
    actions = mean + policy.log_std.exp() * torch.randn(mean.shape, generator=generator)
    return SimpleNamespace(
        obs=obs,
        actions=actions,
        log_probs=policy.log_prob(mean, actions),
        values=values,
        fresh=torch.zeros(horizon, envs, dtype=torch.bool),
        states=policy.initial_state(envs)[None],
        horizon=horizon,
        segment=horizon,
    )


def update(ppo, buffer, advantages=None, returns=None, seed=0):
    zeros = torch.zeros_like(buffer.values)
    advantages = zeros if advantages is None else advantages
    returns = buffer.values.clone() if returns is None else returns
    metrics = ppo.update(buffer, advantages, returns, torch.Generator().manual_seed(seed))
    return dict(zip(METRIC_NAMES, metrics.tolist(), strict=True))


def make_batch(policy, ratio, advantage, value=None, returns=None):
    """Samples with given importance ratios (S,): the old density is the new one divided by the ratio."""
    count = len(ratio)
    zeros = torch.zeros(count, 1)
    action = torch.zeros(count, 1, ACTIONS)
    with torch.no_grad():
        mean, _, _ = policy(torch.zeros(count, 1, OBS), torch.zeros(count, 0), zeros.bool())
        log_prob = policy.log_prob(mean, action) - torch.tensor(ratio)[:, None].log()
    column = lambda numbers: zeros if numbers is None else torch.tensor(numbers)[:, None]  # noqa: E731
    return Batch(
        obs=torch.zeros(count, 1, OBS),
        action=action,
        log_prob=log_prob,
        value=column(value),
        advantage=column(advantage),
        returns=column(returns),
        fresh=zeros.bool(),
        state=torch.zeros(count, 0),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_ratio_of_a_real_rollout_is_one(make_learner, kind):
    learner = make_learner(kind)
    for _ in range(3):  # later rollouts begin in the middle of episodes, with statistics that have moved
        learner.collect()
        assert learner.buffer.fresh[1:].any()
        assert learner.learn()[index("ratio_error_first")].item() < 1e-3


def test_a_wrong_ratio_would_show(make_learner):
    learner = make_learner()
    learner.collect()
    learner.buffer.obs.mul_(1.1)  # as statistics that changed between rollout and update would do
    assert learner.learn()[index("ratio_error_first")].item() > 1e-3


@pytest.mark.parametrize(
    ("advantage", "surrogates"),
    [
        ([1.0, -1.0], (1.3, -0.7)),  # good and likelier, bad and rarer: both beyond the trusted range
        ([-1.0, 1.0], (-1.5, 0.5)),  # the pessimistic, unclipped side
    ],
)
def test_clipped_surrogate(advantage, surrogates):
    policy = make_policy()
    ppo, batch = PPO(policy, PPOConfig(clip=0.3)), make_batch(policy, [1.5, 0.5], advantage)
    ppo.standardise_(batch.advantage)
    loss, metrics = ppo.loss(batch)
    unit = 1 / math.sqrt(2)  # +-1 scaled by the sample deviation
    assert metrics[index("policy_loss")].item() == pytest.approx(-sum(surrogates) / 2 * unit, rel=1e-4)
    assert metrics[index("clip_fraction")].item() == 1.0
    kl = (0.5 - math.log(1.5) - 0.5 - math.log(0.5)) / 2
    assert metrics[index("approx_kl")].item() == pytest.approx(kl, rel=1e-4)
    assert metrics[index("ratio_error_first")].item() == pytest.approx(0.5, rel=1e-4)
    assert loss.item() == pytest.approx(metrics[index("policy_loss")].item(), rel=1e-4)


def test_advantages_are_standardised_for_each_agent():
    ppo = PPO(make_policy(), PPOConfig())
    alone = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    both = torch.stack((alone, -5.0 * alone), dim=-1)
    wanted = (alone - alone.mean()) / alone.std()
    ppo.standardise_(alone)
    ppo.standardise_(both)
    torch.testing.assert_close(alone, wanted)
    torch.testing.assert_close(both, torch.stack((wanted, -wanted), dim=-1))
    single = torch.tensor([[3.0]])
    ppo.standardise_(single)
    assert single.tolist() == [[3.0]]


@pytest.mark.parametrize("clip", [0.2, 0.0])
def test_value_loss(clip):
    """New value 1; old ones 0.5, 0.9 and 2: held at 0.7, 1 and 1.8 when clipped to 0.2."""
    policy = make_policy(value=1.0)
    batch = make_batch(policy, [1.0, 1.0, 1.0], [0.0, 0.0, 0.0], value=[0.5, 0.9, 2.0], returns=[1.0, 3.0, 0.0])
    loss, metrics = PPO(policy, PPOConfig(value_clip=clip, value_coef=2.0)).loss(batch)
    expected = (0.09 + 4.0 + 3.24) / 3 if clip else (0.0 + 4.0 + 1.0) / 3
    assert metrics[index("value_loss")].item() == pytest.approx(expected, rel=1e-5)
    assert loss.item() == pytest.approx(2 * expected, rel=1e-5)


def test_bound_loss_pulls_means_back():
    policy = make_policy(mean=2.0)
    cfg = PPOConfig(bound_coef=10.0, value_coef=0.0, action_bound=0.9, learning_rate=0.05, target_kl=0.0)
    ppo = PPO(policy, cfg)
    loss, metrics = ppo.loss(make_batch(policy, [1.0, 1.0], [0.0, 0.0]))
    assert metrics[index("bound_loss")].item() == pytest.approx(1.1**2, rel=1e-5)
    loss.backward()
    # d/db of the mean over samples and actions of (b - 0.9)^2, ten times
    torch.testing.assert_close(policy.mean_head.bias.grad, torch.full((ACTIONS,), 10 * 2 * 1.1 / ACTIONS))
    buffer = make_buffer(policy)
    for _ in range(10):
        update(ppo, buffer)
    assert replay(policy, buffer.obs)[0].abs().max() < 1.2


def test_means_within_the_bound_are_left_alone():
    policy = make_policy(mean=-0.85)
    _, metrics = PPO(policy, PPOConfig()).loss(make_batch(policy, [1.0, 1.0], [0.0, 0.0]))
    assert metrics[index("bound_loss")].item() == 0.0


def test_small_steps_raise_the_learning_rate_to_its_limit():
    policy = make_policy()
    ppo = PPO(policy, PPOConfig(epochs=1, minibatches=2, learning_rate=1e-4, target_kl=100.0, max_learning_rate=4e-4))
    buffer = make_buffer(policy)
    rates = []
    for _ in range(3):
        update(ppo, buffer)
        rates.append(ppo.learning_rate.item())
    assert rates == pytest.approx([1e-4 * LR_FACTOR**2, 4e-4, 4e-4], rel=1e-5)


def test_large_steps_lower_it_to_its_limit():
    policy = make_policy()
    cfg = PPOConfig(
        epochs=1, minibatches=1, learning_rate=1e-2, target_kl=1e-9, min_learning_rate=4e-3, max_learning_rate=1.0
    )
    ppo = PPO(policy, cfg)
    buffer = make_buffer(policy)
    buffer.log_probs -= 0.5  # a policy that has moved: KL exp(0.5) - 1.5 = 0.15
    rates = []
    for _ in range(4):
        update(ppo, buffer)
        rates.append(ppo.learning_rate.item())
        assert ppo.optimizer.param_groups[0]["lr"].item() == rates[-1]
    assert rates == pytest.approx([1e-2 / 1.5, 1e-2 / 1.5**2, 4e-3, 4e-3], rel=1e-5)


def test_without_a_target_the_rate_is_fixed_after_warm_up():
    policy = make_policy()
    ppo = PPO(policy, PPOConfig(learning_rate=8e-4, target_kl=0.0, warmup_updates=3))
    buffer = make_buffer(policy)
    applied = []
    for _ in range(5):
        update(ppo, buffer)
        applied.append(ppo.optimizer.param_groups[0]["lr"].item())
    assert applied == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 8e-4], rel=1e-5)
    assert ppo.learning_rate.item() == pytest.approx(8e-4)


def test_a_rate_of_zero_moves_nothing():
    """The optimiser reads the very tensor that is adapted."""
    policy = make_policy()
    before = [parameter.detach().clone() for parameter in policy.parameters()]
    ppo = PPO(policy, PPOConfig(learning_rate=0.0, target_kl=0.0))
    buffer = make_buffer(policy)
    update(ppo, buffer, torch.randn(8, 16), torch.randn(8, 16))
    assert all(torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True))
    ppo.learning_rate.fill_(1e-3)
    update(ppo, buffer, torch.randn(8, 16), torch.randn(8, 16))
    assert not all(torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True))


def test_restoring_keeps_the_shared_rate(tmp_path):
    policy = make_policy()
    cfg = PPOConfig(epochs=1, learning_rate=1e-3, target_kl=100.0, max_learning_rate=1.0, l2_init_coef=0.1)
    ppo, buffer = PPO(policy, cfg), make_buffer(policy)
    update(ppo, buffer, torch.randn(8, 16))
    torch.save([ppo.optimizer.state_dict(), ppo.learning_rate, ppo.updates, ppo.initial], tmp_path / "state.pt")

    other = PPO(policy, cfg)
    other.restore(*torch.load(tmp_path / "state.pt", weights_only=True))
    assert (other.updates, other.learning_rate.item()) == (1, ppo.learning_rate.item())
    assert all(torch.equal(a, b) for a, b in zip(other.initial, ppo.initial, strict=True))
    for own, saved in zip(other.optimizer.state.values(), ppo.optimizer.state.values(), strict=True):
        assert all(torch.equal(own[key], saved[key]) for key in ("step", "exp_avg", "exp_avg_sq"))
    update(other, buffer)
    assert other.optimizer.param_groups[0]["lr"].item() == other.learning_rate.item()
    assert other.learning_rate.item() > ppo.learning_rate.item()


def test_pull_towards_the_initial_parameters():
    policy = make_policy()
    ppo = PPO(policy, PPOConfig(l2_init_coef=100.0, value_coef=0.0, bound_coef=0.0, target_kl=0.0, learning_rate=0.02))
    with torch.no_grad():
        policy.mean_head.bias += 0.5  # mean square 0.25
        policy.value_head.bias += 1.0
    buffer = make_buffer(policy)
    loss, metrics = ppo.loss(make_batch(policy, [1.0, 1.0], [0.0, 0.0]))
    assert metrics[index("l2_init_loss")].item() == pytest.approx(1.25, rel=1e-5)
    assert loss.item() == pytest.approx(125.0, rel=1e-5)
    for _ in range(5):
        update(ppo, buffer)
    assert update(ppo, buffer)["l2_init_loss"] < 0.2


@pytest.mark.parametrize(("coef", "sign"), [(0.1, 1), (0.0, 0)])
def test_entropy_bonus_widens_trained_noise(coef, sign):
    policy = make_policy(learn_std=True, log_std=-1.0)
    ppo = PPO(policy, PPOConfig(entropy_coef=coef, value_coef=0.0, target_kl=0.0, learning_rate=1e-2))
    update(ppo, make_buffer(policy))
    assert torch.equal(torch.sign(policy.log_std.detach() + 1.0), torch.full((ACTIONS,), float(sign)))


def test_gradients_are_scaled_down_to_their_limit():
    policy = make_policy()
    ppo = PPO(policy, PPOConfig(max_grad_norm=1e-3, epochs=1, minibatches=1, target_kl=0.0))
    buffer = make_buffer(policy)
    metrics = update(ppo, buffer, returns=buffer.values + 50)
    assert metrics["grad_norm"] > 1.0  # as it was
    norm = torch.stack([p.grad.norm() for p in policy.parameters() if p.grad is not None]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize(("kind", "length"), [("mlp", 1), ("lstm", 4)])
@pytest.mark.parametrize("minibatches", [1, 3, 4])
def test_every_sample_once_per_epoch_and_time_in_order(kind, length, minibatches):
    horizon, envs = 8, 3
    policy = ActorCritic(OBS, ACTIONS, PolicyConfig(kind=kind, lstm_size=2), (8,))
    when = torch.arange(horizon)[:, None].expand(horizon, envs).float()
    who = torch.arange(envs).expand(horizon, envs).float()
    states = torch.zeros(horizon // 4, envs, policy.state_size)
    states += 10.0 * torch.arange(horizon // 4)[:, None, None] + torch.arange(envs)[:, None]
    buffer = SimpleNamespace(
        obs=torch.stack((when, who, 100 * who + when), -1),
        actions=torch.stack((when, who), -1),
        log_probs=who,
        values=when,
        fresh=when % 2 == 0,
        states=states,
        segment=4,
    )
    batches = Batches(policy, buffer, 100 * who + when, when - who)
    assert batches.count == horizon * envs // length
    seen = []
    for ids in torch.randperm(batches.count).chunk(minibatches):
        batch = batches.take(ids)
        assert batch.obs.shape == (len(ids), length, OBS)
        for times in batch.value.long().tolist():
            assert times == list(range(times[0], times[0] + length))
            assert times[0] % length == 0
        torch.testing.assert_close(batch.obs[..., 2], batch.advantage)
        torch.testing.assert_close(batch.action, batch.obs[..., :2])
        torch.testing.assert_close(batch.returns, batch.value - batch.log_prob)
        assert torch.equal(batch.fresh, batch.value % 2 == 0)
        if policy.recurrent:  # the state of that environment at the first step of the sequence
            expected = 10 * (batch.value[:, 0] // 4) + batch.log_prob[:, 0]
            torch.testing.assert_close(batch.state, expected[:, None].expand(-1, policy.state_size))
        seen += batch.advantage.flatten().long().tolist()
    assert sorted(seen) == sorted((100 * who + when).flatten().long().tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_preferred_actions_become_means(kind):
    """The closer an action to (0.5, -0.4), the better; values learn their targets at the same time."""
    target = torch.tensor([0.5, -0.4])
    policy = make_policy(kind=kind, lstm_size=8, log_std=-1.0)
    ppo = PPO(policy, PPOConfig(learning_rate=5e-3, target_kl=0.04))
    errors = []
    for seed in range(20):
        buffer = make_buffer(policy, seed=seed)
        metrics = update(ppo, buffer, -(buffer.actions - target).square().sum(-1), torch.full((8, 16), 0.7), seed)
        errors.append(metrics["value_loss"])
        assert metrics["ratio_error_first"] < 1e-3
    mean, value = replay(policy, buffer.obs)
    assert (mean - target).abs().mean() < 0.15
    assert (value - 0.7).abs().mean() < 0.15
    assert errors[-1] < 0.1 * errors[0]


def test_a_minibatch_of_one_sample_does_no_harm():
    """One humanoid, four steps, four minibatches: a deviation of one advantage is no number."""
    policy = make_policy()
    update(PPO(policy, PPOConfig()), make_buffer(policy, horizon=4, envs=1), torch.randn(4, 1))
    assert all(parameter.isfinite().all() for parameter in policy.parameters())
