"""The models of CARBS: score, cost, front and success as functions of the parameters (arXiv 2306.08055)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from puffer_phc.sweeps.gaussian_process import GaussianProcess, Kernel, Prior, fit, start_of
from puffer_phc.sweeps.history import History
from puffer_phc.sweeps.pareto import Group, same_points
from puffer_phc.sweeps.settings import CarbsSettings

# What the published code's hyperparameters in effect are, see CarbsSettings.fitted.
_PUBLISHED_VARIANCE, _PUBLISHED_NOISE = 1.1, 0.0081
_PUBLISHED_LENGTHSCALE, _PUBLISHED_FRONT_VARIANCE = 0.89, 1.11  # of the front's model
_RANK_LIMIT = 5.199337582605575  # normal quantile of 1 - 1e-7, beyond which ranks are cut off

_SCORE_PRIOR = Prior(noise=(math.log(0.01), 1.0))
_COST_PRIOR = Prior(stationary=(math.log(0.1), 1.0), noise=(math.log(1e-3), 1.5))
_SUCCESS_PRIOR = Prior(linear=(math.log(0.1), 1.0), noise=(math.log(0.1), 1.0))


@dataclass(frozen=True)
class CostScale:
    """Log costs mapped linearly to [-1, 1] over the observed ones.

    Attributes:
        low: logarithm of the least cost observed.
        high: of the greatest.
    """

    low: float
    high: float

    def to_unit(self, cost: Tensor) -> Tensor:
        """Unit coordinates of costs, any shape."""
        return 2.0 * (cost.log() - self.low) / self._width - 1.0

    def to_cost(self, unit: Tensor) -> Tensor:
        """Costs at unit coordinates, any shape."""
        return (self.low + 0.5 * (unit + 1.0) * self._width).exp()

    @property
    def _width(self) -> float:
        return self.high - self.low or 1.0


@dataclass(frozen=True)
class Surrogates:
    """Fitted models. Scores are warped (standardised, or ranks), costs in unit coordinates.

    Attributes:
        origin: (D,) that points are taken relative to; the linear trends pass through it.
        score: of the parameters, given the pending trials' assumed scores too.
        cost: of the parameters.
        front: best score known at a cost.
        success: -1 success, +1 failure, of the parameters; None without failures.
        scale: of costs.
        front_costs: least and greatest unit cost on the front.
        exact_success: see :class:`~puffer_phc.sweeps.settings.CarbsSettings`.
    """

    origin: Tensor
    score: GaussianProcess
    cost: GaussianProcess
    front: GaussianProcess
    success: GaussianProcess | None
    scale: CostScale
    front_costs: tuple[float, float]
    exact_success: bool = True

    def predict_score(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (M,) and standard deviation (M,) of the warped score, without noise, at points (M, D)."""
        mean, variance = self.score.predict(points - self.origin)
        return mean, variance.sqrt()

    def predict_cost(self, points: Tensor) -> Tensor:
        """Unit cost (M,) expected at points (M, D)."""
        return self.cost.mean(points - self.origin)

    def best_at(self, unit_cost: Tensor) -> Tensor:
        """Warped score (M,) that the front reaches at unit costs (M,), level beyond its ends."""
        held = unit_cost.clamp(*self.front_costs)
        return self.front.mean(held.unsqueeze(-1))

    def success_probability(self, points: Tensor) -> Tensor:
        """Probability (M,) that runs at points (M, D) do not fail: of a label below zero."""
        if self.success is None:
            return torch.ones(len(points), dtype=points.dtype)
        mean, variance = self.success.predict(points - self.origin)
        spread = variance.sqrt() if self.exact_success else variance
        return torch.special.ndtr(-mean / spread)


