"""CARBS (Cost-Aware Pareto-Region Bayesian Search, arXiv 2306.08055) as an Optuna sampler.

It searches for the best score at every cost at once, starting from a cheap centre and moving up the cost axis. It works
on any study of one objective whose trials report what they cost; the sweep driver is not needed::

    spaces = [Space("lr", "log", 1e-5, 1e-1, center=1e-3), Space("steps", "log", 1e6, 1e9, center=1e6, integer=True)]
    study = optuna.create_study(direction="maximize", sampler=CarbsSampler(spaces))
    trial = study.ask(study.sampler.distributions)
    score, seconds = train(**trial.params)
    trial.set_user_attr("cost", seconds)
    study.tell(trial, score)

The sampler keeps no state: everything comes from the study's trials, and random numbers from the seed and the trial's
number. Any number of workers may share a storage, and stop and resume, without anything else. What a trial may report
is told in :mod:`puffer_phc.sweeps.history`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from puffer_phc.errors import InputError
from puffer_phc.sweeps.history import CLAIM, read_history
from puffer_phc.sweeps.pareto import same_points
from puffer_phc.sweeps.settings import CarbsSettings, published
from puffer_phc.sweeps.spaces import Space, params_at, points_of, space_from_distribution, values_of
from puffer_phc.sweeps.suggestion import Suggestion, suggest

try:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler, RandomSampler
    from optuna.search_space import intersection_search_space
    from optuna.study import Study, StudyDirection
    from optuna.trial import FrozenTrial, TrialState
except ImportError:
    raise InputError("optuna", "is not installed", "run `uv sync --extra sweep`") from None

_ATTEMPTS = 8  # to find a point that no other worker has claimed in the meantime


class CarbsSampler(BaseSampler):
    """Suggests the parameters of a study's trials by CARBS.

    Every suggestion is announced in the trial's system attribute ``carbs``: ``kind`` (center, random, resample, model
    or fallback), ``params``, ``cost`` (predicted, or null) and ``fallback`` (why the usual rule did not apply).

    Attributes:
        settings: of the search.
    """

    def __init__(
        self,
        spaces: Sequence[Space] | None = None,
        settings: CarbsSettings | None = None,
        reference: bool = False,
        curve_parameter: str | None = None,
    ) -> None:
        """Choose what to search and how.

        Args:
            spaces: of the parameters. None takes numbers' ranges from finished trials, with the search's centre in the
                middle and one basic unit half of the range; the first trials then draw each parameter by itself.
            settings: of the search.
            reference: the published algorithm without our improvements.
            curve_parameter: the parameter whose earlier values the trials' attribute ``curve`` tells of.

        Raises:
            InputError: names repeat, or ``curve_parameter`` is none of them.
        """
        names = [space.name for space in spaces or ()]
        if spaces is not None and (not names or len(set(names)) < len(names)):
            raise InputError("CarbsSampler", f"got the spaces {names}", "give at least one, with distinct names")
        if curve_parameter is not None and spaces is not None and curve_parameter not in names:
            raise InputError("CarbsSampler", f"curve_parameter {curve_parameter!r} is no space", f"use one of {names}")
        settings = settings or CarbsSettings()
        self.settings = published(settings) if reference else settings
        self._spaces = None if spaces is None else tuple(spaces)
        self._curve_parameter = curve_parameter

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
        seed = [self.settings.seed, trial.number, zlib.crc32(param_name.encode())]
        rng = np.random.default_rng(seed)
        space = space_from_distribution(param_name, param_distribution) if self._spaces is None else None
        if space is None:
            random = RandomSampler(seed=int(rng.integers(2**31)))
            return random.sample_independent(study, trial, param_name, param_distribution)
        nothing = read_history([], [space], 1.0, trial.number)
        centered = self.settings.center_first and trial.number == 0
        chosen = suggest(nothing, [space], replace(self.settings, center_first=centered), rng)
        return params_at([space], chosen.point)[param_name]

    def _suggest(self, study: Study, trial: FrozenTrial, spaces: Sequence[Space], attempt: int) -> Suggestion:
        sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
        trials = study.get_trials(deepcopy=False)
        history = read_history(trials, spaces, sign, trial.number, self._curve_parameter)
        rng = np.random.default_rng([self.settings.seed, trial.number, attempt])
        return suggest(history, spaces, self.settings, rng)

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
