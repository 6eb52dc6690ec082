"""``--mode sweep``: run trials side by side until there are enough of them.

One process asks the study for parameters, starts a training process for each and waits; nothing is kept in memory
that the storage does not know, so the same command goes on wherever any of them was killed.
"""

from __future__ import annotations

import logging
import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import optuna
import torch
from optuna.study import Study
from rich.console import Console

from puffer_phc.config import ROOT, Config, resolve
from puffer_phc.errors import InputError
from puffer_phc.sweeps.confirmation import queue_confirmations, queue_default, verdict
from puffer_phc.sweeps.history import FAILURE, INFRASTRUCTURE
from puffer_phc.sweeps.learning_curve import planned_cost
from puffer_phc.sweeps.live import progress
from puffer_phc.sweeps.monitor import Monitor
from puffer_phc.sweeps.ownership import BEAT, HEARTBEAT, OWNER, Watch, identity
from puffer_phc.sweeps.report import write_results
from puffer_phc.sweeps.results import CONFIRM
from puffer_phc.sweeps.slots import Slot, slots_here
from puffer_phc.sweeps.spaces import Space
from puffer_phc.sweeps.study import (
    FOLDER,
    OPTIONS,
    SEED,
    handle,
    open_study,
    options_of,
    prune,
    record,
    reoffer,
    repair,
    wanted,
)
from puffer_phc.sweeps.sweep_config import read_spaces, with_values
from puffer_phc.sweeps.trial_run import HOPELESS, Outcome, TrialRun
from puffer_phc.training.run_folder import make_folder

TRAIN = (sys.executable, str(ROOT / "scripts" / "train.py"))
_POLL = 0.2  # s
_GLANCE = 1.0  # s between looks at learning curves
_LOOK = 5.0  # s between looks at other drivers' trials, while there is something else to wait for
_HOPELESS = 3  # failures without any success after which bad input is the sweep's, not the parameters'


def sweep(cfg: Config, console: Console, files: Sequence[Path], command: Sequence[str] = TRAIN) -> int:
    """Run the sweep that ``cfg.sweep`` and the ini files describe, or go on with it; returns the exit code.

    Args:
        cfg: options of all trials; those that are searched are set for each.
        console: for the live table and the result.
        files: ini files, of which the last with parameters says what to search.
        command: what trains; gets ``--config FILE``.

    Raises:
        InputError: an option or an ini file is wrong, or no run can work.
    """
    if cfg.base.resume:
        raise InputError("--resume", "is for single runs", "repeat the sweep's command, it goes on by itself")
    spaces = read_spaces(cfg, files)
    optuna.logging.set_verbosity(logging.WARNING)
    slots = slots_here(cfg.base.device, cfg.sweep.workers, cfg.base.threads)
    folder = sweep_folder(cfg)
    make_folder(folder)
    study = open_study(cfg, spaces, folder)
    queue_default(study, cfg, spaces, torch.device(slots[0].device))
    driver = Driver(cfg, study, spaces, folder, slots, command)
    try:
        with _terminable():
            driver.run(console)
    finally:
        driver.stop()
        write_results(study, cfg, spaces, folder)
    best = folder / "best.ini"
    found = f"best options: {best} (train with --config)" if best.exists() else "no run succeeded"
    for line in verdict(study, cfg):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    console.print(f"{found}\nreport: {folder / 'report.html'}", soft_wrap=True, highlight=False)
    return 0


def sweep_folder(cfg: Config) -> Path:
    """``output/name``; without a name, one made of the motion's, so that the same command finds it again."""
    return Path(cfg.base.output) / (cfg.base.name or f"sweep-{Path(cfg.env.motion_file).stem}")


