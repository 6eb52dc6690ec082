"""Search spaces: coordinates there and back, borders, whole numbers, powers of two, Optuna's distributions."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit

from puffer_phc.errors import InputError
from puffer_phc.sweeps.spaces import (
    Space,
    center_of,
    contain_points,
    params_at,
    points_of,
    round_points,
    space_from_distribution,
    values_of,
)

distributions = pytest.importorskip("optuna.distributions")

shares = st.floats(0.001, 0.999)
scales = st.floats(0.1, 5.0)


def scalar(value):
    return torch.tensor(float(value), dtype=torch.float64)


@st.composite
def continuous_spaces(draw):
    kind = draw(st.sampled_from(["linear", "log", "logit"]))
    if kind == "linear":
        low = draw(st.floats(-100, 100))
        high = low + draw(st.floats(0.1, 100))
    elif kind == "log":
        low = 10 ** draw(st.floats(-9, 6))
        high = low * 10 ** draw(st.floats(0.1, 4))
    else:
        low, high = draw(st.floats(0.0, 0.4)), draw(st.floats(0.6, 1.0))
    return Space("p", kind, low, high, 0.5 * (low + high), scale=draw(scales))


@st.composite
def discrete_spaces(draw):
    kind = draw(st.sampled_from(["linear", "log", "pow2"]))
    if kind == "pow2":
        first = draw(st.integers(0, 8))
        low, high = 2**first, 2 ** (first + draw(st.integers(1, 8)))
        return Space("p", kind, low, high, low, scale=draw(scales), integer=True)
    step, low = draw(st.integers(1, 7)), draw(st.integers(1, 50))
    high = low + step * draw(st.integers(1, 200))
    return Space("p", kind, low, high, low, scale=draw(scales), integer=True, step=step)


@given(continuous_spaces(), shares)
def test_coordinates_there_and_back(space, share):
    value = space.low + share * (space.high - space.low)
    basic = space.to_basic(scalar(value))
    assert float(space.to_value(basic)) == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert space.native(float(basic)) == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert bool(space.contains(basic))
    assert torch.equal(space.round_basic(basic), basic)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("linear", 3.0, 3.0),
        ("log", 0.01, -2.0),
        ("logit", 0.9, logit(0.9) / math.log(10)),
        ("logit", 10 / 11, 1.0),
        ("pow2", 8.0, math.log10(8)),
    ],
)
def test_coordinates_are_values_decades_or_decades_of_odds(kind, value, expected):
    low, high, center = {"linear": (0, 9, 1), "pow2": (1, 16, 4)}.get(kind, (0.001, 0.999, 0.5))
    assert float(Space("p", kind, low, high, center).to_basic(scalar(value))) == pytest.approx(expected)
    assert float(Space("p", kind, low, high, center, scale=2).to_basic(scalar(value))) == pytest.approx(expected / 2)


@given(discrete_spaces(), st.floats(-300, 300))
def test_whatever_the_coordinate_what_runs_is_allowed(space, basic):
    value = space.native(basic)
    assert isinstance(value, int)
    assert space.low <= value <= space.high
    if space.kind == "pow2":
        assert value & (value - 1) == 0
    else:
        assert (value - space.low) % space.step == 0


@given(discrete_spaces(), st.data())
def test_rounding_goes_to_the_nearest_allowed_value_and_stays_there(space, data):
    log_low, log_high = math.log10(space.low), math.log10(space.high)
    value = 10 ** data.draw(st.floats(log_low, log_high))
    rounded = space.round_basic(space.to_basic(scalar(value)))
    assert bool(space.contains(rounded))
    assert float(space.round_basic(rounded)) == pytest.approx(float(rounded), rel=1e-9, abs=1e-12)
    got = float(space.to_value(rounded))
    if space.kind == "pow2":
        assert abs(math.log2(got) - math.log2(value)) <= 0.5 + 1e-9
    else:
        assert abs(got - value) <= space.step / 2 + 1e-6 * value


@given(discrete_spaces())
def test_discrete_borders_are_inside_and_the_next_values_outside(space):
    below, above = (space.low / 2, space.high * 2) if space.kind == "pow2" else (space.low - 1, space.high + 1)
    basic = space.to_basic(torch.tensor([space.low, space.high, below, above], dtype=torch.float64))
    assert space.contains(basic).tolist() == [True, True, False, False]


@given(continuous_spaces())
def test_continuous_borders_are_outside(space):
    borders = space.to_basic(torch.tensor([space.low, space.high], dtype=torch.float64))
    assert not bool(space.contains(borders.nan_to_num() + torch.tensor([-1e-9, 1e-9])).any())


@given(st.one_of(continuous_spaces(), discrete_spaces()), st.floats(-50, 50))
def test_optuna_stores_whatever_runs(space, basic):
    distribution = space.to_distribution()
    assert distribution._contains(distribution.to_internal_repr(space.native(basic)))


def test_optunas_distribution_is_of_the_same_kind():
    assert Space("p", "log", 1, 100, 10, integer=True).to_distribution() == distributions.IntDistribution(
        1, 100, log=True
    )
    assert Space("p", "linear", 0, 10, 5, integer=True, step=5).to_distribution() == distributions.IntDistribution(
        0, 10, step=5
    )
    assert Space("p", "logit", 0, 1, 0.5).to_distribution() == distributions.FloatDistribution(0, 1)


@pytest.mark.parametrize(
    "distribution",
    [
        distributions.FloatDistribution(-2.0, 6.0),
        distributions.FloatDistribution(1e-5, 1e-1, log=True),
        distributions.FloatDistribution(0.0, 1.0, step=0.25),
        distributions.IntDistribution(1, 9, step=2),
        distributions.IntDistribution(1, 1000, log=True),
    ],
)
def test_a_space_from_a_distribution_holds_the_same_values(distribution):
    space = space_from_distribution("p", distribution)
    assert space.to_distribution() == distribution
    ends = space.to_basic(torch.tensor([space.low, space.center, space.high], dtype=torch.float64))
    assert (ends[1] - ends[0], ends[2] - ends[1]) == (pytest.approx(1.0), pytest.approx(1.0))


def test_distributions_without_an_order_have_no_space():
    assert space_from_distribution("p", distributions.CategoricalDistribution(["a", "b"])) is None
    assert space_from_distribution("p", distributions.IntDistribution(3, 3)) is None


def test_vectors_of_several_spaces():
    spaces = (Space("a", "log", 1, 1000, 10, integer=True), Space("b", "linear", -1, 1, 0.5, scale=0.5))
    torch.testing.assert_close(center_of(spaces), torch.tensor([1.0, 1.0], dtype=torch.float64))
    values = values_of(spaces, {"a": 100, "b": -0.25, "other": 3})
    point = points_of(spaces, [values])[0]
    torch.testing.assert_close(point, torch.tensor([2.0, -0.5], dtype=torch.float64))
    assert params_at(spaces, point) == {"a": 100, "b": pytest.approx(-0.25)}
    assert values_of(spaces, {"a": 100}) is None
    assert values_of(spaces, {"a": 0, "b": 0}) is None  # no logarithm
    assert points_of(spaces, []).shape == (0, 2)
    points = torch.tensor([[0.41, 0.0], [0.41, 2.5], [4.0, 0.0]], dtype=torch.float64)
    rounded = round_points(spaces, points)
    assert rounded[:, 0].tolist() == pytest.approx([math.log10(3), math.log10(3), 4.0])
    assert contain_points(spaces, rounded).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"kind": "cubic"}, "unknown kind"),
        ({"low": 5.0, "high": 5.0}, "runs from"),
        ({"center": 11.0}, "lies outside"),
        ({"scale": 0.0}, "scale"),
        ({"high": math.inf}, "not finite"),
        ({"kind": "log", "low": 0.0}, "starts at"),
        ({"kind": "logit"}, "keep 0 <= low"),
        ({"kind": "pow2", "high": 10.0}, "powers of two"),
        ({"integer": True, "low": 0.5}, "not whole"),
        ({"step": 4.0}, "whole number of steps"),
    ],
)
def test_spaces_that_make_no_sense_are_errors(fields, fault):
    with pytest.raises(InputError, match=fault):
        Space(**{"name": "p", "kind": "linear", "low": 1.0, "high": 10.0, "center": 2.0, **fields})
