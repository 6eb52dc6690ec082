"""The sampler on Optuna studies: where it starts, what it avoids, and how workers share a storage."""

import importlib
import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

optuna = pytest.importorskip("optuna")

from optuna.trial import TrialState, create_trial  # noqa: E402

from puffer_phc.errors import InputError  # noqa: E402
from puffer_phc.sweeps.carbs import CarbsSampler  # noqa: E402
from puffer_phc.sweeps.settings import CarbsSettings  # noqa: E402
from puffer_phc.sweeps.spaces import Space  # noqa: E402

SPACES = (
    Space("steps", "log", 1e3, 1e6, center=3e3, integer=True),
    Space("rate", "log", 1e-5, 1e-1, center=1e-4),
    Space("batch", "pow2", 8, 512, center=32, integer=True),
)


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def new_study(direction="maximize", seed=0, storage=None, spaces=SPACES, **options):
    names = ("reference", "curve_parameter")
    settings = CarbsSettings(seed=seed, **{k: v for k, v in options.items() if k not in names})
    sampler = CarbsSampler(spaces, settings, **{k: v for k, v in options.items() if k in names})
    return optuna.create_study(direction=direction, sampler=sampler, storage=storage)


def ask(study):
    return study.ask(study.sampler.distributions)


def run(study, trial, sign=1.0, noise=0.0):
    """A run whose score grows with its steps, best at a rate of 1e-3; it costs what it steps."""
    miss = math.log10(trial.params["rate"] / 1e-3) ** 2
    score = math.log10(trial.params["steps"]) - miss + noise * np.random.default_rng(trial.number).standard_normal()
    trial.set_user_attr("cost", float(trial.params["steps"]))
    study.tell(trial, sign * score)


def sweep(study, count, **how):
    for _ in range(count):
        run(study, ask(study), **how)
    return study


def claims(study):
    return [trial.system_attrs["carbs"] for trial in study.get_trials(deepcopy=False)]


def copied(study, **options):
    """A study of the same direction that holds the same trials."""
    other = new_study(direction=study.direction.name.lower(), **options)
    other.add_trials(study.get_trials(deepcopy=False))
    return other


def test_the_first_trial_is_the_centre():
    study = new_study()
    assert ask(study).params == {"steps": 3000, "rate": pytest.approx(1e-4), "batch": 32}
    assert claims(study)[0]["kind"] == "center"


def test_the_published_version_starts_anywhere_near_the_centre():
    study = new_study(reference=True)
    trial = ask(study)
    assert claims(study)[0]["kind"] == "random"
    assert trial.params["rate"] != pytest.approx(1e-4)


def test_random_trials_stay_around_the_centre_until_enough_succeed():
    study = new_study(reference=True, random_trials=100, seed=5)
    rates = np.log10([ask(study).params["rate"] for _ in range(100)])
    assert rates.mean() == pytest.approx(-4.0, abs=0.1)
    assert rates.std() == pytest.approx(0.3, abs=0.07)


def test_models_are_asked_once_enough_trials_succeeded_and_failures_do_not_count():
    study = new_study()
    for number in range(5):
        trial = ask(study)
        if number == 1:
            study.tell(trial, state=TrialState.FAIL)
        else:
            run(study, trial)
    ask(study)
    assert [claim["kind"] for claim in claims(study)] == ["center", *["random"] * 4, "model"]


def test_every_fifth_success_is_repeated_at_the_cheapest_least_tried_point_of_the_front():
    study = sweep(new_study(), 14)
    kinds = [claim["kind"] for claim in claims(study)]
    assert [number for number, kind in enumerate(kinds) if kind == "resample"] == [6, 11]
    points = [tuple(trial.params.values()) for trial in study.trials]
    assert points[6] in points[:6]
    assert points[11] in points[:11]
    assert points[11] != points[6]


def test_without_repetitions_no_point_comes_twice():
    study = sweep(new_study(resample_every=0), 14)
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 14


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_search_improves_and_climbs_the_cost_axis(direction):
    sign = 1.0 if direction == "maximize" else -1.0
    study = sweep(new_study(direction), 25, sign=sign, noise=0.02)
    start, best = study.trials[0], study.best_trial
    assert sign * (best.value - start.value) > 2.0
    assert best.params["steps"] > 100_000
    assert 3e-4 < best.params["rate"] < 3e-3


