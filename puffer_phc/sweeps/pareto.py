"""Pareto fronts of score against cost: which runs are worth their cost.

Scores are larger-is-better throughout, costs positive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_ROWS = 256  # points compared with all others at once
_NEARLY = 1e-6  # basic units, distance up to which two points count as the same


@dataclass(frozen=True)
class Group:
    """Repeated evaluations of one point.

    Attributes:
        point: (D,) basic coordinates.
        scores: of its evaluations.
        costs: of its evaluations.
    """

    point: Tensor
    scores: tuple[float, ...]
    costs: tuple[float, ...]

    @property
    def score(self) -> float:
        """Mean score."""
        return sum(self.scores) / len(self.scores)

    @property
    def cost(self) -> float:
        """Mean cost."""
        return sum(self.costs) / len(self.costs)


def same_points(points: Tensor, point: Tensor) -> Tensor:
    """Which of the points (N, D) are ``point`` (D,) up to rounding errors, (N,) bool."""
    return ((points - point).abs() <= _NEARLY).all(dim=-1)


def group_observations(points: Tensor, scores: Tensor, costs: Tensor) -> list[Group]:
    """Observations at points (N, D) with scores (N,) and costs (N,), gathered by point in order of appearance."""
    first = torch.empty(len(points), dtype=torch.long)  # the earliest observation of the same point
    for start in range(0, len(points), _ROWS):  # a matrix of all distances would be large
        rows = points[start : start + _ROWS]
        same = torch.cdist(rows, points, p=math.inf) <= _NEARLY
        first[start : start + _ROWS] = same.to(torch.uint8).argmax(dim=1)
    members: dict[int, list[int]] = {}
    for index, leader in enumerate(first.tolist()):
        members.setdefault(leader, []).append(index)
    known_scores, known_costs = scores.tolist(), costs.tolist()
    return [
        Group(points[leader], tuple(known_scores[i] for i in group), tuple(known_costs[i] for i in group))
        for leader, group in members.items()
    ]


def pareto_groups(groups: Sequence[Group], cheap: float, conservative: bool) -> list[Group]:
    """The groups worth their cost, by rising cost (CARBS, arXiv 2306.08055, and its public code).

    The first member is the best of all groups that cost at most ``cheap``: single runs at the cheap end are mostly
    noise. Each dearer group joins if its mean beats the last member's. Conservatively, so that one lucky run does not
    capture the front, a group with a single run must beat the last member's best run, and among the cheap ones
    groups with several runs go first.

    Args:
        groups: at least one.
        cheap: cost of the cheap end; raised to the cheapest group's if that costs more.
        conservative: as above.
    """
    by_cost = sorted(groups, key=lambda group: group.cost)
    cheap = max(cheap, by_cost[0].cost)
    first = [group for group in by_cost if group.cost <= cheap]
    if conservative:
        first = [group for group in first if len(group.scores) > 1] or first
    front = [max(first, key=lambda group: group.score)]
    for group in by_cost:
        single = conservative and len(group.scores) == 1
        hurdle = max(front[-1].scores) if single else front[-1].score
        if group.cost > cheap and group.score > hurdle:
            front.append(group)
    return front


def pareto_front(costs: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Indices of the runs that no other run beats in cost and score, by rising cost; of equal runs the first.

    Args:
        costs: (N,).
        scores: (N,).
    """
    order = np.lexsort((-scores, costs))
    best = np.maximum.accumulate(scores[order])
    improves = np.ones(len(order), dtype=bool)
    improves[1:] = scores[order][1:] > best[:-1]
    return order[improves]


def hypervolume(
    costs: NDArray[np.float64], scores: NDArray[np.float64], dearest: float, lowest: float, cheapest: float = -np.inf
) -> float:
    """Area that the runs dominate below cost ``dearest`` and above score ``lowest``.

    Args:
        costs: (N,); logarithms of costs, where the area is meant to be over those.
        scores: (N,).
        dearest: runs that cost more do not count.
        lowest: runs that score less do not count.
        cheapest: cheaper runs count as if they cost this.
    """
    costs = np.maximum(costs, cheapest)
    counts = (costs < dearest) & (scores > lowest)
    costs, scores = costs[counts], scores[counts]
    front = pareto_front(costs, scores)
    if len(front) == 0:
        return 0.0
    edges = np.append(costs[front], dearest)
    return float(np.sum(np.diff(edges) * (scores[front] - lowest)))
