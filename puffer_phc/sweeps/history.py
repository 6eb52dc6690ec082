"""What a study's trials tell a search: observations, failures, and points still being evaluated.

A trial reports through user attributes (``trial.set_user_attr``), since one objective leaves no other place:

- ``cost``: what the run cost, positive, in any unit (seconds, say). Every finished trial needs it.
- ``curve``: optional list of ``[value, score, cost]``, the run's score and cost so far at earlier values of the one
  parameter that says how long a run is (the sampler's ``curve_parameter``). Each entry counts as an observation of
  its own, as in PufferLib's Protein; right only where no schedule depends on the planned length.
- A pruned trial is known by the last entry of its curve: a run of that length, if the length is a parameter; else a
  *partial* observation, a lower bound on both score and cost of its parameters.
- ``failure``: optional reason of a failed trial; ``infra`` says that the machine failed, not the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from puffer_phc.errors import InputError
from puffer_phc.sweeps.spaces import Space, points_of, values_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

COST, CURVE, FAILURE, CLAIM = "cost", "curve", "failure", "carbs"
INFRASTRUCTURE = "infra"
MOST_OBSERVATIONS = 1000  # models of more take over a second

Observation = tuple[list[float], float, float, bool]  # values, score as reported, cost, whether partial


@dataclass(frozen=True)
class Curves:
    """How learning curves are read.

    Attributes:
        parameter: name of the one that ``curve``'s first entries are values of; None if no parameter is the length.
        points: observations that one trial gives at most, its end included; None for all.
    """

    parameter: str | None = None
    points: int | None = None

    def shared_by(self, trials: int) -> Curves:
        """With so few points each that all trials together give at most 1,000, but for their ends."""
        share = max(1, MOST_OBSERVATIONS // max(1, trials))
        return replace(self, points=share if self.points is None else min(share, self.points))


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
        partial: (N,) bool, observations that are lower bounds only; None if there are none.
    """

    points: Tensor
    scores: Tensor
    costs: Tensor
    failures: Tensor
    pending: Tensor
    resamples: int
    trials: int
    partial: Tensor | None = None

    @property
    def whole(self) -> Tensor:
        """Which observations (N,) are of a run's score and cost themselves, not lower bounds."""
        return torch.ones(len(self.costs), dtype=torch.bool) if self.partial is None else ~self.partial

    def rows(self, kept: Tensor) -> History:
        """With the observations (K,) of these indices only."""
        partial = None if self.partial is None else self.partial[kept]
        return replace(
            self, points=self.points[kept], scores=self.scores[kept], costs=self.costs[kept], partial=partial
        )


def read_history(
    trials: Sequence[FrozenTrial], spaces: Sequence[Space], sign: float, own: int, curves: Curves | None = None
) -> History:
    """The history that trial number ``own`` sees.

    Trials that lack one of the parameters are left out. Where there would be over 1,000 observations, learning curves
    give fewer points each, evenly spread.

    Args:
        trials: all of the study's.
        spaces: of the parameters, D of them.
        sign: 1 where the study maximises, -1 where it minimises.
        own: number of the trial to suggest for; it is not part of its own history.
        curves: how curves are read; None takes the ends of runs only.

    Raises:
        InputError: a finished trial has no valid cost, or a damaged curve.
    """
    observations: list[Observation] = []
    failures: list[list[float]] = []
    pending: list[list[float]] = []
    resamples = successes = 0
    curves = (curves or Curves()).shared_by(sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in trials))
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
            found = _observations(trial, spaces, values, curves)
            observations += found
            successes += bool(found)
    partial = torch.tensor([bound for *_, bound in observations], dtype=torch.bool)
    return History(
        points=points_of(spaces, [values for values, *_ in observations]),
        scores=sign * torch.tensor([score for _, score, _, _ in observations], dtype=torch.float64),
        costs=torch.tensor([cost for _, _, cost, _ in observations], dtype=torch.float64),
        failures=points_of(spaces, failures),
        pending=points_of(spaces, pending),
        resamples=resamples,
        trials=successes,
        partial=partial if bool(partial.any()) and not bool(partial.all()) else None,
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
    trial: FrozenTrial, spaces: Sequence[Space], values: list[float], curves: Curves
) -> list[Observation]:
    """Those of a trial's curve and of its end; a pruned trial's end is the last entry of its curve."""
    entries = [_curve_entry(trial, entry) for entry in trial.user_attrs.get(CURVE, ())]
    entries = [entry for entry in entries if math.isfinite(entry[1])]
    complete = trial.state.name == "COMPLETE"
    found: list[Observation] = []
    length = next((space for space in spaces if space.name == curves.parameter), None)
    if length is not None:
        earlier = entries if complete else entries[:-1]
        for value, score, cost in _spread(earlier, None if curves.points is None else curves.points - 1):
            at = values_of(spaces, {**trial.params, length.name: value})
            if at is not None and length.low <= value <= length.high:
                found.append((at, score, cost, False))
    if complete:
        found.append((values, _score(trial), _cost(trial), False))
    elif entries:
        found.append(_stopped_at(trial, spaces, values, length, entries[-1]))
    return found


def _stopped_at(
    trial: FrozenTrial,
    spaces: Sequence[Space],
    values: list[float],
    length: Space | None,
    last: tuple[float, float, float],
) -> Observation:
    """What a pruned run shows: a shorter run, or lower bounds for the shortest one allowed or for its own values."""
    value, score, cost = last
    if length is None:
        return values, score, cost, True
    held = min(max(value, length.low), length.high)
    at = values_of(spaces, {**trial.params, length.name: held})
    return (values if at is None else at), score, cost, held > value


def _spread(entries: Sequence[tuple[float, float, float]], count: int | None) -> list[tuple[float, float, float]]:
    """At most ``count`` entries, evenly spread."""
    if count is None or count >= len(entries):
        return list(entries)
    return [entries[round((index + 1) * len(entries) / (count + 1)) - 1] for index in range(count)]


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