def test_minimising_is_maximising_the_negative():
    up, down = sweep(new_study("maximize"), 10), sweep(new_study("minimize"), 10, sign=-1.0)
    assert [trial.params for trial in up.trials] == [trial.params for trial in down.trials]


@pytest.mark.parametrize("reference", [False, True])
def test_same_study_and_number_give_the_same_suggestion(reference):
    study = sweep(new_study(), 7)
    twins = [copied(study, reference=reference, seed=3) for _ in range(2)]
    suggestions = [ask(twin).params for twin in twins]
    assert suggestions[0] == suggestions[1]
    assert ask(copied(study, reference=reference, seed=4)).params != suggestions[0]


def test_no_global_random_state_is_touched():
    import torch

    study = sweep(new_study(), 6)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = torch.get_rng_state().clone(), np.random.get_state()[1].copy()  # noqa: NPY002
    ask(study)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_suggestions_stay_below_the_cost_limit():
    study = sweep(new_study(max_cost=20_000.0), 20)
    models = [claim for claim in claims(study) if claim["kind"] == "model"]
    assert len(models) > 10
    assert all(claim["cost"] < 20_000.0 for claim in models)
    assert max(trial.user_attrs["cost"] for trial in study.trials) < 30_000.0  # predictions are not exact


def test_where_everything_is_too_dear_the_cheapest_candidate_runs_and_says_so():
    study = sweep(new_study(resample_every=0), 6)
    limited = copied(study, max_cost=1.0, resample_every=0)
    steps = ask(limited).params["steps"]
    claim = claims(limited)[-1]
    assert (claim["kind"], "cost" in claim["fallback"]) == ("fallback", True)
    assert steps < min(trial.params["steps"] for trial in study.trials)


def test_the_published_version_then_runs_at_random():
    study = sweep(new_study(resample_every=0), 6)
    limited = copied(study, max_cost=1.0, resample_every=0, reference=True)
    ask(limited)
    assert (claims(limited)[-1]["kind"], claims(limited)[-1]["cost"]) == ("fallback", None)


def failures_above(study, rate, **attrs):
    for _ in range(30):
        trial = ask(study)
        if trial.params["rate"] > rate:
            for name, value in attrs.items():
                trial.set_user_attr(name, value)
            study.tell(trial, state=TrialState.FAIL)
        else:
            run(study, trial)
    return sum(trial.state == TrialState.FAIL for trial in study.trials)


def test_where_runs_failed_few_more_are_sent():
    """Rates above 3e-4 fail, and the best is 1e-3: a search that does not learn from failures insists on it."""
    assert failures_above(new_study(), 3e-4) <= 9
    assert failures_above(new_study(), 3e-4, failure="infra") > 15  # the machine's failures teach nothing


def test_pending_points_of_one_process_are_distinct():
    study = sweep(new_study(), 11)
    points = [tuple(ask(study).params.values()) for _ in range(10)]
    assert len(set(points)) == 10


@pytest.mark.parametrize("center_first", [True, False])
def test_workers_that_ask_at_once_never_get_the_same_point(tmp_path, center_first):
    """All begin with the centre at the same instant, from a space of few whole numbers."""
    spaces = (Space("a", "linear", 1, 6, 3, integer=True), Space("b", "linear", 1, 6, 3, integer=True))
    storage = f"sqlite:///{tmp_path}/study.db"
    study = new_study(spaces=spaces, storage=storage, center_first=center_first)
    workers, rounds = 4, 2
    barrier = Barrier(workers)

    def work(seed):
        own = optuna.load_study(study_name=study.study_name, storage=storage, sampler=study.sampler)
        for _ in range(rounds):
            barrier.wait()
            ask(own)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    points = [tuple(trial.params.values()) for trial in study.trials]
    assert len(points) == workers * rounds
    assert len(set(points)) == len(points)


def test_enqueued_parameters_are_run_as_they_are():
    study = new_study()
    fixed = {"steps": 5000, "rate": 0.01, "batch": 64}
    study.enqueue_trial(fixed)
    assert ask(study).params == fixed
    assert ask(study).params["steps"] == 3000


def test_parameters_enqueued_in_part_are_announced_with_the_rest():
    study = new_study()
    study.enqueue_trial({"steps": 5000})
    trial = ask(study)
    assert trial.params == {"steps": 5000, "rate": pytest.approx(1e-4), "batch": 32}
    assert claims(study)[0]["params"] == trial.params


