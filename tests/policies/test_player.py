"""Weights copied in half precision give the numbers that autocast gives."""

import copy

import pytest
import torch

from puffer_phc.policies.actor_critic import ActorCritic, AlignedLinear, PolicyConfig
from puffer_phc.policies.player import FilledLinear, Player, _fill_up, _tensors


@pytest.mark.parametrize(("wide", "high"), [(934, 64), (512, 69), (13, 9), (16, 24)])
def test_filling_up_changes_nothing(wide, high):
    torch.manual_seed(0)
    layer, features = AlignedLinear(wide, high), torch.randn(3, 5, wide)
    torch.testing.assert_close(layer.filled_up(features), layer(features))
    layer.filled_up(features).square().sum().backward()
    filled = layer.weight.grad.clone()
    layer.weight.grad = None
    layer(features).square().sum().backward()
    torch.testing.assert_close(filled, layer.weight.grad)


def test_halved_weights_are_what_autocast_makes_of_them():
    torch.manual_seed(0)
    policy = ActorCritic(30, 5, PolicyConfig(), (32, 16))
    halved = copy.deepcopy(policy)
    _fill_up(halved.critic, torch.bfloat16)
    assert {layer.weight.dtype for layer in halved.critic.mlp if hasattr(layer, "weight")} == {
        torch.bfloat16,
        torch.float32,  # the LayerNorm
    }
    obs, none, never = torch.randn(7, 1, 30), torch.zeros(7, 0), torch.zeros(7, 1, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted, _ = policy.critic(obs, none, never)
        found, _ = halved.critic(obs, none, never)
    torch.testing.assert_close(wanted, found)


def test_a_filled_layer_takes_over_what_it_stands_for():
    torch.manual_seed(0)
    original, copied = (ActorCritic(30, 5, PolicyConfig(learn_std=True), (32, 12)) for _ in range(2))
    _fill_up(copied.actor, torch.float32)
    assert [layer.weight.shape for layer in copied.actor.mlp if isinstance(layer, FilledLinear)] == [(32, 32), (16, 32)]
    with torch.no_grad():
        torch._foreach_copy_(_tensors(copied), _tensors(original))
    obs, none, never = torch.randn(7, 1, 30), torch.zeros(7, 0), torch.zeros(7, 1, dtype=torch.bool)
    torch.testing.assert_close(copied.means(obs, none, never)[0], original.means(obs, none, never)[0])
    assert torch.equal(copied.values(obs, none, never)[0], original.values(obs, none, never)[0])


def test_on_a_cpu_the_policy_itself_is_played():
    policy = ActorCritic(30, 5, PolicyConfig(), (32, 16))
    player = Player(policy)
    player.refresh()
    assert player.policy is policy


def test_on_a_gpu_refreshing_takes_the_weights_over():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    policy = ActorCritic(30, 5, PolicyConfig(), (32, 16)).cuda()
    player = Player(policy)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.5)
    player.refresh()
    obs, never = torch.randn(7, 30, device="cuda"), torch.zeros(7, dtype=torch.bool, device="cuda")
    state = policy.initial_state(7)
    assert torch.equal(player.policy.critic_step(obs, state, never)[0], policy.critic_step(obs, state, never)[0])
    assert torch.equal(player.policy.actor_step(obs, state, never)[0], policy.actor_step(obs, state, never)[0])
