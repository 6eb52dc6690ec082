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

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from puffer_phc.sweeps.history import History
from puffer_phc.sweeps.point_sampler import PointSampler
from puffer_phc.sweeps.settings import CarbsSettings, published
from puffer_phc.sweeps.spaces import Space
from puffer_phc.sweeps.suggestion import Suggestion, suggest


class CarbsSampler(PointSampler):
    """Suggests the parameters of a study's trials by CARBS.

    Attributes:
        settings: of the search.
    """

    def __init__(
        self,
        spaces: Sequence[Space] | None = None,
        settings: CarbsSettings | None = None,
        reference: bool = False,
        curve_parameter: str | None = None,
        curve_points: int | None = None,
    ) -> None:
        """Choose what to search and how.

        Args:
            spaces: as for :class:`PointSampler`.
            settings: of the search.
            reference: the published algorithm without our improvements.
            curve_parameter: as for :class:`PointSampler`.
            curve_points: as for :class:`PointSampler`.

        Raises:
            InputError: as for :class:`PointSampler`.
        """
        settings = settings or CarbsSettings()
        self.settings = published(settings) if reference else settings
        super().__init__(spaces, self.settings.seed, curve_parameter, curve_points)

    def propose(
        self, history: History, spaces: Sequence[Space], rng: np.random.Generator, center: bool = True
    ) -> Suggestion:
        """The next point by CARBS' rules."""
        settings = replace(self.settings, center_first=self.settings.center_first and center)
        return suggest(history, spaces, settings, rng)
