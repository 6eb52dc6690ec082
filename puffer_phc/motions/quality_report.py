"""Quality measurements as a terminal table and as one self-contained web page, before and after cleaning."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from puffer_phc.motions.quality import ClipQuality
from puffer_phc.page import INK, SERIES, Cell, page, paragraph, picture, plot, table


class Metric(NamedTuple):
    """How one measurement is shown."""

    name: str
    label: str
    unit: str
    scale: float
    digits: int
    bar: float | None = None

    @property
    def heading(self) -> str:
        """Label and unit."""
        return f"{self.label} ({self.unit})"


METRICS = (
    Metric("penetration_p99", "penetration, 99 % of frames", "cm", 100.0, 1, 1.0),
    Metric("floating", "floating", "cm", 100.0, 1, 3.0),
    Metric("skate", "foot skate in contact, median", "cm/s", 100.0, 1, 5.0),
    Metric("skate_mean", "foot skate in contact, mean", "cm/s", 100.0, 1),
    Metric("joint_speed_max", "joint speed, largest", "rad/s", 1.0, 1, 30.0),
    Metric("joint_speed_p99", "joint speed, 99 %", "rad/s", 1.0, 1),
    Metric("jerk", "jerk, mean", "m/s³", 1.0, 0),
    Metric("self_collision", "frames with overlapping parts", "%", 100.0, 1),
)
_PLOTTED = ("penetration_p99", "skate", "joint_speed_max", "self_collision")
_SPREAD = ("median", "90 %", "worst")
_LISTED = 12


@dataclass(frozen=True)
class Row:
    """One clip in a report.

    Attributes:
        name: the clip's.
        source: file it came from.
        after: its quality, None where there is no result.
        before: its quality before cleaning, where there was any.
        notes: what was mended.
        dropped: why there is no result, empty if there is one.
        remarks: what was read otherwise than one might think: its frame rate, its body.
    """

    name: str
    source: str = ""
    after: ClipQuality | None = None
    before: ClipQuality | None = None
    notes: tuple[str, ...] = ()
    dropped: str = ""
    remarks: tuple[str, ...] = ()


_Pick = Callable[[Row], ClipQuality | None]


def quality_table(rows: Sequence[Row], limit: int = _LISTED) -> Group:
    """Median and worst clip of every measurement; below it what was dropped and what is not good, ``limit`` of each."""
    columns = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    columns.add_column("measurement", overflow="fold")
    for when in _stages(rows):
        for what in _SPREAD:
            columns.add_column(f"{when}\n{what}".strip(), justify="right")
    for metric in METRICS:
        columns.add_row(metric.heading, *_spreads(rows, metric))
    lines = []
    for title, colour, listed in (("dropped", "red", _dropped(rows)), ("not yet good", "yellow", _imperfect(rows))):
        # Text, not str: a clip's name may hold square brackets, which rich would read as markup.
        lines += [Text.assemble((f"{title}: {name}", colour), f"  {why}") for name, why in listed[:limit]]
        if len(listed) > limit:
            lines.append(Text(f"... and {len(listed) - limit} more {title}, see the report"))
    return Group(columns, *lines)


def headline(rows: Sequence[Row]) -> str:
    """Numbers of clips, minutes and verdicts in one line."""
    kept = [row.after for row in rows if row.after and not row.dropped]
    minutes = sum(quality.duration for quality in kept) / 60.0
    verdicts = Counter(quality.verdict for quality in kept)
    listed = ", ".join(f"{verdicts[name]} {name}" for name in ("use", "fixable", "reject") if verdicts[name])
    dropped = sum(1 for row in rows if row.dropped)
    return f"{len(kept)} clips, {minutes:.1f} minutes ({listed or 'none'}); {dropped} dropped"


def html_page(rows: Sequence[Row], title: str) -> str:
    """Verdicts, pictures and tables, all dropped and all other clips among them, as a page that needs no other file."""
    body = [
        paragraph(headline(rows)),
        '<h2>Distributions</h2><div class="plots">',
        *(_histogram(rows, metric) for metric in METRICS if metric.name in _PLOTTED),
        "</div><h2>Summary</h2>",
        _summary(rows),
        _listing("Dropped", _dropped(rows), "No clip was dropped."),
        _listing("Not yet good", _imperfect(rows), "Every clip is good to use."),
        "<h2>Clips</h2>",
        _clips(rows),
    ]
    return page(title, body)


def _summary(rows: Sequence[Row]) -> str:
    heads = [f"{when}: {what}" if when else what for when in _stages(rows) for what in _SPREAD]
    lines = [[metric.heading, *_spreads(rows, metric)] for metric in METRICS]
    return table("Each measurement over all clips", ["measurement", *heads], lines)


def _listing(title: str, listed: Sequence[tuple[str, str]], nothing: str) -> str:
    if not listed:
        return f"<h2>{title}</h2>{paragraph(nothing)}"
    lines: list[list[Cell | str]] = [[name, Cell(why, kind="text")] for name, why in listed]
    return f"<h2>{title} ({len(listed)})</h2>{table(f'{title}, and why', ['clip', 'why'], lines)}"


def _clips(rows: Sequence[Row]) -> str:
    lines = [_clip_row(row, row.after) for row in rows if row.after is not None]
    if not lines:
        return paragraph("There are none.")
    caption = "Values over their bar are bold; choose a heading to sort by it"
    heads = ["clip", "verdict", "s", *(metric.heading for metric in METRICS), "remarks, mended"]
    return table(caption, heads, lines, sortable=True)


def _clip_row(row: Row, quality: ClipQuality) -> list[Cell | str]:
    verdict = Cell(quality.verdict, kind={"use": "good", "reject": "bad"}.get(quality.verdict, ""))
    cells: list[Cell | str] = [row.name, verdict, Cell(f"{quality.duration:.1f}", quality.duration)]
    for metric in METRICS:
        value = metric.scale * getattr(quality, metric.name)
        over = metric.bar is not None and value > metric.bar
        known = value if math.isfinite(value) else ""
        cells.append(Cell(_number(metric, value), known, "bad" if over else ""))
    return [*cells, Cell("; ".join((*row.remarks, *row.notes)), kind="text")]


def _histogram(rows: Sequence[Row], metric: Metric) -> str:
    """A picture of one measurement over all clips."""
    groups = [(when or "clips", _values(rows, pick, metric)) for when, pick in _stages(rows).items()]
    every = np.concatenate([values for _, values in groups])
    top = 1.5 * (metric.bar or 1.0)
    if len(every):
        top = max(top, float(np.quantile(every, 0.98)))
    bins = list(np.linspace(0.0, top, 31))
    figure, axes = plot(metric.label.capitalize(), height=2.7)
    # The result has the same colour with and without a "before".
    for colour, (label, values) in zip(SERIES[: len(groups)][::-1], groups, strict=True):
        axes.hist(np.minimum(values, top), bins=bins, histtype="stepfilled", alpha=0.3, color=colour)
        axes.hist(np.minimum(values, top), bins=bins, histtype="step", color=colour, label=label, linewidth=1.5)
    if metric.bar is not None:
        axes.axvline(metric.bar, color=INK, linestyle=":", linewidth=1.2, label=f"bar {metric.bar:g}")
    axes.set_xlabel(f"{metric.unit}; last bin: all above", color=INK)
    axes.set_ylabel("clips", color=INK)
    axes.locator_params(axis="y", integer=True)
    axes.legend(frameon=False, labelcolor=INK, fontsize=8)
    medians = ", ".join(f"{label} {np.median(v):.{metric.digits}f}" for label, v in groups if len(v))
    return picture(figure, f"Histogram over clips of {metric.label} in {metric.unit}; medians: {medians or 'none'}")


def _stages(rows: Sequence[Row]) -> dict[str, _Pick]:
    """Before and after cleaning, or only the nameless result where nothing was compared."""
    if any(row.before for row in rows):
        return {"before": lambda row: row.before, "after": lambda row: row.after}
    return {"": lambda row: row.after}


def _values(rows: Iterable[Row], pick: _Pick, metric: Metric) -> np.ndarray:
    """Finite values of a measurement in its shown unit."""
    found = (pick(row) for row in rows)
    values = np.array([metric.scale * getattr(quality, metric.name) for quality in found if quality is not None])
    return values[np.isfinite(values)] if len(values) else values


def _spreads(rows: Sequence[Row], metric: Metric) -> list[str]:
    """:data:`_SPREAD` of every stage, as text."""
    found = (_values(rows, pick, metric) for pick in _stages(rows).values())
    return [_number(metric, value) for values in found for value in _spread(values)]


def _spread(values: np.ndarray) -> tuple[float, float, float]:
    """Median, 90th percentile and maximum."""
    if not len(values):
        return math.nan, math.nan, math.nan
    return float(np.median(values)), float(np.quantile(values, 0.9)), float(values.max())


def _number(metric: Metric, value: float) -> str:
    return f"{value:.{metric.digits}f}" if math.isfinite(value) else "–"


def _dropped(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return [(row.name, row.dropped) for row in rows if row.dropped]


def _imperfect(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return [(r.name, "; ".join(r.after.reasons)) for r in rows if r.after and r.after.reasons and not r.dropped]
