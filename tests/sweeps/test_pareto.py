"""Pareto fronts against brute force; CARBS' groups on cases made by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from puffer_phc.sweeps.pareto import Group, group_observations, hypervolume, pareto_front, pareto_groups

runs = st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8)), min_size=1, max_size=25)


def columns(pairs):
    costs, scores = np.array(pairs, dtype=np.float64).T
    return costs, scores


def group(cost, *scores):
    return Group(
        torch.tensor([float(cost)], dtype=torch.float64), tuple(map(float, scores)), (float(cost),) * len(scores)
    )


def costs_of(groups):
    return [g.cost for g in groups]


@given(runs)
def test_front_is_what_no_run_beats(pairs):
    costs, scores = columns(pairs)
    front = pareto_front(costs, scores)
    unbeaten = {(c, s) for c, s in pairs if not any(a <= c and b >= s and (a, b) != (c, s) for a, b in pairs)}
    found = [(costs[i], scores[i]) for i in front]
    assert set(found) == unbeaten
    assert found == sorted(unbeaten)


@given(runs, st.integers(1, 9), st.integers(-1, 8), st.integers(0, 4))
def test_hypervolume_counts_the_cells_that_some_run_dominates(pairs, dearest, lowest, cheapest):
    """Costs and scores are whole numbers, so that the area is a number of unit cells."""
    costs, scores = columns(pairs)
    cells = sum(
        any(c <= x and s >= y + 1 for c, s in pairs) for x in range(cheapest, dearest) for y in range(lowest, 9)
    )
    assert hypervolume(costs, scores, dearest, lowest, cheapest) == pytest.approx(cells)


def test_observations_of_one_point_form_a_group():
    points = torch.tensor([[1.0, 2.0], [3.0, 2.0], [1.0 + 1e-9, 2.0], [1.0, 2.1]], dtype=torch.float64)
    values = torch.tensor([1.0, 2.0, 5.0, 7.0], dtype=torch.float64)
    found = group_observations(points, values, 10 * values)
    assert [g.scores for g in found] == [(1.0, 5.0), (2.0,), (7.0,)]
    assert (found[0].score, found[0].cost) == (3.0, 30.0)


def test_many_observations_are_gathered_like_a_few():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    order = torch.randint(40, (700,), generator=generator)  # more than are compared at once
    noise = 1e-9 * torch.randn(700, 3, generator=generator, dtype=torch.float64)
    numbers = torch.arange(700, dtype=torch.float64)
    groups = group_observations(points[order] + noise, numbers, numbers + 1.0)
    leaders = list(dict.fromkeys(order.tolist()))
    expected = [tuple(float(n) for n in range(700) if order[n] == leader) for leader in leaders]
    assert [group.scores for group in groups] == expected
    assert [group.costs for group in groups] == [tuple(n + 1.0 for n in scores) for scores in expected]


def test_each_member_beats_the_one_before():
    groups = [group(4, 3.0), group(1, 1.0), group(3, 0.5), group(2, 2.0), group(5, 2.9)]
    assert costs_of(pareto_groups(groups, cheap=1.0, conservative=False)) == [1, 2, 4]


def test_the_cheap_end_is_one_bucket():
    """Its best member starts the front; the cheaper ones are not on it."""
    groups = [group(1, 1.0), group(2, 2.0), group(3, 1.5), group(4, 1.8), group(5, 3.0)]
    assert costs_of(pareto_groups(groups, cheap=3.0, conservative=False)) == [2, 5]


def test_cheap_end_holds_at_least_the_cheapest_group():
    assert costs_of(pareto_groups([group(2, 1.0), group(3, 2.0)], cheap=0.5, conservative=False)) == [2, 3]


def test_conservatively_a_single_run_must_beat_the_best_repetition():
    groups = [group(1, 1.0, 3.0), group(2, 2.5), group(3, 3.5)]
    assert costs_of(pareto_groups(groups, cheap=1.0, conservative=True)) == [1, 3]
    assert costs_of(pareto_groups(groups, cheap=1.0, conservative=False)) == [1, 2, 3]


def test_conservatively_a_repeated_point_must_beat_the_mean_only():
    groups = [group(1, 1.0, 3.0), group(2, 2.0, 2.5)]
    assert costs_of(pareto_groups(groups, cheap=1.0, conservative=True)) == [1, 2]


def test_conservatively_repeated_points_go_first_at_the_cheap_end():
    groups = [group(1, 9.0), group(2, 1.0, 1.0), group(3, 2.0, 2.0), group(4, 5.0)]
    assert costs_of(pareto_groups(groups, cheap=3.0, conservative=True)) == [3, 4]
    assert costs_of(pareto_groups([group(1, 9.0), group(2, 8.0)], cheap=3.0, conservative=True)) == [1]
