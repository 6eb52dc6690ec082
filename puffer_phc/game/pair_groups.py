"""Pairs over several seeds: who was trained beside whom, and means with deviations."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.table import Table

from puffer_phc.errors import InputError
from puffer_phc.evaluation.report import write_atomic
from puffer_phc.game.pairs import INTACT, PairResult
from puffer_phc.training import checkpoint

_SEED = re.compile(r"[-_.]?\d+$")
_HUMAN = "human."  # what a game's checkpoint calls the weights of its human
_MEASURES = ("steps", "of_intact", "falls", "reward", "success", "error", "style_logit", "samples", "seconds")
Row = dict[str, Any]


def partners(prosthesis: Path, humans: Sequence[Path]) -> list[Path]:
    """Those of ``humans`` that ``prosthesis`` was trained beside: their weights are in its checkpoint.

    Where the human learned, too, it is the one that ``--game.human_checkpoint`` named.

    Raises:
        InputError: it is none of them.
    """
    data = checkpoint.load(prosthesis)
    game = checkpoint.config_of(data, prosthesis).game
    own = _human_weights(data)
    named = Path(game.human_checkpoint)
    found = []
    for human in humans:
        if game.train_human:
            same = named.exists() and checkpoint.find(named).samefile(checkpoint.find(human))
        else:
            weights = _human_weights(checkpoint.load(human))
            same = own.keys() == weights.keys() and all(torch.equal(own[name], weights[name]) for name in own)
        if same:
            found.append(human)
    if not found:
        raise InputError(prosthesis, "was trained beside none of the humans", "name its human, or leave out --paired")
    return found


def with_effort(result: PairResult, path: Path) -> PairResult:
    """``result`` with samples and seconds of training after which the checkpoint ``path`` was written."""
    data = checkpoint.load(path)
    return replace(result, samples=data.get("steps"), seconds=data.get("seconds"))


def kind_of(label: str) -> str:
    """The label without a number at its end: runs called NAME-1, NAME-2 and so on are of one kind."""
    return _SEED.sub("", label) or label


def kinds(results: Sequence[PairResult]) -> list[Row]:
    """Means over all pairs whose prostheses are of one kind, and sample standard deviations ``..._std``.

    ``of_intact`` is a pair's steps divided by those of its human alone. What not all pairs have a number for is None,
    and so is the deviation of a single pair.
    """
    alone = {result.human: result.steps for result in results if result.prosthesis == INTACT}
    groups: dict[str, list[Row]] = {}
    for result in results:
        intact = alone.get(result.human)
        row = vars(result) | {"of_intact": result.steps / intact if intact else None}
        groups.setdefault(kind_of(result.prosthesis), []).append(row)
    return [{"kind": kind, "pairs": len(rows), **_moments(rows)} for kind, rows in groups.items()]


def kinds_table(rows: Sequence[Row]) -> Table:
    """For a terminal: mean +- deviation; columns that nobody has a number for are left out."""
    table = Table(box=box.SIMPLE_HEAD)
    shown = [name for name in _MEASURES if any(row[name] is not None for row in rows)]
    table.add_column("kind", no_wrap=True)
    for name in ("pairs", *shown):
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(row["kind"], str(row["pairs"]), *(_text(row[name], row[f"{name}_std"]) for name in shown))
    return table


def write_kinds(path: Path, rows: Sequence[Row]) -> None:
    """Write :func:`kinds` as tab-separated values.

    Raises:
        InputError: it cannot be written.
    """
    lines = ["\t".join("" if value is None else str(value) for value in row.values()) for row in rows]
    write_atomic(path, "\n".join(["\t".join(rows[0]) if rows else "", *lines]) + "\n")


def _human_weights(data: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Weights and statistics of the human in a checkpoint, a game's or its own."""
    weights: dict[str, torch.Tensor] = data["policy"]
    if not data.get("game"):
        return weights
    return {name.removeprefix(_HUMAN): tensor for name, tensor in weights.items() if name.startswith(_HUMAN)}


def _moments(rows: Sequence[Row]) -> Row:
    """Mean and deviation of each measure."""
    found: Row = {}
    for name in _MEASURES:
        values = [row[name] for row in rows if row[name] is not None]
        complete = len(values) == len(rows)
        found[name] = statistics.fmean(values) if complete else None
        found[f"{name}_std"] = statistics.stdev(values) if complete and len(values) > 1 else None
    return found


def _text(mean: float | None, deviation: float | None) -> str:
    if mean is None:
        return ""
    digits = 0 if abs(mean) >= 1000 else 1 if abs(mean) >= 10 else 3
    spread = "" if deviation is None else f" ± {deviation:,.{digits}f}"
    return f"{mean:,.{digits}f}{spread}"
