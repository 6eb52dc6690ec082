"""The pictures of a sweep's report, in the style of all reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator
from optuna.study import Study
from optuna.trial import FrozenTrial

from puffer_phc.page import INK, SERIES, picture, plot
from puffer_phc.sweeps.results import DEFAULT, best_trial, completed, cost_of, pareto_front, score_of, sign_of
from puffer_phc.sweeps.spaces import Space, points_of, values_of

_TRIAL, _FRONT, _DEFAULT = SERIES[0], SERIES[1], SERIES[2]


def front_plot(study: Study, score: str, cost: str) -> str:
    """Scores over costs of all completed trials (at least one), and the steps of the Pareto front.

    Args:
        study: the sweep's.
        score: name of the metric.
        cost: unit of the costs.
    """
    figure, axes = plot("Score and cost", height=3.8)
    trials, front = completed(study), pareto_front(study)
    axes.scatter(*_columns(trials), s=18, color=_TRIAL, alpha=0.6, linewidths=0, label="trials")
    axes.plot(
        *_columns(front), drawstyle="steps-post", marker="o", markersize=5, color=_FRONT, linewidth=1.4,
        label="Pareto front: none as cheap is better",
    )  # fmt: skip
    default = [trial for trial in trials if DEFAULT in trial.user_attrs]
    if default:
        axes.scatter(*_columns(default), s=60, marker="D", facecolors="none", edgecolors=_DEFAULT, label="default")
    axes.set_xscale("log")
    axes.minorticks_off()
    ticks = _ticks([cost_of(trial) for trial in trials])
    axes.set_xticks(ticks, [_short(tick) for tick in ticks])
    axes.set_xlabel(f"cost ({cost})", color=INK)
    axes.set_ylabel(score, color=INK)
    axes.legend(frameon=False, labelcolor=INK, fontsize=8)
    steps = ", ".join(f"{score_of(trial):.4g} at {cost_of(trial):.4g}" for trial in front)
    return picture(figure, f"{score} over cost ({cost}) of {len(trials)} trials. Pareto front: {steps}")


def importance_plot(importances: Mapping[str, float]) -> str:
    """Bars of the shares (they sum to 1), the most important on top."""
    figure, axes = plot("What sets good trials apart", height=0.9 + 0.3 * len(importances))
    names = sorted(importances, key=lambda name: importances[name])
    bars = axes.barh(names, [100.0 * importances[name] for name in names], 0.65, color=_TRIAL)
    axes.bar_label(bars, fmt="%.0f", padding=3, color=INK, fontsize=8)
    axes.margins(x=0.08)
    axes.set_xlabel("share of the importance (%), PED-ANOVA", color=INK)
    told = ", ".join(f"{name} {importances[name]:.0%}" for name in reversed(names))
    return picture(figure, f"Importance of the parameters: {told}")


def parallel_plot(study: Study, spaces: Sequence[Space]) -> str:
    """One line for each completed trial (at least one) across all parameters, the clearer the better it scored.

    The parameters' axes lie one above the other, so that their names can be read; each runs from the least value
    tried to the greatest, in the coordinate that is searched.
    """
    rows = [(values_of(spaces, trial.params), trial) for trial in completed(study)]
    known = [(values, trial) for values, trial in rows if values is not None]
    known.sort(key=lambda row: sign_of(study) * score_of(row[1]))
    values = np.array([found for found, _ in known])  # (N, D)
    points = points_of(spaces, values.tolist()).numpy()
    low, high = points.min(axis=0), points.max(axis=0)
    places = np.where(high > low, (points - low) / np.maximum(high - low, 1e-12), 0.5)
    figure, axes = plot("Parallel coordinates", height=1.2 + 0.5 * len(spaces))
    heights = np.arange(len(spaces))
    best = best_trial(study)
    for rank, (line, (_, trial)) in enumerate(zip(places, known, strict=True)):
        chosen = best is not None and trial.number == best.number
        clear = 1.0 if chosen else 0.08 + 0.62 * (rank / max(len(known) - 1, 1)) ** 2
        colour, width = (_FRONT, 2.2) if chosen else (_TRIAL, 1.1)
        label = f"best, trial {trial.number}" if chosen else "trials, faint: bad" if rank == len(known) // 2 else None
        axes.plot(line, heights, color=colour, alpha=clear, linewidth=width, label=label, zorder=2 + chosen)
    for height, column in zip(heights, values.T, strict=True):
        for end, value, side in ((0.0, column.min(), "right"), (1.0, column.max(), "left")):
            shift = -4 if side == "right" else 4
            axes.annotate(
                _short(value), (end, height), (shift, 0), textcoords="offset points", ha=side, va="center",
                color=INK, fontsize=8,
            )  # fmt: skip
    axes.set_yticks(heights, [space.name for space in spaces])
    axes.tick_params(axis="y", length=0, pad=44)
    axes.set(xticks=[], ylim=(len(spaces) - 0.5, -0.5), xlim=(-0.02, 1.02))
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.legend(frameon=False, labelcolor=INK, fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, 0.0))
    found = "" if best is None else ", ".join(f"{space.name} {best.params[space.name]:.4g}" for space in spaces)
    return picture(figure, f"Parameters of {len(known)} trials as lines across one axis each. The best: {found}")


def _columns(trials: Sequence[FrozenTrial]) -> tuple[list[float], list[float]]:
    """Costs and scores."""
    return [cost_of(trial) for trial in trials], [score_of(trial) for trial in trials]


def _ticks(costs: Sequence[float]) -> list[float]:
    """Places on a logarithmic axis: whole decades, or round numbers where the ends are less than two of them apart."""
    low, high = min(costs), max(costs)
    decades = [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    if len(decades) > 2:
        return decades
    return [float(tick) for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.3g}"
