"""What a sweep leaves behind: ``best.ini`` and ``report.html``."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from optuna.importance import get_param_importances
from optuna.study import Study, create_study
from optuna.trial import FrozenTrial

from puffer_phc.config import Config
from puffer_phc.config_files import to_ini
from puffer_phc.errors import InputError
from puffer_phc.page import Cell, page, paragraph, table
from puffer_phc.sweeps.confirmation import confirmation, verdict
from puffer_phc.sweeps.history import COST
from puffer_phc.sweeps.live import kind_of, line_of
from puffer_phc.sweeps.plots import front_plot, importance_plot, parallel_plot
from puffer_phc.sweeps.results import best_trial, completed, pareto_front, saved, stopped
from puffer_phc.sweeps.spaces import Space
from puffer_phc.sweeps.study import ERROR, FOLDER, REOFFERED, options_of
from puffer_phc.sweeps.sweep_config import with_values

_LEAST = 4  # trials, before anything can be said about parameters


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
    body = [*map(paragraph, _summary(study, cfg, spaces)), _confirmation(study, cfg)]
    if completed(study):
        body += ['<h2>Pictures</h2><div class="plots">', front_plot(study, cfg.sweep.metric, cfg.sweep.cost)]
        body += [parallel_plot(study, spaces), _importance(study), "</div>"]
    body += ["<h2>Trials</h2>", _trials(study, cfg, spaces)]
    return page(f"Sweep {study.study_name}", body)


def _summary(study: Study, cfg: Config, spaces: Sequence[Space]) -> list[str]:
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
    return lines


def _confirmation(study: Study, cfg: Config) -> str:
    """What became of the best against the default, and their scores seed by seed."""
    lines = verdict(study, cfg)
    if not lines:
        return ""
    parts = ["<h2>Best against default</h2>", *map(paragraph, lines)]
    again = confirmation(study)
    if again is not None:
        rows = zip(again.seeds, again.best, again.default, strict=True)
        cells = [[str(seed), f"{best:.5g}", f"{default:.5g}", f"{best - default:+.4g}"] for seed, best, default in rows]
        caption = f"{cfg.sweep.metric} with new seeds; {cfg.sweep.goal}"
        parts.append(table(caption, ["seed", "best", "default", "best - default"], cells))
    return "".join(parts)


def _importance(study: Study) -> str:
    good = completed(study)
    if len(good) < _LEAST or len({trial.value for trial in good}) < 2:
        return paragraph(f"The importance of parameters can be told from {_LEAST} trials of different scores on.")
    search = create_study(direction=study.direction)  # without the repetitions, which stand at two points only
    search.add_trials(good)
    try:
        importances = get_param_importances(search)
    except (RuntimeError, ValueError, ImportError) as error:
        return paragraph(f"The importance of parameters cannot be computed: {error}")
    return importance_plot(importances)


def _trials(study: Study, cfg: Config, spaces: Sequence[Space]) -> str:
    trials, best = study.get_trials(deepcopy=False), best_trial(study)
    front = {trial.number for trial in pareto_front(study)}
    names = [space.name for space in spaces]
    heads = ["trial", "outcome", cfg.sweep.metric, f"cost ({cfg.sweep.cost})", *names, "kind", "folder or error"]
    chosen = None if best is None else best.number
    rows = [_row(trial, names, front, chosen) for trial in trials]
    marked = [place for place, trial in enumerate(trials) if trial.number == chosen]
    return table("All trials, the best marked; choose a heading to sort by it", heads, rows, True, marked)


def _row(trial: FrozenTrial, names: Sequence[str], front: Collection[int], best: int | None) -> list[Cell | str]:
    attrs = trial.user_attrs
    good = trial.state.name == "COMPLETE"
    score = _number(trial.value if good else None)
    cost = _number(attrs.get(COST))
    params = [_number(trial.params.get(name)) for name in names]
    last = str(attrs.get(ERROR, attrs.get(FOLDER, ""))) + (" (offered again)" if REOFFERED in attrs else "")
    outcome, kind = _outcome(trial, front, best), kind_of(trial)
    return [str(trial.number), outcome, score, cost, *params, kind, Cell(last, kind="text")]


def _outcome(trial: FrozenTrial, front: Collection[int], best: int | None) -> Cell:
    if trial.number == best:
        return Cell("best", kind="good")
    if trial.number in front:
        return Cell("on the front", kind="good")
    words = {"COMPLETE": "ended", "PRUNED": "stopped as hopeless", "FAIL": "failed"}
    return Cell(words.get(trial.state.name, trial.state.name.lower()), kind="bad" if trial.state.name == "FAIL" else "")


def _number(value: float | None) -> Cell:
    return Cell("", "") if value is None else Cell(f"{value:.4g}", value)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
