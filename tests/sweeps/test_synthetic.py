"""The synthetic problems hold what they promise: the known ideal is one, costs grow, centres are cheap and poor."""

import numpy as np
import pytest

from puffer_phc.sweeps.synthetic import PROBLEMS

problems = pytest.mark.parametrize("problem", [make() for make in PROBLEMS], ids=lambda problem: problem.name)


def drawn(problem, count=5000):
    rng = np.random.default_rng(0)
    columns = {}
    for space in problem.spaces:
        low, high = (0.01, 0.99) if space.kind == "logit" else (space.low, space.high)
        draw = rng.uniform if space.kind in ("linear", "logit") else _log_uniform(rng)
        columns[space.name] = draw(low, high, count)
    return columns


def _log_uniform(rng):
    return lambda low, high, count: np.exp(rng.uniform(np.log(low), np.log(high), count))


@problems
def test_no_run_beats_the_perfectly_tuned_one_of_the_same_purchase(problem):
    params = drawn(problem)
    scores, costs = problem.evaluate(params)
    tuned_scores, tuned_costs = problem.evaluate(problem.tuned(params))
    assert (scores <= tuned_scores + 1e-12).all()
    np.testing.assert_allclose(costs, tuned_costs)  # tuning is free


@problems
def test_what_is_bought_raises_score_and_cost(problem):
    params = drawn(problem, 200)
    scores, costs = problem.evaluate(problem.tuned(params))
    for name in problem.bought:
        more_scores, more_costs = problem.evaluate(problem.tuned({**params, name: 2 * params[name]}))
        assert (more_scores > scores).all()
        assert (more_costs > costs).all()


@problems
def test_the_centre_is_cheap_poor_and_works(problem):
    center = {space.name: space.center for space in problem.spaces}
    score, cost = problem.evaluate(center)
    ideal_costs, _ = problem.ideal()
    assert float(cost) < 0.05 * ideal_costs.max()
    assert problem.share(float(score), float(cost)) < 0.5
    assert not problem.fails(center)


@problems
def test_the_ideal_front_has_the_whole_area_and_a_bad_run_none(problem):
    costs, scores = problem.ideal()
    assert problem.hypervolume(costs, scores) == pytest.approx(1.0)
    assert problem.hypervolume(costs[:1], np.array([problem.lowest() - 1.0])) == 0.0
    assert problem.share(float(scores.max()), float(costs.max())) == 1.0
    half = problem.lowest() + 0.5 * (scores.max() - problem.lowest())
    assert problem.share(float(half), float(costs.max())) == pytest.approx(0.5)


def test_runs_of_control_fail_only_where_updates_are_bold():
    control = PROBLEMS[1]()
    params = {"total_timesteps": 1e7, "update_epochs": 3, "gae_lambda": 0.9, "clip_coef": 0.2, "vf_coef": 1.0}
    best = float(np.asarray(control.tuned(params)["learning_rate"]))
    assert not control.fails({**params, "learning_rate": 2 * best})
    assert control.fails({**params, "learning_rate": 20 * best})
