"""The discriminator: its reward, its input gradient against autograd's, its normalisers."""

import math

import pytest
import torch

from puffer_phc.policies.discriminator import DifferenceScale, Discriminator, style_reward
from puffer_phc.policies.normalizer import RunningNorm


def make(kind="amp", size=6, hidden=(8, 5)):
    torch.manual_seed(0)
    return Discriminator(size, hidden, kind)


def test_reward_at_its_ends():
    logits = torch.tensor([0.0, 1e4, -1e4, 2.0])
    expected = [2 * math.log(2), -2 * math.log(1e-4), 0.0, -2 * math.log(1 - 1 / (1 + math.exp(-2)))]
    assert style_reward(logits).tolist() == pytest.approx(expected, abs=1e-4)
    assert style_reward(logits)[:2].tolist() == pytest.approx([1.3863, 18.4207], abs=1e-4)
    torch.testing.assert_close(style_reward(logits, 0.5), style_reward(logits) / 4)


def test_initial_weights():
    net = make(hidden=(1024, 512))
    assert [tuple(weight.shape) for weight in net.weights()] == [(1024, 6), (512, 1024), (1, 512)]
    assert all(not layer.bias.any() for layer in (*net.hidden, net.logit))
    last = net.logit.weight
    assert -1 <= last.min() < -0.9
    assert 0.9 < last.max() <= 1
    assert net.hidden[1].weight.abs().max() <= 1 / 32  # torch's own


def test_the_written_out_gradient_is_autograds_and_so_is_its_own():
    net = make()
    rows = torch.randn(20, 6, requires_grad=True)
    logits, gradient = net.with_gradient(rows)
    torch.testing.assert_close(logits, net(rows))
    (expected,) = torch.autograd.grad(net(rows).sum(), rows, create_graph=True)
    torch.testing.assert_close(gradient, expected)
    parameters = net.weights()
    own = torch.autograd.grad(gradient.square().sum(dim=1).mean(), parameters)
    theirs = torch.autograd.grad(expected.square().sum(dim=1).mean(), parameters)
    for mine, other in zip(own, theirs, strict=True):
        torch.testing.assert_close(mine, other)
        assert mine.abs().sum() > 0


def test_kinds_have_their_normalisers():
    assert isinstance(make("amp").norm, RunningNorm)
    assert make("amp").norm.clip == 5.0
    assert isinstance(make("add").norm, DifferenceScale)


def test_difference_scale_is_the_mean_size_and_keeps_zero():
    scale = DifferenceScale(2)
    first, second = torch.tensor([[2.0, 0.0], [-4.0, 0.0]]), torch.tensor([[9.0, 0.0]])
    for part in (first, second):
        scale.merge(part.abs().mean(dim=0), torch.tensor(float(len(part)), dtype=torch.float64))
    torch.testing.assert_close(scale.scale, torch.tensor([5.0, 0.0]))
    torch.testing.assert_close(scale(torch.tensor([[10.0, 1e-5]])), torch.tensor([[2.0, 0.1]]))
    assert not scale(torch.zeros(1, 2)).any()


def test_difference_scale_settles():
    scale = DifferenceScale(1)
    scale.merge(torch.tensor([2.0]), torch.tensor(1e8, dtype=torch.float64))
    scale.merge(torch.tensor([50.0]), torch.tensor(1e8, dtype=torch.float64))
    assert scale.scale.tolist() == [2.0]
