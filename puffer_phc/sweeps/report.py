"""What a sweep leaves behind: ``best.ini`` and ``report.html``."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from optuna.importance import get_param_importances
from optuna.study import Study
from optuna.trial import FrozenTrial

from puffer_phc.config import Config
from puffer_phc.config_files import to_ini
from puffer_phc.errors import InputError
from puffer_phc.sweeps.confirmation import verdict
from puffer_phc.sweeps.history import COST
from puffer_phc.sweeps.live import kind_of, line_of
from puffer_phc.sweeps.plots import front_plot, importance_plot, parallel_plot
from puffer_phc.sweeps.results import best_trial, completed, pareto_front, saved, stopped
from puffer_phc.sweeps.spaces import Space
from puffer_phc.sweeps.study import ERROR, FOLDER, REOFFERED, options_of
from puffer_phc.sweeps.sweep_config import with_values

_LEAST = 4  # trials, before anything can be said about parameters
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;font-size:13px;display:block;overflow-x:auto}"
    "td,th{padding:.2rem .6rem;border-bottom:1px solid #ddd;text-align:right}svg{max-width:100%;height:auto}"
    "tr.best{background:#e4f2e4}tr.front{background:#fdf0e6}tr.failed{color:#a33}"
)


def write_results(study: Study, cfg: Config, spaces: Sequence[Space], folder: Path) -> None:
    """Write ``best.ini``, if a trial succeeded, and ``report.html`` into the sweep's folder, replacing older ones.

    Raises:
        InputError: the folder cannot be written.
    """
    best = best_trial(study)
    try:
        if best is not None:
            _replace(folder / "best.ini", best_ini(best, cfg, spaces))
        _replace(folder / "report.html", report(study, cfg, spaces))
    except OSError as error:
        raise InputError(folder, f"cannot be written ({error.strerror})", "free some space") from None


def best_ini(trial: FrozenTrial, cfg: Config, spaces: Sequence[Space]) -> str:
    """All options that the trial ran with, but for ``[base]`` and ``[sweep]``, as an ini file."""
    head = f"# Trial {trial.number}: {cfg.sweep.metric} {trial.value:.6g}, cost {trial.user_attrs.get(COST, 0):.6g}"
    found = with_values(cfg, options_of(spaces, trial.params))
    names = ", ".join(space.name for space in spaces)
    return f"{head} {cfg.sweep.cost}.\n# Searched: {names}\n\n{to_ini(found, leave_out=('base', 'sweep'))}"


def report(study: Study, cfg: Config, spaces: Sequence[Space]) -> str:
    """The report as one HTML page that needs no other file."""
    name = html.escape(study.study_name)
    parts = [f"<h1>{name}</h1>", _summary(study, cfg, spaces)]
    trials = completed(study)
    if trials:
        parts += ["<h2>Score and cost</h2>", front_plot(study, cfg.sweep.metric, cfg.sweep.cost)]
        parts += ["<h2>Parallel coordinates</h2><p>Red: good.</p>", parallel_plot(study, spaces)]
    parts += ["<h2>Importance</h2>", _importance(study)]
    parts += ["<h2>Trials</h2>", _table(study, spaces)]
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title><style>{_STYLE}</style>'
    return f"{head}<body>{''.join(parts)}</body></html>\n"


def _summary(study: Study, cfg: Config, spaces: Sequence[Space]) -> str:
    trials, good = study.get_trials(deepcopy=False), completed(study)
    killed = sum(REOFFERED in trial.user_attrs for trial in trials)
    failed = sum(trial.state.name == "FAIL" for trial in trials) - killed
    hopeless = stopped(study)
    spent, full = saved([*good, *hopeless])
    lines = [
        f"{cfg.sweep.method}, {cfg.sweep.goal} {cfg.sweep.metric}: {len(good)} trials succeeded, {len(hopeless)} were "
        f"stopped as hopeless, {failed} failed, {killed} were killed and offered again."
    ]
    if full > 0.0:
        lines.append(
            f"Time saved: successful and stopped trials cost {spent:,.4g} {cfg.sweep.cost}; had each cost as much as "
            f"the dearest, {full:,.4g} ({1.0 - spent / full:.0%} saved)."
        )
    best = best_trial(study)
    if best is not None:
        lines.append(f"Best: {line_of(best, spaces)}")
    lines += verdict(study, cfg)
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)


def _importance(study: Study) -> str:
    values = {trial.value for trial in completed(study)}
    if len(completed(study)) < _LEAST or len(values) < 2:
        return f"<p>Needs {_LEAST} trials of different scores.</p>"
    try:
        importances = get_param_importances(study)
    except (RuntimeError, ValueError, ImportError) as error:
        return f"<p>Cannot be computed: {html.escape(str(error))}</p>"
    return importance_plot(importances)


def _table(study: Study, spaces: Sequence[Space]) -> str:
    best, front = best_trial(study), {trial.number for trial in pareto_front(study)}
    names = [space.name for space in spaces]
    rows = [_row("th", ("trial", "score", "cost", *names, "kind", "folder or error"))]
    for trial in study.get_trials(deepcopy=False):
        chosen = best is not None and trial.number == best.number
        failed = "failed" if trial.state.name == "FAIL" else ""
        rows.append(
            _row("td", _cells(trial, names), "best" if chosen else "front" if trial.number in front else failed)
        )
    return f"<p>Green: the best. Orange: the Pareto front. Red: failed.</p><table>{''.join(rows)}</table>"


def _cells(trial: FrozenTrial, names: Iterable[str]) -> list[str]:
    attrs = trial.user_attrs
    state = trial.state.name
    score = f"{trial.value:.6g}" if state == "COMPLETE" else "stopped" if state == "PRUNED" else state.lower()
    kind = kind_of(trial)
    cost = f"{attrs[COST]:.6g}" if COST in attrs else ""
    params = [f"{trial.params[name]:.6g}" if name in trial.params else "" for name in names]
    last = attrs.get(ERROR, attrs.get(FOLDER, "")) + (" (offered again)" if REOFFERED in attrs else "")
    return [str(trial.number), score, cost, *params, kind, last]


def _row(tag: str, cells: Iterable[str], kind: str = "") -> str:
    return f'<tr class="{kind}">' + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