def fit_surrogates(
    history: History, front: Sequence[Group], settings: CarbsSettings, center: Tensor, rng: np.random.Generator
) -> Surrogates:
    """Fit all models. A partial observation teaches the score that it reached; what it would have cost is unknown.

    Args:
        history: at least one observation.
        front: its Pareto groups.
        settings: what to fit and how.
        center: (D,) origin of the linear trends; the published code has it at 0.
        rng: draws pending trials' scores.
    """
    origin = center if settings.fitted else torch.zeros_like(center)
    warped = standardise(history.scores) if settings.fitted else rank_warp(history.scores)
    whole = history.whole
    costs = history.costs[whole].log()
    scale = CostScale(float(costs.min()), float(costs.max()))
    units = scale.to_unit(history.costs)
    points = history.points - origin
    on_front = torch.stack([same_points(history.points, group.point) for group in front]).any(dim=0) & whole
    score = _model(points, warped, settings, _SCORE_PRIOR)
    return Surrogates(
        origin=origin,
        score=with_pending(score, history.pending - origin, settings.pending, rng),
        cost=_model(points[whole], units[whole], settings, _COST_PRIOR),
        front=_front_model(units[on_front], warped[on_front], settings),
        success=_success_model(history, origin, settings),
        scale=scale,
        front_costs=(float(units[on_front].min()), float(units[on_front].max())),
        exact_success=settings.exact_success,
    )


def standardise(scores: Tensor) -> Tensor:
    """Scores (N,) with mean 0 and standard deviation 1; equal scores become 0."""
    spread = scores.std(correction=0)
    return (scores - scores.mean()) / (spread if float(spread) > 0.0 else 1.0)


def rank_warp(scores: Tensor) -> Tensor:
    """Scores (N,) as normal quantiles of their ranks, linear between int(sqrt(N)) of them.

    The same numbers as scikit-learn's ``QuantileTransformer(output_distribution="normal")``, which the published code
    uses: the extremes end at +-5.2.
    """
    values = scores.numpy()
    ranks = np.linspace(0.0, 1.0, math.isqrt(len(values)))
    quantiles = np.maximum.accumulate(np.quantile(values, ranks))
    # From both sides, so that equal scores get the middle of their ranks.
    rising = np.interp(values, quantiles, ranks)
    falling = np.interp(-values, -quantiles[::-1], -ranks[::-1])
    share = 0.5 * (rising - falling)
    share[values - 1e-7 < quantiles[0]] = 0.0
    share[values + 1e-7 > quantiles[-1]] = 1.0
    return torch.special.ndtri(torch.from_numpy(share)).clamp(-_RANK_LIMIT, _RANK_LIMIT)


def with_pending(
    model: GaussianProcess, pending: Tensor, how: Literal["thompson", "mean"], rng: np.random.Generator
) -> GaussianProcess:
    """``model`` given assumed scores of the pending points (P, D): expected ones, or one joint draw.

    Drawing each score given those drawn before it, as the published code does, is a draw from the joint posterior.
    """
    if len(pending) == 0:
        return model
    outputs, _ = model.predict(pending)
    if how == "thompson":
        shared = model.posterior_covariance(pending)
        jitter = 1e-8 * (1.0 + shared.diagonal().max()) * torch.eye(len(pending), dtype=shared.dtype)
        normal = torch.from_numpy(rng.standard_normal(len(pending)))
        outputs = outputs + torch.linalg.cholesky(shared + jitter) @ normal
    return model.extended(pending, outputs)


def _model(points: Tensor, outputs: Tensor, settings: CarbsSettings, prior: Prior) -> GaussianProcess:
    dims = points.shape[1]
    if not settings.fitted:
        lengthscale = torch.full((dims,), settings.radius, dtype=points.dtype)
        kernel = Kernel(lengthscale, _PUBLISHED_VARIANCE, _PUBLISHED_VARIANCE, _PUBLISHED_NOISE)
        return GaussianProcess(points, outputs, kernel)
    return fit(points, outputs, start_of(prior, dims), prior)


def _front_model(units: Tensor, warped: Tensor, settings: CarbsSettings) -> GaussianProcess:
    """Score over cost (F,) of the observations on the front (F,), not forced to rise."""
    one = torch.full((1,), _PUBLISHED_LENGTHSCALE, dtype=units.dtype)
    kernel = Kernel(one, _PUBLISHED_FRONT_VARIANCE, noise=_PUBLISHED_NOISE, shape="rbf")
    if settings.fitted:  # far from the front's points its mean should be their mean, not 0
        kernel = replace(kernel, constant=1.0)
    return GaussianProcess(units.unsqueeze(-1), warped, kernel)


def _success_model(history: History, origin: Tensor, settings: CarbsSettings) -> GaussianProcess | None:
    if len(history.failures) == 0:
        return None
    points = torch.cat((history.points, history.failures)) - origin
    labels = torch.ones(len(points), dtype=points.dtype)
    labels[: len(history.points)] = -1.0
    return _model(points, labels, settings, _SUCCESS_PRIOR)
