"""Quality measurements as a terminal table and as one self-contained web page, before and after cleaning."""

from __future__ import annotations

import html
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
from puffer_phc.page import INK, svg


class Metric(NamedTuple):
    """How one measurement is shown."""

    name: str
    label: str
    unit: str
    scale: float
    digits: int
    bar: float | None = None


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
_COLOURS = {"before": "#b45309", "after": "#0d9488"}  # 3:1 or better on white and on near-black
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


def quality_table(rows: Sequence[Row], limit: int = _LISTED) -> Group:
    """Median and worst clip of every measurement; below it what was dropped and what is not good, ``limit`` of each."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("measurement", overflow="fold")
    compared = any(row.before for row in rows)
    for when in ("before", "after") if compared else ("",):
        for what in ("median", "90 %", "worst"):
            table.add_column(f"{when}\n{what}".strip(), justify="right")
    for metric in METRICS:
        cells = []
        for pick in _picks(rows):
            values = _values(rows, pick, metric)
            cells += [_number(metric, value) for value in _spread(values)]
        table.add_row(f"{metric.label} ({metric.unit})", *cells)
    lines = []
    for title, colour, listed in (("dropped", "red", _dropped(rows)), ("not yet good", "yellow", _imperfect(rows))):
        # Text, not str: a clip's name may hold square brackets, which rich would read as markup.
        lines += [Text.assemble((f"{title}: {name}", colour), f"  {why}") for name, why in listed[:limit]]
        if len(listed) > limit:
            lines.append(Text(f"... and {len(listed) - limit} more {title}, see the report"))
    return Group(table, *lines)


def headline(rows: Sequence[Row]) -> str:
    """Numbers of clips, minutes and verdicts in one line."""
    kept = [row.after for row in rows if row.after and not row.dropped]
    minutes = sum(quality.duration for quality in kept) / 60.0
    verdicts = Counter(quality.verdict for quality in kept)
    listed = ", ".join(f"{verdicts[name]} {name}" for name in ("use", "fixable", "reject") if verdicts[name])
    dropped = sum(1 for row in rows if row.dropped)
    return f"{len(kept)} clips, {minutes:.1f} minutes ({listed or 'none'}); {dropped} dropped"


def html_page(rows: Sequence[Row], title: str) -> str:
    """A page with pictures and tables that needs no other file, for wide and narrow, light and dark screens."""
    compared = any(row.before for row in rows)
    parts = [
        f"<h1>{html.escape(title)}</h1><p>{html.escape(headline(rows))}</p>",
        "<h2>Distributions</h2><div class=plots>",
        *(_histogram(rows, metric) for metric in METRICS if metric.name in _PLOTTED),
        "</div><h2>Summary</h2>",
        _summary(rows, compared),
        _listing("Dropped", _dropped(rows), "No clip was dropped."),
        _listing("Not yet good", _imperfect(rows), "Every clip is good to use."),
        "<h2>Clips</h2>",
        _clips(rows),
    ]
    style = f"<style>{_STYLE}</style>"
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"<head>{meta}<title>{html.escape(title)}</title>{style}</head>"
    return f'<!doctype html><html lang="en">{head}<body><main>{"".join(parts)}</main></body></html>\n'


_STYLE = """
:root { color-scheme: light dark; --ink: #1c1917; --soft: #57534e; --line: #d6d3d1; --page: #ffffff }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e5e4; --soft: #a8a29e; --line: #44403c; --page: #1c1917 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 0 }
main { max-width: 1180px; margin: 0 auto; padding: 24px }
h1 { font-size: 24px } h2 { font-size: 18px; margin-top: 32px }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 16px }
.plots svg { width: 100%; height: auto } figure { margin: 0 }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: 3px 10px; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child, td.text, th.text { text-align: left } td.text { white-space: normal; min-width: 220px }
th { color: var(--soft); font-weight: 600 } .bad { font-weight: 700; text-decoration: underline dotted }
"""


def _summary(rows: Sequence[Row], compared: bool) -> str:
    heads = "".join(
        f"<th>{f'{when}: ' if when else ''}{what}</th>"
        for when in (("before", "after") if compared else ("",))
        for what in ("median", "90 %", "worst")
    )
    lines = []
    for metric in METRICS:
        cells = "".join(
            f"<td>{_number(metric, value)}</td>"
            for pick in _picks(rows)
            for value in _spread(_values(rows, pick, metric))
        )
        lines.append(f"<tr><td>{html.escape(metric.label)} ({html.escape(metric.unit)})</td>{cells}</tr>")
    return f"<div class=scroll><table><tr><th>over clips</th>{heads}</tr>{''.join(lines)}</table></div>"


def _listing(title: str, listed: Sequence[tuple[str, str]], nothing: str) -> str:
    if not listed:
        return f"<h2>{title}</h2><p>{nothing}</p>"
    lines = "".join(f"<tr><td>{html.escape(n)}</td><td class=text>{html.escape(why)}</td></tr>" for n, why in listed)
    table = f"<table><tr><th>clip</th><th class=text>why</th></tr>{lines}</table>"
    return f"<h2>{title} ({len(listed)})</h2><div class=scroll>{table}</div>"


def _clips(rows: Sequence[Row]) -> str:
    heads = "".join(f"<th>{html.escape(m.label)} ({html.escape(m.unit)})</th>" for m in METRICS)
    lines = []
    for row in rows:
        if row.after is None:
            continue
        cells = []
        for metric in METRICS:
            value = getattr(row.after, metric.name)
            over = metric.bar is not None and value * metric.scale > metric.bar
            cells.append(f"<td{' class=bad' if over else ''}>{_number(metric, value * metric.scale)}</td>")
        notes = html.escape("; ".join((*row.remarks, *row.notes)))
        seconds = f"<td>{row.after.duration:.1f}</td>"
        lines.append(f"<tr><td>{html.escape(row.name)}</td>{seconds}{''.join(cells)}<td class=text>{notes}</td></tr>")
    heads = f"<th>clip</th><th>s</th>{heads}<th class=text>remarks, mended</th>"
    return f"<div class=scroll><table><tr>{heads}</tr>{''.join(lines)}</table></div>"


def _histogram(rows: Sequence[Row], metric: Metric) -> str:
    """A picture of one measurement over all clips, as SVG in the page's own colours."""
    from matplotlib.figure import Figure

    named = dict(zip(("before", "after") if len(_picks(rows)) > 1 else ("after",), _picks(rows), strict=True))
    groups = {when: _values(rows, pick, metric) for when, pick in named.items()}
    every = np.concatenate(list(groups.values())) if groups else np.zeros(0)
    top = max(float(np.quantile(every, 0.98)), 1.5 * (metric.bar or 0.0), 1e-6) if len(every) else 1.0
    figure = Figure(figsize=(5.6, 2.7), layout="constrained")
    axes = figure.add_subplot()
    bins = np.linspace(0.0, top, 31)
    for when, values in groups.items():
        axes.hist(np.minimum(values, top), bins=list(bins), histtype="stepfilled", alpha=0.35, color=_COLOURS[when])
        axes.hist(np.minimum(values, top), bins=list(bins), histtype="step", color=_COLOURS[when], label=when)
    if metric.bar is not None:
        axes.axvline(metric.bar, color=INK, linestyle=":", linewidth=1.2, label=f"bar {metric.bar:g}")
    axes.set_xlabel(f"{metric.label} ({metric.unit}); last bin: all above", color=INK)
    axes.set_ylabel("clips", color=INK)
    axes.tick_params(colors=INK)
    axes.legend(frameon=False, labelcolor=INK)
    for spine in axes.spines.values():
        spine.set_color(INK)
    text = svg(figure)
    medians = ", ".join(f"{when} {np.median(v):.{metric.digits}f}" for when, v in groups.items() if len(v))
    label = html.escape(f"Histogram over clips of {metric.label} in {metric.unit}; medians: {medians or 'none'}", True)
    described = f'<svg role="img" aria-label="{label}" '
    return f"<figure>{text.replace('<svg ', described, 1)}</figure>"


def _picks(rows: Sequence[Row]) -> list[Callable[[Row], ClipQuality | None]]:
    after: list[Callable[[Row], ClipQuality | None]] = [lambda row: row.after]
    return [lambda row: row.before, *after] if any(row.before for row in rows) else after


def _values(rows: Iterable[Row], pick: Callable[[Row], ClipQuality | None], metric: Metric) -> np.ndarray:
    """Finite values of a measurement in its shown unit."""
    found = (pick(row) for row in rows)
    values = np.array([metric.scale * getattr(quality, metric.name) for quality in found if quality is not None])
    return values[np.isfinite(values)] if len(values) else values


def _spread(values: np.ndarray) -> tuple[float, float, float]:
    """Median, 90th percentile and maximum."""
    if not len(values):
        return math.nan, math.nan, math.nan
    return float(np.median(values)), float(np.quantile(values, 0.9)), float(values.max())


def _number(metric: Metric, value: float) -> str:
    return f"{value:.{metric.digits}f}" if math.isfinite(value) else "-"


def _dropped(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return [(row.name, row.dropped) for row in rows if row.dropped]


def _imperfect(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return [(r.name, "; ".join(r.after.reasons)) for r in rows if r.after and r.after.reasons and not r.dropped]
