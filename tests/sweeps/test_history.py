"""What is read from a study's trials."""

import math

import pytest

optuna = pytest.importorskip("optuna")

from optuna.trial import TrialState, create_trial  # noqa: E402

from puffer_phc.errors import InputError  # noqa: E402
from puffer_phc.sweeps import history  # noqa: E402
from puffer_phc.sweeps.history import Curves, read_history  # noqa: E402
from puffer_phc.sweeps.spaces import Space  # noqa: E402

SPACES = (Space("steps", "log", 1, 1000, 10), Space("rate", "linear", -1, 1, 0))
DISTRIBUTIONS = {space.name: space.to_distribution() for space in SPACES}


def trials(*rows):
    """Rows of state, parameters, score, user attributes and claim, numbered in order."""
    study = optuna.create_study()
    for state, params, value, attrs, claim in rows:
        study.add_trial(
            create_trial(
                state=state,
                params=params,
                distributions={name: DISTRIBUTIONS[name] for name in params},
                value=value,
                user_attrs=attrs,
                system_attrs={"carbs": claim} if claim else {},
            )
        )
    return study.get_trials()


def done(steps, rate, score, **attrs):
    return TrialState.COMPLETE, {"steps": steps, "rate": rate}, score, {"cost": 1.0, **attrs}, None


def failed(**attrs):
    return TrialState.FAIL, {"steps": 100.0, "rate": 0.5}, None, attrs, None


def test_success_failure_and_pending_are_kept_apart():
    rows = trials(
        done(10.0, 0.5, 3.0, cost=7.0),
        failed(),
        done(10.0, 0.25, math.inf),
        (TrialState.RUNNING, {"steps": 1.0, "rate": 0.0}, None, {}, None),
        (TrialState.WAITING, {"steps": 1.0, "rate": 0.0}, None, {}, None),
        failed(failure="infra"),
    )
    known = read_history(rows, SPACES, 1.0, own=99)
    assert known.points.tolist() == [[1.0, 0.5]]
    assert (known.scores.tolist(), known.costs.tolist(), known.trials) == ([3.0], [7.0], 1)
    assert known.failures.tolist() == [[2.0, 0.5], [1.0, 0.25]]
    assert known.pending.tolist() == [[0.0, 0.0]]


def test_curves_of_many_trials_give_fewer_points_each():
    curve = [[float(n), 0.0, float(n)] for n in range(1, 10)]
    rows = trials(*[done(100.0, 0.01 * n, 1.0, curve=curve) for n in range(40)])
    asked, few = Curves("steps", 10), Curves("steps", 3)
    assert len(read_history(rows, SPACES, 1.0, 99, asked).costs) == 400
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "MOST_OBSERVATIONS", 100)
        assert len(read_history(rows, SPACES, 1.0, 99, few).costs) == 80
        known = read_history(rows, SPACES, 1.0, 99, asked)
        assert len(known.costs) == 80
        assert float(known.points[:, 0].max()) == 2.0  # the ends are there
        assert int((known.points[:, 0] == 2.0).sum()) == 40
        patch.setattr(history, "MOST_OBSERVATIONS", 10)
        assert len(read_history(rows, SPACES, 1.0, 99, Curves("steps")).costs) == 40


def test_where_less_is_better_scores_change_sign():
    assert read_history(trials(done(10.0, 0.5, 3.0)), SPACES, -1.0, own=99).scores.tolist() == [-3.0]


def test_a_trial_is_no_part_of_its_own_history():
    claim = {"kind": "resample", "params": {"steps": 1.0, "rate": 0.0}}
    rows = trials((TrialState.RUNNING, {"steps": 1.0, "rate": 0.0}, None, {}, claim))
    own, other = read_history(rows, SPACES, 1.0, own=0), read_history(rows, SPACES, 1.0, own=1)
    assert (len(own.pending), own.resamples) == (0, 0)
    assert (len(other.pending), other.resamples) == (1, 1)


def test_a_running_trial_counts_where_it_announced_itself_until_its_parameters_are_set():
    claim = {"kind": "model", "params": {"steps": 100.0, "rate": 0.25}}
    rows = trials(
        (TrialState.RUNNING, {"steps": 100.0}, None, {}, claim), (TrialState.RUNNING, {"steps": 100.0}, None, {}, None)
    )
    assert read_history(rows, SPACES, 1.0, own=99).pending.tolist() == [[2.0, 0.25]]


