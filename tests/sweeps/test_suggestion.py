"""The order of CARBS' rules, on histories made by hand."""

from dataclasses import replace

import numpy as np
import torch

from puffer_phc.sweeps.history import History
from puffer_phc.sweeps.pareto import Group
from puffer_phc.sweeps.settings import CarbsSettings, published
from puffer_phc.sweeps.spaces import Space
from puffer_phc.sweeps.suggestion import resampled_group, suggest

SPACES = (Space("a", "linear", -5, 5, 0.5), Space("b", "linear", -5, 5, 0))
NONE = torch.zeros(0, 2, dtype=torch.float64)


def points(*rows):
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 2)


def group(cost, *scores):
    return Group(points([cost, 0.0])[0], scores, (float(cost),) * len(scores))


def history(count, resamples=0, pending=NONE, failures=NONE):
    """Runs along the first coordinate whose score and cost rise with it."""
    along = torch.linspace(0, 1, count, dtype=torch.float64)
    where = torch.stack((along, torch.zeros_like(along)), dim=1)
    return History(where, along, 10**along, failures, pending, resamples, count)


def ask(known, settings=None, seed=0):
    return suggest(known, SPACES, settings or CarbsSettings(), np.random.default_rng(seed))


def test_least_repeated_then_cheapest_is_repeated():
    front = [group(1, 0.1, 0.2), group(2, 0.3), group(3, 0.4)]
    assert resampled_group(front, NONE).cost == 2
    assert resampled_group(front, points([2.0, 0.0])).cost == 3
    assert resampled_group(front[1:2], points([2.0, 0.0])) is None


def test_the_centre_comes_once_even_if_it_failed_or_runs():
    center = points([0.5, 0.0])
    assert ask(history(0)).kind == "center"
    assert ask(history(0, pending=center)).kind == "random"
    assert ask(history(0, failures=center)).kind == "random"
    assert ask(history(0), published(CarbsSettings())).kind == "random"


def test_random_until_enough_trials_then_models():
    settings = CarbsSettings(random_trials=4, center_first=False)
    assert [ask(history(count), settings).kind for count in (3, 4)] == ["random", "model"]


def test_a_repetition_is_due_with_every_fifth_trial_beyond_the_first_five():
    due = [(5, 0), (6, 0), (10, 1), (11, 1), (11, 2)]
    kinds = [ask(history(count, resamples)).kind for count, resamples in due]
    assert kinds == ["model", "resample", "model", "resample", "model"]


def test_no_repetition_of_what_runs_already():
    """All of the front is pending, so that the models are asked instead."""
    known = history(6)
    assert ask(history(6, pending=known.points)).kind == "model"


def test_pending_points_push_the_models_elsewhere():
    """The first choice, once it is pending, is not chosen again, nor is anything close to it."""
    settings = CarbsSettings(resample_every=0, pending="mean")
    first = ask(history(8), settings).point
    second = ask(history(8, pending=first.unsqueeze(0)), settings).point
    assert float((first - second).norm()) > 0.1


def test_points_of_a_small_space_run_out_only_when_all_are_pending():
    tiny = (Space("a", "linear", 1, 3, 2, integer=True, scale=3),)
    every = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64) / 3
    empty = torch.zeros(0, 1, dtype=torch.float64)
    none = torch.zeros(0, dtype=torch.float64)
    for pending in (every[:2], every[1:], every[[0, 2]]):
        known = History(empty, none, none, empty, pending, 0, 0)
        found = suggest(known, tiny, CarbsSettings(), np.random.default_rng(0))
        assert not bool((pending - found.point).abs().lt(1e-9).any())
        assert found.kind in ("center", "random")
    known = History(empty, none, none, empty, every, 0, 0)
    found = suggest(known, tiny, CarbsSettings(), np.random.default_rng(0))
    assert (found.kind, bool(found.fallback)) == ("fallback", True)


def test_partial_observations_are_on_no_front():
    """The best of all, and cheap, but only a lower bound of what its parameters cost: it is not repeated."""
    known = history(6)
    partial = torch.zeros(6, dtype=torch.bool)
    partial[5] = True
    cheap = replace(known, costs=known.costs.clone().index_fill(0, torch.tensor([5]), 0.1), partial=partial)
    assert ask(cheap).kind == "resample"
    assert ask(cheap).point.tolist() == known.points[0].tolist()
    assert ask(replace(cheap, partial=None)).point.tolist() == known.points[5].tolist()
