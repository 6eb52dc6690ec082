"""Running statistics against NumPy's over all samples at once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from puffer_phc.policies.normalizer import MomentAccumulator, RunningNorm

SIZE = 3
NUMBERS = st.floats(-1000, 1000, width=32)


def number(count):
    return torch.tensor(count, dtype=torch.float64)


def batches(size=SIZE):
    return hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.just(size)), elements=NUMBERS)


def merged(parts):
    norm = RunningNorm(SIZE).double()
    for part in parts:
        norm.merge(torch.from_numpy(part.mean(0)), torch.from_numpy(part.var(0)), number(len(part)))
    return norm


@settings(deadline=None)
@given(st.lists(batches(), min_size=1, max_size=5))
def test_merging_equals_the_statistics_of_all_samples(parts):
    norm = merged(parts)
    everything = np.concatenate(parts)
    np.testing.assert_allclose(norm.mean.numpy(), everything.mean(0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(norm.var.numpy(), everything.var(0), rtol=1e-9, atol=1e-6)
    assert norm.count.item() == len(everything)


@settings(deadline=None)
@given(batches(), batches())
def test_order_of_merging_does_not_matter(a, b):
    one, other = merged([a, b]), merged([b, a])
    np.testing.assert_allclose(one.mean.numpy(), other.mean.numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(one.var.numpy(), other.var.numpy(), rtol=1e-9, atol=1e-6)


def test_first_merge_replaces_the_placeholder():
    norm = RunningNorm(2)
    norm.merge(torch.tensor([5.0, -3.0]), torch.tensor([4.0, 0.25]), number(8))
    assert norm.mean.tolist() == [5.0, -3.0]
    assert norm.var.tolist() == [4.0, 0.25]
    assert norm.count.item() == 8


def test_counts_beyond_float32_still_grow():
    norm = RunningNorm(1)
    norm.merge(torch.zeros(1), torch.ones(1), number(2**25))
    norm.merge(torch.zeros(1), torch.ones(1), number(1))
    assert norm.count.item() == 2**25 + 1


def test_normalised_samples_have_mean_zero_and_variance_one():
    generator = torch.Generator().manual_seed(0)
    obs = torch.randn(4000, 2, generator=generator) * torch.tensor([0.1, 30.0]) + torch.tensor([5.0, -200.0])
    norm = RunningNorm(2)
    norm.merge(obs.mean(0), obs.var(0, correction=0), number(len(obs)))
    out = norm(obs)
    torch.testing.assert_close(out.mean(0), torch.zeros(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(out.var(0), torch.ones(2), atol=2e-3, rtol=0)


def test_formula_and_clip():
    norm = RunningNorm(2, clip=3.0, eps=0.0)
    norm.merge(torch.tensor([1.0, 0.0]), torch.tensor([4.0, 1.0]), number(1))
    obs = torch.tensor([[[2.0, -2.0]], [[100.0, -100.0]]])
    torch.testing.assert_close(norm(obs), torch.tensor([[[0.5, -2.0]], [[3.0, -3.0]]]))
    assert obs[1, 0, 0] == 100.0, "the input was changed in place"


def test_default_clip_is_ten():
    assert RunningNorm(1)(torch.tensor([[1e9], [-1e9]])).tolist() == [[10.0], [-10.0]]


def test_constant_observations_stay_finite():
    norm = RunningNorm(1)
    norm.merge(torch.tensor([7.0]), torch.zeros(1), number(5))
    assert norm(torch.tensor([[7.0], [7.5]])).isfinite().all()


def test_applying_it_changes_no_statistics():
    norm = RunningNorm(2)
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    norm.train()
    norm(torch.randn(50, 2))
    for name, tensor in norm.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_statistics_are_saved_and_not_trained():
    norm = RunningNorm(2)
    assert set(norm.state_dict()) == {"mean", "var", "count"}
    assert not list(norm.parameters())


@settings(deadline=None)
@given(st.lists(batches(2), min_size=1, max_size=5), st.floats(-1000, 1000, width=32))
def test_accumulator(parts, shift):
    moments = MomentAccumulator(2, torch.device("cpu"))
    moments.start(torch.full((2,), shift))
    for part in parts:
        moments.add(torch.from_numpy(part).float())
    mean, var, count = moments.result()
    everything = np.concatenate(parts)
    assert count == len(everything)
    np.testing.assert_allclose(mean.numpy(), everything.mean(0), rtol=1e-4, atol=1e-2)
    # float32 sums about the shift: their error grows with its distance from the samples.
    distance = np.abs(everything - shift).max() ** 2
    np.testing.assert_allclose(var.numpy(), everything.var(0), rtol=1e-4, atol=1e-6 * len(everything) * distance + 1e-6)


def test_accumulator_keeps_precision_far_from_zero():
    """Sums of squares about zero would lose a variance of 1e-4 around 1000 in float32."""
    generator = torch.Generator().manual_seed(0)
    obs = 1000 + 0.01 * torch.randn(2000, 1, generator=generator, dtype=torch.float64)
    moments = MomentAccumulator(1, torch.device("cpu"))
    moments.start(torch.tensor([1000.0]))
    for part in obs.float().split(100):
        moments.add(part)
    _, var, _ = moments.result()
    assert var.item() == pytest.approx(obs.float().double().var(correction=0).item(), rel=1e-3)


def test_accumulator_starts_anew_and_leaves_its_input_alone():
    moments = MomentAccumulator(1, torch.device("cpu"))
    shift, obs = torch.tensor([2.0]), torch.tensor([[1.0], [5.0]])
    moments.start(shift)
    moments.add(obs)
    assert obs.tolist() == [[1.0], [5.0]]
    shift.add_(100)  # such as a merge into the statistics that gave the shift
    mean, var, count = moments.result()
    assert (mean.item(), var.item(), count) == (3.0, 4.0, 2)
    moments.start(torch.zeros(1))
    moments.add(torch.tensor([[4.0]]))
    mean, var, count = moments.result()
    assert (mean.item(), var.item(), count) == (4.0, 0.0, 1)
