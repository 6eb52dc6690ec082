"""``--mode eval`` as a user calls it, on checkpoints of policies that were never trained."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from puffer_phc.checkpoint_flags import split_checkpoints
from puffer_phc.cli import main
from puffer_phc.config import ROOT, Config, EvalConfig, PolicyConfig, to_dict
from puffer_phc.errors import InputError
from puffer_phc.evaluation_mode import labels_of
from puffer_phc.motions.formats.npz import write
from puffer_phc.motions.loading import load_motions
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training import checkpoint


def make_run(folder, motions, **changes):
    cfg = Config(policy=PolicyConfig(hidden=(8,)), eval=EvalConfig(video=False))
    cfg = replace(cfg, env=replace(cfg.env, motion_file=str(motions)))
    torch.manual_seed(0)
    policy = ActorCritic(934, 69, cfg.policy, (8,))
    data = {"config": to_dict(cfg), "robot": "smpl", "num_obs": 934, "num_actions": 69, "policy": policy.state_dict()}
    (folder / "checkpoints").mkdir(parents=True)
    checkpoint.save(folder / "checkpoints" / "best.pt", {**data, **changes})
    return folder


@pytest.fixture(scope="module")
def motions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("motions")
    walk = load_motions(ROOT / "sample_data" / "walk.npz")[0]
    for name, frames in (("short", 6), ("long", 60)):
        clip = replace(walk, name=name, root_pos=walk.root_pos[:frames], local_rot=walk.local_rot[:frames])
        write(folder / f"{name}.npz", [clip])
    (folder / "kinds.csv").write_text("name,category\nshort,easy\nlong,hard\n")
    return folder


FLAGS = ["--mode", "eval", "--device", "cpu", "--threads", "1", "--eval.video", "false"]


def test_two_checkpoints_side_by_side(motions, tmp_path, capsys):
    runs = [make_run(tmp_path / name, motions) for name in ("a", "b")]
    more = ["--eval.categories", str(motions / "kinds.csv"), "--eval.termination_distance", "0.12"]
    flags = [*FLAGS, *more, "--output", str(tmp_path), "--name", "both"]
    assert main([*flags, "-c", str(runs[0]), "-c", str(runs[1])]) == 0
    first, second = (json.loads((tmp_path / "both" / name / "summary.json").read_text()) for name in ("a", "b"))
    assert first["statistics"] == second["statistics"], "evaluating twice gives the same numbers"
    assert set(first["statistics"]["categories"]) == {"easy", "hard"}
    assert (first["clips"], first["clips_succeeded"]) == (2, 1)
    page = (tmp_path / "both" / "report.html").read_text()
    assert "Over seeds" in page
    assert (tmp_path / "both" / "failed.txt").read_text() == f"{motions}::long\n"

    again = [*FLAGS, "-c", str(runs[0]), "--env.motion_file", str(tmp_path / "both" / "failed.txt")]
    assert main([*again, "--output", str(tmp_path), "--name", "failed"]) == 0
    assert json.loads((tmp_path / "failed" / "summary.json").read_text())["clips"] == 1
    assert "report.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"robot": "amp_humanoid"}, "amp_humanoid"), ({"num_obs": 935}, "935 observations")],
)
def test_a_checkpoint_of_another_robot_or_observation_is_refused_by_name(motions, tmp_path, capsys, changes, words):
    run = make_run(tmp_path / "other", motions, **changes)
    assert main([*FLAGS, "-c", str(run)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "best.pt" in error
    assert not (run / "eval").exists()


def test_checkpoints_given_in_every_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a1", "a2", "b,c"):
        (tmp_path / name).mkdir()
    rest, paths = split_checkpoints(["--mode", "eval", "-c", "a*", "--seed", "2", "--checkpoint=x,y", "-c", "b,c"])
    assert rest == ["--mode", "eval", "--seed", "2"]
    assert paths == ["a1", "a2", "x", "y", "b,c"]
    with pytest.raises(InputError, match="nothing matches"):
        split_checkpoints(["-c", "z*"])


def test_several_checkpoints_are_for_evaluation_alone(motions, tmp_path, capsys):
    runs = [str(make_run(tmp_path / name, motions)) for name in ("a", "b")]
    assert main(["-c", ",".join(runs), "--output", str(tmp_path / "out"), "--device", "cpu"]) == 2
    assert "--mode eval" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_labels_tell_checkpoints_apart():
    files = [Path("x/a/checkpoints/best.pt"), Path("x/a/checkpoints/last.pt")]
    assert labels_of(files) == ["best", "last"]
    assert labels_of([files[0], Path("x/b/checkpoints/best.pt")]) == ["a", "b"]
    with pytest.raises(InputError, match="twice"):
        labels_of([files[0], files[0]])
