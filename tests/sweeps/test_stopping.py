"""Which runs are hopeless, by hand-made curves and by properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from puffer_phc.sweeps.stopping import LEAST_RUNS, LEAST_SHARE, is_hopeless, limit, score_at

FLAT = [[(1.0, score), (100.0, score)] for score in np.linspace(0.0, 1.0, 13)]
scores = st.lists(st.floats(-1e3, 1e3), min_size=LEAST_RUNS, max_size=30)


def test_scores_between_evaluations_are_linear_in_log_cost():
    curve = [(1.0, 0.0), (100.0, 1.0)]
    assert score_at(curve, 10.0) == pytest.approx(0.5)
    assert score_at(curve, 0.5) is None
    assert score_at(curve, 1e6) == 1.0  # it ended cheaper, which is no worse
    assert score_at([], 1.0) is None


def test_the_limit_is_some_quarters_below_the_best():
    """Of scores from 0 to 1 the best quarter is 0.25 wide, and three times that below 1 is 0.25."""
    assert limit(np.linspace(0.0, 1.0, 13)) == pytest.approx(0.25)
    assert limit([0.0, 0.2, *[1.0] * 8]) == 1.0  # but only what is worse than the median is hopeless
    assert limit([0.0] * 6 + [0.9, 0.92, 0.96, 1.0]) == 0.0  # which saves garbage among garbage


def test_a_run_below_the_limit_is_stopped_and_one_above_is_not():
    assert is_hopeless([(50.0, 0.24)], FLAT, 100.0)
    assert not is_hopeless([(50.0, 0.26)], FLAT, 100.0)


def test_nothing_is_stopped_early_or_without_company():
    assert not is_hopeless([(LEAST_SHARE * 100.0 - 0.1, -9.0)], FLAT, 100.0)
    assert is_hopeless([(LEAST_SHARE * 100.0, -9.0)], FLAT, 100.0)
    assert not is_hopeless([(50.0, -9.0)], FLAT[: LEAST_RUNS - 1], 100.0)
    assert not is_hopeless([(50.0, -9.0)], [], None)
    late = [[(60.0, 1.0), (100.0, 1.0)]] * 20  # none of them tells what it was at a cost of 50
    assert not is_hopeless([(50.0, -9.0)], late, 100.0)


def test_without_a_plan_the_dearest_finished_run_is_the_measure():
    assert not is_hopeless([(24.0, -9.0)], FLAT, None)
    assert is_hopeless([(26.0, -9.0)], FLAT, None)


def test_one_bad_evaluation_after_good_ones_does_not_stop_a_run():
    assert not is_hopeless([(48.0, 0.9), (49.0, 0.9), (50.0, 0.0)], FLAT, 100.0)
    assert is_hopeless([(47.0, 0.9), (48.0, 0.0), (49.0, 0.0), (50.0, 0.0)], FLAT, 100.0)


@given(scores)
def test_the_better_half_is_never_hopeless(values):
    rounding = 1e-12 * max(map(abs, values))
    assert limit(values) <= np.median(values) + rounding


@given(scores, st.integers(-3, 3), st.integers(-5, 5))
def test_units_of_the_score_do_not_matter(values, exponent, shift):
    factor = 2.0**exponent
    assert limit([factor * value + shift for value in values]) == pytest.approx(
        factor * limit(values) + shift, rel=1e-6, abs=1e-6
    )


@pytest.mark.parametrize(("finished", "share"), [(20, 0.10), (40, 0.05)])
def test_of_equal_runs_noise_stops_few(finished, share):
    rng = np.random.default_rng(0)
    stopped = [rng.standard_normal() < limit(rng.standard_normal(finished)) for _ in range(1500)]
    assert np.mean(stopped) == pytest.approx(share, abs=0.025)
