"""Sweeps over a stand-in for training: scheduling, failures, kills, resuming, results."""

import contextlib
import io
import multiprocessing
import os
import sys
import textwrap
import time
from dataclasses import replace

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from rich.console import Console

from puffer_phc.cli import parse
from puffer_phc.config import BaseConfig, Config, SweepConfig
from puffer_phc.errors import InputError
from puffer_phc.sweeps.driver import sweep
from puffer_phc.sweeps.study import open_study, repair
from puffer_phc.sweeps.sweep_config import read_spaces

STUB = """
import configparser, json, os, sys, time
ini = configparser.ConfigParser(interpolation=None)
ini.read(sys.argv[sys.argv.index("--config") + 1])
rate, limit = float(ini["train"]["learning_rate"]), float(ini["train"]["time_limit"])
folder = os.path.join(ini["base"]["output"], ini["base"]["name"])
with open(os.path.join(os.environ["LOG"]), "a") as log:
    log.write(f"{ini['base']['name']} {os.getpid()} {rate!r} {limit!r}\\n")
BODY
with open(os.path.join(folder, "metrics.jsonl"), "a") as file:
    score = abs(rate - 0.001) * 1e4 + 1 / limit
    file.write(json.dumps({"step": 10, "seconds": limit, "eval/mpjpe_all": score}) + "\\n")
"""
INI = """
[sweep.parameters.train.parameters.learning_rate]
distribution = log_normal
min = 1e-5
max = 1e-1
mean = 1e-3
[sweep.train.time_limit]
distribution = log_normal
min = 1
max = 100
mean = 2
"""


class Sweep:
    """A sweep in a folder of its own."""

    def __init__(self, path, monkeypatch, body="", **options):
        self.path, self.log = path, path / "log"
        monkeypatch.setenv("LOG", str(self.log))
        self.ini = path / "sweep.ini"
        self.ini.write_text(INI)
        self.stub = path / "stub.py"
        self.stub.write_text(textwrap.dedent(STUB).replace("BODY", textwrap.dedent(body)))
        base = BaseConfig(mode="sweep", device="cpu", output=str(path), name="s", dashboard=False)
        # Journal files are made in no time.
        defaults = {"trials": 4, "method": "random", "storage": f"{path}/x.journal"}
        defaults |= {"start_from_default": False, "confirm": 0}
        self.cfg = Config(base=base, sweep=SweepConfig(**{**defaults, **options}))

    def run(self):
        self.out = io.StringIO()
        return sweep(self.cfg, Console(file=self.out, width=200), [self.ini], (sys.executable, str(self.stub)))

    def start(self):
        """The same in a process that can be killed; forked, since importing torch anew takes seconds."""
        process = multiprocessing.get_context("fork").Process(target=self._quietly)
        process.start()
        return process

    def _quietly(self):
        with contextlib.suppress(KeyboardInterrupt):
            self.run()
            return
        os._exit(130)

    @property
    def trials(self):
        storage = f"sqlite:///{self.path}/s/study.db"
        if self.cfg.sweep.storage:
            storage = JournalStorage(JournalFileBackend(self.cfg.sweep.storage))
        return optuna.load_study(study_name="s", storage=storage).trials

    def started(self):
        return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def states(self):
        return [trial.state.name for trial in self.trials]


