import json

import numpy as np
import pytest

from puffer_phc.comparison import report
from puffer_phc.comparison.study import StudyConfig
from puffer_phc.errors import InputError


def curve(steps, seconds, episodes, returns):
    columns = {"steps": steps, "seconds": seconds, "episodes": episodes, "returns": returns}
    return {name: np.array(values, float) for name, values in columns.items()}


SMALL = curve([10, 20, 30, 40], [1, 2, 3, 4], [1, 1, 2, 1], [5, 7, 20, 40])


def test_bins_hold_the_mean_over_episodes():
    edges = np.array([0.0, 20.0, 40.0])
    np.testing.assert_allclose(report.binned(SMALL, "steps", edges), [6.0, 20.0])
    np.testing.assert_allclose(report.binned(SMALL, "seconds", np.array([0.0, 2.0, 4.0])), [6.0, 20.0])


def test_empty_bins_are_interpolated_and_the_future_is_unknown():
    edges = np.array([0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0])
    gap = curve([10, 30, 40], [1, 2, 3], [1, 1, 1], [0, 10, 20])
    np.testing.assert_allclose(report.binned(gap, "steps", edges), [0, 5, 10, 20, np.nan, np.nan])


def test_final_return_is_that_of_the_last_tenth():
    assert report.final_return(SMALL) == 40.0
    long = curve(np.arange(1, 101), np.arange(1, 101), np.ones(100), np.arange(1, 101))
    assert report.final_return(long) == np.arange(90, 101).mean()


def test_return_at_a_time_looks_back_from_there():
    assert report.return_at(SMALL, 4.0) == 40.0
    assert report.return_at(SMALL, 3.0) == 10.0
    assert report.return_at(SMALL, 3.9) == 10.0  # none ended just before: the latest
    assert np.isnan(report.return_at(SMALL, 0.5))


@pytest.fixture
def study(tmp_path):
    """Two seeds of ours, one of PPO that took twice the time."""
    study = StudyConfig(out=tmp_path)
    for name, seed, factor in (("ours", 1, 1.0), ("ours", 2, 1.0), ("ppo", 1, 2.0)):
        folder = tmp_path / "humanoid" / f"{name}-{seed}"
        folder.mkdir(parents=True)
        rows = [
            {"steps": s, "seconds": factor * s / 10, "episodes": 1, "returns": seed * s} for s in range(100, 1100, 100)
        ]
        (folder / "progress.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        result = {
            "settings": {"task": "humanoid", "steps": 1000, "seconds": 0.0, "cores": 2},
            "algorithm": name,
            "seed": seed,
            "steps": 1000,
            "seconds": 100.0 * factor,
            "evaluation": [1.0, 3.0],
        }
        (folder / "result.json").write_text(json.dumps(result))
    return study


def test_table_is_the_mean_over_seeds_at_equal_steps_and_at_equal_time(study):
    ours, ppo = report.rows(study)
    assert (ours["seeds"], ours["final"], ours["spread"]) == (2, 0.5 * (950 + 1900), 0.5 * (1900 - 950))
    assert ours["steps_per_second"] == 10.0
    assert ours["steps_per_core_second"] == 5.0
    assert ours["evaluation"] == 2.0
    assert ours["common_seconds"] == ppo["common_seconds"] == 100.0
    assert ppo["final"] == 950.0
    assert ppo["at_common_time"] == 500.0  # half of its run


def test_writes_plots_and_table(study):
    table, files = report.write(study)
    assert all(file.stat().st_size > 100 for file in files)
    assert {file.suffix for file in files} == {".png", ".json", ".md"}
    assert table.row_count == 2
    assert "puffer-phc PPO | 2 |" in (study.out / "humanoid" / "table.md").read_text()


def test_different_settings_are_not_compared(study):
    file = study.out / "humanoid" / "ppo-1" / "result.json"
    data = json.loads(file.read_text())
    data["settings"]["steps"] = 7
    file.write_text(json.dumps(data))
    with pytest.raises(InputError, match="other settings"):
        report.rows(study)


def test_nothing_and_damage_are_told(study, tmp_path):
    with pytest.raises(InputError, match="no finished run"):
        report.rows(StudyConfig(out=tmp_path / "elsewhere"))
    (study.out / "humanoid" / "ours-1" / "progress.jsonl").write_text('{"steps": 1')
    with pytest.raises(InputError, match="is damaged"):
        report.rows(study)
