"""The models of CARBS: warps, scales, pending trials, success, each against its definition."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import norm

from puffer_phc.sweeps.gaussian_process import GaussianProcess, Kernel
from puffer_phc.sweeps.history import History
from puffer_phc.sweeps.pareto import group_observations, pareto_groups
from puffer_phc.sweeps.settings import CarbsSettings, published
from puffer_phc.sweeps.surrogates import CostScale, fit_surrogates, rank_warp, standardise, with_pending

PUBLISHED = published(CarbsSettings())


def tensor(*values):
    return torch.tensor(np.array(values), dtype=torch.float64)


def history(points, scores, costs, failures=(), pending=()):
    dims = len(points[0])
    return History(
        points=tensor(*points),
        scores=tensor(*scores),
        costs=tensor(*costs),
        failures=tensor(*failures).reshape(-1, dims),
        pending=tensor(*pending).reshape(-1, dims),
        resamples=0,
        trials=len(scores),
    )


def line(count=12, noise=0.0, **others):
    """Scores that rise with the first of two coordinates, costs ten times per unit of it."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (count, 2))
    return history(points, points[:, 0] + noise * rng.standard_normal(count), 10.0 ** points[:, 0], **others)


def fitted(known, settings):
    groups = group_observations(known.points, known.scores, known.costs)
    front = pareto_groups(groups, float(known.costs.min()), conservative=False)
    return fit_surrogates(known, front, settings, torch.zeros(2, dtype=torch.float64), np.random.default_rng(0))


def test_cost_scale_is_linear_in_the_logarithm():
    scale = CostScale(math.log(1.0), math.log(100.0))
    torch.testing.assert_close(scale.to_unit(tensor(1, 10, 100, 1000)), tensor(-1, 0, 1, 2))
    torch.testing.assert_close(scale.to_cost(tensor(-1, 0, 0.5)), tensor(1, 10, 10**1.5))
    assert bool(CostScale(0.0, 0.0).to_unit(tensor(1.0)).isfinite())  # all costs equal


def test_standardised_scores_have_mean_zero_and_spread_one():
    values = standardise(tensor(3, 5, 10, 2))
    assert float(values.mean()) == pytest.approx(0.0, abs=1e-12)
    assert float(values.square().mean()) == pytest.approx(1.0)
    assert standardise(tensor(4, 4)).tolist() == [0, 0]


def test_ranks_are_normal_quantiles_between_a_few_of_them():
    """Nine scores have three quantiles: least, median and greatest; scores between are shares of their interval."""
    warped = rank_warp(tensor(0, 1, 2, 3, 4, 5, 7, 8, 104))
    assert float(warped[0]) == pytest.approx(norm.ppf(1e-7), abs=1e-3)
    assert float(warped[8]) == pytest.approx(5.1993, abs=1e-3)
    expected = [norm.ppf(0.5 * value / 4) for value in (1, 2, 3, 4)]
    expected += [norm.ppf(0.5 + 0.5 * (value - 4) / 100) for value in (5, 7, 8)]
    assert warped[1:8].tolist() == pytest.approx(expected)


def test_equal_scores_in_the_middle_have_the_middle_of_their_ranks():
    warped = rank_warp(tensor(0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2))
    assert warped[1:15].tolist() == pytest.approx([0.0] * 14, abs=1e-12)
    torch.testing.assert_close(rank_warp(-tensor(0, 2, 3, 9)), -rank_warp(tensor(0, 2, 3, 9)))


def test_published_models_have_the_constants_of_the_spec():
    found = fitted(line(failures=[[0.5, 0.5]]), PUBLISHED)
    for model in (found.score, found.cost, found.success):
        assert model.kernel.lengthscale.tolist() == [0.3, 0.3]
        assert (model.kernel.stationary, model.kernel.linear, model.kernel.constant) == (1.1, 1.1, 0.0)
        assert (model.kernel.noise, model.kernel.shape) == (0.0081, "matern32")
    front = found.front.kernel
    assert (front.lengthscale.tolist(), front.stationary, front.shape) == ([0.89], 1.11, "rbf")