def wait_for(condition, seconds=40.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_sweep_runs_all_trials_and_leaves_its_results(tmp_path, monkeypatch):
    job = Sweep(tmp_path, monkeypatch, method="carbs", trials=5, workers=2, storage="")
    assert job.run() == 0
    assert job.states() == ["COMPLETE"] * 5
    assert len(job.started()) == 5
    best = min(job.trials, key=lambda trial: trial.value)
    loaded = parse(["--config", str(tmp_path / "s" / "best.ini")])
    assert loaded.train.learning_rate == best.params["train.learning_rate"]
    assert loaded.train.time_limit == best.params["train.time_limit"]
    assert all(trial.user_attrs["cost"] == trial.params["train.time_limit"] for trial in job.trials)
    page = (tmp_path / "s" / "report.html").read_text()
    assert page.count("<svg") == 3
    assert "Time saved" in page
    assert job.trials[0].params == {"train.learning_rate": 1e-3, "train.time_limit": 2.0}
    assert job.run() == 0  # there is nothing left to do
    assert len(job.started()) == 5


def test_failures_are_recorded_with_their_error(tmp_path, monkeypatch):
    body = "if ini['base']['name'] == '0001': raise RuntimeError('CUDA out of memory')\n"
    body += "if ini['base']['name'] == '0002': rate = float('nan')\n"
    job = Sweep(tmp_path, monkeypatch, body, method="tpe")
    job.run()
    assert job.states() == ["COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    assert job.trials[1].user_attrs["failure"] == "oom"
    assert "RuntimeError: CUDA out of memory" in job.trials[1].user_attrs["error"]
    assert job.trials[2].user_attrs["failure"] == "diverged"
    assert "out of memory" in (tmp_path / "s" / "report.html").read_text()
    assert "out of memory" in job.out.getvalue()


def test_a_killed_run_is_offered_again(tmp_path, monkeypatch):
    job = Sweep(tmp_path, monkeypatch, "if ini['base']['name'] == '0001': os.kill(os.getpid(), 9)")
    job.run()
    killed = job.trials[1]
    assert (killed.state, killed.user_attrs["failure"]) == (TrialState.FAIL, "infra")
    assert "SIGKILL" in killed.user_attrs["error"]
    again = [trial for trial in job.trials if trial.user_attrs.get("retry_of") == 1]
    assert [trial.params for trial in again] == [killed.params]
    assert job.states().count("COMPLETE") == 4
    assert len(job.trials) == 5


def test_parameters_that_always_get_killed_are_to_blame_in_the_end(tmp_path, monkeypatch):
    job = Sweep(tmp_path, monkeypatch, "os.kill(os.getpid(), 9)", trials=1, retries=2)
    job.run()
    assert [trial.user_attrs["failure"] for trial in job.trials] == ["infra", "infra", "crash"]


def test_a_killed_sweep_goes_on_with_no_trial_lost_or_run_twice(tmp_path, monkeypatch):
    job = Sweep(
        tmp_path,
        monkeypatch,
        "time.sleep(60 if int(ini['base']['name']) in (2, 3) else 0)",
        workers=2,
        trials=6,
        storage="",
    )
    process = job.start()
    wait_for(lambda: len(job.started()) == 4)
    process.kill()
    process.join()
    pids = [int(line[1]) for line in job.started()[2:]]
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}/cmdline") for pid in pids), 10)  # they end with their sweep
    assert job.states() == ["COMPLETE"] * 2 + ["RUNNING"] * 2
    job.run()
    assert job.states() == ["COMPLETE"] * 2 + ["FAIL"] * 2 + ["COMPLETE"] * 4
    lost = [trial.params for trial in job.trials[2:4]]
    assert [trial.params for trial in job.trials if "retry_of" in trial.user_attrs] == lost
    assert len(job.started()) == 8
    points = [tuple(trial.params.values()) for trial in job.trials if trial.state == TrialState.COMPLETE]
    assert len(set(points)) == 6


def test_a_stopped_sweep_ends_its_runs_and_queues_them(tmp_path, monkeypatch):
    job = Sweep(tmp_path, monkeypatch, "time.sleep(60 if not int(ini['base']['name']) else 0)", trials=1)
    process = job.start()
    wait_for(lambda: len(job.started()) == 1)
    process.terminate()
    process.join(20)
    assert process.exitcode == 130
    assert job.states() == ["FAIL", "WAITING"]
    assert (tmp_path / "s" / "report.html").exists()
    job.run()
    assert job.states() == ["FAIL", "COMPLETE"]


def test_what_a_driver_killed_while_queueing_forgot_is_queued_at_the_next_start(tmp_path, monkeypatch):
    job = Sweep(tmp_path, monkeypatch, trials=2)
    (tmp_path / "s").mkdir()
    spaces = read_spaces(job.cfg, [job.ini])
    study = open_study(job.cfg, spaces, tmp_path / "s")
    trial = study.ask({space.name: space.to_distribution() for space in spaces})
    trial.set_user_attr("reoffered", 1)
    study.tell(trial, state=TrialState.FAIL)
    repair(study)
    repair(study)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "WAITING"]
    job.run()
    assert job.trials[1].params == trial.params
    assert job.states() == ["FAIL", "COMPLETE", "COMPLETE"]


