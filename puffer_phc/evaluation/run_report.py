"""Training runs as one self-contained web page: curves, time split, options, versions, evaluation; side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from puffer_phc.config import Config, to_dict
from puffer_phc.errors import InputError
from puffer_phc.evaluation.curves import read_metrics
from puffer_phc.evaluation.html_report import evaluation_sections
from puffer_phc.evaluation.outcome import Outcome, read_outcome
from puffer_phc.page import INK, SERIES, Cell, page, paragraph, picture, plot, table

# Metric, title, axis label, factor.
_CURVES = (
    ("eval/success_rate", "Success in evaluation", "clips followed to the end (%)", 100.0),
    ("eval/mpjpe_all", "Error in evaluation", "mean error (mm)", 1.0),
    ("reward/mean", "Reward", "reward per step", 1.0),
    ("episode/length", "Episode length", "control steps", 1.0),
    ("loss/policy_loss", "Policy loss", "", 1.0),
    ("loss/value_loss", "Value loss", "", 1.0),
    ("loss/approx_kl", "KL to the last policy", "", 1.0),
    ("loss/learning_rate", "Learning rate", "", 1.0),
    ("speed/steps_per_second", "Speed", "samples / s", 1.0),
)
_AXES = (("seconds", "training time (s)"), ("step", "samples"))
_SHARES = (
    ("speed/rollout_share", "simulation"),
    ("speed/update_share", "learning"),
    ("speed/eval_share", "evaluation"),
)
_LAST = (
    ("eval/success_rate", "success (%)", 100.0, 1),
    ("best/success_rate", "best success (%)", 100.0, 1),
    ("best/mpjpe_all", "its error (mm)", 1.0, 1),
    ("eval/mpjpe_all", "error (mm)", 1.0, 1),
    ("episode/length", "episode length (steps)", 1.0, 1),
    ("reward/mean", "reward per step", 1.0, 3),
    ("speed/steps_per_second", "samples / s", 1.0, 0),
    ("seconds", "training time (s)", 1.0, 0),
    ("step", "samples", 1.0, 0),
)


@dataclass(frozen=True)
class Run:
    """What a run folder says.

    Attributes:
        label: its name.
        rows: of ``metrics.jsonl``.
        options, versions: of ``config.json``.
        outcome: its last evaluation, if there is one.
    """

    label: str
    rows: list[dict[str, float]]
    options: dict[str, dict[str, Any]]
    versions: dict[str, str]
    outcome: Outcome | None


def read_run(folder: Path, label: str) -> Run:
    """A run folder.

    Raises:
        InputError: it is none, or its files are damaged.
    """
    rows = read_metrics(folder)
    path = folder / "config.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        options = {str(name): dict(section) for name, section in data["options"].items()}
        versions = {str(name): str(value) for name, value in data["versions"].items()}
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "name a run folder") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(path, f"is damaged ({type(error).__name__})", "name an undamaged run folder") from None
    return Run(label, rows, options, versions, read_outcome(folder / "eval", label))


def run_page(folders: Sequence[Path]) -> str:
    """The page of one or several run folders.

    Raises:
        InputError: one of them is none, or damaged.
    """
    names = [folder.resolve().name for folder in folders]
    labels = names if len(set(names)) == len(names) else [str(folder) for folder in folders]
    runs = [read_run(folder, label) for folder, label in zip(folders, labels, strict=True)]
    outcomes = [run.outcome for run in runs if run.outcome]
    title = f"Training run {labels[0]}" if len(runs) == 1 else f"{len(runs)} training runs"
    body = [
        _last_values(runs),
        *_curves(runs),
        _time_split(runs),
        *(_evaluation(outcomes) if outcomes else [paragraph("No evaluation in these run folders.")]),
        _options(runs),
        _versions(runs),
    ]
    return page(title, body)


def _last_values(runs: Sequence[Run]) -> str:
    rows: list[list[Cell | str]] = []
    for key, label, factor, digits in _LAST:
        found = [next((row[key] for row in reversed(run.rows) if key in row), None) for run in runs]
        if any(value is not None for value in found):
            rows.append([label, *("–" if value is None else f"{factor * value:,.{digits}f}" for value in found)])
    return "<h2>At the end</h2>" + table("Last values of each run", ["", *(run.label for run in runs)], rows)


def _curves(runs: Sequence[Run]) -> list[str]:
    parts = []
    for against, axis_label in _AXES:
        pictures = [_curve(runs, *curve, against, axis_label) for curve in _CURVES]
        parts += [f'<h2>Over {axis_label}</h2><div class="plots">', *pictures, "</div>"]
    return parts


def _curve(
    runs: Sequence[Run], metric: str, title: str, label: str, factor: float, against: str, axis_label: str
) -> str:
    """One picture, or nothing where no run has the metric."""
    figure, axes = plot(title, height=2.7)
    said = []
    for number, run in enumerate(runs):
        points = [(row[against], factor * row[metric]) for row in run.rows if metric in row and against in row]
        if not points:
            continue
        few = len(points) < 30
        marker = "o" if few else ""
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=SERIES[number % len(SERIES)], label=run.label, linewidth=1.4, marker=marker, markersize=3)
        said.append(f"{run.label} ends at {points[-1][1]:.4g}")
    if not said:
        return ""
    if factor == 100.0:
        axes.set_ylim(-4, 104)
    axes.set_xlabel(axis_label, color=INK)
    axes.set_ylabel(label, color=INK)
    if len(runs) > 1:
        axes.legend(frameon=False, labelcolor=INK, fontsize=8)
    return picture(figure, f"{title} over {axis_label}: {', '.join(said)}")


def _time_split(runs: Sequence[Run]) -> str:
    """Where the time went, by the shares last logged."""
    rows: list[list[Cell | str]] = []
    for run in runs:
        last: Mapping[str, float] = next((row for row in reversed(run.rows) if _SHARES[0][0] in row), {})
        shares = [f"{100 * last[key]:.0f} %" if key in last else "–" for key, _ in _SHARES]
        rows.append([run.label, *shares])
    return "<h2>Time</h2>" + table("Share of the time so far", ["run", *(name for _, name in _SHARES)], rows)


def _evaluation(outcomes: Sequence[Outcome]) -> list[str]:
    sections = evaluation_sections(outcomes)
    return ["<h2>Evaluation at the end</h2>", *sections]


def _options(runs: Sequence[Run]) -> str:
    """Every option; those that differ from their default, or between the runs, are marked and come first."""
    defaults = to_dict(Config())
    names = [(section, key) for section in runs[0].options for key in runs[0].options[section]]
    rows: list[tuple[bool, list[Cell | str]]] = []
    for section, key in names:
        values = [_text(run.options.get(section, {}).get(key)) for run in runs]
        default = _text(defaults.get(section, {}).get(key))
        rows.append((any(value != default for value in values), [f"{section}.{key}", *values, default]))
    ordered = [row for changed, row in rows if changed] + [row for changed, row in rows if not changed]
    marked = range(sum(changed for changed, _ in rows))
    caption = (
        f"{len(marked)} options differ from their default (marked); 0 or nothing there may mean: chosen for the device"
    )
    heads = ["option", *(run.label for run in runs), "default"]
    return "<h2>Options</h2>" + table(caption, heads, ordered, marked=marked)


def _versions(runs: Sequence[Run]) -> str:
    names = list(dict.fromkeys(name for run in runs for name in run.versions))
    rows = [[name, *(run.versions.get(name, "–") for run in runs)] for name in names]
    return "<h2>Versions</h2>" + table("What the runs were made with", ["", *(run.label for run in runs)], rows)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
