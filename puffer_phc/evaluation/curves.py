"""Learning curves of runs as one picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from puffer_phc.errors import InputError

# Panels: metric, axis label, scale factor.
_PANELS = (
    ("episode/length", "episode length in training (steps)", 1.0),
    ("eval/success_rate", "clips followed to the end (%)", 100.0),
    ("eval/mpjpe_all", "mean error in evaluation (mm)", 1.0),
)


def read_metrics(run: Path) -> list[dict[str, float]]:
    """Rows of a run folder's ``metrics.jsonl``.

    Raises:
        InputError: there is none, or it is damaged before its last line.
    """
    path = run / "metrics.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "name a run folder") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            if number < len(lines):  # a run that was killed may leave half a line at the end
                raise InputError(path, f"line {number} is no JSON", "name an undamaged run folder") from None
    return rows


def plot_curves(runs: Sequence[Path], out: Path, title: str = "", against: str = "seconds") -> None:
    """Draw episode length, success and error of ``runs`` over ``seconds`` or ``step`` into the picture ``out``.

    Raises:
        InputError: a run cannot be read or the picture cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(_PANELS), figsize=(4.6 * len(_PANELS), 3.6), constrained_layout=True)
    for run in runs:
        rows = read_metrics(run)
        for axis, (metric, label, factor) in zip(axes, _PANELS, strict=True):
            points = [(row[against], factor * row[metric]) for row in rows if metric in row and against in row]
            axis.plot(*zip(*points, strict=True), label=run.name, linewidth=1.4) if points else None
            axis.set_ylabel(label)
            axis.set_xlabel("training time (s)" if against == "seconds" else "samples")
            axis.grid(alpha=0.3)
    for axis in axes:
        axis.set_ylim(bottom=0)
    axes[0].legend(fontsize=8)
    figure.suptitle(title)
    try:
        figure.savefig(out, dpi=110)
    except (OSError, ValueError) as error:
        raise InputError(out, f"cannot be written ({error})", "name a .png, .svg or .pdf file") from None
    finally:
        plt.close(figure)
