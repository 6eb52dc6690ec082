"""Protein: its candidates, its figure of merit, and how it does on studies."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

optuna = pytest.importorskip("optuna")

from optuna.trial import TrialState  # noqa: E402

from puffer_phc.errors import InputError  # noqa: E402
from puffer_phc.sweeps.history import History  # noqa: E402
from puffer_phc.sweeps.protein import ProteinSampler, ProteinSettings, box, merit  # noqa: E402
from puffer_phc.sweeps.spaces import Space, points_of  # noqa: E402

SPACES = (
    Space("steps", "log", 1e3, 1e6, center=3e3, integer=True),
    Space("rate", "log", 1e-5, 1e-1, center=1e-4),
    Space("decay", "logit", 0.0, 1.0, center=0.5),
)
LINE = (Space("a", "linear", 0, 10, 1),)


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def column(*values):
    return torch.tensor(values, dtype=torch.float64)


def new_study(direction="maximize", curve_parameter=None, spaces=SPACES, **settings):
    sampler = ProteinSampler(spaces, ProteinSettings(**settings), curve_parameter)
    return optuna.create_study(direction=direction, sampler=sampler)


def ask(study):
    return study.ask(study.sampler.distributions)


def sweep(study, count, sign=1.0):
    """Scores grow with the steps and are best at a rate of 1e-3; a run costs its steps."""
    for _ in range(count):
        trial = ask(study)
        trial.set_user_attr("cost", float(trial.params["steps"]))
        miss = math.log10(trial.params["rate"] / 1e-3) ** 2 + (trial.params["decay"] - 0.5) ** 2
        study.tell(trial, sign * (math.log10(trial.params["steps"]) - miss))
    return study


def kinds(study):
    return [trial.system_attrs["carbs"]["kind"] for trial in study.get_trials(deepcopy=False)]


def test_the_figure_of_merit():
    found = merit(column(1.0, 1.0, 0.5, -0.2), column(0.5, 1.0, 0.5, 0.5), target=0.5)
    assert found.tolist() == pytest.approx([1.0, 0.5, 0.5, 0.0])
    assert merit(column(1.0), column(-2.0), target=0.0).item() == 0.0


def test_candidates_fill_a_box_around_each_origin_held_within_the_bounds():
    origins = points_of(LINE, [[0.5], [5.0]])
    found = box(origins, LINE, 1.0, 4000, np.random.default_rng(0)).squeeze(1)
    near, far = found[found < 3.0], found[found > 3.0]
    assert 0.0 < near.min() < 1e-4  # a quarter of the box lies outside and is held at the edge, which is no value
    assert (near < 1e-4).double().mean() == pytest.approx(0.25, abs=0.03)
    assert near.max() == pytest.approx(1.5, abs=0.01)
    assert (far.min(), far.max()) == (pytest.approx(4.0, abs=0.01), pytest.approx(6.0, abs=0.01))
    assert far.std() == pytest.approx(1 / 3**0.5, abs=0.02)


@pytest.mark.parametrize(("target", "chosen"), [(0.0, 0.5), (0.8, 0.9), (1.25, 1.25)])
def test_where_score_and_cost_rise_together_the_choice_lies_between_target_and_dearest(target, chosen):
    """The maximum of c (1 - |t - c|) is at (1 + t) / 2 up to t = 1, and at t beyond: the search climbs."""
    cost = torch.linspace(0.0, 2.0, 2001, dtype=torch.float64)
    assert cost[merit(cost, cost, target).argmax()].item() == pytest.approx(chosen, abs=1e-3)


def test_a_choice_by_models():
    """Score and log cost rise along the line from 1 to 6; the cheapest target wants the middle."""
    along, none = column(*range(1, 7)), torch.zeros(0, 1, dtype=torch.float64)
    known = History(along.unsqueeze(1), along, 10**along, none, none, 0, 6)
    sampler = ProteinSampler(LINE, ProteinSettings(reach=1e-9))
    for seed in range(3):
        found = sampler.propose(known, LINE, np.random.default_rng(seed))
        assert found.point.item() == pytest.approx(3.5, abs=0.1)
        assert math.log10(found.cost) == pytest.approx(3.5, abs=0.1)


def test_the_first_trial_is_the_centre_then_models():
    study = sweep(new_study(), 5)
    assert kinds(study) == ["center", "random", *["model"] * 3]
    assert study.trials[0].params == {"steps": 3000, "rate": pytest.approx(1e-4), "decay": 0.5}


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_search_improves_and_climbs_the_cost_axis(direction):
    sign = 1.0 if direction == "maximize" else -1.0
    study = sweep(new_study(direction), 25, sign)
    assert sign * (study.best_value - study.trials[0].value) > 1.5
    assert study.best_trial.params["steps"] > 10 * study.trials[0].params["steps"]
    assert 1e-4 < study.best_trial.params["rate"] < 1e-2


def test_minimising_is_maximising_the_negative():
    up, down = sweep(new_study("maximize"), 8), sweep(new_study("minimize"), 8, -1.0)
    assert [trial.params for trial in up.trials] == [trial.params for trial in down.trials]


def test_suggestions_stay_below_the_cost_limit():
    study = sweep(new_study(max_cost=20_000.0), 12)
    claims = [trial.system_attrs["carbs"] for trial in study.trials][2:]
    assert all(claim["cost"] < 20_000.0 for claim in claims)
    too_dear = replace(study.sampler.settings, max_cost=1.0)
    study.sampler = ProteinSampler(SPACES, too_dear)
    ask(study)
    assert kinds(study)[-1] == "fallback"


def test_failures_count_with_the_worst_score():
    def rate_after(failures):
        study = sweep(new_study(), 3)
        for _ in range(failures):
            study.enqueue_trial({"steps": 1_000_000, "rate": 1e-3, "decay": 0.5})
            study.tell(ask(study), state=TrialState.FAIL)
        return [ask(study).params["steps"] for _ in range(8)]

    assert max(rate_after(6)) < max(rate_after(0))


def test_pending_points_are_distinct():
    study = new_study(spaces=[Space(name, "linear", 1, 3, 2, integer=True, scale=3) for name in "ab"])
    points = [tuple(ask(study).params.values()) for _ in range(8)]
    assert len(set(points)) == 8


def test_curves_are_observations_and_the_models_see_a_part_of_many():
    study = new_study(curve_parameter="steps", max_points=20)
    for number in range(6):
        trial = ask(study)
        steps = trial.params["steps"]
        trial.set_user_attr("cost", float(steps))
        curve = [[steps * part / 10, math.log10(steps * part / 10), steps * part / 10] for part in range(1, 10)]
        trial.set_user_attr("curve", curve)
        study.tell(trial, math.log10(steps))
        assert number == 0 or kinds(study)[number] in ("random", "model")
    assert kinds(study)[-1] == "model"


@pytest.mark.parametrize("fields", [{"seed": -1}, {"half_width": 0.0}, {"max_cost": 0.0}, {"candidates": 0}])
def test_settings_that_make_no_sense_are_errors(fields):
    with pytest.raises(InputError, match="protein settings"):
        ProteinSettings(**fields)
