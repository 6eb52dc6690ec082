"""Evaluations of one or several checkpoints as sections of one self-contained web page."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from puffer_phc.evaluation.metrics import METRICS, Metric
from puffer_phc.evaluation.outcome import ClipRow, Outcome
from puffer_phc.evaluation.statistics import SUCCESS, Estimate, Group
from puffer_phc.page import INK, SERIES, Cell, escape, image, page, paragraph, picture, plot, table

SUCCESS_METRIC = Metric(SUCCESS, "success", "%", 1, 100.0)
_SHOWN = (SUCCESS_METRIC, *METRICS)
_LENGTH_BINS = 6
_LISTED = 1000  # clips in the table: a page of all of a large data set would be slow


@dataclass(frozen=True)
class Exhibit:
    """A clip shown with a picture.

    Attributes:
        clip: its name.
        text: what happened.
        png: picture of its worst moment.
        video: path of its video from the page on, or empty.
    """

    clip: str
    text: str
    png: bytes
    video: str = ""


def evaluation_page(
    title: str, outcomes: Sequence[Outcome], exhibits: Sequence[Exhibit] = (), note: str = "", intro: str = ""
) -> str:
    """The whole page of an evaluation; see :func:`evaluation_sections`."""
    return page(title, [paragraph(intro) if intro else "", *evaluation_sections(outcomes, exhibits, note)])


def evaluation_sections(outcomes: Sequence[Outcome], exhibits: Sequence[Exhibit] = (), note: str = "") -> list[str]:
    """Tables and pictures of at least one evaluation.

    Args:
        outcomes: side by side, in this order.
        exhibits: the hardest clips of the first.
        note: why there are no pictures of these.
    """
    return [
        *_headlines(outcomes),
        '<div class="beside"><div><h2>Over all clips</h2>',
        _metric_table("Means with 95 % bootstrap intervals over clips", outcomes, lambda o: o.stats.all),
        "</div><div><h2>Over the clips that succeeded</h2>",
        _metric_table("Means with 95 % bootstrap intervals over clips", outcomes, lambda o: o.stats.successes, skip=1)
        if any(outcome.stats.successes.clips for outcome in outcomes)
        else paragraph("No clip succeeded."),
        "</div></div>",
        _seeds(outcomes),
        '<h2>Pictures</h2><div class="plots">',
        _checkpoints_plot(outcomes) if len(outcomes) > 1 else "",
        _length_plot(outcomes),
        _time_plot(outcomes),
        _histogram(outcomes),
        _category_plot(outcomes),
        "</div>",
        _categories(outcomes),
        _exhibits(exhibits, note),
        _clips(outcomes),
    ]


def _headlines(outcomes: Sequence[Outcome]) -> list[str]:
    lines = []
    for outcome in outcomes:
        every = outcome.stats.all
        error = shown(METRICS[0], every.metrics["mpjpe_g"].value)
        share = shown(SUCCESS_METRIC, every.metrics[SUCCESS].value)
        lines.append(
            f"{outcome.label}: {every.succeeded} of {every.clips} clips followed to their end ({share} %), "
            f"mean error {error} mm."
        )
    return [paragraph(line) for line in lines]


def shown(metric: Metric, value: float | None) -> str:
    """A value as text in the metric's unit."""
    return "–" if value is None else f"{value * metric.scale:.{metric.digits}f}"


def heading(metric: Metric) -> str:
    """Label and unit."""
    return f"{metric.label} ({metric.unit})" if metric.unit else metric.label


def _with_interval(metric: Metric, estimate: Estimate) -> str:
    text = shown(metric, estimate.value)
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text}  [{shown(metric, estimate.low)}, {shown(metric, estimate.high)}]"


def _metric_table(caption: str, outcomes: Sequence[Outcome], pick: Callable[[Outcome], Group], skip: int = 0) -> str:
    rows: list[list[Cell | str]] = [["clips", *(str(pick(outcome).clips) for outcome in outcomes)]]
    for metric in _SHOWN[skip:]:
        cells = [_with_interval(metric, pick(outcome).metrics[metric.name]) for outcome in outcomes]
        rows.append([heading(metric), *cells])
    return table(caption, ["metric", *(outcome.label for outcome in outcomes)], rows)


