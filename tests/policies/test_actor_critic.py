"""Networks: shapes, recurrent state, distribution, initialisation and size."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal

from puffer_phc.policies.actor_critic import PHC_HIDDEN, ActorCritic, AlignedLinear, PolicyConfig, Trunk

KINDS = ("mlp", "lstm", "lstm_critic")
OBS, ACTIONS, LSTM = 7, 3, 5


def make(kind="mlp", hidden=(16, 12), **options):
    torch.manual_seed(0)
    return ActorCritic(OBS, ACTIONS, PolicyConfig(kind=kind, lstm_size=LSTM, **options), hidden)


def random_input(sequences, length, policy):
    generator = torch.Generator().manual_seed(1)
    obs = torch.randn(sequences, length, OBS, generator=generator)
    state = torch.randn(sequences, policy.state_size, generator=generator)
    fresh = torch.rand(sequences, length, generator=generator) < 0.3
    return obs, state, fresh


@pytest.mark.parametrize(("kind", "state_size"), [("mlp", 0), ("lstm", 4 * LSTM), ("lstm_critic", 2 * LSTM)])
def test_shapes(kind, state_size):
    policy = make(kind)
    assert policy.state_size == state_size
    assert policy.recurrent == (state_size > 0)
    assert policy.initial_state(4).shape == (4, state_size)
    assert not policy.initial_state(4).any()
    mean, value, state = policy(*random_input(4, 6, policy))
    assert (mean.shape, value.shape, state.shape) == ((4, 6, ACTIONS), (4, 6), (4, state_size))
    obs, state, fresh = random_input(4, 1, policy)
    mean, value, state = policy.step(obs[:, 0], state, fresh[:, 0])
    assert (mean.shape, value.shape, state.shape) == ((4, ACTIONS), (4,), (4, state_size))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_unrolling_equals_stepping(kind):
    policy = make(kind)
    obs, state, fresh = random_input(4, 6, policy)
    means, values, last = policy(obs, state, fresh)
    for step in range(6):
        mean, value, state = policy.step(obs[:, step], state, fresh[:, step])
        torch.testing.assert_close(mean, means[:, step])
        torch.testing.assert_close(value, values[:, step])
    torch.testing.assert_close(state, last)


@pytest.mark.parametrize("kind", ["lstm", "lstm_critic"])
@torch.no_grad()
def test_fresh_forgets_the_state_before_the_step(kind):
    policy = make(kind)
    obs, state, _ = random_input(2, 1, policy)
    fresh = torch.tensor([True, False])
    _, value, after = policy.step(obs[:, 0], state, fresh)
    _, blank_value, blank = policy.step(obs[:, 0], policy.initial_state(2), torch.zeros(2, dtype=torch.bool))
    torch.testing.assert_close(after[0], blank[0])
    torch.testing.assert_close(value[0], blank_value[0])
    assert not torch.allclose(after[1], blank[1])
    assert not torch.allclose(value[1], blank_value[1])


@torch.no_grad()
def test_the_critics_memory_is_its_own():
    """With ``lstm_critic`` the actions depend on the observation alone."""
    policy = make("lstm_critic")
    obs, state, fresh = random_input(3, 1, policy)
    with_state, _, _ = policy.step(obs[:, 0], state, fresh[:, 0] & False)
    without, _, _ = policy.step(obs[:, 0], policy.initial_state(3), fresh[:, 0] & False)
    assert torch.equal(with_state, without)


def test_actor_and_critic_share_no_weights():
    policy = make("lstm")
    mean, value, _ = policy(*random_input(2, 3, policy))
    value.sum().backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in policy.actor.parameters())
    policy.zero_grad(set_to_none=True)
    mean.sum().backward()
    assert all(parameter.grad is None for parameter in policy.critic.parameters())


@pytest.mark.parametrize("learn_std", [False, True])
def test_density_and_entropy_are_those_of_a_gaussian(learn_std):
    policy = make(log_std=-1.3, learn_std=learn_std)
    with torch.no_grad():
        policy.log_std.add_(torch.tensor([0.0, 0.5, -1.0]))
    mean, action = torch.randn(4, 6, ACTIONS), torch.randn(4, 6, ACTIONS)
    normal = Normal(mean, policy.log_std.exp().expand_as(mean))
    torch.testing.assert_close(policy.log_prob(mean, action), normal.log_prob(action).sum(-1))
    torch.testing.assert_close(policy.entropy().expand(4, 6), normal.entropy().sum(-1))


def test_noise_is_trained_only_when_asked():
    assert "log_std" not in dict(make().named_parameters())
    assert "log_std" in dict(make(learn_std=True).named_parameters())
    for learn_std in (False, True):  # saved either way
        assert make(log_std=-1.5, learn_std=learn_std).state_dict()["log_std"].tolist() == [-1.5] * ACTIONS


@torch.no_grad()
def test_act_normalises_and_adds_no_noise():
    policy = make("lstm")
    policy.obs_norm.merge(torch.full((OBS,), 3.0), torch.full((OBS,), 9.0), 10)
    obs, state, fresh = random_input(4, 1, policy)
    raw = 3 + 3 * obs[:, 0]
    action, after = policy.act(raw, state, fresh[:, 0])
    again, _ = policy.act(raw, state, fresh[:, 0])
    mean, _, expected = policy.step(obs[:, 0], state, fresh[:, 0])
    assert torch.equal(action, again)
    torch.testing.assert_close(action, mean, atol=1e-5, rtol=1e-4)
    actors = policy.actor.state_size
    torch.testing.assert_close(after[:, :actors], expected[:, :actors], atol=1e-5, rtol=1e-4)
    assert torch.equal(after[:, actors:], state[:, actors:])  # the critic has no part in it


def test_layers_and_the_place_of_the_layer_norm():
    layers = [type(layer) for layer in Trunk(OBS, (16, 12, 8)).mlp]
    block = [AlignedLinear, nn.SiLU]
    assert layers == [*block, *block, AlignedLinear, nn.LayerNorm, nn.SiLU]


def test_orthogonal_initialisation():
    policy = make(hidden=(16, 12))
    gains = [(layer, 2.0) for trunk in (policy.actor, policy.critic) for layer in trunk.mlp if hasattr(layer, "bias")]
    gains = [(layer, gain) for layer, gain in gains if isinstance(layer, nn.Linear)]
    gains += [(policy.mean_head, 1e-4), (policy.value_head, 1e-4)]
    assert len(gains) == 6
    for layer, gain2 in gains:
        weight = layer.weight.detach()
        gram = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
        torch.testing.assert_close(gram, gain2 * torch.eye(len(gram)), atol=1e-5 * gain2, rtol=1e-5)
        assert not layer.bias.any()


def test_an_untrained_policy_hardly_moves():
    policy = make(hidden=(64, 64))
    mean, value, _ = policy(*random_input(100, 1, policy))
    assert mean.abs().max() < 0.2
    assert value.abs().max() < 0.2


def test_phc_has_16_98_million_parameters():
    with torch.device("meta"):
        policy = ActorCritic(934, 69, PolicyConfig(), PHC_HIDDEN)
    assert PHC_HIDDEN == (2048, 1536, 1024, 1024, 512, 512)
    trained = sum(parameter.numel() for parameter in policy.parameters() if parameter.requires_grad)
    sizes = (934, *PHC_HIDDEN)
    trunk = sum((a + 1) * b for a, b in itertools.pairwise(sizes)) + 2 * 512
    assert trained == 2 * trunk + 513 * 69 + 513
    assert math.isclose(trained / 1e6, 16.98, abs_tol=0.005)
