"""What CARBS evaluates next, given what a study knows: pure functions, no storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from puffer_phc.sweeps.acquisition import choose, draw_around
from puffer_phc.sweeps.history import History
from puffer_phc.sweeps.pareto import Group, group_observations, pareto_groups, same_points
from puffer_phc.sweeps.settings import CarbsSettings
from puffer_phc.sweeps.spaces import Space, center_of
from puffer_phc.sweeps.surrogates import fit_surrogates

Kind = Literal["center", "random", "resample", "model", "fallback"]


@dataclass(frozen=True)
class Suggestion:
    """A point to evaluate.

    Attributes:
        point: (D,) basic coordinates.
        kind: the rule that it comes from.
        cost: predicted; None where no model was asked.
        fallback: why the usual rule did not apply; empty if it did.
    """

    point: Tensor
    kind: Kind
    cost: float | None = None
    fallback: str = ""


def suggest(history: History, spaces: Sequence[Space], settings: CarbsSettings, rng: np.random.Generator) -> Suggestion:
    """The next point: the centre, random ones around it, now and then a repetition, otherwise the models' choice.

    Never a pending point, unless the spaces hold no other one near.

    Args:
        history: what is known.
        spaces: of the parameters, D of them.
        settings: of the search.
        rng: for everything random.
    """
    center = center_of(spaces)
    if history.trials < settings.random_trials:
        if settings.center_first and center_due(history, center):
            return Suggestion(center, "center")
        return _random(center.unsqueeze(0), history, spaces, settings, rng, "random")
    whole = history.whole  # partial observations are on no front: their parameters cost more than they have
    groups = group_observations(history.points[whole], history.scores[whole], history.costs[whole])
    cheap = float(torch.quantile(history.costs[whole], settings.min_pareto_cost_fraction))
    if settings.resample_every and history.trials > (history.resamples + 1) * settings.resample_every:
        repeated = resampled_group(pareto_groups(groups, cheap, conservative=False), history.pending)
        if repeated is not None:
            return Suggestion(repeated.point, "resample", repeated.cost)
    front = pareto_groups(groups, cheap, settings.conservative)
    return _model_choice(front, history, spaces, settings, rng)


def resampled_group(front: Sequence[Group], pending: Tensor) -> Group | None:
    """The group to repeat: the cheapest of those evaluated least often; None if all of the front is pending (P, D)."""
    free = [group for group in front if not bool(same_points(pending, group.point).any())]
    return min(free, key=lambda group: (len(group.scores), group.cost), default=None)


def _model_choice(
    front: Sequence[Group],
    history: History,
    spaces: Sequence[Space],
    settings: CarbsSettings,
    rng: np.random.Generator,
) -> Suggestion:
    origins = torch.stack([group.point for group in front])
    count = settings.candidates_per_dim * len(spaces)
    points, raw = draw_around(origins, spaces, settings.radius, count, rng)
    free = ~taken(points, history.pending)
    if not bool(free.any()):
        return _random(origins, history, spaces, settings, rng, "fallback", "no free candidate within the bounds")
    surrogates = fit_surrogates(history, front, settings, center_of(spaces), rng)
    choice = choose(points[free], raw[free], origins, surrogates, settings, rng)
    if choice is None:
        return _random(origins, history, spaces, settings, rng, "fallback", "every candidate is too dear")
    return Suggestion(choice.point, "fallback" if choice.fallback else "model", choice.cost, choice.fallback)


def _random(
    origins: Tensor,
    history: History,
    spaces: Sequence[Space],
    settings: CarbsSettings,
    rng: np.random.Generator,
    kind: Kind,
    fallback: str = "",
) -> Suggestion:
    """A point drawn around one of the origins (K, D), pending or an origin itself only if there is no other."""
    points, _ = draw_around(origins, spaces, settings.radius, 32, rng)
    free = points[~taken(points, history.pending)]
    if len(free):
        return Suggestion(free[0], kind, fallback=fallback)
    point = points[0] if len(points) else origins[0]
    return Suggestion(point, "fallback", fallback=fallback or "no free point around the centre")


def center_due(history: History, center: Tensor) -> bool:
    """Whether the centre (D,) has neither been evaluated nor is being."""
    known = torch.cat((history.points, history.failures, history.pending))
    return not bool(same_points(known, center).any())


def taken(points: Tensor, pending: Tensor) -> Tensor:
    """Which of the points (M, D) are among the pending ones (P, D), (M,) bool."""
    taken = torch.zeros(len(points), dtype=torch.bool)
    for point in pending:
        taken |= same_points(points, point)
    return taken
