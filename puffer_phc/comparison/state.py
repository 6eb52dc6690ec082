"""What lets a cell that was interrupted go on: its learner, how far it is, and how long that took."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from puffer_phc.errors import InputError
from puffer_phc.training import checkpoint

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
    """Write ``state`` into the cell's folder; the one before stays until this one is whole.

    Raises:
        InputError: it cannot be written.
    """
    checkpoint.write(folder / STATE, vars(state))


def load(folder: Path, settings: dict[str, Any]) -> State | None:
    """The state that a run with these settings left in the cell's folder, or None.

    Raises:
        InputError: it is damaged, or of a run with other settings.
    """
    file = folder / STATE
    if not file.is_file():
        return None
    try:
        found = State(**checkpoint.read(file))
    except TypeError:  # other parts, or none
        raise InputError(file, "is no state of a run", "remove it and run that cell again") from None
    if found.settings != settings:
        raise InputError(folder, "holds an interrupted run with other settings", "choose another --out, or remove it")
    return found


def forget(folder: Path) -> None:
    """The cell is finished: its state is of no more use."""
    (folder / STATE).unlink(missing_ok=True)