def test_an_unknown_metric_ends_the_sweep(tmp_path, monkeypatch):
    job = Sweep(tmp_path, monkeypatch, metric="eval/nonsense")
    with pytest.raises(InputError, match=r"eval/nonsense.*eval/mpjpe_all"):
        job.run()
    assert len(job.started()) == 1


def test_input_that_no_run_can_use_ends_the_sweep(tmp_path, monkeypatch):
    job = Sweep(tmp_path, monkeypatch, "sys.stderr.write('error: x.npz: gone')\nsys.exit(2)", trials=50)
    with pytest.raises(InputError, match=r"x\.npz: gone"):
        job.run()
    assert len(job.started()) == 3


def test_a_sweep_does_not_go_on_with_other_options(tmp_path, monkeypatch):
    job = Sweep(tmp_path, monkeypatch, trials=1)
    job.run()
    job.cfg = replace(job.cfg, env=replace(job.cfg.env, motion_file="other.npz"))
    with pytest.raises(InputError, match=r"env\.motion_file = sample_data/walk\.npz"):
        job.run()


def test_storages_that_are_none_are_refused(tmp_path, monkeypatch):
    for storage in ("study.txt", "nonsense://x", f"sqlite:///{tmp_path}/none/x.db"):
        with pytest.raises(InputError, match=r"--sweep\.storage"):
            Sweep(tmp_path, monkeypatch, storage=storage).run()


def test_the_live_table(tmp_path, monkeypatch):
    job = Sweep(tmp_path, monkeypatch, "if ini['base']['name'] == '0001': raise RuntimeError('[oops]')", method="carbs")
    job.cfg = replace(job.cfg, base=replace(job.cfg.base, dashboard=True))
    out = io.StringIO()
    sweep(job.cfg, Console(file=out, width=160, force_terminal=True), [job.ini], (sys.executable, str(job.stub)))
    for words in ("4 of 4 trials", "center", "[oops]", "learning_rate=0.001", "running for", "best eval/mpjpe_all"):
        assert words in out.getvalue()


def test_of_two_sweeps_on_one_storage_the_survivor_runs_what_the_other_leaves(tmp_path, monkeypatch):
    body = "time.sleep(60 if os.getppid() == int(open(os.environ['LOG'] + '.slow').read()) else 0.5)"
    job = Sweep(tmp_path, monkeypatch, body, trials=6)
    (tmp_path / "log.slow").write_text("0")
    first = job.start()
    (tmp_path / "log.slow").write_text(str(first.pid))
    wait_for(lambda: len(job.started()) == 1)
    second = job.start()
    wait_for(lambda: len(job.started()) == 3)
    first.kill()
    second.join(60)
    assert second.exitcode == 0
    assert job.states().count("COMPLETE") == 6
    assert [trial.number for trial in job.trials if trial.state == TrialState.FAIL] == [0]
    assert len(job.started()) == 7


def test_best_and_default_are_compared_and_run_again_with_new_seeds(tmp_path, monkeypatch):
    body = "seed = int(ini['base']['seed'])\nrate += 1e-5 * seed"
    job = Sweep(tmp_path, monkeypatch, body, trials=3, workers=2, start_from_default=True, confirm=2)
    job.run()
    assert job.states() == ["COMPLETE"] * 7
    assert job.trials[0].params == {"train.learning_rate": 2e-5, "train.time_limit": 100.0}
    again = [(trial.user_attrs["confirm"], trial.user_attrs["seed"]) for trial in job.trials[3:]]
    assert sorted(again) == [("best", 2), ("best", 3), ("default", 2), ("default", 3)]
    by_role = {role: [t for t in job.trials[3:] if t.user_attrs["confirm"] == role] for role in ("best", "default")}
    first, second = by_role["default"]
    assert second.value - first.value == pytest.approx(-0.1)  # the stand-in's score falls with the seed
    for place in (job.out.getvalue(), (tmp_path / "s" / "report.html").read_text()):
        assert "beats the default" in place
        assert "On 2 new seeds" in place
    assert "best again" in (tmp_path / "s" / "report.html").read_text()
    job.run()
    assert len(job.trials) == 7


