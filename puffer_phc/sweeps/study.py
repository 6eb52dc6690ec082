"""A sweep's study: its storage, its sampler, and what is written into it about each trial."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from puffer_phc.config import Config, SweepConfig, to_dict
from puffer_phc.errors import InputError
from puffer_phc.sweeps.carbs import CarbsSampler
from puffer_phc.sweeps.history import COST, FAILURE, INFRASTRUCTURE
from puffer_phc.sweeps.learning_curve import curve_points, length_parameter
from puffer_phc.sweeps.protein import ProteinSampler, ProteinSettings
from puffer_phc.sweeps.results import CONFIRM, DEFAULT
from puffer_phc.sweeps.settings import CarbsSettings
from puffer_phc.sweeps.spaces import Space
from puffer_phc.sweeps.trial_run import Outcome

ERROR, FOLDER, OPTIONS, REOFFERED, RETRY_OF, RETRIES = "error", "folder", "options", "reoffered", "retry_of", "retries"
SEED = "seed"  # a trial's own, where it is not the sweep's
_KEPT = (DEFAULT, CONFIRM, SEED)  # attributes that a trial which is queued again takes along
_SETUP = "sweep"  # the study's attribute that tells what it searches
_SEED_STEP = 1_000_003
_MACHINE = {"base": ("device", "threads", "output", "name", "track", "dashboard", "mode"), "eval": ("video",)}


def open_study(cfg: Config, spaces: Sequence[Space], folder: Path) -> Study:
    """The study of the sweep called ``folder.name``, made if it is not there.

    Raises:
        InputError: the storage cannot be opened, the method is unknown, or the study there searches something else.
    """
    storage = _open_storage(cfg.sweep.storage, folder)
    sampler = _sampler(cfg, spaces, seed=cfg.base.seed)
    study = optuna.create_study(
        storage=storage, sampler=sampler, study_name=folder.name, direction=cfg.sweep.goal, load_if_exists=True
    )
    setup, known = _setup(cfg, spaces), study.user_attrs.get(_SETUP)
    if known is None:
        study.set_user_attr(_SETUP, setup)
    else:
        _check_same(known, setup, folder)
        if cfg.sweep.method not in ("carbs", "protein"):  # the others keep state, and would draw the same numbers again
            seed = cfg.base.seed + _SEED_STEP * len(study.get_trials(deepcopy=False))
            study.sampler = _sampler(cfg, spaces, seed % 2**32)
    return study


def record(study: Study, number: int, outcome: Outcome) -> None:
    """Finish a trial with what came of it."""
    trial = handle(study, number)
    if outcome.cost > 0.0:
        trial.set_user_attr(COST, outcome.cost)
    if not outcome.failure:
        study.tell(number, outcome.score)
        return
    trial.set_user_attr(FAILURE, outcome.failure)
    trial.set_user_attr(ERROR, outcome.error)
    study.tell(number, state=TrialState.FAIL)


def prune(study: Study, number: int, cost: float) -> None:
    """Finish a trial that was stopped as hopeless; what it reached has been reported."""
    handle(study, number).set_user_attr(COST, cost)
    study.tell(number, state=TrialState.PRUNED)


def reoffer(study: Study, number: int, error: str, retries: int, free: bool = False) -> bool:
    """Fail a trial that something outside ended, and queue its parameters again.

    Args:
        study: of the trial.
        number: the trial's.
        error: what ended it.
        retries: times that the same parameters may be queued again; afterwards they are to blame.
        free: whether this time does not count, as the sweep itself was stopped.

    Returns:
        Whether the parameters are queued.
    """
    frozen = study.get_trials(deepcopy=False)[number]
    spent = frozen.user_attrs.get(RETRIES, 0) + (not free)
    try:
        if spent > retries:
            record(study, number, Outcome(float("nan"), 0.0, "crash", f"{error}, {spent} times"))
            return False
        trial = handle(study, number)
        trial.set_user_attr(FAILURE, INFRASTRUCTURE)
        trial.set_user_attr(ERROR, error)
        trial.set_user_attr(REOFFERED, spent)
        study.tell(number, state=TrialState.FAIL)
    except (UpdateFinishedTrialError, ValueError, RuntimeError):
        return False  # another driver was faster
    _queue_again(study, frozen, spent)
    return True


def repair(study: Study) -> None:
    """Queue what a driver that was killed in the middle of :func:`reoffer` did not."""
    trials = study.get_trials(deepcopy=False)
    again = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    for trial in trials:
        lost = trial.state == TrialState.FAIL and REOFFERED in trial.user_attrs and trial.number not in again
        if lost:
            _queue_again(study, trial, trial.user_attrs[REOFFERED])


def wanted(study: Study, total: int) -> bool:
    """Whether there is a trial to start: one that is queued, or fewer than ``total`` that count."""
    trials = study.get_trials(deepcopy=False)
    waiting = any(trial.state == TrialState.WAITING for trial in trials)
    counted = [trial for trial in trials if not trial.user_attrs.keys() & {REOFFERED, CONFIRM}]
    return waiting or len(counted) < total


def options_of(spaces: Sequence[Space], params: dict[str, Any]) -> dict[str, float | int]:
    """What a trial runs with: its parameters, rounded to what their spaces allow and Optuna cannot express."""
    return {space.name: space.nearest(params[space.name]) for space in spaces}


def _queue_again(study: Study, trial: FrozenTrial, spent: int) -> None:
    params = trial.params or trial.system_attrs.get("fixed_params", {})
    if params:  # a trial whose owner died before it had any leaves its place to a new one
        kept = {name: value for name, value in trial.user_attrs.items() if name in _KEPT}
        study.enqueue_trial(params, user_attrs={**kept, RETRY_OF: trial.number, RETRIES: spent})


def handle(study: Study, number: int) -> optuna.Trial:
    """A trial by its number, to write attributes into."""
    trials = study.get_trials(deepcopy=False)
    return optuna.Trial(study, trials[number]._trial_id)


def _open_storage(name: str, folder: Path) -> BaseStorage:
    try:
        if name and "://" not in name:
            if not name.endswith(".journal"):
                fault = f"{name!r} is neither a URL nor a .journal file"
                raise InputError("--sweep.storage", fault, "use sqlite:///FILE, postgresql://... or FILE.journal")
            return JournalStorage(JournalFileBackend(name))
        url = name or f"sqlite:///{(folder / 'study.db').resolve()}"
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)  # the driver of our extra, not SQLAlchemy's own
        waiting = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
        return RDBStorage(url, engine_kwargs=waiting)
    except InputError:
        raise
    except ImportError as error:
        remedy = "run `uv sync --extra sweep --extra postgres`, or install the driver of your database"
        raise InputError("--sweep.storage", f"needs a package that is not here ({error})", remedy) from None
    except Exception as error:  # SQLAlchemy's and each database driver's own
        fault = f"cannot be opened ({str(error).splitlines()[0]})"
        raise InputError("--sweep.storage", fault, "name a database that this machine reaches") from None


def _sampler(cfg: Config, spaces: Sequence[Space], seed: int) -> BaseSampler:
    method, max_cost = cfg.sweep.method, cfg.sweep.max_cost or None
    length, points = length_parameter(spaces), curve_points(cfg, spaces)
    if method == "carbs":
        settings = CarbsSettings(seed=cfg.base.seed, max_cost=max_cost)
        return CarbsSampler(spaces, settings, cfg.sweep.reference, length, points)
    if method == "protein":
        return ProteinSampler(spaces, ProteinSettings(seed=cfg.base.seed, max_cost=max_cost), length, points)
    if method == "random":
        return RandomSampler(seed)
    if method == "tpe":
        return TPESampler(seed=seed)
    return GPSampler(seed=seed)


def _setup(cfg: Config, spaces: Sequence[Space]) -> dict[str, Any]:
    """What every trial of a study must have in common to be compared."""
    options = {
        f"{section}.{name}": value
        for section, values in to_dict(cfg).items()
        for name, value in values.items()
        if section != "sweep" and name not in _MACHINE.get(section, ())
    }
    searched = {space.name: space.kind for space in spaces}
    fixed = {name: value for name, value in options.items() if name not in searched}
    sweep: SweepConfig = cfg.sweep
    told = {"searched": searched, "metric": sweep.metric, "goal": sweep.goal, "cost": sweep.cost, **fixed}
    return dict(json.loads(json.dumps(told)))  # lists for tuples, as the storage gives them back


def _check_same(known: dict[str, Any], setup: dict[str, Any], folder: Path) -> None:
    for name in sorted(known.keys() & setup.keys()):
        if known[name] != setup[name]:
            fault = f"the sweep there has {name} = {known[name]}, this one {setup[name]}"
            raise InputError(folder, fault, "give the same options, or choose another --name")
