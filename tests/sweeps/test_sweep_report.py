"""The report's page: what it says, and that it needs no other file."""

import re
from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState

from puffer_phc.config import Config, SweepConfig
from puffer_phc.sweeps.plots import front_plot, importance_plot, parallel_plot
from puffer_phc.sweeps.report import report
from puffer_phc.sweeps.spaces import Space

CFG = Config(sweep=SweepConfig(metric="eval/mpjpe_all", goal="minimize"))
SPACES = [
    Space("train.learning_rate", "log", 1e-6, 1e-2, center=1e-4),
    Space("train.epochs", "linear", 1, 8, center=2, scale=3, integer=True),
]


@pytest.fixture
def study():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="minimize", study_name="walk <1>")


def tell(study, score, cost, rate=1e-4, epochs=2, **attrs):
    """A finished trial; failed without a score."""
    study.enqueue_trial({"train.learning_rate": rate, "train.epochs": epochs})
    trial = study.ask({space.name: space.to_distribution() for space in SPACES})
    for name, value in {"cost": cost, **attrs}.items():
        trial.set_user_attr(name, value)
    study.tell(trial, score, state=TrialState.FAIL if score is None else None)


def label(svg):
    return re.search(r'aria-label="([^"]*)"', svg).group(1)


def rows(page):
    """Texts of the cells of the trials' table."""
    body = page.rpartition("<tbody>")[2].partition("</tbody>")[0]
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in body.split("</tr>") if row]


def test_the_front_is_told_in_words_and_drawn_in_the_colours_of_the_page(study):
    for score, cost in ((50.0, 10.0), (60.0, 20.0), (40.0, 30.0)):
        tell(study, score, cost)
    svg = front_plot(study, "eval/mpjpe_all", "seconds")
    assert label(svg) == "eval/mpjpe_all over cost (seconds) of 3 trials. Pareto front: 50 at 10, 40 at 30"
    assert {"var(--s0)", "var(--s1)", "currentColor"} <= set(re.findall(r"var\(--s\d\)|currentColor", svg))


def test_importance_goes_from_the_greatest_down():
    assert label(importance_plot({"a": 0.25, "b": 0.75})).endswith("b 75%, a 25%")


def test_parallel_coordinates_name_the_best(study):
    for score, epochs in ((50.0, 2), (60.0, 3), (40.0, 5)):
        tell(study, score, 1.0, epochs=epochs)
    svg = parallel_plot(study, SPACES)
    assert "The best: train.learning_rate 0.0001, train.epochs 5" in label(svg)
    assert {"train.learning_rate", "train.epochs", "best, trial 2"} <= set(re.findall(r">([^<]+)</text>", svg))


def test_the_table_has_every_trial_with_its_error(study):
    tell(study, 50.0, 10.0, rate=2e-5, folder="trials/0000")
    tell(study, None, 3.0, error="RuntimeError: <nan>", failure="crash")
    tell(study, 45.0, 20.0)
    tell(study, 47.0, 30.0)
    found = rows(report(study, CFG, SPACES))
    assert found[0] == ["0", "on the front", "50", "10", "2e-05", "2", "queued", "trials/0000"]
    assert found[1] == ["1", "failed", "", "3", "0.0001", "2", "queued", "RuntimeError: &lt;nan&gt;"]
    assert [row[1] for row in found] == ["on the front", "failed", "best", "ended"]


def test_the_page_stands_alone(study):
    for number in range(5):
        tell(study, 50.0 - number, 10.0 + number, rate=10.0 ** (-5 + 0.5 * number))
    page = report(study, CFG, SPACES)
    assert page.count("<svg") == page.count('role="img"') == 3
    assert "<h1>Sweep walk &lt;1&gt;</h1>" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "prefers-color-scheme: dark" in page


def test_best_and_default_stand_seed_by_seed(study):
    tell(study, 50.0, 10.0, default=True)
    tell(study, 40.0, 10.0, rate=1e-3)
    for seed, best, default in ((2, 41.0, 51.0), (3, 42.5, 50.5)):
        tell(study, best, 10.0, rate=1e-3, confirm="best", seed=seed)
        tell(study, default, 10.0, confirm="default", seed=seed)
    page = report(study, CFG, SPACES)
    assert "the best scores 41.75 (41 to 42.5), the default 50.75 (50.5 to 51)" in page
    assert "<td>41</td><td>51</td><td>-10</td>" in page


def test_repetitions_say_nothing_about_importance(study):
    """Four lucky repetitions of one point would make its parameters the most important."""
    for number in range(12):
        tell(study, 50.0 + number, 10.0, rate=10.0 ** (-5 + 0.2 * number), epochs=1 + number % 8)
    before = re.search(r"Importance of the parameters: [^\"]*", report(study, CFG, SPACES)).group(0)
    for seed in range(4):
        tell(study, 1.0, 10.0, rate=1e-2, epochs=8, confirm="best", seed=seed)
    assert before in report(study, CFG, SPACES)


def test_a_sweep_without_a_success_has_a_page_too(study):
    tell(study, None, 0.0, error="killed", failure="infra")
    page = report(study, replace(CFG, sweep=replace(CFG.sweep, method="tpe")), SPACES)
    assert "0 trials succeeded" in page
    assert "killed" in page
    assert "<svg" not in page
