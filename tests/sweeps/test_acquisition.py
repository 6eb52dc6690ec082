"""How the next point is chosen: expected improvement, where candidates lie, what limits them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from puffer_phc.sweeps.acquisition import (
    choose,
    draw_around,
    draw_threshold,
    log_expected_improvement,
    log_search_density,
)
from puffer_phc.sweeps.settings import CarbsSettings, published
from puffer_phc.sweeps.spaces import Space
from puffer_phc.sweeps.surrogates import CostScale

SPACES = (Space("a", "log", 1, 1000, 10, integer=True), Space("b", "linear", -1, 1, 0))
SCALE = CostScale(0.0, math.log(100.0))  # costs of 1 to 100 are units of -1 to 1


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def rng():
    return np.random.default_rng(0)


class Models:
    """Models that say what a test tells them, point by point (the first coordinate is an index)."""

    def __init__(self, means, costs, spreads=None, success=None, front=(0.0, 1.0)):
        self.scale, self.front_costs = SCALE, front
        self._mean, self._units = tensor(*means), SCALE.to_unit(tensor(*costs))
        self._spread = tensor(*(spreads or [1.0] * len(means)))
        self._success = tensor(*(success or [1.0] * len(means)))

    def predict_score(self, points):
        return self._mean[points[:, 0].long()], self._spread[points[:, 0].long()]

    def predict_cost(self, points):
        return self._units[points[:, 0].long()]

    def success_probability(self, points):
        return self._success[points[:, 0].long()]

    def best_at(self, units):
        """A front on which a score is its unit cost."""
        return units.clamp(*self.front_costs)


def chosen(models, settings=None, distances=None):
    """Index of the candidate chosen, all of them equally near the only origin unless told."""
    count = len(models._mean)
    points = torch.stack((torch.arange(count).double(), torch.zeros(count).double()), dim=1)
    raw = (
        torch.zeros(count, 2).double()
        if distances is None
        else torch.stack((tensor(*distances), torch.zeros(count).double()), dim=1)
    )
    found = choose(points, raw, torch.zeros(1, 2).double(), models, settings or CarbsSettings(), rng())
    return None if found is None else (int(found.point[0]), found)


@given(st.floats(-5, 5), st.floats(0.01, 3), st.floats(-3, 3))
def test_expected_improvement_is_the_mean_excess(mean, spread, hurdle):
    def excess(t):
        return (t - hurdle) * norm.pdf(t, mean, spread)

    expected, _ = quad(excess, hurdle, max(hurdle, mean) + 12 * spread, points=None, epsabs=1e-14, limit=200)
    if expected > 1e-9:
        got = float(log_expected_improvement(tensor(mean), tensor(spread), tensor(hurdle)))
        assert got == pytest.approx(math.log(expected), abs=1e-4)


def test_far_below_the_hurdle_it_follows_its_asymptote_and_never_vanishes():
    """phi(z) / z^2 (1 - 3 / z^2 + ...), and still rising in z where float64 holds no such density."""
    for z in (-20.0, -200.0):
        value = float(log_expected_improvement(tensor(z), tensor(1.0), tensor(0.0)))
        assert value == pytest.approx(norm.logpdf(z) - 2 * math.log(-z) + math.log1p(-3 / z**2), abs=1e-3)
    z = -torch.logspace(6, -2, 400, dtype=torch.float64)
    values = log_expected_improvement(z, torch.ones_like(z), 0.0)
    assert bool(values.isfinite().all())
    assert bool((values.diff() > 0).all())


def test_search_density_is_normal_in_the_distance_to_the_nearest_origin():
    origins = tensor([0.0, 0.0], [3.0, 4.0])
    values = log_search_density(tensor([0.0, 0.0], [0.0, 0.3], [3.0, 4.6]), origins, 0.3)
    assert values.tolist() == pytest.approx([0.0, -0.5, -2.0])


def test_candidates_are_what_would_run_within_bounds():
    points, raw = draw_around(tensor([0.1, 0.9]), SPACES, 0.5, 400, rng())
    assert points.shape == raw.shape == (400, 2)
    values = 10 ** points[:, 0]
    torch.testing.assert_close(values, values.round())
    assert float(values.min()) >= 1 - 1e-9
    assert float(points[:, 1].abs().max()) < 1
    torch.testing.assert_close(points[:, 1], raw[:, 1])


def test_candidates_are_normal_around_equally_likely_origins():
    wide = (Space("a", "linear", -100, 100, 0), Space("b", "linear", -100, 100, 0))
    points, _ = draw_around(tensor([-10.0, 0.0], [10.0, 0.0]), wide, 0.5, 4000, rng())
    right = points[:, 0] > 0
    assert float(right.double().mean()) == pytest.approx(0.5, abs=0.03)
    torch.testing.assert_close(points[right].T.cov(), 0.25 * torch.eye(2).double(), atol=0.03, rtol=0)
    torch.testing.assert_close(points[right].mean(dim=0), tensor(10.0, 0.0), atol=0.05, rtol=0)


def test_where_bounds_leave_no_room_there_are_no_candidates():
    narrow = (Space("a", "linear", 0, 1, 0.5, scale=1e-6),)
    points, _ = draw_around(tensor([-1e9]), narrow, 0.3, 10, rng())
    assert len(points) == 0


def thresholds(settings, units):
    models = Models([0.0], [1.0], front=(-0.5, 1.0))
    return [float(draw_threshold(models, tensor(*units), settings, np.random.default_rng(seed))) for seed in range(400)]


@pytest.mark.parametrize(
    ("changes", "units", "high"),
    [
        ({"reach_up": False}, [3.0], 1.0),
        ({"reach_up": False, "max_cost": 10.0}, [3.0], 0.0),  # a cost of 10 is the unit 0
        ({}, [3.0, 3.0], 3.0),  # candidates cost more than all of the front
        ({}, [0.0, 0.1], 1.0),  # or less
        ({"max_cost": 1000.0}, [1.5, 3.0], 1.5),
        ({"max_cost": 10.0}, [-0.2, 3.0], 0.0),
    ],
)
def test_random_threshold_is_uniform_from_the_front_to_the_dearest_allowed(changes, units, high):
    draws = thresholds(replace(CarbsSettings(), **changes), units)
    width = high + 0.5
    assert (min(draws), max(draws)) == (pytest.approx(-0.5, abs=0.02 * width), pytest.approx(high, abs=0.02 * width))
    assert np.mean(draws) == pytest.approx(-0.5 + width / 2, abs=0.05 * width)


@pytest.mark.parametrize("settings", [CarbsSettings(), published(CarbsSettings())])
class TestChoice:
    """Rules that both versions follow."""

    def test_the_highest_expected_score_wins(self, settings):
        assert chosen(Models([0.0, 2.0, 1.0], [10, 10, 10]), settings)[0] == 1

    def test_of_equal_means_the_uncertain_one_wins(self, settings):
        assert chosen(Models([0.0, 0.0], [10, 10], spreads=[0.2, 1.0]), settings)[0] == 1

    def test_likely_failures_lose(self, settings):
        assert chosen(Models([0.0, 0.5], [10, 10], success=[1.0, 0.1]), settings)[0] == 0

    def test_far_candidates_lose(self, settings):
        assert chosen(Models([0.0, 0.0], [10, 10]), settings, distances=[2.0, 0.1])[0] == 1

    def test_a_dear_candidate_must_beat_what_its_cost_buys(self, settings):
        """On this front a score is its unit cost, at most 1: cost 10 buys 0, cost 100 buys 1."""
        models = Models([0.9, 1.0], [10, 100], spreads=[0.1, 0.1], front=(0.0, 1.0))
        models.front_costs = (0.0, 1e-9)  # the random threshold is at the cheap end
        models.best_at = lambda units: units
        assert chosen(models, settings)[0] == 0

    def test_too_dear_candidates_are_out(self, settings):
        index, found = chosen(Models([5.0, 0.0], [60, 40]), replace(settings, max_cost=50.0))
        assert (index, found.fallback) == (1, "")
        assert found.cost == pytest.approx(40.0)


def test_where_all_are_too_dear_the_cheapest_runs_and_says_why():
    index, found = chosen(Models([5.0, 0.0, 1.0], [90, 60, 70]), CarbsSettings(max_cost=50.0))
    assert index == 1
    assert "50" in found.fallback
    assert chosen(Models([5.0], [90]), published(CarbsSettings(max_cost=50.0))) is None


def test_candidates_that_probably_fail_run_only_if_there_is_no_other():
    """However much they promise."""
    assert chosen(Models([0.0, 50.0], [10, 10], success=[0.9, 0.2]))[0] == 0
    index, found = chosen(Models([0.0, 50.0], [10, 10], success=[0.1, 0.2]))
    assert (index, "fail" in found.fallback) == (1, True)
    assert chosen(Models([0.0, 50.0], [10, 10], success=[0.9, 0.2]), published(CarbsSettings()))[0] == 1


def test_published_expected_improvement_is_the_formula():
    """EI x density x success with an exploration bias of 1, on two candidates whose order it decides."""
    settings = published(CarbsSettings())
    for mean in np.linspace(0.0, 2.0, 21):
        models = Models([mean, 1.0], [10, 10], spreads=[0.5, 0.7], front=(0.0, 1e-12))
        values = []
        for m, s, d in ((mean, 0.5, 0.2), (1.0, 0.7, 0.5)):
            z = (m - 0.0 - 1.0) / s
            values.append(s * (norm.pdf(z) + z * norm.cdf(z)) * norm.pdf(d, 0, 0.3))
        assert chosen(models, settings, distances=[0.2, 0.5])[0] == int(np.argmax(values))
