"""Made-up training runs whose score grows with cost by a scaling law: problems to compare samplers on.

Every problem has a cheap, badly tuned centre, parameters that buy score with cost, parameters whose best value moves
with the size of the run, noise, and in one case a region where runs fail. The best reachable score at every cost is
known, since the penalties for bad tuning vanish at known values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from puffer_phc.sweeps.pareto import hypervolume
from puffer_phc.sweeps.spaces import Space

Array = NDArray[np.float64]
Params = Mapping[str, Array | float]


@dataclass(frozen=True)
class Problem:
    """A function of parameters, with arrays evaluated element by element.

    Attributes:
        name: short.
        spaces: of the parameters.
        evaluate: true score (larger is better) and cost of parameters.
        tuned: the parameters' best values, given those that buy score (:attr:`bought`).
        bought: names of the parameters that buy score with cost.
        noise: standard deviation of an observed score.
        fails: whether a run diverges.
    """

    name: str
    spaces: tuple[Space, ...]
    evaluate: Callable[[Params], tuple[Array, Array]]
    tuned: Callable[[Params], Params]
    bought: tuple[str, ...]
    noise: float
    fails: Callable[[Params], bool]

    def ideal(self, points: int = 129) -> tuple[Array, Array]:
        """Costs and scores of perfectly tuned runs over a grid of what can be bought, each (points^k,)."""
        spaces = {space.name: space for space in self.spaces}
        axes = [np.geomspace(spaces[name].low, spaces[name].high, points) for name in self.bought]
        grid = np.meshgrid(*axes, indexing="ij")
        score, cost = self.evaluate(self.tuned(dict(zip(self.bought, (g.ravel() for g in grid), strict=True))))
        return cost, score

    def hypervolume(self, costs: Array, scores: Array) -> float:
        """Share of the ideal front's area, over log cost, that runs of these costs and true scores (N,) dominate.

        Counted from the score of the cheapest perfectly tuned run, up to the cost where the ideal score is reached.
        """
        ideal_costs, ideal_scores = self.ideal()
        low, dearest, lowest = np.log(ideal_costs.min()), np.log(ideal_costs.max()), self.lowest()
        whole = hypervolume(np.log(ideal_costs), ideal_scores, dearest, lowest, low)
        return hypervolume(np.log(costs), scores, dearest, lowest, low) / whole

    def lowest(self) -> float:
        """Score of the cheapest perfectly tuned run, from which all others are counted."""
        costs, scores = self.ideal()
        return float(scores[costs.argmin()])

    def share(self, score: float, cost: float) -> float:
        """A true score as a share of the best reachable for ``cost``; 0 for scores that do not count."""
        costs, scores = self.ideal()
        return max(0.0, (score - self.lowest()) / (float(scores[costs <= cost].max()) - self.lowest()))


def language() -> Problem:
    """A loss that falls as a power of size and data, as in arXiv 2203.15556; the best learning rate falls with size."""
    spaces = (
        Space("tokens", "log", 1e6, 1e9, center=2e6, integer=True),
        Space("width", "pow2", 16, 1024, center=32, integer=True),
        Space("learning_rate", "log", 1e-5, 1e-1, center=3e-2),
        Space("weight_decay", "log", 1e-5, 1.0, center=1e-3),
        Space("momentum", "logit", 0.0, 1.0, center=0.5),
    )

    def evaluate(params: Params) -> tuple[Array, Array]:
        tokens, width = np.asarray(params["tokens"], float), np.asarray(params["width"], float)
        best = tuned(params)
        miss = 0.5 * _decades(params["learning_rate"], best["learning_rate"]) ** 2
        miss += 0.1 * _decades(params["weight_decay"], best["weight_decay"]) ** 2
        miss += 0.3 * _odds(params["momentum"], best["momentum"]) ** 2
        loss = 1.7 + 2.0 * (width / 16) ** -0.55 + 2.0 * (tokens / 1e6) ** -0.3 + 1.5 * (1 - np.exp(-miss))
        return -loss, 2e-9 * tokens * width + 1.0

    def tuned(params: Params) -> Params:
        width = np.asarray(params["width"], float)
        return {
            **params,
            "learning_rate": 1e-2 * (width / 16) ** -0.5,
            "weight_decay": 0.03,
            "momentum": 0.9,
        }

    return Problem("language", spaces, evaluate, tuned, ("tokens", "width"), 0.03, lambda params: False)


def control() -> Problem:
    """A success rate that rises in an S over the run's length, as in puffer-phc's sweep; too bold updates diverge."""
    spaces = (
        Space("total_timesteps", "log", 1e6, 1e9, center=1e7, integer=True),
        Space("learning_rate", "log", 1e-6, 1e-2, center=1e-4),
        Space("gae_lambda", "logit", 0.0, 1.0, center=0.8),
        Space("update_epochs", "linear", 1, 8, center=2, scale=3, integer=True),
        Space("clip_coef", "logit", 0.0, 1.0, center=0.1),
        Space("vf_coef", "linear", 0.0, 5.0, center=2.0),
    )

    def evaluate(params: Params) -> tuple[Array, Array]:
        steps, epochs = np.asarray(params["total_timesteps"], float), np.asarray(params["update_epochs"], float)
        best = tuned(params)
        miss = 0.8 * _decades(params["learning_rate"], best["learning_rate"]) ** 2
        miss += 0.4 * _odds(params["gae_lambda"], best["gae_lambda"]) ** 2
        miss += 0.5 * _odds(params["clip_coef"], best["clip_coef"]) ** 2
        miss += 0.02 * (np.asarray(params["vf_coef"]) - best["vf_coef"]) ** 2
        effective = np.log10(steps * epochs**0.5) - miss
        score = 1 / (1 + np.exp(-2.0 * (effective - 8.0)))
        return score, 1e-6 * steps * (0.7 + 0.3 * epochs)

    def tuned(params: Params) -> Params:
        steps, epochs = np.asarray(params["total_timesteps"], float), np.asarray(params["update_epochs"], float)
        rate = 2e-3 * (steps / 1e6) ** -0.25 / epochs**0.5
        return {**params, "learning_rate": rate, "gae_lambda": 0.95, "clip_coef": 0.2, "vf_coef": 1.0}

    def fails(params: Params) -> bool:
        best = tuned(params)
        bold = _decades(params["learning_rate"], best["learning_rate"]) + _odds(params["clip_coef"], 0.2)
        return bool(bold > 1.0)

    return Problem("control", spaces, evaluate, tuned, ("total_timesteps", "update_epochs"), 0.02, fails)


def ridge() -> Problem:
    """A power law with a narrow slanted valley: batch, learning rate and steps must grow together."""
    spaces = (
        Space("steps", "log", 1e3, 1e6, center=3e3, integer=True),
        Space("batch", "pow2", 32, 8192, center=64, integer=True),
        Space("learning_rate", "log", 1e-5, 1e-1, center=1e-4),
        Space("discount", "logit", 0.0, 1.0, center=0.9),
    )

    def evaluate(params: Params) -> tuple[Array, Array]:
        steps, batch = np.asarray(params["steps"], float), np.asarray(params["batch"], float)
        best = tuned(params)
        miss = 2.0 * _decades(params["learning_rate"], best["learning_rate"]) ** 2
        miss += 1.0 * _odds(params["discount"], best["discount"]) ** 2
        score = 1.0 - 0.5 * (steps / 1e3) ** -0.25 - 0.4 * (batch / 32) ** -0.35 - 0.6 * (1 - np.exp(-miss))
        return score, 1e-4 * steps * batch**0.8

    def tuned(params: Params) -> Params:
        steps, batch = np.asarray(params["steps"], float), np.asarray(params["batch"], float)
        rate = 1e-3 * (batch / 32) ** 0.5
        horizon = 0.9 + 0.3 * np.log10(steps / 1e3)  # log odds
        return {**params, "learning_rate": rate, "discount": 1 / (1 + 10**-horizon)}

    return Problem("ridge", spaces, evaluate, tuned, ("steps", "batch"), 0.02, lambda params: False)


PROBLEMS: tuple[Callable[[], Problem], ...] = (language, control, ridge)


def _decades(value: Array | float, best: Array | float) -> Array:
    return np.asarray(np.log10(value) - np.log10(best))


def _odds(value: Array | float, best: Array | float) -> Array:
    """Decades between the odds of two shares."""
    value, best = np.asarray(value), np.asarray(best)
    return np.asarray(np.log10(value / (1 - value)) - np.log10(best / (1 - best)))
