"""Whole runs of the program: to the end, stopped, gone on with, and started from another run's policy."""

import io
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
import torch
from rich.console import Console

from puffer_phc.cli import main
from puffer_phc.evaluation.evaluator import Evaluator
from puffer_phc.training import checkpoint
from puffer_phc.training.dashboard import Lines, make_dashboard
from puffer_phc.training.run_folder import RunFolder
from puffer_phc.training.trainer import Trainer

PER_ITERATION = 64


def rows(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def steps_of(run, metric):
    return [row["step"] for row in rows(run) if metric in row]


def options(train_command):
    return train_command[2:]


@pytest.fixture(scope="module")
def finished(train_command, tmp_path_factory):
    """A run by the script, in a folder of its own."""
    folder = tmp_path_factory.mktemp("finished")
    command = [*train_command, "--output", str(folder / "out"), "--name", "run"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["out"]
    return folder / "out" / "run", result


def test_a_run_leaves_everything_behind(finished):
    run, result = finished
    assert str(run) in result.stdout
    assert "Traceback" not in result.stderr
    saved = json.loads((run / "config.json").read_text())["options"]
    assert (saved["env"]["num_envs"], saved["policy"]["hidden"], saved["train"]["horizon"]) == (8, [32, 32], 8)
    summary = json.loads((run / "eval" / "summary.json").read_text())
    assert summary["clips"] == 1
    assert summary["extra"]["steps"] == 512
    assert not (run / "videos").exists()
    for name in (checkpoint.LAST, checkpoint.BEST):
        data = checkpoint.load(run / "checkpoints" / name)
        assert (data["steps"], data["updates"], data["robot"]) == (512, 8, "smpl")
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [checkpoint.BEST, checkpoint.LAST]


def test_its_metrics(finished):
    run, _ = finished
    first, last = rows(run)[0], rows(run)[-1]
    assert first["step"] == PER_ITERATION
    assert {"reward/mean", "episode/length", "loss/approx_kl", "speed/steps_per_second"} <= set(first)
    assert first["loss/ratio_error_first"] < 1e-3
    assert last["step"] == 512
    assert last["best/mpjpe_all"] == last["eval/mpjpe_all"] > 0
    steps = steps_of(run, "reward/mean")
    assert steps == sorted(set(steps))
    for row in rows(run):
        assert all(isinstance(value, (int, float)) for value in row.values())


def test_evaluating_it_gives_the_numbers_of_the_run(finished, tmp_path, capsys):
    run, _ = finished
    assert main(["--mode", "eval", "-c", str(run), "--output", str(tmp_path), "--name", "again"]) == 0
    before = json.loads((run / "eval" / "summary.json").read_text())
    after = json.loads((tmp_path / "again" / "summary.json").read_text())
    assert after["mpjpe_all"] == pytest.approx(before["mpjpe_all"], rel=1e-6)
    assert "mpjpe" in capsys.readouterr().out.lower()


def test_a_larger_goal_trains_further(finished, tmp_path):
    run = shutil.copytree(finished[0], tmp_path / "copy")
    before = checkpoint.load(run / "checkpoints" / checkpoint.LAST)
    assert main(["--resume", str(run), "--device", "cpu", "--train.total_steps", "768"]) == 0
    after = checkpoint.load(run / "checkpoints" / checkpoint.LAST)
    assert (after["steps"], after["updates"]) == (768, 12)
    assert after["seconds"] > before["seconds"]
    assert steps_of(run, "eval/mpjpe_all") == [512, 768]
    assert not torch.equal(after["policy"]["mean_head.weight"], before["policy"]["mean_head.weight"])
    assert len(list(run.glob("config.json"))) == 1


@pytest.mark.parametrize(
    "flags", [("--policy.hidden", "16"), ("--train.l2_init_coef", "0.1")], ids=lambda flags: flags[0]
)
def test_options_that_do_not_fit_a_resumed_run_do_no_harm(finished, tmp_path, flags):
    """Refused or ignored; the checkpoints hold a policy that fits their options either way."""
    run = shutil.copytree(finished[0], tmp_path / "copy")
    goal = checkpoint.load(run / "checkpoints" / checkpoint.LAST)["steps"] + PER_ITERATION
    code = main(["--resume", str(run), "--device", "cpu", "--train.total_steps", str(goal), *flags])
    assert code in (0, 2)
    for name in (checkpoint.LAST, checkpoint.BEST):
        data = checkpoint.load(run / "checkpoints" / name)
        assert checkpoint.load_policy(data, "smpl", 934, 69, name).mean_head.in_features == 32


def test_a_warm_start_uses_weights_and_statistics(finished, train_command, tmp_path):
    """Without a learning rate nothing moves the weights; statistics go on counting from those of the checkpoint."""
    run, _ = finished
    source = checkpoint.load(run)
    flags = ["--output", str(tmp_path), "--name", "warm", "--train.total_steps", "64", "-c", str(run)]
    flags += ["--train.learning_rate", "0", "--train.target_kl", "0", "--policy.hidden", "16", "--policy.log_std", "-2"]
    assert main([*options(train_command), *flags]) == 0
    data = checkpoint.load(tmp_path / "warm")
    assert data["config"]["policy"]["hidden"] == (32, 32)
    assert data["steps"] == 64
    for name, tensor in data["policy"].items():
        if name == "obs_norm.count":
            assert tensor == source["policy"][name] + PER_ITERATION
        elif name == "log_std":
            assert (tensor == -2.0).all()
        elif not name.startswith("obs_norm"):
            assert torch.equal(tensor, source["policy"][name]), name


@pytest.fixture(scope="module")
def stopped(train_command, tmp_path_factory):
    """A run without an end, stopped from outside after two rows of metrics."""
    run = tmp_path_factory.mktemp("stopped") / "run"
    command = [*train_command, "--output", str(run.parent), "--name", "run", "--train.total_steps", "1000000000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 90
        while not (run / "metrics.jsonl").exists() or len(rows(run)) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=60)
    finally:
        process.kill()
    return run, process.returncode, out, error


def test_sigterm_saves_and_says_how_to_go_on(stopped):
    run, code, out, error = stopped
    assert code == 128 + signal.SIGTERM
    assert "Traceback" not in error
    assert f"--resume {run}" in out
    data = checkpoint.load(run / "checkpoints" / checkpoint.LAST)
    assert data["steps"] == PER_ITERATION * data["updates"] >= rows(run)[-1]["step"]
    assert not (run / "eval").exists()


def test_resuming_goes_on_where_it_stopped(stopped):
    run = stopped[0]
    before = checkpoint.load(run / "checkpoints" / checkpoint.LAST)
    last = rows(run)[-1]
    with (run / "metrics.jsonl").open("a") as file:  # what a later crash would have left
        file.write(json.dumps({**last, "step": before["steps"] + 32}) + '\n{"step": 1')
    goal = before["steps"] + 5 * PER_ITERATION
    assert main(["--resume", str(run), "--device", "cpu", "--train.total_steps", str(goal)]) == 0

    after = checkpoint.load(run / "checkpoints" / checkpoint.LAST)
    assert (after["steps"], after["updates"]) == (goal, before["updates"] + 5)
    assert after["policy"]["obs_norm.count"] == before["policy"]["obs_norm.count"] + 5 * PER_ITERATION
    steps = steps_of(run, "reward/mean")
    assert steps == sorted(set(steps))
    assert before["steps"] + 32 not in steps
    assert before["steps"] + PER_ITERATION in steps  # the first iteration is always logged
    seconds = [row["seconds"] for row in rows(run)]
    assert seconds == sorted(seconds)
    assert rows(run)[-1]["seconds"] >= before["seconds"]


def make_trainer(make_learner, path, resumed=False):
    """A trainer on a learner's environment and policy; evaluation on the same environment is never asked for."""
    learner = make_learner("lstm", learning_rate=1e-3, target_kl=0.01, l2_init_coef=0.1)
    cfg = make_learner.cfg
    folder = RunFolder(cfg, path, resumed)
    return Trainer(cfg, learner.env, learner.policy, Evaluator(learner.env, 0.5), folder)


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def test_a_checkpoint_restores_all_that_was_learned(make_learner, tmp_path):
    trainer = make_trainer(make_learner, tmp_path / "run")
    trainer._started = time.monotonic()
    for _ in range(3):
        trainer.iterate()
    trainer._best = (1.0, -20.0)
    trainer.save(checkpoint.LAST)
    trainer.folder.close()
    saved = checkpoint.load(tmp_path / "run" / "checkpoints" / checkpoint.LAST)
    assert not equal(saved["policy"], saved["latest_policy"])
    assert saved["ranks"][0]["sampler"].any()

    other = make_trainer(make_learner, tmp_path / "run", resumed=True)
    other._started = time.monotonic()
    assert not equal(other._state()["optimizer"], saved["optimizer"])
    other.restore(saved)
    again = other._state()
    other.folder.close()
    assert again["seconds"] >= saved["seconds"]
    for name in saved.keys() - {"format", "version", "seconds"}:
        assert equal(again[name], saved[name]), name
    assert other.ppo.optimizer.param_groups[0]["lr"].item() == pytest.approx(saved["learning_rate"].item())


@pytest.mark.parametrize(("chancy", "evaluations"), [(False, [1, 2]), (True, [2, 3])])
def test_where_chance_has_a_part_a_new_best_is_evaluated_twice(
    make_learner, tmp_path, monkeypatch, chancy, evaluations
):
    trainer = make_trainer(make_learner, tmp_path / "run")
    assert not trainer.chancy  # on a CPU
    trainer.chancy = chancy
    played, play = [], trainer.evaluator.play
    monkeypatch.setattr(trainer.evaluator, "play", lambda *args: played.append(args) or play(*args))
    for expected in evaluations:
        trainer.evaluate(0.0, Lines(Console(quiet=True)))
        assert len(played) == expected  # the second time the policy is the same, and not better
    trainer.folder.close()
    assert (tmp_path / "run" / "checkpoints" / checkpoint.BEST).is_file()
    assert trainer._best[0] in (0.0, 1.0)
    found = json.loads((tmp_path / "run" / "eval" / "summary.json").read_text())
    assert (found["extra"], found["clips_succeeded"]) == ({"steps": 0}, trainer._best[0])


def test_what_the_best_did_stays_when_a_worse_one_is_evaluated(make_learner, tmp_path):
    trainer = make_trainer(make_learner, tmp_path / "run")
    trainer._best = (2.0, 0.0)  # better than any
    trainer.evaluate(0.0, Lines(Console(quiet=True)))
    trainer.folder.close()
    assert not (tmp_path / "run" / "eval").exists()


def test_time_and_samples_both_end_a_run(make_learner, tmp_path):
    trainer = make_trainer(make_learner, tmp_path / "run")
    trainer.folder.close()
    trainer._started = time.monotonic()
    trainer.steps = 2_500
    assert trainer.fraction() == 0.25  # of 10 000
    trainer.steps = 20_000
    assert trainer.fraction() == 1.0


def test_a_second_signal_is_not_held_back(make_learner, tmp_path):
    """The first asks the loop to stop; handlers are back in place for the next, and after the run."""
    trainer = make_trainer(make_learner, tmp_path / "run")
    before = signal.getsignal(signal.SIGINT)
    iterate = trainer.iterate

    def interrupted():
        os.kill(os.getpid(), signal.SIGINT)
        assert trainer.stopped_by == "SIGINT"
        assert signal.getsignal(signal.SIGINT) is before
        return iterate()

    trainer.iterate = interrupted
    with trainer.folder:
        trainer.train(make_dashboard("", Console(file=io.StringIO()), live=False))
    assert signal.getsignal(signal.SIGINT) is before
    assert trainer.steps == trainer.learner.samples
    assert (tmp_path / "run" / "checkpoints" / checkpoint.LAST).exists()
