"""The command line: bad input is one line and code 2 with nothing written; which source of an option wins."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from puffer_phc.cli import main, parse
from puffer_phc.config import ROOT, Config, EnvConfig, EvalConfig, PolicyConfig, TrainConfig, to_dict
from puffer_phc.errors import InputError
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training import checkpoint

WALK = ROOT / "sample_data" / "walk.npz"
SMALL = ("--device", "cpu", "--env.num_envs", "2", "--policy.hidden", "8", "--train.horizon", "8")


class Malicious:
    """Unpickling it makes a folder."""

    def __init__(self, witness):
        self.witness = str(witness)

    def __reduce__(self):
        return os.mkdir, (self.witness,)


def our_format(path, **changes):
    """A motion of our own format: the robot's bodies at rest for six frames."""
    from puffer_phc.robots.smpl_table import BODY_NAMES

    frames, names = changes.pop("frames", 6), list(changes.pop("names", BODY_NAMES))
    rot = np.zeros((frames, len(names), 4), np.float32)
    rot[..., 0] = 1.0
    arrays = {
        "format": np.array("puffer_phc.motion"),
        "schema_version": np.array(1),
        "name": np.array(["rest"]),
        "fps": np.array([30.0]),
        "frame_start": np.array([0, frames]),
        "body_names": np.array(names),
        "root_pos": np.tile(np.float32([0, 0, 0.9]), (frames, 1)),
        "local_rot": rot,
    }
    np.savez(path, **{**arrays, **changes})


def with_nan(path):
    pos = np.zeros((6, 3), np.float32)
    pos[4, 1] = np.nan
    our_format(path, root_pos=pos)


def renamed(path):
    from puffer_phc.robots.smpl_table import BODY_NAMES

    our_format(path, names=[*BODY_NAMES[:-1], "R_Claw"])


def one_body_less(path):
    from puffer_phc.robots.smpl_table import BODY_NAMES

    our_format(path, names=BODY_NAMES[:-1])


def truncated_pickle(path):
    path.write_bytes(pickle.dumps({"walk": {"pose_aa": np.zeros((50, 72)), "fps": 30}})[:-500])


MOTIONS = {
    "missing.npz": (lambda path: None, "no such file"),
    "empty.npz": (lambda path: path.touch(), "empty"),
    "text.npz": (lambda path: path.write_text("walk this way"), "no known motion format"),
    "truncated.pkl": (truncated_pickle, "damaged"),
    "evil.pkl": (lambda path: path.write_bytes(pickle.dumps({"a": Malicious(path.with_name("ran"))})), "mkdir"),
    "nan.npz": (with_nan, "from frame 4 on"),
    "names.npz": (renamed, "R_Claw"),
    "count.npz": (one_body_less, "23 bodies"),
    "fps.npz": (lambda path: our_format(path, fps=np.array([0.0])), "0 frames per second"),
    "short.npz": (lambda path: our_format(path, frames=4), "4 frames"),
}


def one_line(capsys, code, *words):
    """The error that was told, after checking that nothing else was."""
    lines = capsys.readouterr().err.splitlines()
    assert code == 2
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    for word in words:
        assert str(word) in lines[0]
    return lines[0]


@pytest.mark.parametrize("name", MOTIONS)
def test_motions_that_are_none(tmp_path, capsys, name):
    make, fault = MOTIONS[name]
    make(tmp_path / name)
    code = main(["--env.motion_file", str(tmp_path / name), "--output", str(tmp_path / "out"), *SMALL])
    one_line(capsys, code, tmp_path / name, fault)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "ran").exists()


def test_the_intact_motion_would_do(tmp_path, capsys):
    """What the table above damages is a motion otherwise: the next fault is then the missing folder's."""
    our_format(tmp_path / "good.npz")
    (tmp_path / "file").touch()
    code = main(["--env.motion_file", str(tmp_path / "good.npz"), "--output", str(tmp_path / "file"), *SMALL])
    one_line(capsys, code, tmp_path / "file", "cannot be written")


FLAGS = [
    (["--mode", "sweep", "--sweep.points", "-1"], "--sweep.points"),
    (["--mode", "play"], "--checkpoint"),
    (["--mode", "eval"], "--checkpoint"),
    (["--device", "banana"], "banana"),
    (["--train.gamma", "1"], "--train.gamma"),
    (["--config"], "--config"),
    (["--config", "none.ini"], "none.ini"),
    (["-c", "none.pt"], "none.pt"),
    (["--mode", "eval", "-c", "none.pt"], "none.pt"),
    (["--resume", "none"], "none"),
    (["--policy.kind", "lstm", "--train.horizon", "12"], "--train.horizon"),
    (["--policy.kind", "lstm", "--train.segment", "5", "--train.horizon", "0"], "--train.segment"),
    (["--robot.integrator", "euler"], "integrator"),
    (["--threads", "-1"], "--threads"),
    (["--name", "taken"], "taken"),
]


@pytest.mark.parametrize(("flags", "named"), FLAGS, ids=[" ".join(flags) for flags, _ in FLAGS])
def test_flags_that_cannot_be(tmp_path, capsys, monkeypatch, flags, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "taken" / "checkpoints").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    boxed = None
    try:
        code = main([*SMALL, "--env.motion_file", str(WALK), "--output", "out", *flags])
    except SystemExit as end:  # tyro draws a box around what it refuses
        boxed = end
    if boxed:
        captured = capsys.readouterr()
        assert boxed.code == 2
        assert named in captured.err + captured.out
    else:
        one_line(capsys, code, named)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_where_there_is_none(tmp_path, capsys):
    code = main(["--env.motion_file", str(WALK), "--output", str(tmp_path / "out"), "--device", "cuda"])
    one_line(capsys, code, "--device", "cuda", "--device cpu")
    assert not (tmp_path / "out").exists()


