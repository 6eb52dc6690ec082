"""An evaluation's results as files (``summary.json``, ``motions.tsv``, ``failed.txt``) and as a terminal table."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from puffer_phc.errors import InputError
from puffer_phc.evaluation.metrics import METRICS, POSITION_METRICS, ClipResult, SummaryValue, finite_mean
from puffer_phc.evaluation.statistics import Statistics
from puffer_phc.motions.clip_lists import lines_of

SUMMARY_FILE, MOTIONS_FILE, FAILED_FILE = "summary.json", "motions.tsv", "failed.txt"


def write_summary(
    folder: str | Path,
    summary: Mapping[str, SummaryValue],
    results: Sequence[ClipResult],
    extra: Mapping[str, Any],
    stats: Statistics | None = None,
    source: str = "",
) -> tuple[Path, Path]:
    """Write ``summary.json``, ``motions.tsv`` and ``failed.txt``, each atomically, replacing older ones.

    Args:
        folder: an existing folder.
        summary: what :func:`~puffer_phc.evaluation.metrics.summarize` returned; the JSON object's top-level keys.
        results: one row of the table each, in this order.
        extra: anything about the run (checkpoint, options, versions); goes under the JSON key ``extra``.
        stats: intervals, categories and the curve over time; go under the JSON key ``statistics``.
        source: where the clips came from. With it, ``failed.txt`` is a list that can be trained on.

    Returns:
        The paths of ``summary.json`` and ``motions.tsv``.

    Raises:
        InputError: the folder is missing, cannot be written or its disk is full.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(folder, "is not a folder", "create it or name an existing one")
    document = json_safe({**summary, **({"statistics": asdict(stats)} if stats else {}), "extra": extra})
    names = [clip.name for clip in results if not clip.success]
    failed = "".join(f"{line}\n" for line in (lines_of(source, names) if source else map(_one_line, names)))
    # The summary comes last: where it lies, the other two are complete.
    write_atomic(folder / MOTIONS_FILE, _motions_tsv(results))
    write_atomic(folder / FAILED_FILE, failed)
    write_atomic(folder / SUMMARY_FILE, json.dumps(document, indent=2, allow_nan=False) + "\n")
    return folder / SUMMARY_FILE, folder / MOTIONS_FILE


def summary_table(summary: Mapping[str, SummaryValue], results: Sequence[ClipResult], limit: int = 10) -> Table:
    """The summary and its ``limit`` hardest clips as a table: failures first, then the largest global error (mm)."""
    rate = 100.0 * float(summary["success_rate"] or 0.0)
    table = Table(
        title=f"success {rate:.1f} % ({summary['clips_succeeded']} of {summary['clips']} clips), errors in mm",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),  # fits a terminal of 80 columns
    )
    table.add_column("motion", overflow="fold")
    table.add_column("steps", justify="right")
    table.add_column("success")
    for name in POSITION_METRICS:
        table.add_column(name, justify="right")

    table.add_row("all", str(summary["frames"]), "", *_cells(summary, "mpjpe_all", "mpjpel_all"))
    succeeded = "successful" if not summary["no_success"] else "successful: none"
    keys = ("mpjpe_succ", "mpjpel_succ", "mpjpe_pa", "vel_dist", "accel_dist")
    table.add_row(succeeded, "", "", *_cells(summary, *keys), end_section=True)

    for clip in hardest(results, limit):
        outcome = Text("yes", "green") if clip.success else Text("no", "red")
        steps = f"{clip.played_steps}/{clip.frames}"
        # Text, not str: a clip's name may hold square brackets, which rich would read as markup.
        table.add_row(Text(_one_line(clip.name)), steps, outcome, *_cells(clip_means(clip), *POSITION_METRICS))
    return table


def _motions_tsv(results: Sequence[ClipResult]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    writer.writerow(("motion", "frames", "played_steps", "success", *(metric.name for metric in METRICS), "category"))
    for clip in results:
        means = (_number(value, digits=3) for value in clip_means(clip).values())
        head = (_one_line(clip.name), clip.frames, clip.played_steps, int(clip.success))
        writer.writerow((*head, *means, _one_line(clip.category)))
    return buffer.getvalue()


def clip_means(clip: ClipResult) -> dict[str, float | None]:
    """Mean of every metric of one clip; None where it has none."""
    return {metric.name: finite_mean(clip.metrics.get(metric.name, np.zeros(0))) for metric in METRICS}


def hardest(results: Sequence[ClipResult], limit: int) -> list[ClipResult]:
    """Failures first, then the largest global errors."""
    return sorted(results, key=_difficulty, reverse=True)[: max(limit, 0)]


def _difficulty(clip: ClipResult) -> tuple[bool, float]:
    error = finite_mean(np.asarray(clip.metrics["mpjpe_g"], dtype=np.float64))
    return not clip.success, math.inf if error is None else error


def _cells(values: Mapping[str, SummaryValue], *keys: str) -> list[str]:
    return [_number(values[key], digits=1) or "-" for key in keys]


def _number(value: SummaryValue, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _one_line(name: str) -> str:
    """``name`` without tabs and line breaks, which would tear a row apart."""
    return " ".join(name.split())


def json_safe(value: Any) -> Any:
    """``value`` in JSON's own types: NaN and infinity become null, arrays lists, anything unknown its text."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_safe(item) for item in value]
    return str(value)


def write_atomic(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` so that a reader sees the old file or the new one, never a part."""
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's 0600 would hide the report from the group
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise InputError(path, f"cannot be written ({reason})", "free some space or name a writable folder") from error


def _umask() -> int:
    """The process's file-creation mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
