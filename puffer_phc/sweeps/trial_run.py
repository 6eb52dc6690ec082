"""One trial of a sweep: a training run in a process and a folder of its own, and what came of it."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from puffer_phc.config import Config, SweepConfig
from puffer_phc.config_files import to_ini
from puffer_phc.errors import EXIT_BAD_INPUT, InputError
from puffer_phc.sweeps.history import INFRASTRUCTURE

HOPELESS = "hopeless"
METRICS = "metrics.jsonl"
_LAUNCH = Path(__file__).with_name("launch.py")
_GRACE = 10.0  # s that a run gets to stop by itself
_TAIL = 20_000  # bytes of a run's errors that are looked at


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        score: last value of the metric; NaN if the run failed.
        cost: seconds or steps that it took; 0 if unknown.
        failure: empty, or ``bad_input``, ``oom``, ``diverged``, ``no_metric``, ``crash``, ``hopeless`` where the sweep
            stopped the run, or ``infra`` where something outside killed it.
        error: what went wrong, one line.
    """

    score: float
    cost: float
    failure: str = ""
    error: str = ""


class TrialRun:
    """A training process.

    Attributes:
        number: of the trial.
        folder: its run folder, with ``options.ini``, ``output.txt`` and ``errors.txt`` besides the run's own files.
        slot: which of the sweep's workers it is.
        started: ``time.monotonic`` at the start.
        planned: what it will cost, if that is known.
        hopeless: whether it was asked to end because of its learning curve.
    """

    def __init__(
        self,
        command: Sequence[str],
        cfg: Config,
        number: int,
        folder: Path,
        slot: int,
        environment: Mapping[str, str] | None = None,
        planned: float | None = None,
    ) -> None:
        """Start ``command --config options.ini`` with the options ``cfg``; where it runs and writes is set here.

        ``environment`` is added to this process' own.

        Raises:
            InputError: the folder cannot be written.
        """
        self.number, self.folder, self.slot, self.planned = number, folder, slot, planned
        self.hopeless, self._asked = False, math.inf
        self._sweep = cfg.sweep
        base = replace(cfg.base, mode="train", dashboard=False, output=str(folder.parent), name=folder.name)
        cfg = replace(cfg, base=base, eval=replace(cfg.eval, video=False))
        ini = folder / "options.ini"
        try:
            folder.mkdir(parents=True)
            ini.write_text(to_ini(cfg, leave_out=("sweep",)), encoding="utf-8")
            with (folder / "output.txt").open("wb") as output, (folder / "errors.txt").open("wb") as errors:
                self._process = subprocess.Popen(
                    [sys.executable, str(_LAUNCH), str(os.getpid()), *command, "--config", str(ini)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    env={**os.environ, **(environment or {})},
                    start_new_session=True,  # Ctrl-C is for the sweep, which stops its runs itself
                )
        except OSError as error:
            fault = f"cannot be written ({error.strerror})"
            raise InputError(folder, fault, "free some space or choose another --output folder") from None
        self.started = time.monotonic()

    @property
    def pid(self) -> int:
        """Of the training process."""
        return self._process.pid

    def running(self) -> bool:
        """Whether the process has not ended yet; one that was given up and does not end is killed."""
        if time.monotonic() - self._asked > _GRACE:
            self._process.kill()
        return self._process.poll() is None

    def give_up(self) -> None:
        """Ask the run to end, as it is hopeless, without waiting for it."""
        if not self.hopeless and self.running():
            self.hopeless, self._asked = True, time.monotonic()
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ask the run to end, then end it."""
        if self.running():
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def outcome(self) -> Outcome:
        """What the ended run came to."""
        code = self._process.wait()
        rows = read_metrics(self.folder / METRICS)
        cost = _cost_of(rows, self._sweep)
        if code and self.hopeless:
            last = score_of(rows, self._sweep.metric, cost)
            return last if last.failure else Outcome(last.score, cost, HOPELESS)
        if code:
            failure, error = _failure_of(code, _tail(self.folder / "errors.txt"))
            return Outcome(math.nan, cost, failure, error)
        return score_of(rows, self._sweep.metric, cost)


def score_of(rows: Sequence[dict[str, Any]], metric: str, cost: float) -> Outcome:
    """The outcome of a run that ended well, from its rows of metrics."""
    values = [row[metric] for row in rows if isinstance(row.get(metric), int | float)]
    if not values:
        names = sorted({name for row in rows for name in row})
        return Outcome(
            math.nan, cost, "no_metric", f"{metric!r} was never logged, only {', '.join(names) or 'nothing'}"
        )
    if not math.isfinite(values[-1]):
        return Outcome(math.nan, cost, "diverged", f"{metric} is {values[-1]}")
    if not cost > 0.0:
        return Outcome(math.nan, cost, "no_metric", "the run's cost was never logged")
    return Outcome(float(values[-1]), cost)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Rows of ``metrics.jsonl``; a line cut short is left out, a file that is missing is empty."""
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def _cost_of(rows: Sequence[dict[str, Any]], sweep: SweepConfig) -> float:
    key = "step" if sweep.cost == "steps" else "seconds"
    costs = [float(row[key]) for row in rows if isinstance(row.get(key), int | float)]
    return max(costs, default=0.0)


def _failure_of(code: int, errors: str) -> tuple[str, str]:
    """Kind of failure and one line about it, from a process' exit code and what it said."""
    killer = -code if code < 0 else code - 128
    if killer in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        return INFRASTRUCTURE, f"killed by {signal.Signals(killer).name}"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    said = lines[-1] if lines else "without a word"
    told = f"exit code {code}" if code > 0 else f"signal {killer}"
    if code == EXIT_BAD_INPUT:
        return "bad_input", said.removeprefix("error: ")
    if "out of memory" in errors.lower():
        return "oom", f"{told}: {said}"
    return "crash", f"{told}: {said}"


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
