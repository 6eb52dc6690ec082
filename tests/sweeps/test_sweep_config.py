"""Which parameters ini files describe, and what they cannot: told with section and key before anything runs."""

from pathlib import Path

import pytest
from rich.console import Console

from puffer_phc.cli import ini_files, main, parse
from puffer_phc.config import ROOT, Config
from puffer_phc.config_files import load_ini, to_ini
from puffer_phc.errors import InputError
from puffer_phc.sweeps.driver import sweep
from puffer_phc.sweeps.sweep_config import read_spaces, with_values

GOOD = "distribution = log_normal\nmin = 1e-5\nmax = 1e-1\n"
RATE = "sweep.parameters.train.parameters.learning_rate"


def write(tmp_path, text, name="sweep.ini"):
    path = tmp_path / name
    path.write_text(text)
    return path


def space(tmp_path, section, text):
    (found,) = read_spaces(Config(), [write(tmp_path, f"[{section}]\n{text}")])
    return found


def test_the_shipped_parameters():
    spaces = {space.name: space for space in read_spaces(Config(), ini_files([]))}
    assert {"train.time_limit", "train.target_kl", "policy.log_std", "env.action_lead"} <= set(spaces)
    assert spaces["train.gamma"].kind == "logit"
    assert spaces["train.learning_rate"].center == Config().train.learning_rate


@pytest.mark.parametrize("section", [RATE, "sweep.train.learning_rate"])
@pytest.mark.parametrize("center", ["mean", "center"])
def test_both_layouts(tmp_path, section, center):
    found = space(tmp_path, section, f"{GOOD}{center} = 1e-4\nscale = 0.5\n")
    assert (found.name, found.kind, found.low, found.high) == ("train.learning_rate", "log", 1e-5, 1e-1)
    assert (found.center, found.scale, found.integer) == (1e-4, 0.5, False)


@pytest.mark.parametrize(
    ("section", "text", "kind", "center", "scale", "integer"),
    [
        ("sweep.train.learning_rate", GOOD, "log", 1e-3, 1.0, False),
        ("sweep.train.gamma", "distribution = logit_normal\nmin = 0.9\nmax = 0.99", "logit", None, None, False),
        ("sweep.train.minibatches", "distribution = uniform_pow2\nmin = 1\nmax = 16", "pow2", 4, None, True),
        ("sweep.train.epochs", "distribution = int_uniform\nmin = 1\nmax = 4", "linear", 2, 3.0, True),
        ("sweep.train.epochs", "distribution = uniform\nmin = 1\nmax = 41", "linear", 21, 10.0, True),
        ("sweep.policy.log_std", "distribution = uniform\nmin = -4\nmax = -2\nscale = time", "linear", -3, None, False),
    ],
)
def test_what_is_left_out_is_chosen(tmp_path, section, text, kind, center, scale, integer):
    found = space(tmp_path, section, text)
    assert (found.kind, found.integer) == (kind, integer)
    assert found.low < found.center < found.high
    assert center is None or found.center == pytest.approx(center)
    assert scale is None or found.scale == pytest.approx(scale)


