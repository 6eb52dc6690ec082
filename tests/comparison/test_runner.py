import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from puffer_phc.comparison.runner import run
from puffer_phc.comparison.study import PROGRESS, RESULT, StudyConfig, evaluate, make_gym
from puffer_phc.errors import InputError


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One short run of ours and one of A2C on the Humanoid."""
    study = StudyConfig(steps=300, seeds=1, only=("ours", "a2c"), episodes=1, video=False)
    study = replace(study, out=tmp_path_factory.mktemp("comparison"))
    assert run(study, Console(quiet=True)) == 0
    return study


def test_every_cell_leaves_progress_result_and_tensorboard(done):
    for cell in done.cells():
        result = json.loads((cell.folder / RESULT).read_text())
        assert result["steps"] >= 300
        assert result["evaluation"][0] > 0  # a reward of 5 for every step on its feet
        rows = [json.loads(line) for line in (cell.folder / PROGRESS).read_text().splitlines()]
        assert rows[-1]["steps"] <= result["steps"]
        mean = sum(row["returns"] for row in rows) / sum(row["episodes"] for row in rows)
        assert 20 < mean < 400  # a humanoid that falls over
        assert list(cell.folder.glob("events.out.tfevents.*"))
    assert (done.out / "humanoid" / "return_time.png").is_file()


def test_finished_cells_are_not_repeated(done):
    before = [(cell.folder / RESULT).stat().st_mtime_ns for cell in done.cells()]
    assert run(done, Console(quiet=True)) == 0
    assert [(cell.folder / RESULT).stat().st_mtime_ns for cell in done.cells()] == before


def test_other_settings_do_not_mix(done):
    with pytest.raises(InputError, match="another steps"):
        run(replace(done, steps=400), Console(quiet=True))


def test_one_cell_can_be_asked_for():
    cells = StudyConfig(only=("sac",), seed=4).cells()
    assert [(cell.algorithm, cell.seed) for cell in cells] == [("sac", 4)]
    assert len(StudyConfig(seeds=2).cells()) == 8


def test_impossible_numbers_are_refused(tmp_path):
    with pytest.raises(InputError, match="--steps"):
        run(StudyConfig(steps=0, out=tmp_path), Console(quiet=True))


@pytest.mark.parametrize("task", ["humanoid", "tracking"])
def test_evaluation_gives_everybody_the_same_starts(task):
    seen = []

    def act(obs):
        seen.append(obs)
        return np.zeros(make_action_size[task], np.float32)

    make_action_size = {"humanoid": 17, "tracking": 69}
    first, again = (evaluate(task, act, 1, seed=2) for _ in range(2))
    assert first == again
    assert seen[0].dtype == np.float32
    assert make_gym(task).action_space.shape == (make_action_size[task],)
