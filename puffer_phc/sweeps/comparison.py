"""How well samplers do on the synthetic problems, with one worker or several at once.

A sweep is measured by the share of the ideal front's area that its runs dominate (without noise, over log cost), and by
the score of the run that a user would pick for a cost: the one that looks best among those that cost no more.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from puffer_phc.errors import InputError
from puffer_phc.sweeps.carbs import CarbsSampler
from puffer_phc.sweeps.history import COST, CURVE
from puffer_phc.sweeps.protein import ProteinSampler, ProteinSettings
from puffer_phc.sweeps.results import interval
from puffer_phc.sweeps.settings import CarbsSettings
from puffer_phc.sweeps.stopping import is_hopeless
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
        points: evaluations of a run, evenly spread over its length; the last is its end.
        early_stop: whether hopeless runs are stopped.
    """

    name: str
    make: Callable[[Problem, int], BaseSampler]
    two_objectives: bool = False
    points: int = 1
    early_stop: bool = False


def _carbs(problem: Problem, seed: int) -> BaseSampler:
    return CarbsSampler(problem.spaces, CarbsSettings(seed=seed))


def _carbs_of_ends(problem: Problem, seed: int) -> BaseSampler:
    return CarbsSampler(problem.spaces, CarbsSettings(seed=seed), curve_parameter=problem.bought[0], curve_points=1)


def _carbs_of_curves(problem: Problem, seed: int) -> BaseSampler:
    return CarbsSampler(problem.spaces, CarbsSettings(seed=seed), curve_parameter=problem.bought[0])


def _protein(problem: Problem, seed: int) -> BaseSampler:
    return ProteinSampler(problem.spaces, ProteinSettings(seed=seed))


def _protein_of_curves(problem: Problem, seed: int) -> BaseSampler:
    return ProteinSampler(problem.spaces, ProteinSettings(seed=seed), curve_parameter=problem.bought[0])


METHODS = (
    Method("carbs", _carbs),
    Method("carbs, 5 points a run", _carbs_of_curves, points=5),
    Method("carbs, hopeless runs stopped", _carbs_of_ends, points=20, early_stop=True),
    Method("protein", _protein),
    Method("protein, 5 points a run", _protein_of_curves, points=5),
    Method("carbs, published", lambda problem, seed: CarbsSampler(problem.spaces, CarbsSettings(seed=seed), True)),
    Method("random", lambda problem, seed: RandomSampler(seed=seed)),
    Method("random, hopeless runs stopped", lambda problem, seed: RandomSampler(seed=seed), points=20, early_stop=True),
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
        stopped: number of runs that were stopped; they count as runs of the length that they reached.
    """

    costs: Array
    observed: Array
    true: Array
    failures: int
    stopped: int = 0

    def best_at(self, cost: float) -> float:
        """True score of the run that looks best among those of at most ``cost``; minus infinity if there is none.

        Repeated points count with the mean of their observed scores, as a user would compare them.
        """
        within = np.flatnonzero(self.costs <= cost)
        if len(within) == 0:
            return -np.inf
        means = [self.observed[(self.true == self.true[i]) & (self.costs == self.costs[i])].mean() for i in within]
        return float(self.true[within[int(np.argmax(means))]])


@dataclass(frozen=True)
class _Run:
    """A run under way in simulated time, evaluated after each of ``points`` equal parts of its length."""

    problem: Problem
    trial: Trial
    params: dict[str, float]
    points: int
    curve: list[tuple[float, float]]  # cost, observed score

    def at(self, point: int) -> tuple[float, float]:
        """True score and cost after so many parts of its length."""
        length = self.problem.bought[0]
        partly = {**self.params, length: self.params[length] * point / self.points}
        score, cost = self.problem.evaluate(partly if point < self.points else self.params)
        return float(score), float(cost)

    def values(self) -> list[list[float]]:
        """What the trial's attribute ``curve`` holds: length, score and cost of all evaluations but the end."""
        length = self.params[self.problem.bought[0]] / self.points
        return [[(index + 1) * length, score, cost] for index, (cost, score) in enumerate(self.curve)]


def run_sweep(method: Method, problem: Problem, seed: int, evaluations: int, workers: int) -> Record:
    """One sweep in simulated time: a run takes as long as it costs, and a worker that is free asks at once."""
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE][: 1 + method.two_objectives]
    study = optuna.create_study(directions=directions, sampler=method.make(problem, seed))
    distributions = {space.name: space.to_distribution() for space in problem.spaces}
    rng, curve_rng = np.random.default_rng([seed, 7]), np.random.default_rng([seed, 8])
    running: list[tuple[float, int, int, _Run]] = []  # when it is evaluated next, number, which evaluation
    finished: list[list[tuple[float, float]]] = []
    rows: list[tuple[float, float, float]] = []
    now, asked, failures, stopped = 0.0, 0, 0, 0
    while asked < evaluations or running:
        while asked < evaluations and len(running) < workers:
            trial = study.ask(distributions)
            run = _Run(problem, trial, _runnable(problem, trial), method.points, [])
            heapq.heappush(running, (now + run.at(1)[1], asked, 1, run))
            asked += 1
        now, number, point, run = heapq.heappop(running)
        true, cost = run.at(point)
        if point == method.points:
            row = _finish(study, run, rng, method.two_objectives)
            rows += [row] if row else []
            finished += [[*run.curve, row[:2]]] if row else []
            failures += row is None
            continue
        run.curve.append((cost, true + problem.noise * float(curve_rng.standard_normal())))
        if method.early_stop and is_hopeless(run.curve, finished, run.at(method.points)[1]):
            run.trial.set_user_attr(CURVE, run.values())
            study.tell(run.trial, state=TrialState.PRUNED)
            rows.append((cost, run.curve[-1][1], true))
            stopped += 1
            continue
        heapq.heappush(running, (now + run.at(point + 1)[1] - cost, number, point + 1, run))
    costs, observed, true_scores = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return Record(costs, observed, true_scores, failures, stopped)


