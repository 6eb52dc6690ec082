"""Is the best better than what one had? The default configuration as a trial, and both run again with new seeds.

The best of many noisy runs looks better than it is. So when a sweep has all its trials, its best parameters and the
default ones run ``sweep.confirm`` times more each, with seeds that no trial had. These runs are trials of the same
study, marked by the attributes ``confirm`` (``best`` or ``default``) and ``seed``: they are found again after a kill,
and teach the sampler if the sweep goes on, but they never become the best.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from puffer_phc.config import Config, resolve
from puffer_phc.errors import InputError
from puffer_phc.sweeps.results import CONFIRM, DEFAULT, best_trial, completed, cost_of, interval, score_of, sign_of
from puffer_phc.sweeps.spaces import Space
from puffer_phc.sweeps.study import REOFFERED, SEED

_LENGTHS = ("train.time_limit", "train.total_steps")


def queue_default(study: Study, cfg: Config, spaces: Sequence[Space], device: torch.device) -> None:
    """Queue the default configuration as the first trial of a new study.

    Raises:
        InputError: a default lies outside the range that is searched.
    """
    if cfg.sweep.start_from_default and not study.get_trials(deepcopy=False):
        study.enqueue_trial(default_params(cfg, spaces, device), user_attrs={DEFAULT: True})


def default_params(cfg: Config, spaces: Sequence[Space], device: torch.device) -> dict[str, float | int]:
    """What the searched options are if they are not searched; the length of a run is held within its range.

    Raises:
        InputError: another default lies outside its range.
    """
    cfg = resolve(cfg, device)
    found = {}
    for space in spaces:
        section, option = space.name.split(".")
        value = getattr(getattr(cfg, section), option)
        if space.name in _LENGTHS:
            value = min(value, space.high) if value > 0 else space.high
            found[space.name] = space.nearest(max(value, space.low))
            continue
        found[space.name] = space.nearest(value)
        if not math.isclose(found[space.name], value, rel_tol=1e-9):
            fault = f"the default {space.name} = {value:g} is not in its range {space.low:g} to {space.high:g}"
            raise InputError("--sweep.start_from_default", fault, "widen the range, or set this to false")
    return found


def queue_confirmations(study: Study, cfg: Config) -> bool:
    """Queue what is missing of the runs with new seeds; whether there was any. Only when no other trial runs."""
    trials = study.get_trials(deepcopy=False)
    if any(trial.state in (TrialState.RUNNING, TrialState.WAITING) for trial in trials):
        return False
    best, default = best_trial(study), default_trial(study)
    if best is None or (default is not None and default.params == best.params):
        return False
    known = {
        (trial.user_attrs[CONFIRM], _key(_params_of(trial)), trial.user_attrs[SEED])
        for trial in trials
        if CONFIRM in trial.user_attrs and REOFFERED not in trial.user_attrs
    }
    queued = False
    for role, trial in (("best", best), ("default", default)):
        for seed in new_seeds(cfg) if trial is not None else ():
            if trial is not None and (role, _key(trial.params), seed) not in known:
                study.enqueue_trial(trial.params, user_attrs={CONFIRM: role, SEED: seed})
                queued = True
    return queued


def new_seeds(cfg: Config) -> range:
    """Seeds that no trial of the search had."""
    return range(cfg.base.seed + 1, cfg.base.seed + 1 + cfg.sweep.confirm)


def default_trial(study: Study) -> FrozenTrial | None:
    """The trial of the default configuration, if it succeeded."""
    return next((trial for trial in completed(study) if DEFAULT in trial.user_attrs), None)


@dataclass(frozen=True)
class Confirmation:
    """Runs with new seeds; the scores of equal seeds are side by side.

    Attributes:
        seeds: that both ran with.
        best: scores of the best parameters.
        default: of the default ones.
        gain: mean improvement of the best over the default, positive if it is better.
        half: half of its 95 % interval; NaN for fewer than two seeds.
    """

    seeds: tuple[int, ...]
    best: tuple[float, ...]
    default: tuple[float, ...]
    gain: float
    half: float


def confirmation(study: Study) -> Confirmation | None:
    """The outcome of the runs with new seeds of the current best and the default; None without any."""
    best, default = best_trial(study), default_trial(study)
    if best is None or default is None:
        return None
    scores = {"best": _by_seed(study, "best", best.params), "default": _by_seed(study, "default", default.params)}
    seeds = sorted(scores["best"].keys() & scores["default"].keys())
    if not seeds:
        return None
    pairs = [(scores["best"][seed], scores["default"][seed]) for seed in seeds]
    gain, half = interval([sign_of(study) * (one - other) for one, other in pairs])
    return Confirmation(tuple(seeds), tuple(one for one, _ in pairs), tuple(other for _, other in pairs), gain, half)


def verdict(study: Study, cfg: Config) -> list[str]:
    """Sentences that compare the best with the default configuration, without flattery."""
    best, default, metric = best_trial(study), default_trial(study), cfg.sweep.metric
    if best is None:
        return []
    if default is None:
        return ["The default configuration was not run, or failed: nothing says whether the best beats it."]
    if default.params == best.params:
        return [f"No trial beats the default configuration ({metric} {score_of(default):.4g})."]
    gain = sign_of(study) * (score_of(best) - score_of(default))
    lines = [
        f"The best, trial {best.number}, beats the default configuration by {gain:.4g} in the search: {metric} "
        f"{score_of(best):.4g} at a cost of {cost_of(best):.4g} {cfg.sweep.cost}, against {score_of(default):.4g} at "
        f"{cost_of(default):.4g}. The best of many runs looks better than it is."
    ]
    again = confirmation(study)
    if again is None:
        return [*lines, "Neither was run again with new seeds: this may be luck."]
    seeds = f"On {len(again.best)} new seed{'s' * (len(again.best) > 1)}"
    told = f"the best scores {_told(again.best)}, the default {_told(again.default)}"
    return [*lines, f"{seeds} {told}. {_judgement(again)}"]


def _told(scores: Sequence[float]) -> str:
    """Mean and range."""
    mean = f"{sum(scores) / len(scores):.4g}"
    return f"{mean} ({min(scores):.4g} to {max(scores):.4g})" if len(scores) > 1 else mean


def _judgement(again: Confirmation) -> str:
    if math.isnan(again.half):
        return f"Better by {again.gain:.4g}, but one seed confirms nothing."
    told = f"{again.gain:.4g} ± {again.half:.2g} (95 % interval)"
    if again.gain > again.half:
        return f"Confirmed: the best beats the default by {told}."
    if again.gain < -again.half:
        return f"Refuted: the best is worse than the default, by {-again.gain:.4g} ± {again.half:.2g} (95 % interval)."
    return f"Not confirmed: the difference is {told}, which may be luck."


def _by_seed(study: Study, role: str, params: dict[str, Any]) -> dict[int, float]:
    trials: Iterable[FrozenTrial] = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return {
        trial.user_attrs[SEED]: score_of(trial)
        for trial in trials
        if trial.user_attrs.get(CONFIRM) == role and trial.params == params
    }


def _params_of(trial: FrozenTrial) -> dict[str, Any]:
    return trial.params or trial.system_attrs.get("fixed_params", {})


def _key(params: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(params.items()))
