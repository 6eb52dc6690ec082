"""An evaluation as reports see it: made from results, or read back from the files it left."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from puffer_phc.errors import InputError
from puffer_phc.evaluation.metrics import METRICS, ClipResult
from puffer_phc.evaluation.report import MOTIONS_FILE, SUMMARY_FILE, clip_means
from puffer_phc.evaluation.statistics import Estimate, Group, Statistics, TimeCurve

_REMEDY = "evaluate again (--mode eval)"


@dataclass(frozen=True)
class ClipRow:
    """One clip: :class:`ClipResult` with means instead of frames."""

    name: str
    category: str
    frames: int
    played_steps: int
    success: bool
    means: dict[str, float | None]


@dataclass(frozen=True)
class Outcome:
    """One checkpoint's evaluation.

    Attributes:
        label: what to call the checkpoint.
        setup: what it shares with other seeds of the same options; equal setups are averaged.
        control_dt: s.
        stats: over all clips.
        clips: each of them, in the library's order.
    """

    label: str
    setup: str
    control_dt: float
    stats: Statistics
    clips: list[ClipRow]


def rows_of(results: Sequence[ClipResult]) -> list[ClipRow]:
    """The rows of some results."""
    return [
        ClipRow(clip.name, clip.category, clip.frames, clip.played_steps, clip.success, clip_means(clip))
        for clip in results
    ]


def setup_of(options: Mapping[str, Mapping[str, Any]]) -> str:
    """A text that is the same for options that differ in no more than ``[base]``: other seeds and names."""
    kept = {name: dict(section) for name, section in options.items() if name not in ("base", "eval", "play", "export")}
    return json.dumps(kept, sort_keys=True, default=str)


def read_outcome(folder: Path, label: str) -> Outcome | None:
    """The evaluation in a folder; None if there is none, or one by an older version or of another kind.

    Raises:
        InputError: its files are damaged.
    """
    file = folder / SUMMARY_FILE
    if not file.is_file() or not (folder / MOTIONS_FILE).is_file():
        return None
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if "statistics" not in document:
            return None
        options = document["extra"]["options"]
        control_dt = options["robot"]["timestep"] * options["robot"]["substeps"]
        stats = _statistics(document["statistics"])
        return Outcome(label, setup_of(options), control_dt, stats, _read_rows(folder / MOTIONS_FILE))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(file, f"is damaged ({type(error).__name__}: {str(error)[:80]})", _REMEDY) from None


def _statistics(data: Mapping[str, Any]) -> Statistics:
    categories = {str(name): _group(value) for name, value in data["categories"].items()}
    return Statistics(_group(data["all"]), _group(data["successes"]), categories, TimeCurve(**data["curve"]))


def _group(data: Mapping[str, Any]) -> Group:
    return Group(
        int(data["clips"]),
        int(data["succeeded"]),
        {str(name): Estimate(**value) for name, value in data["metrics"].items()},
    )


def _read_rows(file: Path) -> list[ClipRow]:
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    return [
        ClipRow(
            row["motion"],
            row["category"],
            int(row["frames"]),
            int(row["played_steps"]),
            row["success"] == "1",
            {metric.name: _number(row[metric.name]) for metric in METRICS},
        )
        for row in rows
    ]


def _number(text: str) -> float | None:
    value = float(text) if text else math.nan
    return value if math.isfinite(value) else None