def _runnable(problem: Problem, trial: Trial) -> dict[str, float]:
    """The parameters, with what Optuna's distributions cannot say rounded."""
    return {space.name: space.nearest(trial.params[space.name]) for space in problem.spaces}


def _finish(
    study: optuna.Study, run: _Run, rng: np.random.Generator, two_objectives: bool
) -> tuple[float, float, float] | None:
    """Tell the study how a run went; returns its cost, observed and true score, None if it failed."""
    noise = run.problem.noise * float(rng.standard_normal())
    if run.problem.fails(run.params):
        study.tell(run.trial, state=TrialState.FAIL)
        return None
    true, cost = run.at(run.points)
    run.trial.set_user_attr(COST, cost)
    run.trial.set_user_attr(CURVE, run.values())
    study.tell(run.trial, [true + noise, cost] if two_objectives else true + noise)
    return cost, true + noise, true


SHARES = (0.01, 0.1, 1.0)  # of the dearest sensible run's cost, at which picked runs are compared
_BUDGETS = np.logspace(-2.0, 0.0, 21)  # the same for the mean over costs
COLUMNS = ("front", "best at cost", *(f"at {share:.0%}" for share in SHARES), "spent", "failed runs")


def measure(record: Record, problem: Problem) -> tuple[float, ...]:
    """One sweep's numbers, as named in :data:`COLUMNS`; spent is in runs of the dearest cost.

    The best at cost is the mean over costs, log-uniform from the hundredth to the whole of the dearest one.
    """
    dearest = float(problem.ideal()[0].max())

    def picked(share: float) -> float:
        return problem.share(record.best_at(share * dearest), share * dearest)

    at_cost = float(np.mean([picked(share) for share in _BUDGETS]))
    front = problem.hypervolume(record.costs, record.true)
    spent = float(record.costs.sum()) / dearest
    return front, at_cost, *map(picked, SHARES), spent, float(record.failures)


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
