"""An interrupted cell goes on where its last state was kept."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from puffer_phc.comparison import baselines, ours, state, study
from puffer_phc.comparison.runner import run
from puffer_phc.comparison.state import STATE
from puffer_phc.comparison.study import PROGRESS, RESULT, Cell, Log, StudyConfig
from puffer_phc.errors import InputError

STEPS = {"ours": 2048, "a2c": 300, "sac": 240}  # SAC learns from its hundredth step; PPO is saved like A2C


class Stopped(Exception):
    """As if the power had failed."""


@pytest.mark.parametrize("name", STEPS)
def test_an_interrupted_cell_goes_on(name, tmp_path, monkeypatch):
    """Ended half way after keeping its state there, and run again."""
    monkeypatch.setattr(study, "_SAVE_INTERVAL", 0.0)
    monkeypatch.setattr(study, "_LOG_INTERVAL", 0.0)
    cell = Cell(StudyConfig(steps=STEPS[name], seeds=1, episodes=1, video=False, out=tmp_path, only=(name,)), name, 1)
    keep = Log.keep

    def until_half_way(log, learner):
        if log.steps >= STEPS[name] // 2:
            keep(log, learner)
            raise Stopped

    monkeypatch.setattr(Log, "keep", until_half_way)
    with pytest.raises(Stopped):
        run(cell.study, Console(quiet=True))
    monkeypatch.setattr(Log, "keep", keep)
    kept = state.load(cell.folder, cell.settings)
    assert STEPS[name] // 2 <= kept.steps
    assert not (cell.folder / RESULT).exists()
    with (cell.folder / PROGRESS).open("a") as file:  # rows of what is lost, the last one torn
        file.write(json.dumps({"steps": kept.steps + 1, "seconds": 1e9, "episodes": 1.0, "returns": 0.0}) + '\n{"ste')

    module, found = (ours if name == "ours" else baselines), []
    restore = module._restore
    monkeypatch.setattr(study, "_SAVE_INTERVAL", 1e9)
    monkeypatch.setattr(
        module,
        "_restore",
        lambda learner, *args: (restore(learner, *args), found.append(copy.deepcopy(module._state(learner)))),
    )
    same(kept.learner, found[0] if run(cell.study, Console(quiet=True)) == 0 else None)
    result = json.loads((cell.folder / RESULT).read_text())
    rows = [json.loads(line) for line in (cell.folder / PROGRESS).read_text().splitlines()]
    steps = [row["steps"] for row in rows]
    assert steps == sorted(set(steps))
    assert all(row["seconds"] < 1e6 for row in rows)
    assert cell.study.steps <= result["steps"] < 2 * cell.study.steps + 4096
    assert result["seconds"] > kept.seconds
    assert not (cell.folder / STATE).exists()


def same(first, second):
    """Both hold the same tensors and numbers."""
    assert type(first) is type(second) or isinstance(first, dict)
    if isinstance(first, dict):
        assert set(first) == set(second)
        for key in first:
            same(first[key], second[key])
    elif isinstance(first, list | tuple):
        for one, other in zip(first, second, strict=True):
            same(one, other)
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    else:
        assert first == second


def test_states_that_do_not_fit_are_told(tmp_path):
    cell = Cell(StudyConfig(out=tmp_path, episodes=1, video=False), "a2c", 1)
    cell.folder.mkdir(parents=True)
    state.save(cell.folder, state.State(cell.settings, 5, 1.0, {"x": torch.ones(2)}))
    assert state.load(cell.folder, cell.settings).learner["x"].tolist() == [1.0, 1.0]
    other = replace(cell, study=replace(cell.study, steps=7))
    with pytest.raises(InputError, match="interrupted run with other settings"):
        state.load(other.folder, other.settings)
    (cell.folder / STATE).write_bytes(b"nonsense")
    with pytest.raises(InputError, match="is no readable checkpoint"):
        state.load(cell.folder, cell.settings)
    for other_file in ({"x": 1}, torch.ones(2)):
        torch.save(other_file, cell.folder / STATE)
        with pytest.raises(InputError, match="is no state of a run"):
            state.load(cell.folder, cell.settings)
    assert np.isinf(study._steps_of('{"ste'))
