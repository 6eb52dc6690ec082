"""What an exported folder says about itself, and what is said where it is damaged."""

import json

import pytest

from puffer_phc.deployment.metadata import parse_metadata, read_metadata
from puffer_phc.errors import InputError


@pytest.fixture
def text(make_exported):
    return (make_exported("mlp").folder / "metadata.json").read_text()


def test_text_and_back(text):
    assert parse_metadata(text, "it").to_json() == text


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("format",), "else", "is not the metadata of an exported policy"),
        (("format_version",), 2, "has format version 2, not 1"),
        (("robot", "kp"), [1.0], "1 numbers of kp for 69 dofs"),
        (("robot", "kp"), "much", "'much' where a list should be"),
        (("robot", "body_sets"), [], "where an object should be"),
        (("robot",), 3, "is damaged"),
        (("control_dt",), 0, "time steps are not positive"),
        (("state_size",), True, "True where int should be"),
        (("action", "mode"), None, "None where str should be"),
    ],
)
def test_faults_are_told(text, path, value, told):
    data = json.loads(text)
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(InputError, match=told):
        parse_metadata(json.dumps(data), "metadata.json")


def test_missing_parts_and_files_are_told(text, tmp_path):
    data = json.loads(text)
    del data["action"]["scale"]
    with pytest.raises(InputError, match="lacks 'scale'"):
        parse_metadata(json.dumps(data), "it")
    for nonsense in ("", "[]", "{", "3"):
        with pytest.raises(InputError):
            parse_metadata(nonsense, "it")
    with pytest.raises(InputError, match="cannot be read"):
        read_metadata(tmp_path / "metadata.json")


def test_files_of_before_tasks_are_read(text):
    data = json.loads(text)
    assert data.pop("task") is None
    assert parse_metadata(json.dumps(data), "it").task is None


def test_a_task_is_checked(text):
    task = {
        "goal": "velocity",
        "goal_steps": 200,
        "speed_range": [0.5, 2.0],
        "goal_distance": 5.0,
        "run_share": 0.1,
        "episode_steps": 300,
        "fall": "pose",
        "fall_height": 0.5,
        "fall_tilt": 0.8,
        "root_heights": [0.4, None],
        "local_root": False,
        "state_init": "random",
        "default_share": 0.5,
        "default_qpos": [0.0],
        "evaluation": {"episodes": 2, "steps": 1.5, "fall_rate": 1.0, "task_reward": 0.1},
    }

    def parsed(**changes):
        return parse_metadata(json.dumps({**json.loads(text), "task": {**task, **changes}}), "it").task

    assert parsed().root_heights == (0.4, None)
    assert parsed().evaluation.steps == 1.5
    for changes, told in (
        ({"speed_range": [1.0]}, "a range has two ends"),
        ({"goal_steps": 0}, "goals or episodes last no step"),
        ({"fall": 3}, "3 where str should be"),
    ):
        with pytest.raises(InputError, match=told):
            parsed(**changes)
