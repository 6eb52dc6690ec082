"""The pictures of a sweep's report, as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from optuna.study import Study

from puffer_phc.sweeps.results import completed, cost_of, pareto_front, score_of, sign_of
from puffer_phc.sweeps.spaces import Space, points_of, values_of


def front_plot(study: Study, score: str, cost: str) -> str:
    """Scores over costs, with the Pareto front; an SVG element."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    trials, front = completed(study), pareto_front(study)
    axes.scatter([cost_of(t) for t in trials], [score_of(t) for t in trials], s=18, color="#7a8ca0", label="trials")
    costs, scores = [cost_of(t) for t in front], [score_of(t) for t in front]
    axes.plot(costs, scores, drawstyle="steps-post", marker="o", color="#c8452c", label="Pareto front")
    axes.set(xscale="log", xlabel=f"cost ({cost})", ylabel=score)
    axes.legend(frameon=False)
    return _svg(figure)


def importance_plot(importances: Mapping[str, float]) -> str:
    """Bars, the most important on top; an SVG element."""
    figure = Figure(figsize=(8, 0.8 + 0.35 * len(importances)), layout="constrained")
    axes = figure.add_subplot()
    names = list(importances)[::-1]
    axes.barh(names, [importances[name] for name in names], color="#3d6f99")
    axes.set(xlabel="share in what sets good trials apart (Optuna's default measure)")
    return _svg(figure)


def parallel_plot(study: Study, spaces: Sequence[Space]) -> str:
    """One line for each trial across all parameters, dark for good scores; an SVG element."""
    rows = [(values_of(spaces, trial.params), sign_of(study) * score_of(trial)) for trial in completed(study)]
    known = sorted(((values, score) for values, score in rows if values is not None), key=lambda row: row[1])
    points = points_of(spaces, [values for values, _ in known]).numpy()
    ends = np.stack([points.min(axis=0), points.max(axis=0)])
    heights = (points - ends[0]) / np.maximum(ends[1] - ends[0], 1e-12)
    figure = Figure(figsize=(max(8, 1.3 * len(spaces)), 4.5), layout="constrained")
    axes = figure.add_subplot()
    for rank, line in enumerate(heights):
        share = rank / max(len(known) - 1, 1)
        axes.plot(range(len(spaces)), line, color=(0.8 - 0.05 * share, 0.8 - 0.55 * share, 0.8 - 0.62 * share))
    values = np.array([values for values, _ in known])
    for index in range(len(spaces)):
        axes.text(index, 1.02, f"{values[:, index].max():.3g}", ha="center", va="bottom", fontsize=8)
        axes.text(index, -0.02, f"{values[:, index].min():.3g}", ha="center", va="top", fontsize=8)
    axes.set_xticks(range(len(spaces)), [space.name.replace(".", "\n") for space in spaces], fontsize=8)
    axes.tick_params(length=0, pad=12)
    axes.set(yticks=[], ylim=(-0.1, 1.1))
    axes.spines[:].set_visible(False)
    return _svg(figure)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
