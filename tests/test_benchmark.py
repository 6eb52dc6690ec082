"""The benchmark's arithmetic, and one short run of it."""

import sys
from pathlib import Path

import pytest

from puffer_phc import benchmark_cli
from puffer_phc.benchmark import Rates
from puffer_phc.benchmark_pair import compared, flags_of
from puffer_phc.cli import parse
from puffer_phc.config import ROOT
from puffer_phc.errors import InputError
from puffer_phc.motions.formats.npz import write

sys.path.insert(0, str(Path(__file__).resolve().parent / "envs"))
from small_style import sway

SMALL = ["benchmark.py", "--device", "cpu", "--env.num_envs", "8", "--policy.hidden", "16", "--train.horizon", "2"]
STYLE = ["--style.hidden", "8", "--style.batch", "8", "--style.demo_buffer", "32", "--style.demo_fresh", "8"]
STYLE = [*STYLE, "--style.replay_buffer", "64"]


def test_shares_and_bound():
    """Physics 1 ms, environment 1.25 ms, rollout 2 ms, learner 2 ms, an iteration 4 ms."""
    rates = Rates(raw=1000, env=800, rollout=500, learner=500, training=250)
    assert rates.bound == pytest.approx(1 / (1 / 1000 + 1 / 500))
    shares = rates.split()
    assert sum(shares.values()) == pytest.approx(1.0)
    assert [round(share, 4) for share in shares.values()] == [0.25, 0.0625, 0.1875, 0.5]


def test_a_run_prints_every_layer(monkeypatch, capsys, tmp_path):
    trace = tmp_path / "trace.json"
    monkeypatch.setattr("sys.argv", [*SMALL, "--rounds", "1", "--profile", str(trace)])
    assert benchmark_cli.main() == 0
    printed = capsys.readouterr().out
    for text in ("raw physics", "environment", "learner alone", "full training", "time: physics", "memory:", "aten::"):
        assert text in printed
    assert trace.stat().st_size > 0


def test_changes_are_flags():
    changes = ["env.use_amp_obs=true", "policy.hidden=64 32", "config=a.ini", "env.motion_file='my walk.npz'"]
    assert flags_of(changes) == [
        *("--env.use_amp_obs", "true", "--policy.hidden", "64", "32"),
        *("--config", "a.ini", "--env.motion_file", "my walk.npz"),
    ]
    for wrong in ("env.use_amp_obs", "=true", "env.task="):
        with pytest.raises(InputError, match=r"is no OPTION=VALUE; write for example env\.use_amp_obs=true"):
            flags_of([wrong])


def test_a_change_wins_over_the_option():
    assert parse(["--style.kind", "off", *flags_of(["style.kind=amp"])]).style.kind == "amp"


def test_ratios_are_of_rounds():
    """A machine that is ten times as slow in the second of three rounds; the second set does twice the samples."""
    layers = ("raw", "env", "rollout", "learner", "training")
    first = [dict.fromkeys(layers, slow) for slow in (1.0, 10.0, 1.0)]
    second = [dict.fromkeys(layers, seconds) for seconds in (4.0, 40.0, 2.0)]
    found = compared(first, second, 100, 200)
    assert found.ratios["training"] == pytest.approx((0.5, 0.5, 0.75))
    assert (found.first.training, found.second.training) == (100.0, 50.0)
    assert compared(first[:1], second[:1], 100, 100).ratios["env"] == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("options", "against"),
    [
        ([], ["env.use_amp_obs=true"]),
        (
            ["--config", str(ROOT / "configs" / "amp.ini"), "--policy.hidden", "16", "--style.kind", "off"],
            ["style.kind=amp"],
        ),
    ],
)
def test_two_sets_of_options_in_turn(monkeypatch, capsys, tmp_path, options, against):
    """With and without a discriminator, on the SMPL body and on the 28-dof humanoid."""
    if options:
        write(tmp_path / "sway.npz", [sway()])
        options = [*options, "--env.motion_file", str(tmp_path / "sway.npz")]
    monkeypatch.setattr("sys.argv", [*SMALL, *STYLE, *options, "--rounds", "2", "--against", *against])
    assert benchmark_cli.main() == 0
    printed = capsys.readouterr().out
    assert f"against: {against[0]}" in printed
    for text in ("raw physics", "environment", "rollout", "learner alone", "full training", "memory:"):
        assert text in printed


def test_faults_are_one_line(monkeypatch, capsys):
    for arguments, told in (
        (["--against", "env.use_amp_obs"], "--against: 'env.use_amp_obs' is no OPTION=VALUE"),
        (["--rounds", "0"], "--rounds: 0 are none"),
    ):
        monkeypatch.setattr("sys.argv", [*SMALL, *arguments])
        assert benchmark_cli.main() == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
