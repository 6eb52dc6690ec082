"""When a run is hopeless: its learning curve compared with those of finished runs at equal cost.

A run is stopped if, at the cost it has reached, it is worse than the median of the finished runs *and* further from the
best of them than :data:`MARGIN` times the distance of their best quarter. The first rule keeps runs of an ordinary kind
where the best ones are all equal (a success rate of 1, say); the second grows with the scatter among good runs, so that
noise alone stops few: of normally distributed scores of equal runs one in ten among 20 finished runs, one in twenty
among 40, where a 30 % quantile stops three in ten. Nothing is stopped before
:data:`LEAST_SHARE` of the planned cost, nor before :data:`LEAST_RUNS` finished runs can be compared with.

PufferLib 4 instead draws a line through the 30 % quantile of all observations, and stops what is below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

MARGIN = 3.0
LEAST_SHARE = 0.25
LEAST_RUNS = 12
_SMOOTHED = 3  # latest scores that are averaged

Curve = Sequence[tuple[float, float]]  # cost, score (larger is better), by rising cost


def is_hopeless(curve: Curve, finished: Sequence[Curve], planned: float | None) -> bool:
    """Whether a run with this curve so far should be stopped.

    The better of its latest score and the mean of its last three counts, so that no single bad evaluation stops it.

    Args:
        curve: the run's, at least one point.
        finished: curves of finished runs, their ends included.
        planned: what the run will cost; None for about what the dearest finished one did.
    """
    cost = curve[-1][0]
    scores = [score for _, score in curve[-_SMOOTHED:]]
    score = max(scores[-1], sum(scores) / len(scores))
    planned = max((run[-1][0] for run in finished if run), default=math.inf) if planned is None else planned
    if cost < LEAST_SHARE * planned:
        return False
    others = [reached for reached in (score_at(run, cost) for run in finished) if reached is not None]
    return len(others) >= LEAST_RUNS and score < limit(others)


def limit(scores: Sequence[float]) -> float:
    """The score below which a run is hopeless, from those of finished runs at the same cost."""
    half, quarter, best = np.quantile(scores, (0.5, 0.75, 1.0))
    return float(min(half, best - MARGIN * (best - quarter)))


def score_at(curve: Curve, cost: float) -> float | None:
    """What a finished run had reached at ``cost``: linear in the logarithm of cost, its end if it cost less.

    None if its first point cost more.
    """
    if not curve or cost < curve[0][0]:
        return None
    costs, scores = zip(*curve, strict=True)
    return float(np.interp(math.log(cost), np.log(costs), scores))