def test_parameters_may_be_suggested_one_by_one():
    study = new_study()
    trial = study.ask()
    assert trial.suggest_float("rate", 1e-5, 1e-1, log=True) == pytest.approx(1e-4)
    assert trial.suggest_categorical("kind", ["a", "b"]) in ("a", "b")
    other = ask(study)
    assert other.params["rate"] != pytest.approx(1e-4)  # the first one is announced before it is complete
    assert trial.suggest_int("steps", 1000, 1_000_000, log=True) == 3000


def test_without_spaces_ranges_come_from_the_trials():
    study = optuna.create_study(direction="maximize", sampler=CarbsSampler())

    def objective(trial):
        x = trial.suggest_float("x", -4.0, 2.0)
        n = trial.suggest_int("n", 1, 100, log=True)
        trial.set_user_attr("cost", float(n))
        return math.log(n) - x**2

    study.optimize(objective, n_trials=12)
    assert study.trials[0].params == {"x": -1.0, "n": 10}
    assert [claim["kind"] for claim in claims_of_later(study)].count("model") >= 5


def claims_of_later(study):
    return [trial.system_attrs["carbs"] for trial in study.trials if "carbs" in trial.system_attrs]


def test_curves_are_observations():
    """A curve that tells how the score grows with steps lets the first model know it."""
    study = new_study(curve_parameter="steps")
    trial = ask(study)
    trial.set_user_attr("cost", 3000.0)
    trial.set_user_attr("curve", [[1000, 3.0, 1000.0], [2000, 3.3, 2000.0]])
    study.tell(trial, 3.5)
    sweep(study, 3)
    assert ask(study).params["steps"] > 0
    assert claims(study)[-1]["kind"] == "model"


def test_a_trial_without_cost_is_an_error():
    study = new_study()
    study.tell(ask(study), 1.0)
    with pytest.raises(InputError, match="set_user_attr"):
        ask(study)


def test_several_objectives_are_an_error():
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=CarbsSampler(SPACES))
    with pytest.raises(InputError, match="several objectives"):
        ask(study)


@pytest.mark.parametrize("make", [lambda: CarbsSampler([]), lambda: CarbsSampler([SPACES[0], SPACES[0]])])
def test_spaces_need_distinct_names(make):
    with pytest.raises(InputError, match="distinct names"):
        make()


def test_curve_parameter_must_be_searched():
    with pytest.raises(InputError, match="curve_parameter"):
        CarbsSampler(SPACES, curve_parameter="epochs")


@pytest.mark.parametrize(
    "fields",
    [{"seed": -1}, {"radius": 0.0}, {"min_pareto_cost_fraction": 2.0}, {"max_cost": 0.0}, {"pending": "none"}],
)
def test_settings_that_make_no_sense_are_errors(fields):
    with pytest.raises(InputError, match="carbs settings"):
        CarbsSettings(**fields)


def test_a_suggestion_takes_less_than_a_second_at_200_trials():
    study, rng = new_study(resample_every=0), np.random.default_rng(0)
    for _ in range(200):
        params = {
            "steps": int(10 ** rng.uniform(3, 6)),
            "rate": 10 ** rng.uniform(-5, -1),
            "batch": 2 ** rng.integers(3, 9),
        }
        params["batch"] = int(params["batch"])
        value = math.log10(params["steps"]) - math.log10(params["rate"] / 1e-3) ** 2 + 0.1 * rng.standard_normal()
        attrs = {"cost": float(params["steps"])}
        study.add_trial(
            create_trial(params=params, distributions=study.sampler.distributions, value=value, user_attrs=attrs)
        )
    start = time.process_time()
    ask(study)
    assert time.process_time() - start < 1.0


def test_without_optuna_the_remedy_is_told(monkeypatch):
    ours = ("puffer_phc.sweeps.carbs", "puffer_phc.sweeps.point_sampler")
    for name in [name for name in sys.modules if name.split(".")[0] == "optuna" or name in ours]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match="uv sync --extra sweep"):
        importlib.import_module("puffer_phc.sweeps.carbs")
    with pytest.raises(InputError, match="uv sync --extra sweep"):
        SPACES[0].to_distribution()