def _seeds(outcomes: Sequence[Outcome]) -> str:
    """Mean and standard deviation over checkpoints of equal options, where there are two."""
    setups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        setups.setdefault(outcome.setup, []).append(outcome)
    several = [members for members in setups.values() if len(members) > 1]
    if not several:
        return ""
    rows: list[list[Cell | str]] = []
    for metric in _SHOWN:
        cells = []
        for members in several:
            values = [member.stats.all.metrics[metric.name].value for member in members]
            known = [value * metric.scale for value in values if value is not None]
            spread = f" ± {statistics.stdev(known):.{metric.digits}f}" if len(known) > 1 else ""
            cells.append(f"{statistics.mean(known):.{metric.digits}f}{spread}" if known else "–")
        rows.append([heading(metric), *cells])
    heads = [", ".join(member.label for member in members) for members in several]
    caption = "Over all clips: mean ± standard deviation over checkpoints whose options differ in seed and name alone"
    return "<h2>Over seeds</h2>" + table(caption, ["metric", *heads], rows)


# -- pictures --------------------------------------------------------------------------------------------------------


def _colour(number: int) -> str:
    return SERIES[number % len(SERIES)]


def _style(number: int) -> str:
    return ("-", "--", ":", "-.")[number // len(SERIES) % 4]


def _error_of(clip: ClipRow) -> float | None:
    return clip.means.get("mpjpe_g")


def _checkpoints_plot(outcomes: Sequence[Outcome]) -> str:
    figure, axes = plot("Checkpoints: success and error, 95 %", height=1.2 + 0.4 * len(outcomes))
    said = []
    for number, outcome in enumerate(outcomes):
        success, error = (outcome.stats.all.metrics[name] for name in (SUCCESS, "mpjpe_g"))
        if success.value is None or error.value is None:
            continue
        low, high = (bound if bound is not None else success.value for bound in (success.low, success.high))
        spread = [[100 * max(success.value - low, 0)], [100 * max(high - success.value, 0)]]
        axes.errorbar(100 * success.value, number, xerr=spread, fmt="o", color=_colour(number), capsize=4)
        axes.annotate(
            f"{error.value:.1f} mm", (100 * success.value, number), (0, 6), textcoords="offset points", ha="center",
            color=INK, fontsize=9,
        )  # fmt: skip
        said.append(f"{outcome.label} {100 * success.value:.1f} %, {error.value:.1f} mm")
    axes.set_yticks(range(len(outcomes)), [outcome.label for outcome in outcomes])
    axes.set_ylim(len(outcomes) - 0.4, -0.6)
    axes.set_xlim(-4, 104)
    axes.set_xlabel("clips followed to their end (%)", color=INK)
    return picture(figure, f"Success and error of each checkpoint: {'; '.join(said)}")


def _length_plot(outcomes: Sequence[Outcome]) -> str:
    figure, axes = plot("Success over clip length")
    said = []
    for number, outcome in enumerate(outcomes):
        seconds = np.array([clip.frames * outcome.control_dt for clip in outcome.clips])
        success = np.array([clip.success for clip in outcome.clips], dtype=float)
        order = np.argsort(seconds, kind="stable")
        parts = np.array_split(order, min(_LENGTH_BINS, max(1, len(order) // 3)))
        middle = [float(np.median(seconds[part])) for part in parts]
        share = [100 * float(success[part].mean()) for part in parts]
        line = axes.plot(middle, share, "o", linestyle=_style(number), color=_colour(number), label=outcome.label)[0]
        if len(outcomes) == 1:
            for x, y, part in zip(middle, share, parts, strict=True):
                axes.annotate(
                    f"{len(part)}", (x, y), (0, -13), textcoords="offset points", ha="center", color=INK, fontsize=8
                )
            line.set_label("number: clips")
        said.append(
            f"{outcome.label}: " + ", ".join(f"{s:.0f} % at {m:.1f} s" for m, s in zip(middle, share, strict=True))
        )
    axes.set_ylim(-8, 108)
    axes.set_xlabel("length of the clip (s)", color=INK)
    axes.set_ylabel("followed to the end (%)", color=INK)
    axes.legend(frameon=False, labelcolor=INK, fontsize=8)
    return picture(figure, f"Success over the length of clips, in groups of equal size. {'; '.join(said)}")


def _time_plot(outcomes: Sequence[Outcome]) -> str:
    figure, axes = plot("Error over time within clips")
    said = []
    for number, outcome in enumerate(outcomes):
        curve = outcome.stats.curve
        axes.plot(curve.seconds, curve.median, _style(number), color=_colour(number), label=f"{outcome.label}: median")
        if len(outcomes) <= 2:
            axes.fill_between(
                curve.seconds, curve.low, curve.high, alpha=0.2, color=_colour(number), linewidth=0,
                label="10 to 90 % of clips",
            )  # fmt: skip
        if curve.median:
            said.append(f"{outcome.label}: from {curve.median[0]:.0f} to {curve.median[-1]:.0f} mm")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("time into the clip (s), of clips that are still followed", color=INK)
    axes.set_ylabel("error (mm)", color=INK)
    axes.legend(frameon=False, labelcolor=INK, fontsize=8)
    return picture(figure, f"Median error over the time into clips. {'; '.join(said)}")


def _histogram(outcomes: Sequence[Outcome]) -> str:
    figure, axes = plot("Error of clips")
    every = [error for outcome in outcomes for clip in outcome.clips if (error := _error_of(clip)) is not None]
    top = max(float(np.quantile(every, 0.98)) * 1.1, 1.0) if every else 1.0
    bins = list(np.linspace(0.0, top, 31))
    said = []
    for number, (label, clips) in enumerate(_histogram_groups(outcomes)):
        errors = [min(error, top) for clip in clips if (error := _error_of(clip)) is not None]
        if not errors:
            continue
        colour = _colour(number)
        if len(outcomes) == 1:
            axes.hist(errors, bins=bins, histtype="stepfilled", alpha=0.3, color=colour)
        axes.hist(errors, bins=bins, histtype="step", color=colour, label=label, linewidth=1.5)
        said.append(f"{label}: median {np.median(errors):.0f} mm of {len(errors)} clips")
    axes.set_xlabel("mean error of a clip (mm); last bin: all above", color=INK)
    axes.set_ylabel("clips", color=INK)
    axes.legend(frameon=False, labelcolor=INK, fontsize=8)
    return picture(figure, f"Histogram of the mean errors of clips. {'; '.join(said)}")


def _histogram_groups(outcomes: Sequence[Outcome]) -> list[tuple[str, list[ClipRow]]]:
    if len(outcomes) > 1:
        return [(outcome.label, outcome.clips) for outcome in outcomes]
    clips = outcomes[0].clips
    return [
        ("followed to the end", [clip for clip in clips if clip.success]),
        ("failed", [clip for clip in clips if not clip.success]),
    ]


def _kinds(outcomes: Sequence[Outcome]) -> list[str]:
    return sorted({kind for outcome in outcomes for kind in outcome.stats.categories})


def _category_plot(outcomes: Sequence[Outcome]) -> str:
    kinds = _kinds(outcomes)
    if not kinds:
        return ""
    figure, axes = plot("Success by category", height=1.0 + (0.16 + 0.12 * len(outcomes)) * len(kinds))
    thickness = 0.8 / len(outcomes)
    said = []
    for number, outcome in enumerate(outcomes):
        groups = outcome.stats.categories
        shares = [100 * groups[kind].succeeded / groups[kind].clips if kind in groups else 0.0 for kind in kinds]
        places = [place + thickness * (number - 0.5 * (len(outcomes) - 1)) for place in range(len(kinds))]
        axes.barh(places, shares, thickness * 0.9, color=_colour(number), label=outcome.label)
        said.append(f"{outcome.label}: " + ", ".join(f"{k} {s:.0f} %" for k, s in zip(kinds, shares, strict=True)))
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_ylim(len(kinds) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("clips followed to their end (%)", color=INK)
    if len(outcomes) > 1:
        axes.legend(frameon=False, labelcolor=INK, fontsize=8)
    return picture(figure, f"Success by category. {'; '.join(said)}")


# -- lists -----------------------------------------------------------------------------------------------------------


def _categories(outcomes: Sequence[Outcome]) -> str:
    """One table for each checkpoint."""
    metrics = [SUCCESS_METRIC, *(metric for metric in METRICS if metric.name in ("mpjpe_g", "mpjpe_pa", "contact"))]
    parts = []
    for outcome in outcomes:
        rows: list[list[Cell | str]] = []
        for kind, members in outcome.stats.categories.items():
            cells = [_with_interval(metric, members.metrics[metric.name]) for metric in metrics]
            rows.append([kind, f"{members.succeeded} of {members.clips}", *cells])
        if rows:
            heads = ["category", "succeeded", *map(heading, metrics)]
            parts.append(table(f"{outcome.label}: by category, with 95 % intervals", heads, rows))
    return "<h2>Categories</h2>" + "".join(parts) if parts else ""


def _exhibits(exhibits: Sequence[Exhibit], note: str) -> str:
    if not exhibits:
        return f"<h2>Hardest clips</h2>{paragraph(note)}" if note else ""
    parts = []
    for exhibit in exhibits:
        alt = f"{exhibit.clip}: reference and simulation at the worst moment"
        video = f' <a href="{escape(exhibit.video)}">video of {escape(exhibit.clip)}</a>' if exhibit.video else ""
        caption = f"<strong>{escape(exhibit.clip)}</strong>: {escape(exhibit.text)}{video}"
        parts.append(f"<figure>{image(exhibit.png, alt)}<figcaption>{caption}</figcaption></figure>")
    return f'<h2>Hardest clips</h2><div class="clips">{"".join(parts)}</div>{paragraph(note) if note else ""}'


def _clips(outcomes: Sequence[Outcome]) -> str:
    first = outcomes[0]
    order = sorted(first.clips, key=lambda clip: (clip.success, -(_error_of(clip) or 0.0)))[:_LISTED]
    caption = "Clips, hardest first; choose a heading to sort by it"
    if len(first.clips) > _LISTED:
        caption += f". The hardest {_LISTED:,} of {len(first.clips):,}; motions.tsv has all"
    if len(outcomes) == 1:
        heads = ["clip", "category", "s", "followed (s)", "success", *map(heading, METRICS)]
        rows = [_full_row(clip, first.control_dt) for clip in order]
    else:
        heads = ["clip", "category", "s"]
        heads += [f"{outcome.label}: {what}" for outcome in outcomes for what in ("success", "error (mm)")]
        known = [{clip.name: clip for clip in outcome.clips} for outcome in outcomes]
        rows = [_compared_row(clip, first.control_dt, known) for clip in order]
    return "<h2>Clips</h2>" + table(caption, heads, rows, sortable=True)


def _outcome_cell(clip: ClipRow | None) -> Cell:
    if clip is None:
        return Cell("–", "")
    return Cell("yes", 1, "good") if clip.success else Cell("no", 0, "bad")


def _full_row(clip: ClipRow, control_dt: float) -> list[Cell | str]:
    row: list[Cell | str] = [clip.name, Cell(clip.category, kind="text")]
    row += [f"{clip.frames * control_dt:.1f}", f"{clip.played_steps * control_dt:.1f}", _outcome_cell(clip)]
    for metric in METRICS:
        value = clip.means.get(metric.name)
        row.append(Cell(shown(metric, value), "" if value is None else value))
    return row


def _compared_row(clip: ClipRow, control_dt: float, known: Sequence[dict[str, ClipRow]]) -> list[Cell | str]:
    row: list[Cell | str] = [clip.name, Cell(clip.category, kind="text"), f"{clip.frames * control_dt:.1f}"]
    for clips in known:
        other = clips.get(clip.name)
        error = _error_of(other) if other else None
        row += [_outcome_cell(other), Cell(shown(METRICS[0], error), "" if error is None else error)]
    return row
