"""Which point to evaluate next: candidates around the front and what each promises (arXiv 2306.08055)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from puffer_phc.sweeps.settings import CarbsSettings
from puffer_phc.sweeps.spaces import Space, contain_points, round_points
from puffer_phc.sweeps.surrogates import Surrogates

_DEAREST = 0.95  # quantile of the candidates' costs that counts as their greatest
_DRAWS = 64  # times the wanted number of candidates, after which a search gives up


@dataclass(frozen=True)
class Choice:
    """The candidate chosen.

    Attributes:
        point: (D,) basic coordinates.
        cost: predicted.
        score: predicted, warped.
        fallback: why the rule of choice was not followed; empty if it was.
    """

    point: Tensor
    cost: float
    score: float
    fallback: str = ""


def log_expected_improvement(mean: Tensor, spread: Tensor, hurdle: Tensor | float) -> Tensor:
    """Logarithm of the expected excess over ``hurdle`` of normal variables; all (M,).

    log(spread (phi(z) + z Phi(z))), z = (mean - hurdle) / spread. Far below the hurdle both terms nearly cancel;
    there it is written with the scaled complementary error function, as in LogEI (Ament et al., arXiv 2310.20708).
    """
    z = (mean - hurdle) / spread
    near = z.clamp_min(-1.0)
    direct = (_log_density(near).exp() + near * torch.special.ndtr(near)).log()
    # phi(z) + z Phi(z) = phi(z) (1 - |z| sqrt(pi / 2) erfcx(|z| / sqrt(2))), which is phi(z) / z^2 in the limit.
    away = -z.clamp_max(-1.0)
    mills = math.sqrt(0.5 * math.pi) * torch.special.erfcx(away / math.sqrt(2.0))
    rest = torch.where(away < 1e4, (1.0 - away * mills).clamp_min(1e-16), away.square().reciprocal())
    tail = _log_density(away) + rest.log()
    return spread.log() + torch.where(z > -1.0, direct, tail)


def log_search_density(points: Tensor, origins: Tensor, radius: float) -> Tensor:
    """Log density (M,), up to a constant, of the distances from points (M, D) to the nearest of origins (K, D)."""
    return -0.5 * (torch.cdist(points, origins).amin(dim=1) / radius).square()


def draw_around(
    origins: Tensor, spaces: Sequence[Space], radius: float, count: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Points within bounds, normal around origins (K, D) that are equally likely.

    Returns:
        At most ``count`` points (M, D), rounded to what would run, and the same before rounding; none if the bounds
        leave hardly any room around the origins.
    """
    rounded, raw = torch.zeros(0, len(spaces), dtype=torch.float64), torch.zeros(0, len(spaces), dtype=torch.float64)
    batch = count
    while len(rounded) < count and batch <= _DRAWS * count:
        chosen = origins[torch.from_numpy(rng.integers(len(origins), size=batch))]
        points = chosen + radius * torch.from_numpy(rng.standard_normal((batch, len(spaces))))
        values = round_points(spaces, points)
        inside = contain_points(spaces, values)
        rounded, raw = torch.cat((rounded, values[inside])), torch.cat((raw, points[inside]))
        batch *= 2
    return rounded[:count], raw[:count]


def draw_threshold(surrogates: Surrogates, units: Tensor, settings: CarbsSettings, rng: np.random.Generator) -> Tensor:
    """A unit cost (1,) at which a candidate, cheap or not, must beat the front; uniform, so log-uniform in cost.

    It is at least the front's least cost, and at most its greatest one or, with ``reach_up``, that of the candidates
    (M,) if it is greater, but below the cost limit.
    """
    low, high = surrogates.front_costs
    limit = math.inf
    if settings.max_cost is not None:
        limit = float(surrogates.scale.to_unit(torch.tensor(settings.max_cost, dtype=torch.float64)))
    affordable = units[units < limit]
    if settings.reach_up and len(affordable):
        high = max(high, float(torch.quantile(affordable, _DEAREST)))
    return torch.tensor([low + rng.random() * (min(high, limit) - low)], dtype=torch.float64)


def choose(
    points: Tensor,
    raw: Tensor,
    origins: Tensor,
    surrogates: Surrogates,
    settings: CarbsSettings,
    rng: np.random.Generator,
) -> Choice | None:
    """The candidate of highest expected improvement x search density x success probability below the cost limit.

    Improvement is over what the front reaches at the candidate's own cost, and at a cost drawn at random, which pushes
    the search up the cost axis.

    Args:
        points: (M, D) candidates, at least one.
        raw: (M, D) the same before rounding, which the search density is of.
        origins: (K, D) that they were drawn around.
        surrogates: models of score, cost, front and success.
        settings: of the search.
        rng: draws the random cost.

    Returns:
        None if every candidate is too dear and ``stay_below_max_cost`` is off.
    """
    mean, spread = surrogates.predict_score(points)
    units = surrogates.predict_cost(points)
    costs = surrogates.scale.to_cost(units)
    threshold = draw_threshold(surrogates, units, settings, rng)
    best = torch.maximum(surrogates.best_at(units), surrogates.best_at(threshold))
    success = surrogates.success_probability(points)
    value = log_expected_improvement(mean, spread, best + settings.exploration_bias)
    value = value + settings.locality * log_search_density(raw, origins, settings.radius)
    value = value + success.clamp_min(1e-300).log()
    fallback = ""

    likely = success >= settings.min_success
    affordable = costs < (math.inf if settings.max_cost is None else settings.max_cost)
    if not bool(affordable.any()):
        if not settings.stay_below_max_cost:
            return None
        value, fallback = -units, f"no candidate is predicted below the cost {settings.max_cost:g}"
    elif not bool((likely & affordable).any()):
        value = success.masked_fill(~affordable, -math.inf)
        fallback = f"every candidate fails with a probability above {1.0 - settings.min_success:g}"
    else:
        value = value.masked_fill(~(likely & affordable), -math.inf)
    index = int(value.argmax())
    return Choice(points[index], float(costs[index]), float(mean[index]), fallback)


def _log_density(z: Tensor) -> Tensor:
    return -0.5 * z.square() - 0.5 * math.log(2.0 * math.pi)
