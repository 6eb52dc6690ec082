"""A rollout of a real environment, checked against stepping through what it saw once more."""

import pytest
import torch

from gymtorch.listed import listed_in_fixed_size
from puffer_phc.envs import humanoid_phc
from puffer_phc.training import rollout
from puffer_phc.training.rollout import RolloutBuffer, Runner

KINDS = ("mlp", "lstm", "lstm_critic", "mlp, lists of fixed size")


class Witness:
    """Writes down what the environment of a learner shows in every step."""

    def __init__(self, learner):
        self.learner = learner
        self.first_obs = learner.env.obs.clone()
        self.obs, self.final_obs, self.rewards, self.done = [], [], [], []
        self.real_step, learner.env.step = learner.env.step, self.step

    def step(self, action):
        result = self.real_step(action)
        env = self.learner.env
        self.obs.append(env.obs.clone())
        self.final_obs.append(env.final_obs.clone())
        self.rewards.append(env.reward.clone())
        self.done.append(env.done.clone())
        return result


@pytest.fixture(scope="module", params=KINDS)
def played(request, make_learner):
    """The second of two rollouts, so that state, episodes and statistics carry over into it."""
    kind, _, fixed = request.param.partition(", ")
    learner = make_learner(kind)
    with pytest.MonkeyPatch.context() as patch:
        if fixed:  # as on a GPU
            patch.setattr(humanoid_phc, "listed", listed_in_fixed_size)
            patch.setattr(rollout, "listed", listed_in_fixed_size)
        learner.collect()
        learner.learn()
        state, fresh = learner.runner._state.clone(), learner.env.done.clone()
        witness = Witness(learner)
        stats = learner.collect()
    return learner, witness, state, fresh, stats


def test_the_rollout_has_both_kinds_of_ends(played):
    buffer = played[0].buffer
    assert buffer.terminated.any()
    assert buffer.truncated.any()
    assert not (buffer.terminated & buffer.truncated).any()
    assert buffer.fresh.any()
    assert not buffer.fresh.all()