def test_every_point_of_a_curve_is_an_observation():
    rows = trials(
        done(100.0, 0.5, 3.0, cost=9.0, curve=[[10.0, 1.0, 2.0], [1.0, math.nan, 1.0]]),
        (TrialState.PRUNED, {"steps": 100.0, "rate": 0.0}, None, {"curve": [[10.0, 0.5, 4.0]]}, None),
    )
    known = read_history(rows, SPACES, 1.0, own=99, curves=Curves("steps"))
    assert known.points.tolist() == [[1.0, 0.5], [2.0, 0.5], [1.0, 0.0]]
    assert (known.scores.tolist(), known.costs.tolist()) == ([1.0, 3.0, 0.5], [2.0, 9.0, 4.0])
    assert known.trials == 2
    assert len(read_history(rows[:1], SPACES, 1.0, own=99).scores) == 1  # curves are not asked for


def test_trials_without_all_parameters_are_left_out():
    rows = trials((TrialState.COMPLETE, {"steps": 10.0}, 1.0, {}, None), done(10.0, 0.0, 2.0))
    assert read_history(rows, SPACES, 1.0, own=99).scores.tolist() == [2.0]


@pytest.mark.parametrize("cost", [None, 0.0, -1.0, "12 s", math.inf])
def test_a_trial_without_a_valid_cost_is_an_error_that_names_it(cost):
    with pytest.raises(InputError, match=r"trial 1: .*set_user_attr"):
        read_history(trials(done(10.0, 0.0, 1.0), done(10.0, 0.0, 1.0, cost=cost)), SPACES, 1.0, own=99)


@pytest.mark.parametrize("entry", [[1.0, 2.0], 3.0, [1.0, "x", 2.0], [1.0, 2.0, -1.0]])
def test_a_damaged_curve_is_an_error(entry):
    with pytest.raises(InputError, match="curve"):
        read_history(trials(done(10.0, 0.0, 1.0, curve=[entry])), SPACES, 1.0, own=99, curves=Curves("steps"))


CURVE = [[2.0, 0.1, 2.0], [4.0, 0.2, 4.0], [6.0, 0.3, 6.0], [8.0, 0.4, 8.0]]


def pruned(steps, **attrs):
    return TrialState.PRUNED, {"steps": steps, "rate": 0.0}, None, {"cost": 8.0, **attrs}, None


@pytest.mark.parametrize(("points", "scores"), [(1, []), (2, [0.2]), (3, [0.1, 0.3]), (5, [0.1, 0.2, 0.3, 0.4])])
def test_a_few_points_of_each_curve(points, scores):
    rows = trials(done(100.0, 0.5, 3.0, curve=CURVE))
    found = read_history(rows, SPACES, 1.0, own=99, curves=Curves("steps", points))
    assert found.scores.tolist() == pytest.approx([*scores, 3.0])


def test_a_stopped_run_is_a_shorter_run_where_the_length_is_a_parameter():
    known = read_history(trials(pruned(100.0, curve=CURVE)), SPACES, 1.0, own=99, curves=Curves("steps", 1))
    assert known.points[:, 0].tolist() == pytest.approx([math.log10(8.0)])
    assert (known.scores.tolist(), known.costs.tolist(), known.partial) == ([0.4], [8.0], None)


def test_stopped_below_the_shortest_length_it_is_a_lower_bound_of_that():
    rows = trials(pruned(100.0, curve=[[0.5, 0.4, 8.0]]), done(100.0, 0.5, 3.0))
    known = read_history(rows, SPACES, 1.0, own=99, curves=Curves("steps", 1))
    assert known.points[:, 0].tolist() == [0.0, 2.0]  # SPACES begin at one step
    assert known.whole.tolist() == [False, True]


def test_otherwise_it_is_a_lower_bound_of_score_and_cost_at_its_parameters():
    rows = trials(done(10.0, 0.5, 3.0, curve=CURVE), pruned(100.0, curve=CURVE), pruned(100.0))
    known = read_history(rows, SPACES, 1.0, own=99)
    assert known.points.tolist() == [[1.0, 0.5], [2.0, 0.0]]
    assert (known.scores.tolist(), known.costs.tolist()) == ([3.0, 0.4], [1.0, 8.0])
    assert known.whole.tolist() == [True, False]
