"""What a sweep found: the best parameters, the Pareto front of score and cost, and the cost that was spared."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from puffer_phc.sweeps.history import COST


def completed(study: Study) -> list[FrozenTrial]:
    """Trials with a score."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


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
    """Of a completed trial; 0 if it was not told."""
    return float(trial.user_attrs.get(COST, 0.0))
