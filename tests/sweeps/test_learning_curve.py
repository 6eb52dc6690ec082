"""What is read from a growing file of metrics, and which of it is kept."""

import math
from dataclasses import replace

import pytest

from puffer_phc.config import Config, SweepConfig, TrainConfig
from puffer_phc.sweeps.learning_curve import (
    CurveReader,
    Point,
    curve_points,
    length_of,
    length_parameter,
    planned_cost,
    rising,
    thinned,
)
from puffer_phc.sweeps.spaces import Space

LIMIT = Space("train.time_limit", "log", 30, 600, 45)
STEPS = Space("train.total_steps", "log", 1e3, 1e6, 1e4, integer=True)
RATE = Space("train.learning_rate", "log", 1e-5, 1e-1, 1e-3)
KL = Space("train.final_kl", "linear", 0, 1, 0.5)


def test_a_growing_file_is_read_once_line_by_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    reader = CurveReader(path, "score")
    assert reader.read() == []
    path.write_text('{"step": 1, "seconds": 2, "score": 3}\n{"step": 5, "seconds": 6, "other": 1}\n{"step": 9, "sec')
    assert reader.read() == [Point(1, 2.0, 3.0)]
    assert reader.read() == []
    with path.open("a") as file:
        file.write('onds": 10, "score": NaN}\nnonsense\n[1]\n')
    (point,) = reader.read()
    assert (point.step, math.isnan(point.score)) == (9, True)


@pytest.mark.parametrize(("cost", "expected"), [("seconds", 2.0), ("steps", 1.0)])
def test_cost_is_in_the_sweeps_unit(cost, expected):
    sweep = SweepConfig(cost=cost)
    assert Point(1, 2.0, 3.0).cost(sweep) == expected
    assert length_of(Point(1, 2.0, 3.0), [RATE], sweep) == expected
    assert length_of(Point(1, 2.0, 3.0), [RATE, LIMIT], sweep) == 2.0
    assert length_of(Point(1, 2.0, 3.0), [RATE, STEPS], sweep) == 1.0


def test_of_many_points_at_most_64_are_kept():
    points = [Point(n, float(n), 0.0) for n in range(1001)]
    kept = thinned(points, SweepConfig(), planned=1000.0)
    assert 60 <= len(kept) <= 64
    assert kept[0].seconds > 0.0
    assert thinned(points[:17], SweepConfig(), 1000.0, last=points[16]) == []
    unplanned = thinned(points, SweepConfig(), planned=None)
    assert 60 < len(unplanned) < 200
    assert unplanned[0].seconds == 1.0


def test_a_policy_that_is_scored_twice_counts_once():
    """At the end a run scores once more, later but after as many samples."""
    once, again, later = Point(100, 10.0, 5.0), Point(100, 20.0, 5.0), Point(200, 30.0, 4.0)
    assert thinned([once, again, later], SweepConfig(), planned=30.0) == [once, later]
    assert thinned([again, later], SweepConfig(), planned=30.0, last=once) == [later]


def test_what_a_run_will_cost():
    train = TrainConfig(time_limit=60.0, total_steps=1000)
    assert planned_cost(Config(train=train)) == 60.0
    assert planned_cost(Config(train=train, sweep=SweepConfig(cost="steps"))) == 1000.0
    assert planned_cost(Config(train=replace(train, time_limit=-1.0))) is None


def test_only_one_parameter_can_be_the_length():
    assert length_parameter([RATE]) is None
    assert length_parameter([RATE, LIMIT]) == "train.time_limit"
    assert length_parameter([STEPS]) == "train.total_steps"
    assert length_parameter([STEPS, LIMIT]) is None


def test_points_are_taken_only_where_no_schedule_depends_on_the_length():
    flat = Config(train=TrainConfig(final_kl=1.0))
    assert curve_points(Config(), [RATE]) == 1
    assert curve_points(flat, [RATE]) == 5
    assert curve_points(flat, [RATE, KL]) == 1
    assert curve_points(Config(train=TrainConfig(target_kl=0.0)), [RATE]) == 5
    assert curve_points(Config(sweep=SweepConfig(points=3)), [RATE]) == 3


def test_curves_for_comparison_rise_with_the_goal():
    assert rising([[0.0, 3.0, 1.0], [0.0, math.nan, 2.0], [0.0, 4.0, 3.0]], -1.0) == [(1.0, -3.0), (3.0, -4.0)]
