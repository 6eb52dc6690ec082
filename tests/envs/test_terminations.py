"""The failure test."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from puffer_phc.envs.terminations import tracking_lost


def bodies(*distances):
    """One humanoid whose bodies are this far from the origin, each in another direction."""
    directions = torch.tensor([[1.0, 0, 0], [0, -1.0, 0], [0, 0, 1.0], [0.6, 0.8, 0], [-0.8, 0, 0.6]])
    return torch.stack([d * directions[i % 5] for i, d in enumerate(distances)])[None]


def lost(pos, distance, **options):
    return tracking_lost(pos, torch.zeros_like(pos), distance, **options).tolist()


@pytest.mark.parametrize(("distance", "expected"), [(0.2499, True), (0.25, False), (0.2501, False)])
def test_exactly_at_the_limit_is_not_lost(distance, expected):
    assert lost(bodies(0.0, 0.25, 0.0), distance) == [expected]
    assert lost(bodies(0.0, 0.0, 0.25), distance) == [expected]
    assert lost(bodies(0.25, 0.25, 0.25), distance, reduce="mean") == [expected]


def test_one_body_is_any_but_not_the_mean():
    pos = bodies(0.0, 0.0, 0.5, 0.0)
    assert lost(pos, 0.25) == [True]
    assert lost(pos, 0.25, reduce="mean") == [False]
    assert lost(pos, 0.12, reduce="mean") == [True]  # the mean is 0.125


def test_the_distance_is_euclidean():
    """0.2 m along each axis is 0.346 m."""
    pos = torch.full((1, 1, 3), 0.2)
    assert lost(pos, 0.34) == [True]
    assert lost(pos, 0.35) == [False]
    assert lost(pos, 0.34, reduce="mean") == [True]
    assert lost(pos, 0.35, reduce="mean") == [False]


def test_what_counts_is_the_difference():
    pos = torch.randn(5, 24, 3)
    assert not tracking_lost(pos, pos, 1e-6).any()
    assert not tracking_lost(pos, pos, 1e-6, "mean").any()
    assert tracking_lost(pos + 1.0, pos, 1.7).all()
    assert not tracking_lost(pos + 1.0, pos, 1.74).any()


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 3.0))
def test_environments_and_reductions_by_their_definition(seed, distance):
    generator = torch.Generator().manual_seed(seed)
    pos, ref = torch.randn(2, 6, 24, 3, dtype=torch.float64, generator=generator)
    errors = (pos - ref).norm(dim=-1)
    assert torch.equal(tracking_lost(pos, ref, distance), (errors > distance).any(dim=1))
    assert torch.equal(tracking_lost(pos, ref, distance, "mean"), errors.mean(dim=1) > distance)


@pytest.mark.parametrize("reduce", ["max", "", "ANY"])
def test_other_reductions_are_refused(reduce):
    with pytest.raises(ValueError, match="use 'any' or 'mean'"):
        lost(bodies(0.1), 0.25, reduce=reduce)
