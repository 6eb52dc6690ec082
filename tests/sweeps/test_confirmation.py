"""The default configuration as a trial, and the runs with new seeds that guard against luck."""

from dataclasses import replace

import optuna
import pytest
import torch
from optuna.trial import TrialState

from puffer_phc.config import BaseConfig, Config, SweepConfig, TrainConfig
from puffer_phc.errors import InputError
from puffer_phc.sweeps.confirmation import (
    confirmation,
    default_params,
    queue_confirmations,
    queue_default,
    verdict,
)
from puffer_phc.sweeps.results import best_trial
from puffer_phc.sweeps.spaces import Space
from puffer_phc.sweeps.study import SEED, reoffer, wanted

CPU = torch.device("cpu")
RATE = Space("train.learning_rate", "log", 1e-6, 1e-1, 1e-3)
CFG = Config(base=BaseConfig(seed=7), sweep=SweepConfig(confirm=2))


@pytest.fixture
def study():
    return optuna.create_study(direction="minimize", sampler=optuna.samplers.RandomSampler(seed=0))


def ask(study):
    return study.ask({RATE.name: RATE.to_distribution()})


def finish(study, trial, score, cost=10.0):
    trial.set_user_attr("cost", cost)
    study.tell(trial, score)


def searched(study, default=5.0, best=3.0):
    """A search of two trials: the default configuration, and one more."""
    queue_default(study, CFG, [RATE], CPU)
    finish(study, ask(study), default)
    finish(study, ask(study), best)


def confirmed(study, best, default):
    """Scores of the runs with new seeds, in the order of seeds."""
    assert queue_confirmations(study, CFG)
    left = {"best": list(best), "default": list(default)}
    for _ in range(4):
        trial = ask(study)
        finish(study, trial, left[trial.user_attrs["confirm"]].pop(0))


def test_the_first_trial_is_the_default_configuration(study):
    searched(study)
    first, second = study.trials
    assert first.params == {RATE.name: Config().train.learning_rate}
    assert second.params != first.params
    queue_default(study, CFG, [RATE], CPU)
    assert len(study.trials) == 2  # only a new study gets it


@pytest.mark.parametrize(
    ("limit", "low", "high", "expected"), [(0.0, 30, 60, 60.0), (0.0, 30, 600, 180.0), (-1.0, 30, 60, 60.0)]
)
def test_the_default_run_is_as_long_as_its_range_allows(limit, low, high, expected):
    space = Space("train.time_limit", "log", low, high, low)
    assert default_params(Config(train=TrainConfig(time_limit=limit)), [space], CPU) == {space.name: expected}


def test_automatic_defaults_are_those_of_the_device():
    spaces = [
        Space("train.horizon", "pow2", 4, 32, 8, integer=True),
        Space("env.num_envs", "pow2", 128, 1024, 256, integer=True),
    ]
    assert default_params(Config(), spaces, CPU) == {"train.horizon": 8, "env.num_envs": 512}


@pytest.mark.parametrize(
    "space",
    [Space("train.epochs", "linear", 2, 8, 4, integer=True), Space("train.learning_rate", "log", 1e-3, 1e-1, 1e-2)],
)
def test_a_default_outside_the_ranges_is_told(space):
    with pytest.raises(InputError, match=rf"start_from_default.*{space.name}"):
        default_params(Config(), [space], CPU)


def test_best_and_default_run_again_with_new_seeds_once_the_search_is_done(study):
    searched(study)
    running = ask(study)
    assert not queue_confirmations(study, CFG)
    finish(study, running, 9.0)
    assert queue_confirmations(study, CFG)
    assert not queue_confirmations(study, CFG)  # while they wait
    best = best_trial(study)
    again = [ask(study) for _ in range(4)]
    assert sorted((trial.user_attrs["confirm"], trial.user_attrs[SEED]) for trial in again) == [
        ("best", 8),
        ("best", 9),
        ("default", 8),
        ("default", 9),
    ]
    for trial in again:
        wants = best.params if trial.user_attrs["confirm"] == "best" else study.trials[0].params
        assert trial.params == wants
        finish(study, trial, 0.1)
    assert not queue_confirmations(study, CFG)
    assert best_trial(study).number == best.number  # lucky repetitions never become the best
    assert not wanted(study, 3)
    assert wanted(study, 4)  # nor do they count as trials of the search


def test_a_killed_repetition_is_queued_again_as_what_it_was(study):
    searched(study)
    queue_confirmations(study, CFG)
    lost = ask(study)
    assert reoffer(study, lost.number, "killed", retries=2)
    again = next(trial for trial in study.trials if trial.user_attrs.get("retry_of") == lost.number)
    assert again.user_attrs["confirm"] == lost.user_attrs["confirm"]
    assert again.user_attrs[SEED] == lost.user_attrs[SEED]
    for _ in range(4):
        finish(study, ask(study), 1.0)
    assert not queue_confirmations(study, CFG)


def test_a_new_best_is_confirmed_anew(study):
    searched(study)
    confirmed(study, [3.0, 3.1], [5.0, 5.1])
    finish(study, ask(study), 1.0)
    assert confirmation(study) is None
    assert queue_confirmations(study, CFG)
    assert [trial.system_attrs["fixed_params"] for trial in study.trials if trial.state == TrialState.WAITING] == [
        best_trial(study).params
    ] * 2  # the default's runs are there


def test_without_a_default_only_the_best_runs_again(study):
    finish(study, ask(study), 1.0)
    assert queue_confirmations(study, CFG)
    assert len(study.trials) == 3
    assert "nothing says" in verdict(study, CFG)[0]


def test_a_default_that_is_the_best_needs_no_confirmation(study):
    searched(study, default=1.0, best=2.0)
    assert not queue_confirmations(study, CFG)
    assert verdict(study, CFG) == ["No trial beats the default configuration (eval/mpjpe_all 1)."]


def test_none_are_run_if_none_are_wanted(study):
    searched(study)
    assert not queue_confirmations(study, replace(CFG, sweep=replace(CFG.sweep, confirm=0)))
    assert "may be luck" in verdict(study, CFG)[-1]


@pytest.mark.parametrize(
    ("best", "default", "words"),
    [
        ([3.0, 3.2], [5.0, 5.1], "Confirmed: the best beats the default by 1.95"),
        ([3.0, 5.2], [5.0, 5.1], "Not confirmed: the difference is 0.95"),
        ([7.0, 7.2], [5.0, 5.1], "Refuted: the best is worse than the default, by 2.05"),
    ],
)
def test_the_verdict_is_honest(study, best, default, words):
    searched(study)
    assert verdict(study, CFG)[0].startswith("The best, trial 1, beats the default configuration by 2 in the search")
    confirmed(study, best, default)
    assert words in verdict(study, CFG)[-1]
    assert "On 2 new seeds" in verdict(study, CFG)[-1]


def test_the_gain_is_of_pairs_of_equal_seeds(study):
    searched(study)
    confirmed(study, [3.0, 3.2], [5.0, 5.1])
    found = confirmation(study)
    assert (found.best, found.default) == ((3.0, 3.2), (5.0, 5.1))
    assert found.gain == pytest.approx(1.95)
    assert found.half == pytest.approx(12.706 * 0.05, rel=0.02)  # Student's quantile x the error of the mean