def test_the_last_file_with_parameters_counts(tmp_path):
    mine = write(tmp_path, f"[{RATE}]\n{GOOD}")
    more = write(tmp_path, "[train]\nepochs = 2\n", "more.ini")
    assert [space.name for space in read_spaces(Config(), [ROOT / "config.ini", mine, more])] == ["train.learning_rate"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"[sweep.train.learning_rat]\n{GOOD}", ["[sweep.train.learning_rat]", "'learning_rat'", "learning_rate"]),
        (f"[sweep.trian.gamma]\n{GOOD}", ["[sweep.trian.gamma]", "train"]),
        (f"[sweep.base.seed]\n{GOOD}", ["[sweep.base.seed]"]),
        (f"[sweep.train]\n{GOOD}", ["[sweep.train]"]),
        (f"[sweep.policy.kind]\n{GOOD}", ["[sweep.policy.kind]", "no number"]),
        (f"[{RATE}]\n{GOOD}step = 2\n", [f"[{RATE}]", "'step'"]),
        (f"[{RATE}]\nmin = 1\nmax = 2\n", [f"[{RATE}]", "distribution"]),
        (f"[{RATE}]\ndistribution = uniform\nmin = 1\n", [f"[{RATE}]", "max"]),
        (f"[{RATE}]\ndistribution = normal\nmin = 1\nmax = 2\n", [f"[{RATE}]", "distribution = normal", "log_normal"]),
        (f"[{RATE}]\ndistribution = log_normal\nmin = 1\nmax = 0.1\n", [f"[{RATE}]", "min = 1", "max = 0.1"]),
        (f"[{RATE}]\ndistribution = log_normal\nmin = 0\nmax = 0.1\n", [f"[{RATE}]", "min = 0", "logarithm"]),
        (f"[{RATE}]\ndistribution = log_normal\nmin = x\nmax = 0.1\n", [f"[{RATE}]", "min = x"]),
        (f"[{RATE}]\ndistribution = log_normal\nmin = 1\nmax = inf\n", [f"[{RATE}]", "max = inf"]),
        (f"[{RATE}]\n{GOOD}mean = 1\n", [f"[{RATE}]", "mean = 1", "outside"]),
        (f"[{RATE}]\n{GOOD}scale = 0\n", [f"[{RATE}]", "scale = 0"]),
        (f"[{RATE}]\n{GOOD}scale = wide\n", [f"[{RATE}]", "scale = wide"]),
        (f"[{RATE}]\ndistribution = int_uniform\nmin = 1\nmax = 2\n", [f"[{RATE}]", "int_uniform"]),
        (f"[{RATE}]\n{GOOD}[sweep.train.learning_rate]\n{GOOD}", ["once more", "[sweep.train.learning_rate]"]),
        ("[sweep.train.gamma]\ndistribution = logit_normal\nmin = 0.5\nmax = 2\n", ["[sweep.train.gamma]", "max = 2"]),
        ("[sweep.train.gamma]\ndistribution = uniform\nmin = 0.5\nmax = 2\n", ["[sweep.train.gamma]", "max = 2"]),
        ("[sweep.train.epochs]\ndistribution = uniform\nmin = 1.5\nmax = 4\n", ["[sweep.train.epochs]", "whole"]),
        ("[sweep.train.minibatches]\ndistribution = uniform_pow2\nmin = 3\nmax = 8\n", ["minibatches]", "powers"]),
        ("[sweep]\nmetrik = a\n", ["[sweep]", "'metrik'", "metric"]),
        ("[sweep.metric]\nnam = a\n", ["[sweep.metric]", "'nam'"]),
        ("[sweep]\nmethod = bayes\n", ["[sweep]", "method = bayes", "carbs"]),
        ("[sweep.metric]\ngoal = up\n", ["goal = up", "maximize"]),
        ("[sweep]\nconfirm = -1\n", ["confirm", "0 for never"]),
        ("[sweep]\ntrials = 0\n", ["trials", "1 or more"]),
    ],
)
def test_mistakes_are_one_line_and_code_2_before_the_first_trial(tmp_path, capsys, text, words):
    path = write(tmp_path, text)
    code = main(["--mode", "sweep", "--config", str(path), "--output", str(tmp_path / "out"), "--device", "cpu"])
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert line.startswith("error: ")
    for word in words:
        assert word in line
    assert not (tmp_path / "out").exists()


def test_bad_sections_named_by_code(tmp_path):
    with pytest.raises(InputError, match="nothing to search"):
        read_spaces(Config(), [])
    with pytest.raises(InputError, match="--resume"):
        sweep(with_values(Config(), {"base.resume": "run"}), Console(), [])


def test_the_metric_may_have_a_section_of_its_own(tmp_path):
    path = write(tmp_path, "[sweep.metric]\nname = eval/success_rate\ngoal = maximize\n")
    found = load_ini(Config(), path).sweep
    assert (found.metric, found.goal) == ("eval/success_rate", "maximize")
    assert parse(["--config", str(path), "--sweep.goal", "minimize"]).sweep.goal == "minimize"


def test_options_written_as_an_ini_file_are_read_back(tmp_path):
    cfg = with_values(Config(), {"train.gamma": 1 / 3, "policy.hidden": (8, 16), "env.shard": True, "base.name": "a b"})
    path = write(tmp_path, to_ini(cfg))
    assert load_ini(Config(), path) == cfg
    assert load_ini(Config(), Path(write(tmp_path, to_ini(cfg, leave_out=("base",))))).base == Config().base
