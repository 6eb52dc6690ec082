"""How well samplers do on the synthetic problems, with one worker or several at once.

A sweep is measured by the share of the ideal front's area that its runs dominate (without noise, over log cost), and by
the score of the run that a user would pick for a cost: the one that looks best among those that cost no more.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from puffer_phc.errors import InputError
from puffer_phc.sweeps.carbs import CarbsSampler
from puffer_phc.sweeps.history import COST
from puffer_phc.sweeps.settings import CarbsSettings
from puffer_phc.sweeps.synthetic import Array, Problem

try:
    import optuna
    from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
    from optuna.study import StudyDirection
    from optuna.trial import Trial, TrialState
except ImportError:
    raise InputError("optuna", "is not installed", "run `uv sync --extra sweep`") from None


@dataclass(frozen=True)
class Method:
    """A sampler to compare.

    Attributes:
        name: in the table.
        make: the sampler for a problem and a seed.
        two_objectives: whether it gets score and cost as objectives, or the score alone.
    """

    name: str
    make: Callable[[Problem, int], BaseSampler]
    two_objectives: bool = False


METHODS = (
    Method("carbs", lambda problem, seed: CarbsSampler(problem.spaces, CarbsSettings(seed=seed))),
    Method("carbs, published", lambda problem, seed: CarbsSampler(problem.spaces, CarbsSettings(seed=seed), True)),
    Method("random", lambda problem, seed: RandomSampler(seed=seed)),
    Method("TPE", lambda problem, seed: TPESampler(seed=seed)),
    Method("NSGA-II", lambda problem, seed: NSGAIISampler(seed=seed, population_size=16), two_objectives=True),
    Method("multi-objective TPE", lambda problem, seed: TPESampler(seed=seed), two_objectives=True),
)


@dataclass(frozen=True)
class Record:
    """The runs of one sweep that did not fail, in the order they ended, each (N,).

    Attributes:
        costs: of the runs.
        observed: their noisy scores.
        true: their scores without noise.
        failures: number of runs that failed.
    """

    costs: Array
    observed: Array
    true: Array
    failures: int

    def best_at(self, cost: float) -> float:
        """True score of the run that looks best among those of at most ``cost``; minus infinity if there is none.

        Repeated points count with the mean of their observed scores, as a user would compare them.
        """
        within = np.flatnonzero(self.costs <= cost)
        if len(within) == 0:
            return -np.inf
        means = [self.observed[(self.true == self.true[i]) & (self.costs == self.costs[i])].mean() for i in within]
        return float(self.true[within[int(np.argmax(means))]])


def run_sweep(method: Method, problem: Problem, seed: int, evaluations: int, workers: int) -> Record:
    """One sweep in simulated time: a run takes as long as it costs, and a worker that is free asks at once."""
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE][: 1 + method.two_objectives]
    study = optuna.create_study(directions=directions, sampler=method.make(problem, seed))
    distributions = {space.name: space.to_distribution() for space in problem.spaces}
    rng = np.random.default_rng([seed, 7])
    running: list[tuple[float, int, Trial]] = []
    rows: list[tuple[float, float, float]] = []
    now, failures = 0.0, 0
    for number in range(evaluations + workers):
        if number >= workers:
            now, _, done = heapq.heappop(running)
            row = _finish(study, problem, done, rng, method.two_objectives)
            rows += [row] if row else []
            failures += row is None
        if number < evaluations:
            trial = study.ask(distributions)
            cost = float(problem.evaluate(_runnable(problem, trial))[1])
            heapq.heappush(running, (now + cost, number, trial))
    costs, observed, true = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return Record(costs, observed, true, failures)


def _runnable(problem: Problem, trial: Trial) -> dict[str, float]:
    """The parameters, with what Optuna's distributions cannot say rounded."""
    return {space.name: space.nearest(trial.params[space.name]) for space in problem.spaces}


def _finish(
    study: optuna.Study, problem: Problem, trial: Trial, rng: np.random.Generator, two_objectives: bool
) -> tuple[float, float, float] | None:
    """Tell the study how a trial went; returns its cost, observed and true score, None if it failed."""
    params = _runnable(problem, trial)
    noise = problem.noise * rng.standard_normal()
    if problem.fails(params):
        study.tell(trial, state=TrialState.FAIL)
        return None
    true, cost = (float(value) for value in problem.evaluate(params))
    trial.set_user_attr(COST, cost)
    study.tell(trial, [true + noise, cost] if two_objectives else true + noise)
    return cost, true + noise, true


SHARES = (0.01, 0.1, 1.0)  # of the dearest sensible run's cost, at which picked runs are compared
COLUMNS = ("front", *(f"best at {share:.0%} cost" for share in SHARES), "spent", "failed runs")


def measure(record: Record, problem: Problem) -> tuple[float, ...]:
    """One sweep's numbers, as named in :data:`COLUMNS`; spent is in runs of the dearest cost."""
    dearest = float(problem.ideal()[0].max())
    picked = (problem.share(record.best_at(share * dearest), share * dearest) for share in SHARES)
    front = problem.hypervolume(record.costs, record.true)
    return front, *picked, float(record.costs.sum()) / dearest, float(record.failures)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half of its 95 % confidence interval by Student's t (Cornish-Fisher expansion of its quantile)."""
    count = len(values)
    if count < 2:
        return float(np.mean(values)), math.nan
    z, f = 1.959963985, count - 1
    quantile = z + (z**3 + z) / (4 * f) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * f**2)
    quantile += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * f**3)
    return float(np.mean(values)), quantile * float(np.std(values, ddof=1)) / math.sqrt(count)


def compare(
    methods: Sequence[Method],
    problems: Sequence[Problem],
    workers: Sequence[int],
    seeds: Sequence[int],
    evaluations: int,
    progress: Callable[[], None],
) -> list[list[str]]:
    """Sweep everything; rows of workers, problem, method and mean +- interval of every column.

    Args:
        methods: to compare.
        problems: to compare on.
        workers: numbers of simulated workers.
        seeds: one sweep each.
        evaluations: runs of a sweep.
        progress: called after every sweep.
    """
    rows = []
    for count in workers:
        for problem in problems:
            for method in methods:
                numbers = []
                for seed in seeds:
                    numbers.append(measure(run_sweep(method, problem, seed, evaluations, count), problem))
                    progress()
                cells = ["{:.2f} ± {:.2f}".format(*interval(column)) for column in zip(*numbers, strict=True)]
                rows.append([str(count), problem.name, method.name, *cells])
    return rows


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows of :func:`compare` as a table."""
    header = ["workers", "problem", "sampler", *COLUMNS]
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
