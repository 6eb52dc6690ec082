"""Curves and table of finished cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from puffer_phc.comparison.study import ALGORITHMS, PROGRESS, RESULT, StudyConfig, read_result
from puffer_phc.errors import InputError

NAMES = {"ours": "puffer-phc PPO", "ppo": "SB3 PPO", "a2c": "SB3 A2C", "sac": "SB3 SAC"}
_COLOURS = {"ours": "#3d80d1", "ppo": "#ed7833", "a2c": "#6b9e3f", "sac": "#8b5fbf"}
_COLUMNS = ("steps", "seconds", "episodes", "returns")
_BINS = 50
_LAST = 0.1  # share of a run whose episodes make its final return
_WIDE = 10.0  # ratio of run times from which the time axis is logarithmic
Curve = dict[str, NDArray[np.float64]]
"""Columns of the progress file: ``steps, seconds, episodes, returns``."""


def load(study: StudyConfig) -> dict[str, list[tuple[dict[str, Any], Curve]]]:
    """Results and curves of all finished cells, by algorithm.

    Raises:
        InputError: there are none, or they were made with different settings.
    """
    found: dict[str, list[tuple[dict[str, Any], Curve]]] = {}
    settings: dict[str, Any] = {}
    for file in sorted((study.out / study.task).glob(f"*/{RESULT}")):
        result = read_result(file)
        if settings and result["settings"] != settings:
            raise InputError(file, "was made with other settings than its neighbours", "compare like with like")
        settings = result["settings"]
        found.setdefault(result["algorithm"], []).append((result, _curve(file.parent / PROGRESS)))
    if not found:
        raise InputError(study.out / study.task, "holds no finished run", "run some without --plot-only")
    return {name: found[name] for name in ALGORITHMS if name in found}


def _curve(file: Path) -> Curve:
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return {
            name: np.array([row[name] for row in rows], float) for name in ("steps", "seconds", "episodes", "returns")
        }
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(file, "is damaged", "remove its folder and run that cell again") from None


def binned(curve: Curve, axis: str, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean episode return in each of ``len(edges) - 1`` stretches of ``axis``; empty ones take what is around them.

    Beyond the end of the run it is NaN.
    """
    place = np.searchsorted(edges, curve[axis], side="left") - 1
    place = place.clip(0, len(edges) - 2)
    count, total = (np.bincount(place, curve[name], len(edges) - 1) for name in ("episodes", "returns"))
    middle = 0.5 * (edges[1:] + edges[:-1])
    seen = count > 0
    if not seen.any():
        return np.full(len(middle), np.nan)
    mean = np.interp(middle, middle[seen], total[seen] / count[seen])
    return np.where(edges[:-1] < curve[axis][-1], mean, np.nan)


def final_return(curve: Curve) -> float:
    """Mean return of the episodes of the last tenth of a run."""
    late = curve["steps"] >= (1.0 - _LAST) * curve["steps"][-1] if len(curve["steps"]) else np.zeros(0, bool)
    return float(curve["returns"][late].sum() / curve["episodes"][late].sum()) if late.any() else float("nan")


def return_at(curve: Curve, seconds: float) -> float:
    """Mean return of the episodes of the last tenth of the first ``seconds``."""
    window = (curve["seconds"] > (1.0 - _LAST) * seconds) & (curve["seconds"] <= seconds)
    if not window.any():  # no episode ended there: the latest before
        window = curve["seconds"] <= seconds
        window[: max(0, int(window.sum()) - 1)] = False
    count = curve["episodes"][window].sum()
    return float(curve["returns"][window].sum() / count) if count else float("nan")


def rows(study: StudyConfig) -> list[dict[str, Any]]:
    """One row for each algorithm: figures are means over seeds, ``spread`` their deviation."""
    cells = load(study)
    # All are compared at the time that the quickest of them took: nobody gets more.
    common = min(float(np.mean([result["seconds"] for result, _ in runs])) for runs in cells.values())
    table = []
    for name, runs in cells.items():
        finals = [final_return(curve) for _, curve in runs]
        speed = float(np.mean([result["steps"] / result["seconds"] for result, _ in runs]))
        table.append(
            {
                "algorithm": NAMES[name],
                "seeds": len(runs),
                "final": float(np.mean(finals)),
                "spread": float(np.std(finals)),
                "evaluation": float(np.mean([np.mean(result["evaluation"]) for result, _ in runs])),
                "common_seconds": common,
                "at_common_time": float(np.mean([return_at(curve, common) for _, curve in runs])),
                "steps_per_second": speed,
                "steps_per_core_second": speed / runs[0][0]["settings"]["cores"],
                "seconds": float(np.mean([result["seconds"] for result, _ in runs])),
            }
        )
    return table


def write(study: StudyConfig) -> tuple[Table, list[Path]]:
    """Write both plots and the table as JSON and Markdown; the table for the terminal, and the files."""
    folder = study.out / study.task
    figures = rows(study)
    files = [_plot(study, "steps", folder / "return_steps.png"), _plot(study, "seconds", folder / "return_time.png")]
    (folder / "table.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    (folder / "table.md").write_text(_markdown(figures), encoding="utf-8")
    table = Table(title=f"{study.task}: mean episode return")
    for heading in _headings(figures):
        table.add_column(heading, justify="right")
    for row in figures:
        table.add_row(*_texts(row))
    return table, [*files, folder / "table.json", folder / "table.md"]


def _headings(figures: list[dict[str, Any]]) -> list[str]:
    equal = f"at {figures[0]['common_seconds']:,.0f} s"
    return ["algorithm", "seeds", "final", "without noise", equal, "steps/s", "steps/s/core", "seconds"]


def _texts(row: dict[str, Any]) -> list[str]:
    return [
        row["algorithm"],
        str(row["seeds"]),
        f"{row['final']:,.0f} ± {row['spread']:,.0f}",
        f"{row['evaluation']:,.0f}",
        f"{row['at_common_time']:,.0f}",
        f"{row['steps_per_second']:,.0f}",
        f"{row['steps_per_core_second']:,.0f}",
        f"{row['seconds']:,.0f}",
    ]


def _markdown(figures: list[dict[str, Any]]) -> str:
    headings = _headings(figures)
    lines = [headings, ["---"] * len(headings), *(_texts(row) for row in figures)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _plot(study: StudyConfig, axis: str, path: Path) -> Path:
    """Mean over seeds, and the range of the seeds as a band."""
    from matplotlib.figure import Figure  # late: takes a second

    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    axes = figure.subplots()
    ends = []
    for name, runs in load(study).items():
        last = max((float(curve[axis][-1]) for _, curve in runs if len(curve[axis])), default=0.0)
        if not last:
            continue  # no episode ever ended
        ends.append(last)
        edges = np.linspace(0.0, last, _BINS + 1)
        curves = np.stack([binned(curve, axis, edges) for _, curve in runs])
        held = ~np.isnan(curves).any(axis=0)
        middle = (0.5 * (edges[1:] + edges[:-1]))[held]
        axes.plot(middle, curves[:, held].mean(axis=0), label=NAMES[name], color=_COLOURS[name])
        low, high = curves[:, held].min(axis=0), curves[:, held].max(axis=0)
        axes.fill_between(middle, low, high, color=_COLOURS[name], alpha=0.2, linewidth=0)
    if axis == "seconds" and ends and max(ends) > _WIDE * min(ends):
        axes.set_xscale("log")
    axes.set_xlabel("environment steps" if axis == "steps" else "training time (s)")
    axes.set_ylabel("episode return")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=130)
    return path
