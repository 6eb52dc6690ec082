"""What lets a cell that was interrupted go on: its learner, how far it is, and how long that took."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from puffer_phc.errors import InputError

STATE = "state.pt"


@dataclass(frozen=True)
class State:
    """A cell in the middle of its run.

    Attributes:
        settings: of the cell.
        steps: environment steps so far.
        seconds: of training so far.
        learner: tensors and numbers in dictionaries, as the learner gave them.
    """

    settings: dict[str, Any]
    steps: int
    seconds: float
    learner: dict[str, Any]


def save(folder: Path, state: State) -> None:
    """Write ``state`` into the cell's folder; the one before stays until this one is whole."""
    temporary = folder / f".{STATE}.{os.getpid()}"
    torch.save(vars(state), temporary)
    temporary.replace(folder / STATE)


def load(folder: Path, settings: dict[str, Any]) -> State | None:
    """The state that a run with these settings left in the cell's folder, or None.

    Raises:
        InputError: it is damaged, or of a run with other settings.
    """
    file = folder / STATE
    if not file.is_file():
        return None
    try:
        found = State(**torch.load(file, map_location="cpu", weights_only=True))
    except Exception:  # torch has many ways to say so
        raise InputError(file, "is damaged", "remove it and run that cell again") from None
    if found.settings != settings:
        raise InputError(folder, "holds an interrupted run with other settings", "choose another --out, or remove it")
    return found


def forget(folder: Path) -> None:
    """The cell is finished: its state is of no more use."""
    (folder / STATE).unlink(missing_ok=True)
