"""What many clips say together: means with 95 % bootstrap intervals, by category, and error over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from puffer_phc.evaluation.metrics import METRICS, ClipResult, FloatArray

SUCCESS = "success_rate"
_RESAMPLES = 2000
_LEVEL = 0.95
_AT_ONCE = 1 << 22  # resampled clips
_MOMENTS = 120  # points of the curve of errors over time
_FEWEST = 3  # clips that a point of that curve stands for, at least, where there are more


@dataclass(frozen=True)
class Estimate:
    """A mean over clips and the interval that holds 95 % of its bootstrap; None where there is nothing to average.

    An interval needs two clips.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Group:
    """Some clips: how many, how many succeeded, and every metric (``success_rate`` too) over them."""

    clips: int
    succeeded: int
    metrics: dict[str, Estimate]


@dataclass(frozen=True)
class TimeCurve:
    """Error (mm) over the time within clips: quantiles over the clips that are still followed then.

    Attributes:
        seconds: (P,) into the clip.
        median, low, high: (P,) mm, 50 %, 10 % and 90 % of the clips.
        clips: (P,) how many are still followed.
    """

    seconds: list[float]
    median: list[float]
    low: list[float]
    high: list[float]
    clips: list[int]


@dataclass(frozen=True)
class Statistics:
    """All clips, the successful ones, each category (if there are several), and errors over time."""

    all: Group
    successes: Group
    categories: dict[str, Group]
    curve: TimeCurve


def statistics(results: Sequence[ClipResult], control_dt: float, seed: int = 0) -> Statistics:
    """Statistics of at least one clip; the bootstrap resamples clips with ``seed``."""
    everything = list(results)
    succeeded = [clip for clip in everything if clip.success]
    kinds = sorted({clip.category for clip in everything})
    categories = {kind: [clip for clip in everything if clip.category == kind] for kind in kinds}
    return Statistics(
        group(everything, seed),
        group(succeeded, seed),
        {kind: group(clips, seed) for kind, clips in categories.items()} if len(kinds) > 1 else {},
        time_curve(everything, control_dt),
    )


def group(clips: Sequence[ClipResult], seed: int = 0) -> Group:
    """Means over some clips; frames weigh the same, so a long clip weighs more than a short one."""
    names = [metric.name for metric in METRICS]
    sums, counts = np.zeros((len(clips), len(names) + 1)), np.zeros((len(clips), len(names) + 1))
    for row, clip in enumerate(clips):
        values = [clip.metrics.get(name, np.zeros(0)) for name in names]
        sums[row] = [float(clip.success), *(float(value.sum()) for value in values)]
        counts[row] = [1.0, *(len(value) for value in values)]
    estimates = bootstrap(sums, counts, seed)
    return Group(len(clips), sum(clip.success for clip in clips), dict(zip((SUCCESS, *names), estimates, strict=True)))


def bootstrap(sums: FloatArray, counts: FloatArray, seed: int = 0) -> list[Estimate]:
    """Ratios of sums over clips with percentile intervals of resampled clips (Efron, 1979).

    Args:
        sums: (C, M) what the values of each clip sum to.
        counts: (C, M) how many values those are.
        seed: of the resampling.

    Returns:
        M estimates of ``sums.sum(0) / counts.sum(0)``.
    """
    clips, generator = len(sums), np.random.default_rng(seed)
    means = _ratio(sums.sum(axis=0), counts.sum(axis=0))
    if clips < 2:
        return [Estimate(_finite(mean)) for mean in means]
    drawn: list[NDArray[np.float64]] = []
    done = 0
    while done < _RESAMPLES:
        batch = min(_RESAMPLES - done, max(1, _AT_ONCE // clips))
        # How often each clip is drawn: the same as drawing clips one by one, without the list.
        times = generator.multinomial(clips, np.full(clips, 1.0 / clips), size=batch).astype(np.float64)
        drawn.append(_ratio(times @ sums, times @ counts))
        done += batch
    tail = 0.5 * (1.0 - _LEVEL)
    found = np.concatenate(drawn)
    return [Estimate(_finite(mean), *_quantiles(found[:, place], tail)) for place, mean in enumerate(means)]


def _ratio(sums: FloatArray, counts: FloatArray) -> FloatArray:
    """``sums / counts``, NaN where nothing was counted."""
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _quantiles(values: FloatArray, tail: float) -> tuple[float | None, float | None]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None, None
    low, high = np.quantile(finite, (tail, 1.0 - tail))
    return float(low), float(high)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def time_curve(clips: Sequence[ClipResult], control_dt: float) -> TimeCurve:
    """Quantiles over clips of the error at up to 120 moments, as long as enough clips are followed."""
    errors = [clip.metrics["mpjpe_g"] for clip in clips]
    longest = max(map(len, errors))
    frames = np.unique(np.linspace(0, longest - 1, min(longest, _MOMENTS)).astype(int))
    table = np.full((len(errors), len(frames)), np.nan)
    for row, error in enumerate(errors):
        there = frames < len(error)
        table[row, there] = error[frames[there]]
    alive = np.isfinite(table).sum(axis=0)
    enough = alive >= min(len(errors), max(_FEWEST, len(errors) // 20))
    frames, table, alive = frames[enough], table[:, enough], alive[enough]
    low, median, high = np.nanquantile(table, (0.1, 0.5, 0.9), axis=0)
    seconds = (frames + 1) * control_dt
    return TimeCurve(seconds.tolist(), median.tolist(), low.tolist(), high.tolist(), alive.tolist())
