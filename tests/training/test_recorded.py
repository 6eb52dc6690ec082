"""A recorded gradient step does what the plain one does, and recording it leaves no trace."""

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from puffer_phc.training.distributed import World
from puffer_phc.training.recorded import RecordedStep, _primed

MAKERS = {
    "adam": lambda weights: torch.optim.Adam(weights, lr=0.1),
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9),
}


def learner(maker, device="cpu"):
    torch.manual_seed(0)
    network = nn.Linear(3, 1).to(device)
    optimizer = maker(network.parameters())

    def gradients(rows, wanted):
        loss = (network(rows) - wanted).square().mean()
        loss.backward()
        return loss.detach()[None]

    def apply(metrics):
        optimizer.step()
        return metrics

    def step(rows, wanted):
        optimizer.zero_grad(set_to_none=True)
        return apply(gradients(rows, wanted))

    return network, optimizer, step, (gradients, apply, optimizer, list, torch.device(device))


@pytest.mark.parametrize("name", MAKERS)
def test_priming_moves_nothing_and_changes_no_later_step(name):
    (one, first, step, _), (two, second, other, _) = learner(MAKERS[name]), learner(MAKERS[name])
    before = copy.deepcopy(one.state_dict())
    tensors = _primed(first)
    assert {id(weight) for weight in one.parameters()} <= {id(tensor) for tensor in tensors}
    assert len(tensors) > 2  # and the optimiser's own
    assert all(torch.equal(before[key], value) for key, value in one.state_dict().items())
    assert _primed(second) is not None
    assert second.state
    fresh = MAKERS[name](two.parameters())
    second.state, second.param_groups = fresh.state, fresh.param_groups  # never primed
    for seed in range(5):
        rows = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
        step(rows, rows.sum(1, keepdim=True))
        other(rows, rows.sum(1, keepdim=True))
    torch.testing.assert_close(one.weight, two.weight)


def test_on_a_cpu_it_is_the_plain_step():
    network, _, _, parts = learner(MAKERS["adam"])
    recorded = RecordedStep(*parts)
    assert not recorded.wanted
    before, wanted = network.weight.detach().clone(), network(torch.ones(1, 3)).square().item()
    loss = recorded(torch.ones(2, 3), torch.zeros(2, 1))
    assert loss.item() == pytest.approx(wanted)
    assert recorded.inputs is None
    assert not torch.equal(before, network.weight)


@dataclass(frozen=True)
class Twins(World):
    """Another rank that computes the same."""

    size: int = 2

    def add_(self, tensor):
        tensor.mul_(2)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", MAKERS)
def test_ranks_average_what_they_compute(name, device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    (one, _, _, parts), (two, _, other, _) = learner(MAKERS[name], device), learner(MAKERS[name], device)
    recorded = RecordedStep(*parts, world=Twins())
    before = copy.deepcopy(one.state_dict())
    recorded.rehearse(torch.ones(4, 3, device=device), torch.ones(4, 1, device=device))
    assert all(torch.equal(before[key], value) for key, value in one.state_dict().items())
    for seed in range(6):
        count = 7 if seed == 3 else 4
        rows = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)).to(device)
        wanted = rows.sum(1, keepdim=True)
        torch.testing.assert_close(recorded(rows, wanted), other(rows, wanted))
    torch.testing.assert_close(one.weight, two.weight)


@pytest.mark.parametrize("name", MAKERS)
def test_on_a_gpu_replays_are_the_plain_steps(name):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    (one, _, _, parts), (two, _, other, _) = learner(MAKERS[name], "cuda"), learner(MAKERS[name], "cuda")
    recorded = RecordedStep(*parts)
    for seed in range(6):
        count = 7 if seed == 3 else 4  # another size now and then is done plainly
        rows = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)).cuda()
        wanted = rows.sum(1, keepdim=True)
        torch.testing.assert_close(recorded(rows, wanted), other(rows, wanted))
    torch.testing.assert_close(one.weight, two.weight)
    assert recorded.inputs is not None