def test_a_default_outside_the_ranges_is_told_before_the_first_trial(tmp_path, monkeypatch):
    job = Sweep(tmp_path, monkeypatch, start_from_default=True)
    job.ini.write_text(INI.replace("min = 1e-5", "min = 1e-4"))
    with pytest.raises(InputError, match=r"start_from_default.*learning_rate"):
        job.run()
    assert job.started() == []


WATCHED = """
with open(os.path.join(folder, "metrics.jsonl"), "w") as file:
    for part in (0.1, 0.5):
        score = 1.0 if rate < 1e-3 else 99.0
        file.write(json.dumps({"step": int(100 * part), "seconds": limit * part, "eval/mpjpe_all": score}) + "\\n")
if rate >= 1e-3 and limit > 50:
    time.sleep(60)
"""


def fill(job, count):
    """Finished trials of a score of 1 to 2 at every cost."""
    (job.path / "s").mkdir()
    spaces = read_spaces(job.cfg, [job.ini])
    study = open_study(job.cfg, spaces, job.path / "s")
    for number in range(count):
        trial = study.ask({space.name: space.to_distribution() for space in spaces})
        trial.set_user_attr("cost", 100.0)
        trial.set_user_attr("curve", [[1.0, 1.0 + number / count, 1.0]])
        study.tell(trial, 1.0 + number / count)
    return study


def test_a_hopeless_run_is_stopped_and_leaves_what_it_reached(tmp_path, monkeypatch):
    job = Sweep(tmp_path, monkeypatch, WATCHED, trials=15, early_stop=True)
    study = fill(job, 12)
    study.enqueue_trial({"train.learning_rate": 1e-2, "train.time_limit": 80.0})
    job.cfg = replace(job.cfg, sweep=replace(job.cfg.sweep, trials=13))
    monkeypatch.setattr("puffer_phc.sweeps.monitor.may_be_stopped", lambda trial: True)  # queued runs are spared
    job.run()
    trial = job.trials[12]
    assert (trial.state, trial.value, trial.user_attrs["cost"]) == (TrialState.PRUNED, 99.0, 40.0)
    assert trial.intermediate_values == {10: 99.0, 50: 99.0}
    assert trial.user_attrs["curve"] == [[8.0, 99.0, 8.0], [40.0, 99.0, 40.0]]
    assert "stopped as hopeless at score 99, cost 40" in job.out.getvalue()
    assert "1 were stopped as hopeless" in (tmp_path / "s" / "report.html").read_text()


def test_other_runs_are_left_alone_and_leave_their_curves(tmp_path, monkeypatch):
    job = Sweep(tmp_path, monkeypatch, WATCHED, trials=13, early_stop=True)
    fill(job, 12).enqueue_trial({"train.learning_rate": 1e-4, "train.time_limit": 80.0})
    job.run()
    trial = job.trials[12]
    assert trial.state == TrialState.COMPLETE
    assert trial.user_attrs["curve"] == [[8.0, 1.0, 8.0], [40.0, 1.0, 40.0]]  # the end is the trial's value
    assert trial.user_attrs["cost"] == 80.0


def test_trials_of_a_sweep_stand_together_in_weights_and_biases(tmp_path, monkeypatch):
    body = "names = ('RUN_GROUP', 'JOB_TYPE', 'NAME')\n"
    body += "open(folder + '/wandb', 'w').write(' '.join(os.environ.get('WANDB_' + name, '-') for name in names))"
    job = Sweep(tmp_path, monkeypatch, body, trials=1)
    job.run()
    assert (tmp_path / "s" / "trials" / "0000" / "wandb").read_text() == "- - -"
    tracked = replace(
        job.cfg, base=replace(job.cfg.base, track=True), sweep=replace(job.cfg.sweep, trials=2, confirm=1)
    )
    job.cfg = tracked
    job.run()
    told = [(tmp_path / "s" / "trials" / name / "wandb").read_text() for name in ("0001", "0002")]
    assert told == ["s sweep s-0001", "s sweep-confirm s-0002"]
