"""The folder of a run: what it holds, and when it is refused."""

import json
from pathlib import Path

import pytest

from puffer_phc.config import BaseConfig, Config, from_dict
from puffer_phc.errors import InputError
from puffer_phc.training.run_folder import RunFolder, make_folder, new_run_path, wandb_settings

CONFIG = Config(base=BaseConfig(seed=11))


def rows(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def refused(path, resumed=False, work=lambda folder: None):
    with pytest.raises(InputError) as error, RunFolder(CONFIG, path, resumed) as folder:
        work(folder)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_it_holds(tmp_path):
    path = tmp_path / "deep" / "run"
    with RunFolder(CONFIG, path, resumed=False) as folder:
        folder.log(64, {"loss": 0.5})
        folder.log(128, {"loss": 0.25, "eval": 1.0})
        assert folder.checkpoints.is_dir()
        assert rows(path)[-1] == {"step": 128, "loss": 0.25, "eval": 1.0}  # written at once
    config = json.loads((path / "config.json").read_text())
    assert from_dict(config["options"]) == CONFIG
    assert {"torch", "mujoco", "python", "git"} <= set(config["versions"])
    assert [row["step"] for row in rows(path)] == [64, 128]
    assert list(path.glob("events.*"))


def test_a_name_is_used_once(tmp_path):
    path = tmp_path / "run"
    with RunFolder(CONFIG, path, resumed=False) as folder:
        folder.log(1, {})
    before = (path / "config.json").read_text()
    assert "already" in refused(path)
    assert (path / "config.json").read_text() == before
    assert len(rows(path)) == 1


def test_resuming_opens_it_again(tmp_path):
    path = tmp_path / "run"
    with RunFolder(CONFIG, path, resumed=False) as folder:
        folder.log(1, {"a": 1.0})
    options = (path / "config.json").read_text()
    with RunFolder(Config(), path, resumed=True) as folder:
        folder.log(2, {"a": 2.0})
    assert [row["step"] for row in rows(path)] == [1, 2]
    assert (path / "config.json").read_text() == options


def test_truncating_drops_later_and_broken_lines(tmp_path):
    path = tmp_path / "run"
    with RunFolder(CONFIG, path, resumed=False) as folder:
        for step in (64, 128, 192, 256):
            folder.log(step, {"a": step / 64})
        with (path / "metrics.jsonl").open("a") as file:
            file.write('7\n{"a": 3}\n{"step": null}\n{"step": 64, "a": [1, 2\n\n{"step": 19')
        folder.truncate(128)
        assert [row["step"] for row in rows(path)] == [64, 128]
        folder.log(130, {})
    assert [row["step"] for row in rows(path)] == [64, 128, 130]
    assert not list(path.glob(".*"))


def test_a_last_line_without_its_end_stays_a_line_of_its_own(tmp_path):
    path = tmp_path / "run"
    RunFolder(CONFIG, path, resumed=False).close()
    (path / "metrics.jsonl").write_text('{"step": 64}\n{"step": 128}')  # cut just before the newline
    with RunFolder(CONFIG, path, resumed=True) as folder:
        folder.truncate(128)
        folder.log(192, {})
    assert [row["step"] for row in rows(path)] == [64, 128, 192]


@pytest.mark.parametrize("depth", ["", "run", "some/run"])
def test_a_file_in_the_way(tmp_path, depth):
    (tmp_path / "file").write_text("precious")
    refused(tmp_path / "file" / depth)
    assert (tmp_path / "file").read_text() == "precious"


def test_folders_of_results(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "sub"):
        with pytest.raises(InputError, match=str(path)):
            make_folder(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_in_one_line(tmp_path):
    path = tmp_path / "run"
    RunFolder(CONFIG, path, resumed=False).close()
    (path / "metrics.jsonl").unlink()
    (path / "metrics.jsonl").symlink_to("/dev/full")
    assert "No space left" in refused(path, resumed=True, work=lambda folder: folder.log(1, {"a": 1.0}))


def test_names():
    named = Config(base=BaseConfig(output="out", name="mine"))
    assert new_run_path(named) == Path("out/mine")
    unnamed = new_run_path(Config(base=BaseConfig(output="out")))
    assert unnamed.parent == Path("out")
    assert unnamed.name.startswith("walk-20")


def test_what_weights_and_biases_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_NAME", raising=False)
    told = wandb_settings(CONFIG, tmp_path / "walk")
    assert (told["project"], told["name"], told["dir"]) == ("puffer-phc", "walk", str(tmp_path / "walk"))
    assert told["config"]["base"]["seed"] == 11
    monkeypatch.setenv("WANDB_NAME", "sweep-walk-0003")  # a sweep's
    assert wandb_settings(CONFIG, tmp_path / "0003")["name"] == "sweep-walk-0003"
