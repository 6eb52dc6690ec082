"""A sweep's live table, or a line for each finished trial where the output is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from optuna.study import Study
from optuna.trial import FrozenTrial
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from puffer_phc.config import Config
from puffer_phc.sweeps.history import CLAIM, COST
from puffer_phc.sweeps.results import CONFIRM, DEFAULT, best_trial
from puffer_phc.sweeps.spaces import Space
from puffer_phc.sweeps.study import ERROR, REOFFERED, SEED
from puffer_phc.sweeps.trial_run import TrialRun

_SHOWN = 8  # finished trials
_INTERVAL = 1.0  # s between drawings

Show = Callable[[Collection[TrialRun]], None]


@contextmanager
def progress(console: Console, study: Study, cfg: Config, spaces: Sequence[Space]) -> Iterator[Show]:
    """A function that shows the study and the runs in progress whenever it is called."""
    told = {trial.number for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()}

    def tell(runs: Collection[TrialRun]) -> None:
        for trial in study.get_trials(deepcopy=False):
            if trial.state.is_finished() and trial.number not in told:
                told.add(trial.number)
                console.print(line_of(trial, spaces), soft_wrap=True, highlight=False, markup=False)

    if not (console.is_terminal and cfg.base.dashboard):
        yield tell
        tell(())
        return
    drawn = 0.0
    with Live(console=console, auto_refresh=False) as live:

        def draw(runs: Collection[TrialRun]) -> None:
            nonlocal drawn
            if time.monotonic() - drawn > _INTERVAL:
                drawn = time.monotonic()
                live.update(table_of(study, cfg, spaces, runs), refresh=True)

        yield draw
        live.update(table_of(study, cfg, spaces, ()), refresh=True)


def line_of(trial: FrozenTrial, spaces: Sequence[Space]) -> str:
    """One trial in one line."""
    role = f" ({kind_of(trial)})" if trial.user_attrs.keys() & {CONFIRM, DEFAULT} else ""
    return f"trial {trial.number}{role}: {_outcome(trial)}  {_params(trial, spaces)}"


def table_of(study: Study, cfg: Config, spaces: Sequence[Space], runs: Collection[TrialRun]) -> Table:
    """Running trials and the latest finished ones."""
    trials = study.get_trials(deepcopy=False)
    finished = [trial for trial in trials if trial.state.is_finished()]
    done = sum(not trial.user_attrs.keys() & {REOFFERED, CONFIRM} for trial in finished)
    best = best_trial(study)
    title = f"{study.study_name}: {done} of {cfg.sweep.trials} trials"
    if best is not None:
        title += f", best {cfg.sweep.metric} {best.value:.4g} (trial {best.number})"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("trial", "kind", "outcome", "parameters"):
        table.add_column(name, overflow="fold")
    for run in runs:
        trial = trials[run.number]
        outcome = f"running for {time.monotonic() - run.started:,.0f} s"
        table.add_row(str(run.number), kind_of(trial), Text(outcome, "cyan"), Text(_params(trial, spaces)))
    for trial in reversed(finished[-_SHOWN:]):
        style = (
            "green" if best is not None and trial.number == best.number else "red" if ERROR in trial.user_attrs else ""
        )
        table.add_row(str(trial.number), kind_of(trial), Text(_outcome(trial), style), Text(_params(trial, spaces)))
    return table


def kind_of(trial: FrozenTrial) -> str:
    """What a trial is there for: the sampler's rule, or a queue."""
    if CONFIRM in trial.user_attrs:
        return f"{trial.user_attrs[CONFIRM]} again, seed {trial.user_attrs[SEED]}"
    if DEFAULT in trial.user_attrs:
        return "default"
    return str(trial.system_attrs.get(CLAIM, {}).get("kind", "queued" if "fixed_params" in trial.system_attrs else ""))


def _outcome(trial: FrozenTrial) -> str:
    if trial.state.name == "COMPLETE":
        return f"score {trial.value:.4g}, cost {trial.user_attrs.get(COST, float('nan')):,.4g}"
    if trial.state.name == "PRUNED":
        cost = trial.user_attrs.get(COST, float("nan"))
        return f"stopped as hopeless at score {trial.value or float('nan'):.4g}, cost {cost:,.4g}"
    again = ", queued again" if REOFFERED in trial.user_attrs else ""
    return f"failed ({trial.user_attrs.get(ERROR, 'unknown')}{again})"


def _params(trial: FrozenTrial, spaces: Sequence[Space]) -> str:
    names = [space.name for space in spaces if space.name in trial.params]
    return " ".join(f"{name.split('.')[1]}={trial.params[name]:.4g}" for name in names)
