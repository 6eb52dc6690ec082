"""What a sweep found: the best parameters, the Pareto front of score and cost, and the cost that was spared."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.special import stdtrit

from puffer_phc.sweeps.history import COST

CONFIRM, DEFAULT = "confirm", "default"  # attributes of trials, see puffer_phc.sweeps.confirmation


def completed(study: Study) -> list[FrozenTrial]:
    """Trials of the search with a score; runs with new seeds that confirm it are no part of it."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in trials if CONFIRM not in trial.user_attrs]


def stopped(study: Study) -> list[FrozenTrial]:
    """Trials that were stopped as hopeless."""
    return study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))


def best_trial(study: Study) -> FrozenTrial | None:
    """The best trial, where trials of the same parameters count with their mean; None without any."""
    groups: dict[tuple[tuple[str, object], ...], list[FrozenTrial]] = {}
    for trial in completed(study):
        groups.setdefault(tuple(sorted(trial.params.items())), []).append(trial)
    sign = sign_of(study)
    means = [(sign * statistics.fmean(score_of(trial) for trial in group), group) for group in groups.values()]
    if not means:
        return None
    _, group = max(means, key=lambda item: item[0])
    return max(group, key=lambda trial: sign * score_of(trial))


def pareto_front(study: Study) -> list[FrozenTrial]:
    """Trials that none of the same cost or less is better than, by rising cost."""
    sign, front = sign_of(study), []
    best = float("-inf")
    for trial in sorted(completed(study), key=lambda trial: (cost_of(trial), -sign * score_of(trial))):
        if sign * score_of(trial) > best:
            best = sign * score_of(trial)
            front.append(trial)
    return front


def saved(trials: Sequence[FrozenTrial]) -> tuple[float, float]:
    """Cost of the trials, and what it would have been had each cost as much as the dearest."""
    costs = [cost_of(trial) for trial in trials]
    return sum(costs), max(costs, default=0.0) * len(costs)


def sign_of(study: Study) -> float:
    """1 where larger scores are better, else -1."""
    return 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0


def score_of(trial: FrozenTrial) -> float:
    """Of a completed trial."""
    assert trial.value is not None
    return trial.value


def cost_of(trial: FrozenTrial) -> float:
    """Of a finished trial; 0 if it was not told."""
    return float(trial.user_attrs.get(COST, 0.0))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half of its 95 % confidence interval by Student's t; NaN for fewer than two values."""
    count = len(values)
    if count < 2:
        return float(np.mean(values)), math.nan
    return float(np.mean(values)), float(stdtrit(count - 1, 0.975) * np.std(values, ddof=1) / math.sqrt(count))