def test_fitted_models_find_score_and_cost():
    found = fitted(line(count=30, noise=0.05), CarbsSettings())
    points = tensor([-0.8, 0.3], [0.0, -0.5], [0.8, 0.0])
    mean, spread = found.predict_score(points)
    assert bool((mean.diff() > 0.5).all())
    assert bool((spread < 0.5).all())
    costs = found.scale.to_cost(found.predict_cost(points))
    torch.testing.assert_close(costs, 10.0 ** points[:, 0], rtol=0.1, atol=0)


def test_front_model_is_level_beyond_its_ends():
    found = fitted(line(), CarbsSettings())
    low, high = found.front_costs
    beyond, ends = found.best_at(tensor(low - 5, high + 5)), found.best_at(tensor(low, high))
    torch.testing.assert_close(beyond, ends)
    assert ends[1] > ends[0]


def test_without_failures_success_is_certain():
    assert fitted(line(), CarbsSettings()).success_probability(torch.zeros(3, 2)).tolist() == [1, 1, 1]


@pytest.mark.parametrize("settings", [PUBLISHED, CarbsSettings(), CarbsSettings(fitted=False)])
def test_success_is_the_probability_of_a_label_below_zero(settings):
    """The published code divides by the variance where the standard deviation belongs."""
    found = fitted(line(failures=[[0.9, 0.9], [0.8, 0.9]]), settings)
    points = tensor([0.85, 0.9], [-0.9, -0.9], [0.3, 0.3])
    mean, variance = found.success.predict(points)
    spread = variance if settings is PUBLISHED else variance.sqrt()
    np.testing.assert_allclose(found.success_probability(points), norm.cdf(0.0, mean, spread), atol=1e-9)
    assert found.success_probability(points)[0] < 0.5 < found.success_probability(points)[1]


def process():
    return GaussianProcess(tensor([-1.0], [0.5]), tensor(-1.0, 0.3), Kernel(tensor(0.7), noise=0.01))


def test_expected_scores_of_pending_trials_change_no_mean_but_the_spread():
    pending, grid = tensor([0.0], [2.0]), torch.linspace(-2, 3, 21, dtype=torch.float64).unsqueeze(-1)
    before = process().predict(grid)
    after = with_pending(process(), pending, "mean", np.random.default_rng(0)).predict(grid)
    torch.testing.assert_close(after[0], before[0])
    assert bool((after[1] <= before[1] + 1e-12).all())
    assert float(after[1][16]) < 0.05 * float(before[1][16])  # at 2


def test_drawn_scores_of_pending_trials_have_the_joint_posterior():
    """Draws are mean + L z with standard normal z: unit vectors for z show L, and L L' is the covariance."""
    pending = tensor([0.0], [0.2], [2.0])
    mean, _ = process().predict(pending)

    def drawn(z):
        return with_pending(process(), pending, "thompson", SimpleNamespace(standard_normal=lambda count: z)).y[2:]

    torch.testing.assert_close(drawn(np.zeros(3)), mean)
    root = torch.stack([drawn(unit) - mean for unit in np.eye(3)], dim=1)
    torch.testing.assert_close(root @ root.T, process().posterior_covariance(pending), atol=1e-6, rtol=0)


def test_nothing_pending_leaves_the_model_alone():
    model = process()
    assert with_pending(model, torch.zeros(0, 1), "thompson", np.random.default_rng(0)) is model


def test_a_partial_observation_teaches_the_score_but_not_the_cost():
    """Its cost would drag the cost model from 10^x to far below; its bad score lowers what is expected there."""
    known, at = line(), tensor([0.5, 0.5])
    more = replace(
        known,
        points=torch.cat((known.points, at)),
        scores=torch.cat((known.scores, tensor(-3.0))),
        costs=torch.cat((known.costs, tensor(1e-6))),
        partial=torch.tensor([False] * 12 + [True]),
    )
    front = pareto_groups(group_observations(known.points, known.scores, known.costs), 0.0, conservative=False)
    center, rng = torch.zeros(2, dtype=torch.float64), np.random.default_rng(0)
    without, with_it = (fit_surrogates(each, front, CarbsSettings(), center, rng) for each in (known, more))
    assert with_it.scale == without.scale
    assert with_it.front_costs == without.front_costs
    torch.testing.assert_close(with_it.predict_cost(at), without.predict_cost(at))
    assert with_it.predict_score(at)[0] < without.predict_score(at)[0] - 1.0
