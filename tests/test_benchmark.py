"""The benchmark's arithmetic, and one short run of it."""

import pytest

from puffer_phc import benchmark
from puffer_phc.benchmark import Rates


def test_shares_and_bound():
    """Physics 1 ms, environment 1.25 ms, rollout 2 ms, learner 2 ms, an iteration 4 ms."""
    rates = Rates(raw=1000, env=800, rollout=500, learner=500, training=250)
    assert rates.bound == pytest.approx(1 / (1 / 1000 + 1 / 500))
    shares = rates.split()
    assert sum(shares.values()) == pytest.approx(1.0)
    assert [round(share, 4) for share in shares.values()] == [0.25, 0.0625, 0.1875, 0.5]


def test_a_run_prints_every_layer(monkeypatch, capsys, tmp_path):
    trace = tmp_path / "trace.json"
    arguments = ["benchmark.py", "--device", "cpu", "--rounds", "1", "--env.num_envs", "8", "--policy.hidden", "16"]
    monkeypatch.setattr("sys.argv", [*arguments, "--train.horizon", "2", "--profile", str(trace)])
    assert benchmark.main() == 0
    printed = capsys.readouterr().out
    for text in ("raw physics", "environment", "learner alone", "full training", "time: physics", "memory:", "aten::"):
        assert text in printed
    assert trace.stat().st_size > 0