class Driver:
    """Runs trials of a study, one in each slot."""

    def __init__(
        self,
        cfg: Config,
        study: Study,
        spaces: Sequence[Space],
        folder: Path,
        slots: Sequence[Slot],
        command: Sequence[str],
    ) -> None:
        self._cfg, self._study, self._spaces, self._folder = cfg, study, spaces, folder
        self._slots, self._command = slots, command
        self._monitor = Monitor(study, cfg, spaces)
        self._runs: dict[int, TrialRun] = {}  # by slot
        self._watch = Watch()
        self._beat, self._looked, self._glanced = (0, time.monotonic()), -math.inf, -math.inf

    def run(self, console: Console) -> None:
        """Start, await and record trials until there are enough and nobody's are left unaccounted for.

        Raises:
            InputError: no run can work as the sweep is set up.
        """
        repair(self._study)
        with progress(console, self._study, self._cfg, self._spaces) as show:
            while True:
                others = self._reap() if not self._runs or time.monotonic() - self._looked > _LOOK else True
                for slot in range(len(self._slots)):
                    if slot not in self._runs and wanted(self._study, self._cfg.sweep.trials):
                        self._start(slot)
                if not self._runs and not others and not queue_confirmations(self._study, self._cfg):
                    return
                for run in [run for run in self._runs.values() if not run.running()]:
                    self._finish(run)
                self._watch_curves()
                self._keep_alive()
                show(self._runs.values())
                time.sleep(_POLL)

    def stop(self) -> None:
        """End all runs; their parameters are queued for the next start."""
        for run in self._runs.values():
            run.stop()
            reoffer(self._study, run.number, "the sweep was stopped", self._cfg.sweep.retries, free=True)
        self._runs.clear()

    def _start(self, slot: int) -> None:
        trial = self._study.ask({space.name: space.to_distribution() for space in self._spaces})
        trial.set_user_attr(OWNER, identity())
        values = options_of(self._spaces, trial.params)
        trial.set_user_attr(OPTIONS, values)
        path = self._folder / "trials" / f"{trial.number:04d}"
        trial.set_user_attr(FOLDER, str(path))
        seed = trial.user_attrs.get(SEED, self._cfg.base.seed)
        cfg, place = with_values(self._cfg, values), self._slots[slot]
        cfg = replace(cfg, base=replace(cfg.base, device=place.device, threads=place.threads, seed=seed))
        environment = {**place.environment, **self._tracking(trial)}
        planned = planned_cost(resolve(cfg, torch.device(place.device)))
        self._runs[slot] = TrialRun(self._command, cfg, trial.number, path, slot, environment, planned)

    def _tracking(self, trial: optuna.Trial) -> dict[str, str]:
        """Weights & Biases' own variables: a sweep's runs stand together in one group."""
        if not self._cfg.base.track:
            return {}
        name = self._study.study_name
        kind = "sweep-confirm" if CONFIRM in trial.user_attrs else "sweep"
        return {"WANDB_RUN_GROUP": name, "WANDB_JOB_TYPE": kind, "WANDB_NAME": f"{name}-{trial.number:04d}"}

    def _finish(self, run: TrialRun) -> None:
        outcome = run.outcome()
        self._monitor.forget(run, math.inf if outcome.failure else outcome.cost)
        if outcome.failure == HOPELESS:
            prune(self._study, run.number, outcome.cost)
        elif outcome.failure == INFRASTRUCTURE:
            reoffer(self._study, run.number, outcome.error, self._cfg.sweep.retries)
        else:
            record(self._study, run.number, outcome)
        del self._runs[run.slot]
        self._give_up_if_hopeless(outcome)

    def _give_up_if_hopeless(self, outcome: Outcome) -> None:
        """Stop where it is the sweep that is wrong: an unknown metric, or input that no run could use."""
        if outcome.failure == "no_metric":
            raise InputError("--sweep.metric", outcome.error, "choose one of these, with another --name")
        finished = [trial for trial in self._study.get_trials(deepcopy=False) if trial.state.is_finished()]
        bad = [trial for trial in finished if trial.user_attrs.get(FAILURE) == "bad_input"]
        if outcome.failure == "bad_input" and len(bad) >= _HOPELESS and len(bad) == len(finished):
            raise InputError("sweep", f"no run can start: {outcome.error}", "correct that, and choose another --name")

    def _reap(self) -> bool:
        """Re-offer trials of dead drivers; whether some are left of which nothing is known yet."""
        self._looked, unknown = time.monotonic(), False
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state.name != "RUNNING" or trial.number in {run.number for run in self._runs.values()}:
                continue
            if self._watch.is_mine(trial) or self._watch.is_orphan(trial):
                reoffer(self._study, trial.number, "its sweep was killed", self._cfg.sweep.retries, free=True)
                unknown = True  # it is queued now, or its place is free
            elif not self._watch.is_alive(trial):
                unknown = True
        return unknown

    def _watch_curves(self) -> None:
        if time.monotonic() - self._glanced > _GLANCE:
            self._glanced = time.monotonic()
            for run in self._runs.values():
                if not run.hopeless and self._monitor.look(run):
                    run.give_up()

    def _keep_alive(self) -> None:
        count, last = self._beat
        if time.monotonic() - last > BEAT:
            self._beat = (count + 1, time.monotonic())
            for run in self._runs.values():
                handle(self._study, run.number).set_user_attr(HEARTBEAT, count + 1)


@contextmanager
def _terminable() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that a scheduler's stop ends the runs and leaves a report, too."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
