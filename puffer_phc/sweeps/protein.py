"""Protein, the sweep algorithm of PufferLib 3, as an Optuna sampler.

Around every point of the Pareto front it draws candidates from a box, and takes the one with the best product of
predicted score and nearness to a random target cost. Of each run several points of its learning curve count (see
:mod:`puffer_phc.sweeps.history`). Spaces, models, front and the bookkeeping of workers are those of CARBS.

Known faults of the published version are not copied: where less is better it prefers costs off the target and runs
above the limit; its two models share one set of hyperparameters; a repeated point overwrites the earlier one; failures
are ignored (here they count with the worst score as long as there are few observations, as in PufferLib 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from puffer_phc.errors import InputError
from puffer_phc.sweeps.gaussian_process import GaussianProcess, Prior, fit, start_of
from puffer_phc.sweeps.history import History
from puffer_phc.sweeps.pareto import group_observations, pareto_groups
from puffer_phc.sweeps.point_sampler import PointSampler
from puffer_phc.sweeps.spaces import Space, center_of, contain_points, round_points
from puffer_phc.sweeps.suggestion import Suggestion, center_due, taken
from puffer_phc.sweeps.surrogates import CostScale, standardise

_INSIDE = 1e-6  # share of a continuous range that candidates keep from its ends, which are not allowed values


@dataclass(frozen=True)
class ProteinSettings:
    """Choices of a search; lengths are in basic coordinates, see :mod:`puffer_phc.sweeps.spaces`.

    Attributes:
        seed: of everything random, together with the trial's number.
        max_cost: predicted cost that no suggestion may reach; None for any.
        candidates: drawn around each point of the front.
        half_width: of the box that they are drawn from; one basic unit is what PufferLib calls a parameter's scale.
        reach: greatest target cost, as a share of the range of log costs; above 1 the search climbs.
        max_points: observations that models are fitted to: the newest half of them, and others at random.
        scored_failures: observations up to which failures count with the worst score.
    """

    seed: int = 0
    max_cost: float | None = None
    candidates: int = 256
    half_width: float = 1.0
    reach: float = 1.25
    max_points: int = 750
    scored_failures: int = 100

    def __post_init__(self) -> None:
        good = self.seed >= 0 and self.candidates >= 1 and self.max_points >= 2 and self.scored_failures >= 0
        positive = self.half_width > 0.0 and self.reach > 0.0 and (self.max_cost is None or self.max_cost > 0.0)
        if not (good and positive):
            raise InputError("protein settings", f"{self} makes no sense", "give positive numbers")


class ProteinSampler(PointSampler):
    """Suggests the parameters of a study's trials by Protein.

    Attributes:
        settings: of the search.
    """

    def __init__(
        self,
        spaces: Sequence[Space] | None = None,
        settings: ProteinSettings | None = None,
        curve_parameter: str | None = None,
        curve_points: int | None = None,
    ) -> None:
        """Choose what to search and how; all but ``settings`` as for :class:`PointSampler`."""
        self.settings = settings or ProteinSettings()
        super().__init__(spaces, self.settings.seed, curve_parameter, curve_points)

    def propose(
        self, history: History, spaces: Sequence[Space], rng: np.random.Generator, center: bool = True
    ) -> Suggestion:
        """The centre, random points around it until two runs succeeded, then the models' choice."""
        middle = center_of(spaces)
        if history.trials < 2:
            if center and center_due(history, middle):
                return Suggestion(middle, "center")
            return _around_centre(middle, history, spaces, self.settings, rng)
        whole = history.whole
        groups = group_observations(history.points[whole], history.scores[whole], history.costs[whole])
        front = pareto_groups(groups, cheap=0.0, conservative=False)
        origins = torch.stack([group.point for group in front])
        points = box(origins, spaces, self.settings.half_width, self.settings.candidates, rng)
        points = points[~taken(points, history.pending)]
        if not len(points):
            return Suggestion(middle, "fallback", fallback="no free candidate within the bounds")
        return _choice(points, history, spaces, self.settings, rng)


