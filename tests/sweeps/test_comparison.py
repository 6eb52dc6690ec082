"""Measuring samplers: simulated workers, picked runs, intervals."""

import numpy as np
import pytest
from scipy.stats import t

optuna = pytest.importorskip("optuna")

from puffer_phc.sweeps import comparison  # noqa: E402
from puffer_phc.sweeps.comparison import Method, Record, compare, interval, markdown, measure, run_sweep  # noqa: E402
from puffer_phc.sweeps.synthetic import PROBLEMS  # noqa: E402

RANDOM = next(method for method in comparison.METHODS if method.name == "random")


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


class Watched(optuna.samplers.RandomSampler):
    """Counts how many trials run when another one is asked for."""

    def before_trial(self, study, trial):
        running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
        self.running = [*getattr(self, "running", []), len(running)]


@pytest.mark.parametrize("workers", [1, 3])
def test_as_many_runs_are_under_way_as_there_are_workers(workers):
    sampler = Watched(seed=0)
    record = run_sweep(Method("watched", lambda problem, seed: sampler), PROBLEMS[0](), 0, 10, workers)
    assert len(record.costs) == 10
    assert sampler.running == [*range(1, workers), *[workers] * (11 - workers)]


def test_with_several_workers_cheap_runs_end_first():
    record = run_sweep(RANDOM, PROBLEMS[0](), 0, 8, 8)
    assert (np.diff(record.costs) >= 0).all()


def test_failed_runs_are_counted_apart():
    record = run_sweep(RANDOM, PROBLEMS[1](), 0, 40, 1)
    assert 0 < record.failures < 40
    assert len(record.costs) == 40 - record.failures


def test_the_picked_run_looks_best_by_the_mean_of_its_repetitions():
    record = Record(
        costs=np.array([1.0, 1.0, 2.0, 9.0]),
        observed=np.array([5.0, 1.0, 4.0, 99.0]),
        true=np.array([2.9, 2.9, 3.5, 50.0]),
        failures=0,
    )
    assert record.best_at(0.5) == -np.inf
    assert record.best_at(1.0) == 2.9
    assert record.best_at(2.0) == 3.5  # 4 against a mean of 3
    assert record.best_at(10.0) == 50.0


def test_perfect_runs_measure_one():
    problem = PROBLEMS[0]()
    costs, scores = problem.ideal()
    numbers = measure(Record(costs, scores, scores, 3), problem)
    assert numbers[:5] == pytest.approx((1.0, 1.0, 1.0, 1.0, 1.0))
    assert numbers[5:] == pytest.approx((costs.sum() / costs.max(), 3.0))


def test_a_run_counts_only_for_budgets_that_pay_for_it():
    problem = PROBLEMS[0]()
    costs, scores = problem.ideal()
    dear = costs == costs.max()
    only_dear = Record(costs[dear], scores[dear], scores[dear], 0)
    _, at_cost, *levels, _, _ = measure(only_dear, problem)
    assert at_cost == pytest.approx(1.0 / 21.0)  # of 21 budgets, the whole alone
    assert levels == pytest.approx([0.0, 0.0, 1.0])


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_intervals_are_students(count):
    values = np.random.default_rng(count).normal(3.0, 2.0, count)
    mean, half = interval(values)
    low, high = t.interval(0.95, count - 1, loc=values.mean(), scale=values.std(ddof=1) / count**0.5)
    assert mean == pytest.approx((low + high) / 2)
    assert half == pytest.approx((high - low) / 2, rel=1e-9)


def test_the_table_has_a_row_per_sampler_and_problem():
    calls = []
    rows = compare([RANDOM], [PROBLEMS[0]()], [1, 2], [0, 1], 3, lambda: calls.append(1))
    assert len(calls) == 4
    assert [row[:3] for row in rows] == [["1", "language", "random"], ["2", "language", "random"]]
    assert markdown(rows).count("\n") == 4
