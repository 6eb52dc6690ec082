"""Watches runs under way: their learning curves go into the study, and hopeless ones are pointed out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optuna.study import Study
from optuna.trial import FrozenTrial

from puffer_phc.config import Config
from puffer_phc.sweeps.history import CLAIM, CURVE
from puffer_phc.sweeps.learning_curve import CurveReader, Point, length_of, rising, thinned
from puffer_phc.sweeps.results import completed, cost_of, score_of, sign_of
from puffer_phc.sweeps.spaces import Space
from puffer_phc.sweeps.stopping import Curve, is_hopeless
from puffer_phc.sweeps.study import handle
from puffer_phc.sweeps.trial_run import METRICS, TrialRun


class Monitor:
    """Of one driver's runs."""

    def __init__(self, study: Study, cfg: Config, spaces: Sequence[Space]) -> None:
        self._study, self._sweep, self._spaces = study, cfg.sweep, spaces
        self._readers: dict[int, CurveReader] = {}
        self._curves: dict[int, list[Point]] = {}

    def look(self, run: TrialRun) -> bool:
        """Record what the run has logged since the last look; whether it is hopeless, or its score no number."""
        reader = self._readers.setdefault(run.number, CurveReader(run.folder / METRICS, self._sweep.metric))
        curve = self._curves.setdefault(run.number, [])
        new = reader.read()
        if new and not math.isfinite(new[-1].score):
            return self._sweep.early_stop
        kept = thinned(
            [point for point in new if math.isfinite(point.score)],
            self._sweep,
            run.planned,
            curve[-1] if curve else None,
        )
        if not kept:
            return False
        curve += kept
        self._record(run.number, curve, kept)
        return self._sweep.early_stop and self._is_hopeless(run, curve)

    def forget(self, run: TrialRun, end: float) -> None:
        """Have a last look at a run; a finished one's ``end``, its cost, is no part of its curve, but its score."""
        self.look(run)
        self._readers.pop(run.number)
        curve = self._curves.pop(run.number)
        earlier = [point for point in curve if point.cost(self._sweep) < end]
        if len(earlier) < len(curve):
            self._record(run.number, earlier, ())

    def _record(self, number: int, curve: Sequence[Point], new: Sequence[Point]) -> None:
        trial = handle(self._study, number)
        for point in new:
            trial.report(point.score, point.step)
        entries = [[length_of(p, self._spaces, self._sweep), p.score, p.cost(self._sweep)] for p in curve]
        trial.set_user_attr(CURVE, entries)

    def _is_hopeless(self, run: TrialRun, curve: Sequence[Point]) -> bool:
        trial = self._study.get_trials(deepcopy=False)[run.number]
        if not may_be_stopped(trial):
            return False
        sign = sign_of(self._study)
        finished = [finished_curve(other, sign) for other in completed(self._study)]
        return is_hopeless([(p.cost(self._sweep), sign * p.score) for p in curve], finished, run.planned)


def may_be_stopped(trial: FrozenTrial) -> bool:
    """Whether a run is there to find something new: repetitions and queued runs are there for their end."""
    return "fixed_params" not in trial.system_attrs and trial.system_attrs.get(CLAIM, {}).get("kind") != "resample"


def finished_curve(trial: FrozenTrial, sign: float) -> Curve:
    """Costs and scores (larger is better) of a completed trial, its end included."""
    return [*rising(trial.user_attrs.get(CURVE, ()), sign), (cost_of(trial), sign * score_of(trial))]
