"""What can be chosen about CARBS, and the choices of its published version."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from puffer_phc.errors import InputError


@dataclass(frozen=True)
class CarbsSettings:
    """Choices of a search; lengths are in basic coordinates, see :mod:`puffer_phc.sweeps.spaces`.

    Attributes:
        seed: of everything random, together with the trial's number.
        random_trials: trials to succeed around the centre before models are asked.
        radius: standard deviation of one step.
        candidates_per_dim: points, per parameter, among which the best is chosen.
        resample_every: one in so many successful trials repeats a point of the front; 0 never.
        max_cost: predicted cost that no suggestion may reach; None for any. Runs are not stopped at it.
        min_pareto_cost_fraction: share of the cheapest observations that is one bucket of the front.
        conservative: a single lucky run does not join the front as easily as a repeated one.
        exploration_bias: improvement that is asked for, in standard deviations of the scores.
        pending: how running trials count, with their expected score or with one drawn from the model.
        center_first: the first trial is the centre itself.
        fitted: models are fitted to the data (scores standardised, unknown mean); False keeps the constants that
            the published code in effect uses, and its rank-based warp of scores.
        exact_success: the success probability uses the standard deviation; the published code takes the variance.
        stay_below_max_cost: where no candidate is predicted below ``max_cost`` the cheapest one runs; the published
            code takes a random one, whatever it costs.
        locality: weight of nearness to the front in the choice of a candidate; the published code has 1, which keeps
            steps short in spaces of many dimensions.
        reach_up: the random cost at which a candidate must beat the front goes up to the dearest candidates, so that
            dear runs are tried before the cheap ones are perfect; the published code stops at the front's end.
        min_success: probability below which no candidate runs while there is a likelier one; the published code only
            multiplies by the probability, and keeps failing where the rest promises nothing.
    """

    seed: int = 0
    random_trials: int = 4
    radius: float = 0.5
    candidates_per_dim: int = 100
    resample_every: int = 5
    max_cost: float | None = None
    min_pareto_cost_fraction: float = 0.2
    conservative: bool = True
    exploration_bias: float = 0.2
    pending: Literal["thompson", "mean"] = "thompson"
    center_first: bool = True
    fitted: bool = True
    exact_success: bool = True
    stay_below_max_cost: bool = True
    locality: float = 0.3
    reach_up: bool = True
    min_success: float = 0.5

    def __post_init__(self) -> None:
        where = "carbs settings"
        if self.seed < 0 or self.resample_every < 0:
            raise InputError(where, f"seed {self.seed}, resample_every {self.resample_every}", "give none below zero")
        if min(self.random_trials, self.candidates_per_dim) < 1 or not self.radius > 0.0:
            raise InputError(where, "random_trials, candidates_per_dim or radius is too small", "give positive ones")
        if not 0.0 <= self.min_pareto_cost_fraction <= 1.0:
            fault = f"min_pareto_cost_fraction is {self.min_pareto_cost_fraction}"
            raise InputError(where, fault, "give a share between 0 and 1")
        if not 0.0 <= self.min_success < 1.0 or self.locality < 0.0:
            fault = f"min_success {self.min_success}, locality {self.locality}"
            raise InputError(where, fault, "give a probability below 1 and no negative locality")
        if self.max_cost is not None and not self.max_cost > 0.0:
            raise InputError(where, f"max_cost is {self.max_cost}", "give a positive cost, or None for any")
        if self.pending not in ("thompson", "mean"):
            raise InputError(where, f"pending is {self.pending!r}", "use thompson or mean")


def published(settings: CarbsSettings) -> CarbsSettings:
    """``settings`` with every deliberate improvement turned off: arXiv 2306.08055 as its public code runs."""
    return replace(
        settings,
        radius=0.3,
        exploration_bias=1.0,
        center_first=False,
        fitted=False,
        exact_success=False,
        stay_below_max_cost=False,
        locality=1.0,
        reach_up=False,
        min_success=0.0,
    )
