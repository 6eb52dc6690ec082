"""What a run has logged so far: score and cost, evaluation by evaluation."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from puffer_phc.config import Config, SweepConfig
from puffer_phc.sweeps.spaces import Space

_MOST = 64  # points of a run that are kept, if its length is known
_GROWTH = 1.05  # of the cost between two points, if it is not
_AUTO_POINTS = 5
_LENGTHS = {"train.time_limit": "seconds", "train.total_steps": "step"}  # and what metrics.jsonl calls them


@dataclass(frozen=True)
class Point:
    """An evaluation.

    Attributes:
        step: samples so far.
        seconds: of training so far.
        score: value of the sweep's metric.
    """

    step: int
    seconds: float
    score: float

    def cost(self, sweep: SweepConfig) -> float:
        """In the sweep's unit."""
        return float(self.step) if sweep.cost == "steps" else self.seconds


class CurveReader:
    """Follows a growing ``metrics.jsonl``."""

    def __init__(self, path: Path, metric: str) -> None:
        self._path, self._metric, self._offset = path, metric, 0

    def read(self) -> list[Point]:
        """Points that were added since the last call; a line still being written comes with the next."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except OSError:
            return []
        end = text.rfind(b"\n") + 1
        self._offset += end
        points = (self._point(line) for line in text[:end].splitlines())
        return [point for point in points if point is not None]

    def _point(self, line: bytes) -> Point | None:
        try:
            row = json.loads(line)
            return Point(int(row["step"]), float(row["seconds"]), float(row[self._metric]))
        except (ValueError, KeyError, TypeError):
            return None


def thinned(
    points: Sequence[Point], sweep: SweepConfig, planned: float | None, last: Point | None = None
) -> list[Point]:
    """Points that are worth keeping: of a positive cost, some of it apart, each with more samples than the one before.

    Args:
        points: by rising cost.
        sweep: says what cost is.
        planned: cost of the whole run, if known.
        last: point kept before.
    """
    kept: list[Point] = []
    for point in points:
        cost, after = point.cost(sweep), last.cost(sweep) if last else 0.0
        apart = cost >= (after * _GROWTH if planned is None else after + planned / _MOST) and cost > after
        if apart and (last is None or point.step > last.step):
            kept.append(point)
            last = point
    return kept


def planned_cost(cfg: Config) -> float | None:
    """Cost of a run with these options, autos resolved, if it is told beforehand."""
    limit = cfg.train.total_steps if cfg.sweep.cost == "steps" else cfg.train.time_limit
    return float(limit) if limit > 0 else None


def length_parameter(spaces: Sequence[Space]) -> str | None:
    """The searched parameter that says how long a run is; None without, or with more than one."""
    found = [space.name for space in spaces if space.name in _LENGTHS]
    return found[0] if len(found) == 1 else None


def length_of(point: Point, spaces: Sequence[Space], sweep: SweepConfig) -> float:
    """A point's value of the length parameter; its cost if there is none."""
    name = length_parameter(spaces)
    if name is None:
        return point.cost(sweep)
    return point.seconds if _LENGTHS[name] == "seconds" else float(point.step)


def curve_points(cfg: Config, spaces: Sequence[Space]) -> int:
    """``sweep.points``, auto being several only where a run's start does not depend on its planned length.

    The trust region shrinks towards the planned end (``train.final_kl``), so that a long run in its middle is worse
    than a finished run of that length; only without does it tell what the latter would have scored.
    """
    if cfg.sweep.points:
        return cfg.sweep.points
    searched = {space.name for space in spaces}
    shrinks = cfg.train.final_kl != 1.0 or "train.final_kl" in searched
    steered = cfg.train.target_kl != 0.0 or "train.target_kl" in searched
    return 1 if shrinks and steered else _AUTO_POINTS


def rising(curve: Sequence[Sequence[float]], sign: float) -> list[tuple[float, float]]:
    """Cost and score, larger being better, of a trial's attribute ``curve``: its finite entries."""
    return [(cost, sign * score) for _, score, cost in curve if math.isfinite(score)]
