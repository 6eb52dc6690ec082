"""Samplers that choose a whole point from a study's history, as Optuna samplers that any number of workers share.

The sampler keeps no state: everything comes from the study's trials, and random numbers from the seed and the trial's
number. Each suggestion is announced before it is used, so that no two workers evaluate the same point at once.
"""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from puffer_phc.errors import InputError
from puffer_phc.sweeps.history import CLAIM, Curves, History, read_history
from puffer_phc.sweeps.pareto import same_points
from puffer_phc.sweeps.spaces import Space, params_at, points_of, space_from_distribution, values_of
from puffer_phc.sweeps.suggestion import Suggestion

try:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler, RandomSampler
    from optuna.search_space import intersection_search_space
    from optuna.study import Study, StudyDirection
    from optuna.trial import FrozenTrial, TrialState
except ImportError:
    raise InputError("optuna", "is not installed", "run `uv sync --extra sweep`") from None

_ATTEMPTS = 8  # to find a point that no other worker has claimed in the meantime


class PointSampler(BaseSampler):
    """Suggests all parameters of a trial at once; subclasses say which.

    Every suggestion is announced in the trial's system attribute ``carbs``: ``kind`` (center, random, resample, model,
    fallback or queued), ``params``, ``cost`` (predicted, or null) and ``fallback`` (why the usual rule did not apply).
    """

    def __init__(
        self,
        spaces: Sequence[Space] | None,
        seed: int,
        curve_parameter: str | None = None,
        curve_points: int | None = None,
    ) -> None:
        """Choose what to search.

        Args:
            spaces: of the parameters. None takes numbers' ranges from finished trials, with the search's centre in the
                middle and one basic unit half of the range; the first trials then draw each parameter by itself.
            seed: of everything random, together with the trial's number.
            curve_parameter: the parameter whose earlier values the trials' attribute ``curve`` tells of.
            curve_points: observations that a trial gives at most, if there is a ``curve_parameter``; None for all.

        Raises:
            InputError: names repeat, ``curve_parameter`` is none of them, or ``curve_points`` is below 1.
        """
        where = type(self).__name__
        names = [space.name for space in spaces or ()]
        if spaces is not None and (not names or len(set(names)) < len(names)):
            raise InputError(where, f"got the spaces {names}", "give at least one, with distinct names")
        if curve_parameter is not None and spaces is not None and curve_parameter not in names:
            raise InputError(where, f"curve_parameter {curve_parameter!r} is no space", f"use one of {names}")
        if curve_points is not None and curve_points < 1:
            raise InputError(where, f"curve_points is {curve_points}", "give 1 or more, or None for all")
        self._seed = seed
        self._spaces = None if spaces is None else tuple(spaces)
        self._curves = Curves(curve_parameter, curve_points)

    @abstractmethod
    def propose(
        self, history: History, spaces: Sequence[Space], rng: np.random.Generator, center: bool = True
    ) -> Suggestion:
        """The next point.

        Args:
            history: what is known.
            spaces: of the parameters.
            rng: for everything random.
            center: whether the search's centre may come first.
        """

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distributions of the spaces, for ``study.ask``."""
        return {space.name: space.to_distribution() for space in self._spaces or ()}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The spaces given, or those of the numbers that all finished trials have."""
        if self._spaces is not None:
            return self.distributions
        common = intersection_search_space(study.get_trials(deepcopy=False))
        return {name: dist for name, dist in common.items() if space_from_distribution(name, dist) is not None}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Parameters of a trial, announced to other workers before they are returned.

        Raises:
            InputError: the study has several objectives, or a finished trial has no valid cost.
        """
        if len(study.directions) != 1:
            raise InputError("study", "has several objectives", "keep the score and report the cost as an attribute")
        spaces = self._spaces or _spaces_of(search_space)
        if not spaces:
            return {}
        fixed = trial.system_attrs.get("fixed_params", {})  # of study.enqueue_trial; Optuna prefers them to ours
        if all(space.name in fixed for space in spaces):
            _announce(study, trial, {"kind": "queued", "params": fixed, "cost": None, "fallback": ""})
            return {name: fixed[name] for name in search_space}
        for attempt in range(_ATTEMPTS):
            suggestion = self._suggest(study, trial, spaces, attempt)
            params = {**params_at(spaces, suggestion.point), **fixed}
            claim = {"kind": suggestion.kind, "params": params, "cost": suggestion.cost}
            _announce(study, trial, {**claim, "fallback": suggestion.fallback})
            if not self._contested(study, trial, spaces, params):
                break
        return params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parameter outside the spaces: near the middle of its range if it is a number and no spaces were given."""
        seed = [self._seed, trial.number, zlib.crc32(param_name.encode())]
        rng = np.random.default_rng(seed)
        space = space_from_distribution(param_name, param_distribution) if self._spaces is None else None
        if space is None:
            random = RandomSampler(seed=int(rng.integers(2**31)))
            return random.sample_independent(study, trial, param_name, param_distribution)
        nothing = read_history([], [space], 1.0, trial.number)
        chosen = self.propose(nothing, [space], rng, center=trial.number == 0)
        return params_at([space], chosen.point)[param_name]

    def _suggest(self, study: Study, trial: FrozenTrial, spaces: Sequence[Space], attempt: int) -> Suggestion:
        sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
        trials = study.get_trials(deepcopy=False)
        history = read_history(trials, spaces, sign, trial.number, self._curves)
        return self.propose(history, spaces, np.random.default_rng([self._seed, trial.number, attempt]))

    def _contested(self, study: Study, trial: FrozenTrial, spaces: Sequence[Space], params: dict[str, Any]) -> bool:
        """Whether another trial runs the same point.

        Of two workers that announce the same point at least one sees the other here, since each announces before it
        looks; whoever sees it gives way. The new point, drawn from new random numbers, avoids what is announced.
        """
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        pending = read_history(running, spaces, 1.0, trial.number).pending
        values = values_of(spaces, params)
        return values is not None and bool(same_points(pending, points_of(spaces, [values])[0]).any())


def _spaces_of(distributions: dict[str, BaseDistribution]) -> tuple[Space, ...]:
    spaces = (space_from_distribution(name, distributions[name]) for name in sorted(distributions))
    return tuple(space for space in spaces if space is not None)


def _announce(study: Study, trial: FrozenTrial, claim: dict[str, Any]) -> None:
    # Optuna has no public way for a sampler to attach anything to a trial; its own samplers do this.
    study._storage.set_trial_system_attr(trial._trial_id, CLAIM, claim)