def box(origins: Tensor, spaces: Sequence[Space], half: float, count: int, rng: np.random.Generator) -> Tensor:
    """``count`` points, as they would run, uniform in a box around each of the origins (K, D) held within the bounds.

    Returns:
        (M, D), M at most ``count * K``.
    """
    offsets = torch.from_numpy(rng.uniform(-half, half, (len(origins) * count, len(spaces))))
    points = origins.repeat_interleave(count, dim=0) + offsets
    columns = [_held(space, points[:, index]) for index, space in enumerate(spaces)]
    rounded = round_points(spaces, torch.stack(columns, dim=-1))
    return rounded[contain_points(spaces, rounded)]


def merit(score: Tensor, cost: Tensor, target: float) -> Tensor:
    """PufferLib's figure of merit (M,): score x (1 - |target - cost|), neither factor below zero.

    Args:
        score: (M,) predicted, 0 for the worst observed one and 1 for the best.
        cost: (M,) logarithm of the predicted one, 0 for the least observed and 1 for the greatest.
        target: on the scale of ``cost``.
    """
    return score.clamp_min(0.0) * (1.0 - (target - cost).abs()).clamp_min(0.0)


def _choice(
    points: Tensor, history: History, spaces: Sequence[Space], settings: ProteinSettings, rng: np.random.Generator
) -> Suggestion:
    """The candidate (of M, D) of highest merit below the cost limit; the cheapest if there is none."""
    origin = center_of(spaces)
    target = settings.reach * float(rng.random())
    history = _subset(history, settings.max_points, rng)
    logs = history.costs[history.whole].log()
    scale = CostScale(float(logs.min()), float(logs.max()))
    shares = 0.5 * (scale.to_unit(history.costs) + 1.0)
    inputs, scores = _with_failures(history, settings)
    low, width = float(scores.min()), float(scores.max() - scores.min()) or 1.0
    score = (_fitted(inputs - origin, scores, points - origin) - low) / width
    cost = _fitted(history.points[history.whole] - origin, shares[history.whole], points - origin)
    costs = scale.to_cost(2.0 * cost - 1.0)
    value, fallback = merit(score, cost, target), ""
    if settings.max_cost is not None:
        affordable = costs < settings.max_cost
        value = value.masked_fill(~affordable, -1.0)
        if not bool(affordable.any()):
            value, fallback = -cost, f"no candidate is predicted below the cost {settings.max_cost:g}"
    index = int(value.argmax())
    return Suggestion(points[index], "fallback" if fallback else "model", float(costs[index]), fallback)


def _fitted(points: Tensor, outputs: Tensor, at: Tensor) -> Tensor:
    """Outputs (M,) expected at ``at`` (M, D) by a process fitted to points (N, D) and outputs (N,)."""
    mean, spread = outputs.mean(), outputs.std(correction=0)
    prior = Prior()
    process: GaussianProcess = fit(points, standardise(outputs), start_of(prior, points.shape[1]), prior)
    return process.mean(at) * spread + mean


def _with_failures(history: History, settings: ProteinSettings) -> tuple[Tensor, Tensor]:
    """Points (N + F, D) and scores (N + F,), failures having the worst one as long as there are few observations."""
    if len(history.scores) >= settings.scored_failures or not len(history.failures):
        return history.points, history.scores
    worst = history.scores.min().repeat(len(history.failures))
    return torch.cat((history.points, history.failures)), torch.cat((history.scores, worst))


def _subset(history: History, count: int, rng: np.random.Generator) -> History:
    """``history`` with at most ``count`` observations."""
    total = len(history.costs)
    if total <= count:
        return history
    newest = total - count // 2
    rows = np.sort(rng.choice(newest, count - count // 2, replace=False))
    kept = torch.from_numpy(np.concatenate((rows, np.arange(newest, total))))
    return history.rows(kept)


def _held(space: Space, basic: Tensor) -> Tensor:
    """Basic coordinates within the space's bounds, and strictly so if it is continuous."""
    low, high = space.to_basic(torch.tensor([space.low, space.high], dtype=basic.dtype)).tolist()
    margin = 0.0 if space.spacing or not np.isfinite(high - low) else _INSIDE * (high - low)
    return basic.clamp(low + margin, high - margin)


def _around_centre(
    middle: Tensor, history: History, spaces: Sequence[Space], settings: ProteinSettings, rng: np.random.Generator
) -> Suggestion:
    points = box(middle.unsqueeze(0), spaces, settings.half_width, settings.candidates, rng)
    free = points[~taken(points, history.pending)]
    if len(free):
        return Suggestion(free[0], "random")
    return Suggestion(middle, "fallback", fallback="no free point around the centre")
