"""What a study's trials tell a search: observations, failures, and points still being evaluated.

A trial reports through user attributes (``trial.set_user_attr``), since one objective leaves no other place:

- ``cost``: what the run cost, positive, in any unit (seconds, say). Every finished trial needs it.
- ``curve``: optional list of ``[value, score, cost]``, the run's score and cost so far at earlier values of the one
  parameter that says how long a run is (the sampler's ``curve_parameter``). Each entry counts as an observation of
  its own, as in PufferLib's Protein; right only where no schedule depends on the planned length.
- ``failure``: optional reason of a failed trial; ``infra`` says that the machine failed, not the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from puffer_phc.errors import InputError
from puffer_phc.sweeps.spaces import Space, points_of, values_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

COST, CURVE, FAILURE, CLAIM = "cost", "curve", "failure", "carbs"
INFRASTRUCTURE = "infra"

Observation = tuple[list[float], float, float]  # values, score as reported, cost


@dataclass(frozen=True)
class History:
    """A study as a search sees it, in basic coordinates.

    Attributes:
        points: (N, D) of successful observations.
        scores: (N,) larger is better, whatever the study's direction.
        costs: (N,).
        failures: (F, D) of failed trials.
        pending: (P, D) of trials that run now.
        resamples: suggestions so far that repeated an earlier point.
        trials: successful trials, each of which gave one or more observations.
    """

    points: Tensor
    scores: Tensor
    costs: Tensor
    failures: Tensor
    pending: Tensor
    resamples: int
    trials: int


def read_history(
    trials: Sequence[FrozenTrial], spaces: Sequence[Space], sign: float, own: int, curve_parameter: str | None = None
) -> History:
    """The history that trial number ``own`` sees.

    Trials that lack one of the parameters are left out.

    Args:
        trials: all of the study's.
        spaces: of the parameters, D of them.
        sign: 1 where the study maximises, -1 where it minimises.
        own: number of the trial to suggest for; it is not part of its own history.
        curve_parameter: name of the parameter that the first entries of ``curve`` are values of.

    Raises:
        InputError: a finished trial has no valid cost, or a damaged curve.
    """
    observations: list[Observation] = []
    failures: list[list[float]] = []
    pending: list[list[float]] = []
    resamples = successes = 0
    for trial in trials:
        if trial.number == own:
            continue
        claim = trial.system_attrs.get(CLAIM, {})
        resamples += claim.get("kind") == "resample"
        values = _values(trial, claim, spaces)
        if values is None:
            continue
        state = trial.state.name
        if state == "RUNNING":
            pending.append(values)
        elif _has_failed(trial):
            failures.append(values)
        elif state in ("COMPLETE", "PRUNED"):
            found = _observations(trial, spaces, values, curve_parameter)
            observations += found
            successes += bool(found)
    return History(
        points=points_of(spaces, [values for values, _, _ in observations]),
        scores=sign * torch.tensor([score for _, score, _ in observations], dtype=torch.float64),
        costs=torch.tensor([cost for _, _, cost in observations], dtype=torch.float64),
        failures=points_of(spaces, failures),
        pending=points_of(spaces, pending),
        resamples=resamples,
        trials=successes,
    )


def _values(trial: FrozenTrial, claim: dict[str, Any], spaces: Sequence[Space]) -> list[float] | None:
    """Where a trial evaluates: its parameters, or as long as it has not asked for all of them what it claimed."""
    values = values_of(spaces, trial.params)
    if values is None and not trial.state.is_finished():
        return values_of(spaces, claim.get("params", {}))
    return values


def _has_failed(trial: FrozenTrial) -> bool:
    if trial.state.name == "FAIL":
        return trial.user_attrs.get(FAILURE) != INFRASTRUCTURE
    return trial.state.name == "COMPLETE" and not math.isfinite(_score(trial))


def _score(trial: FrozenTrial) -> float:
    return math.nan if trial.value is None else trial.value


def _observations(
    trial: FrozenTrial, spaces: Sequence[Space], values: list[float], curve_parameter: str | None
) -> list[Observation]:
    """Those of a trial's curve and, unless it was pruned, of its end."""
    found: list[Observation] = []
    if curve_parameter is not None:
        for entry in trial.user_attrs.get(CURVE, ()):
            value, score, cost = _curve_entry(trial, entry)
            earlier = values_of(spaces, {**trial.params, curve_parameter: value})
            if earlier is not None and math.isfinite(score):
                found.append((earlier, score, cost))
    if trial.state.name == "COMPLETE":
        found.append((values, _score(trial), _cost(trial)))
    return found


def _curve_entry(trial: FrozenTrial, entry: Any) -> tuple[float, float, float]:
    where = f"trial {trial.number}, user attribute {CURVE!r}"
    try:
        value, score, cost = (float(number) for number in entry)
    except (TypeError, ValueError):
        raise InputError(where, f"holds {entry!r}", "give lists of [value, score, cost]") from None
    if not 0.0 < cost < math.inf:
        raise InputError(where, f"holds the cost {cost}", "give positive costs")
    return value, score, cost


def _cost(trial: FrozenTrial) -> float:
    cost = trial.user_attrs.get(COST)
    if not isinstance(cost, int | float) or not 0.0 < cost < math.inf:
        fault = f"user attribute {COST!r} is {cost!r}"
        raise InputError(f"trial {trial.number}", fault, f"call trial.set_user_attr({COST!r}, seconds) in every trial")
    return float(cost)
