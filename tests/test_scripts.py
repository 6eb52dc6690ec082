"""Every script answers ``--help`` and does its one thing."""

import os
import runpy
import sys

import numpy as np
import pytest

from puffer_phc.config import ROOT
from puffer_phc.motions.loading import load_motions

SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))


def run(monkeypatch, script, *arguments):
    """Run a script as ``__main__`` in this process; returns its exit code."""
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        return end.code or 0
    return 0


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_help(monkeypatch, tmp_path, capsys, script):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, script, "--help") == 0
    out = capsys.readouterr().out
    assert "usage" in out.lower()
    assert "--help" in out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_it_can_be_called_by_its_name(script):
    assert script.read_text().startswith("#!/usr/bin/env python3\n")
    assert os.access(script, os.X_OK)


def test_help_of_training_names_options_of_every_section(monkeypatch, capsys):
    assert run(monkeypatch, ROOT / "scripts" / "train.py", "--help") == 0
    out = capsys.readouterr().out
    for flag in (
        "--mode",
        "--env.motion_file",
        "--robot.substeps",
        "--reward.w_pos",
        "--policy.hidden",
        "--train.gamma",
    ):
        assert flag in out


def test_sample_motions_are_those_that_are_bundled(monkeypatch, tmp_path, capsys):
    assert run(monkeypatch, ROOT / "scripts" / "make_sample_motions.py", "--out", tmp_path / "new") == 0
    bundled = sorted((ROOT / "sample_data").glob("*.npz"))
    assert [path.name for path in sorted((tmp_path / "new").iterdir())] == [path.name for path in bundled]
    table = capsys.readouterr().out
    for path in bundled:
        (new,), (old,) = load_motions(tmp_path / "new" / path.name), load_motions(path)
        assert (new.fps, new.num_frames) == (old.fps, old.num_frames)
        np.testing.assert_allclose(new.root_pos, old.root_pos, atol=1e-5)
        np.testing.assert_allclose(new.local_rot, old.local_rot, atol=1e-5)
        assert path.stem in table


def test_benchmark_prints_every_layer(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    flags = ["--rounds", 1, "--device", "cpu", "--env.num_envs", 4, "--train.horizon", 4, "--policy.hidden", 16]
    motion = ROOT / "sample_data" / "walk.npz"
    assert run(monkeypatch, ROOT / "scripts" / "benchmark.py", *flags, "--env.motion_file", motion) == 0
    out = capsys.readouterr().out
    assert "4 envs x 4 steps" in out
    for layer in ("raw physics", "environment", "rollout", "learner alone", "full training"):
        assert layer in out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", ["benchmark", "train"])
def test_a_missing_motion_is_told_in_one_line(monkeypatch, tmp_path, capsys, script):
    monkeypatch.chdir(tmp_path)
    flags = ["--device", "cpu", "--env.motion_file", tmp_path / "none.npz"]
    assert run(monkeypatch, ROOT / "scripts" / f"{script}.py", *flags) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path / 'none.npz'}: ")
    assert error.count("\n") == 1


def test_curves(monkeypatch, tmp_path, capsys):
    run_folder = tmp_path / "a"
    run_folder.mkdir()
    rows = ['{"step": 64, "seconds": 1.0, "episode/length": 5.0}', '{"step": 128, "seconds": 2.0, "eval/mpjpe_all": 9']
    (run_folder / "metrics.jsonl").write_text("\n".join(rows))
    script = ROOT / "scripts" / "plot_curves.py"
    assert run(monkeypatch, script, run_folder, "--out", tmp_path / "curves.png") == 0
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    for arguments in ([tmp_path / "none"], [run_folder, "--out", tmp_path / "a.unknown"]):
        capsys.readouterr()
        assert run(monkeypatch, script, *arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1