def test_unknown_option_in_an_ini_file(tmp_path, capsys):
    path = tmp_path / "bad.ini"
    path.write_text("[train]\nlearning_rat = 1\n")
    one_line(capsys, main(["--config", str(path)]), path, "learning_rat")


def test_unknown_flags_are_named(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--train.learning_rat", "1"])
    captured = capsys.readouterr()
    assert end.value.code == 2
    assert "--train.learning_rat" in captured.err + captured.out
    assert "Traceback" not in captured.err


def test_the_script_itself_answers_in_one_line(tmp_path):
    script = ROOT / "scripts" / "train.py"
    command = [sys.executable, str(script), "--env.motion_file", "none.npz", "--device", "cpu"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert result.stderr.splitlines() == [result.stderr.strip()]
    assert result.stderr.startswith("error: none.npz: ")
    assert not list(tmp_path.iterdir())


# -- which source wins -----------------------------------------------------------------------------------------------


def test_without_arguments_the_options_are_those_of_config_ini(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert parse([]) == Config()


@pytest.mark.parametrize(
    ("arguments", "track", "dashboard"),
    [
        ([], False, True),
        (["--track", "true"], True, True),
        (["--track"], True, True),
        (["--track", "--seed", "3"], True, True),
        (["--track=True"], True, True),
        (["--dashboard", "false"], False, False),
        (["--dashboard=false", "--track"], True, False),
        (["--dashboard", "False", "--track", "false"], False, False),
    ],
)
def test_switches(arguments, track, dashboard):
    base = parse(arguments).base
    assert (base.track, base.dashboard) == (track, dashboard)


def test_switches_of_sections_and_texts_that_look_like_them():
    cfg = parse(["--eval.video", "false", "--policy.learn_std", "--robot.self-collision", "false", "--name", "true"])
    assert (cfg.eval.video, cfg.policy.learn_std, cfg.robot.self_collision) == (False, True, False)
    assert cfg.base.name == "true"
    assert parse(["--name=true"]).base.name == "true"


def test_later_files_win_and_flags_win_over_them(tmp_path):
    first, second = tmp_path / "first.ini", tmp_path / "second.ini"
    first.write_text("[train]\ngamma = 0.5\nepochs = 7\nsegment = 2\n")
    second.write_text("[train]\ngamma = 0.6\nepochs = 8\n")
    train = parse(["--train.epochs", "9", "--config", str(first), f"--config={second}"]).train
    assert (train.segment, train.gamma, train.epochs) == (2, 0.6, 9)
    assert parse(["--config", str(second), "--config", str(first)]).train.gamma == 0.5


def test_lists_of_sizes():
    assert parse(["--policy.hidden", "64", "32", "--seed", "2"]).policy.hidden == (64, 32)


@pytest.fixture
def run_folder(tmp_path):
    """A run with options of its own."""
    cfg = Config(
        env=EnvConfig(motion_file="a.npz", termination_distance=0.125, num_envs=3),
        policy=PolicyConfig(kind="lstm", hidden=(8,), lstm_size=4),
        train=TrainConfig(horizon=16, epochs=5),
        eval=EvalConfig(num_envs=9),
    )
    policy = ActorCritic(934, 69, cfg.policy, cfg.policy.hidden).state_dict()
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    data = {"config": to_dict(cfg), "robot": "smpl", "num_obs": 934, "num_actions": 69, "policy": policy}
    checkpoint.save(folder / "last.pt", data)
    return tmp_path / "run", cfg


@pytest.mark.parametrize("mode", ["play", "eval"])
def test_playing_takes_the_options_of_the_checkpoint(run_folder, tmp_path, mode):
    path, saved = run_folder
    ini = tmp_path / "more.ini"
    ini.write_text("[env]\naction_scale = 0.5\n")
    cfg = parse(["--mode", mode, "-c", str(path), "--env.termination_distance", "0.75", "--config", str(ini)])
    assert (cfg.env.motion_file, cfg.policy, cfg.train) == ("a.npz", saved.policy, saved.train)
    assert (cfg.env.termination_distance, cfg.env.action_scale) == (0.75, 0.5)
    assert (cfg.base.mode, cfg.base.checkpoint, cfg.eval) == (mode, str(path), EvalConfig())


def test_resuming_takes_all_options_but_the_base(run_folder):
    path, saved = run_folder
    cfg = parse(["--resume", str(path), "--train.epochs", "6"])
    assert (cfg.env, cfg.policy, cfg.eval) == (saved.env, saved.policy, saved.eval)
    assert (cfg.train.horizon, cfg.train.epochs, cfg.base.resume) == (16, 6, str(path))


def test_a_warm_start_keeps_the_options_given(run_folder):
    cfg = parse(["-c", str(run_folder[0])])
    assert cfg == replace(parse([]), base=cfg.base)


def test_a_warm_start_with_a_recurrent_network_needs_whole_segments(run_folder, tmp_path, capsys):
    flags = ["-c", str(run_folder[0]), "--env.motion_file", str(WALK), "--output", str(tmp_path / "out")]
    one_line(capsys, main([*flags, *SMALL, "--train.horizon", "12"]), "--train.horizon")
    with pytest.raises(InputError):
        parse(["--policy.kind", "lstm", "--train.horizon", "12"])