@torch.no_grad()
def test_replaying_gives_the_stored_values(played):
    """Values, log densities and states follow from the stored observations; next values from what came after."""
    learner, witness, state, fresh, _ = played
    buffer, policy, norm = learner.buffer, learner.policy, learner.policy.obs_norm
    raw = [witness.first_obs, *witness.obs]
    next_values = buffer.next_values()
    for step in range(buffer.horizon):
        torch.testing.assert_close(buffer.obs[step], norm(raw[step]))
        assert torch.equal(buffer.fresh[step], fresh), step
        if policy.recurrent and step % buffer.segment == 0:
            torch.testing.assert_close(buffer.states[step // buffer.segment], state)
        mean, value, state = policy.step(buffer.obs[step], state, fresh)
        torch.testing.assert_close(buffer.values[step], value)
        # A sum of 69 terms whose parts nearly cancel: numbers of about 100, in float32.
        expected = policy.log_prob(mean, buffer.actions[step])
        torch.testing.assert_close(buffer.log_probs[step], expected, atol=1e-4, rtol=1e-6)
        assert torch.equal(buffer.rewards[step], witness.rewards[step])

        fresh = witness.done[step]
        assert torch.equal(buffer.terminated[step] | buffer.truncated[step], fresh)
        never = torch.zeros_like(fresh)
        _, at_the_end, _ = policy.step(norm(witness.final_obs[step]), state, never)
        _, going_on, _ = policy.step(norm(raw[step + 1]), state, fresh)
        expected = torch.where(buffer.truncated[step], at_the_end, going_on)
        alive = ~buffer.terminated[step]  # ignored where an episode failed
        torch.testing.assert_close(next_values[step][alive], expected[alive])
        ends = buffer.truncated[step]
        assert not torch.isclose(at_the_end[ends], going_on[ends]).any(), "both values agree: this shows nothing"


def test_values_of_the_next_row_where_an_episode_goes_on(played):
    buffer = played[0].buffer
    going_on = ~(buffer.terminated | buffer.truncated)[:-1]
    torch.testing.assert_close(buffer.next_values()[:-1][going_on], buffer.values[1:][going_on])


def test_actions_scatter_as_the_policy_says(played):
    """Sampled, not clipped; their scaled distances from the means have unit variance."""
    learner, _, state, _, _ = played
    buffer, policy = learner.buffer, learner.policy
    means = []
    with torch.no_grad():
        for step in range(buffer.horizon):
            mean, _, state = policy.step(buffer.obs[step], state, buffer.fresh[step])
            means.append(mean)
    noise = (buffer.actions - torch.stack(means)) / policy.log_std.exp()
    assert noise.mean().abs() < 0.03  # 8832 draws
    assert noise.std().item() == pytest.approx(1.0, abs=0.03)


def test_counted_episodes(played):
    learner, _, _, _, stats = played
    buffer = learner.buffer
    assert stats.episodes.item() == (buffer.terminated | buffer.truncated).sum()
    assert stats.successes.item() == buffer.truncated.sum()
    assert stats.reward.item() == pytest.approx(buffer.rewards.mean(1).sum().item(), rel=1e-5)


def test_moments_are_those_of_the_observations_seen(played):
    learner, witness, _, _, _ = played
    raw = torch.stack([witness.first_obs, *witness.obs[:-1]]).flatten(0, 1).double()
    mean, var, count = learner.runner.moments.result()
    assert count == len(raw)
    torch.testing.assert_close(mean.double(), raw.mean(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(var.double(), raw.var(0, correction=0), atol=1e-3, rtol=1e-3)


def test_lengths_and_returns_of_ended_episodes(make_learner):
    """From the first rollout: every episode that ends in it also began in it."""
    learner = make_learner()
    stats = learner.collect()
    buffer = learner.buffer
    lengths = returns = 0.0
    for env in range(learner.env.num_envs):
        start = 0
        for step in range(buffer.horizon):
            if buffer.terminated[step, env] or buffer.truncated[step, env]:
                lengths += step + 1 - start
                returns += buffer.rewards[start : step + 1, env].sum().item()
                start = step + 1
    assert stats.lengths.item() == lengths
    assert stats.returns.item() == pytest.approx(returns, rel=1e-5)


def test_the_first_steps_are_fresh(make_learner):
    learner = make_learner("lstm")
    learner.collect()
    assert learner.buffer.fresh[0].all()
    assert not learner.buffer.states[0].any()


def test_statistics_wait_for_the_update(make_learner):
    learner = make_learner()
    before = learner.policy.obs_norm.mean.clone()
    learner.collect()
    assert torch.equal(learner.policy.obs_norm.mean, before)
    learner.learn()
    assert not torch.equal(learner.policy.obs_norm.mean, before)
    assert learner.policy.obs_norm.count.item() == learner.env.num_envs * (1 + learner.buffer.horizon)


def test_a_new_normaliser_starts_from_the_first_states_a_known_one_stays(make_learner):
    learner = make_learner()
    norm, env = learner.policy.obs_norm, learner.env
    assert norm.count.item() == env.num_envs
    torch.testing.assert_close(norm.mean, env.obs.mean(0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(norm.var, env.obs.var(0, correction=0), atol=1e-4, rtol=1e-3)

    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    Runner(env, learner.policy, RolloutBuffer(env, learner.policy, 4, 4), seed=5)
    for name, tensor in norm.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_rewards_are_scaled_for_values_near_one(make_learner):
    """A rollout without ends, reward 1 and value 1 everywhere has no advantage."""
    learner = make_learner()
    buffer = learner.buffer
    for tensor in (buffer.rewards, buffer.values, buffer.final_values, buffer.last_value):
        tensor.fill_(1.0)
    advantages, targets = learner.advantages()
    torch.testing.assert_close(advantages, torch.zeros_like(advantages), atol=1e-6, rtol=0)
    torch.testing.assert_close(targets, torch.ones_like(targets))
