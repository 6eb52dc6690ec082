"""A sweep of real training runs, as small as they get."""

import optuna

from puffer_phc.cli import main, parse
from puffer_phc.config import ROOT

INI = """
[sweep.parameters.train.parameters.learning_rate]
distribution = log_normal
min = 1e-6
max = 1e-3
mean = 2e-5
[sweep.parameters.train.parameters.gamma]
distribution = logit_normal
min = 0.8
max = 0.999
"""
SMALL = ["--device", "cpu", "--dashboard", "false", "--env.num_envs", "8"]
SMALL += ["--policy.hidden", "16", "--train.total_steps", "128"]


def test_two_trials_of_real_training(tmp_path, capsys):
    ini = tmp_path / "sweep.ini"
    ini.write_text(INI)
    flags = ["--mode", "sweep", "--config", str(ini), "--output", str(tmp_path), "--name", "s", *SMALL]
    motion = ["--env.motion_file", str(ROOT / "sample_data" / "walk.npz")]
    assert main([*flags, *motion, "--sweep.trials", "2", "--sweep.workers", "2", "--sweep.confirm", "0"]) == 0
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/s/study.db")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 2
    assert all(trial.value > 0 and trial.user_attrs["cost"] > 0 for trial in study.trials)
    assert (tmp_path / "s" / "trials" / "0001" / "checkpoints" / "best.pt").exists()
    best = study.best_trial
    cfg = parse(["--config", str(tmp_path / "s" / "best.ini")])
    assert (cfg.train.learning_rate, cfg.train.gamma) == tuple(best.params.values())
    assert (cfg.policy.hidden, cfg.train.total_steps, cfg.base.mode) == ((16,), 128, "train")
    assert "report.html" in capsys.readouterr().out
