"""Putting clips on the floor."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from puffer_phc.motions.ground import contact_lift, first_frames_lift, lowest_point
from puffer_phc.robots.geoms import Geoms
from puffer_phc.robots.smpl import smpl_robot

HEIGHTS = st.lists(st.floats(-2.0, 2.0), min_size=1, max_size=80)
FPS = st.sampled_from([1.0, 25.0, 30.0, 120.0])


def double(values):
    return torch.tensor(values, dtype=torch.float64)


# --- the lift --------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(HEIGHTS, FPS)
def test_nothing_is_left_below_the_floor(heights, fps):
    lowest = double(heights)
    lift = contact_lift(lowest, fps)
    assert lift.shape == lowest.shape
    assert (lowest + lift).min() >= -1e-6


@settings(deadline=None, max_examples=40)
@given(HEIGHTS, FPS, st.floats(-5.0, 5.0))
def test_the_height_of_the_file_does_not_matter(heights, fps, shift):
    lowest = double(heights)
    moved = lowest + shift
    torch.testing.assert_close(moved + contact_lift(moved, fps), lowest + contact_lift(lowest, fps), rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(HEIGHTS, FPS)
def test_the_lift_is_no_higher_than_the_deepest_penetration(heights, fps):
    lowest = double(heights)
    lift = contact_lift(lowest, fps)
    assert lift.max() <= -lowest.min() + 1e-9
    assert lift.min() >= -torch.quantile(lowest, 0.1) - 1e-9


@settings(deadline=None, max_examples=40)
@given(st.floats(-2.0, 2.0), st.integers(1, 50))
def test_a_level_clip_is_put_exactly_on_the_floor(height, frames):
    lowest = torch.full((frames,), height, dtype=torch.float64)
    torch.testing.assert_close(lowest + contact_lift(lowest, 30.0), torch.zeros_like(lowest))


def test_steps_keep_their_contact_and_their_swing():
    """A foot that is alternately down (at 0.02 m) and swung 0.1 m higher: one constant is right for all frames."""
    lowest = 0.02 + 0.1 * double([0, 0, 0, 0, 1, 1, 1, 0, 0, 0] * 10)
    torch.testing.assert_close(contact_lift(lowest, 30.0), torch.full_like(lowest, -0.02))


def test_a_jump_stays_a_jump():
    lowest = torch.cat((torch.zeros(30), torch.linspace(0, 0.6, 15), torch.linspace(0.6, 0, 15), torch.zeros(30)))
    torch.testing.assert_close(contact_lift(lowest, 30.0), torch.zeros(90))


def test_one_bad_frame_lifts_only_its_surroundings():
    lowest = torch.zeros(100, dtype=torch.float64)
    lowest[50] = -0.3
    lift = contact_lift(lowest, 30.0)
    assert float(lift[50]) == pytest.approx(0.3)
    assert not lift[:40].any()
    assert not lift[61:].any()
    assert lift.diff().abs().max() < 0.3 / 3  # a smooth hump, no jump


def test_phcs_fix_looks_at_thirty_frames_only():
    lowest = torch.zeros(60)
    lowest[7], lowest[29], lowest[30] = -0.1, -0.2, -0.9
    torch.testing.assert_close(first_frames_lift(lowest), torch.tensor([0.2]))
    torch.testing.assert_close(first_frames_lift(lowest[:5] + 0.3), torch.tensor([-0.3]))


# --- the lowest point ------------------------------------------------------------------------------------------------


def identity(frames, bodies):
    return torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(frames, bodies, 4)


def test_the_sole_of_the_upright_body():
    """The pelvis of the T-pose is 0.9367 m above the right sole (published figure)."""
    robot = smpl_robot()
    root = double([[0.0, 0.0, 0.9367], [5.0, -3.0, 2.0]])
    body_pos, body_rot = robot.skeleton.forward_kinematics(root, identity(2, 24))
    torch.testing.assert_close(lowest_point(robot.geoms, body_pos, body_rot), double([0.0, 1.0633]), rtol=0, atol=1e-6)


def test_a_lying_body_rests_on_its_pelvis_or_deeper():
    robot = smpl_robot()
    lying = identity(1, 24).clone()
    lying[:, 0] = double([math.sqrt(0.5), 0.0, -math.sqrt(0.5), 0.0])  # face up
    body_pos, body_rot = robot.skeleton.forward_kinematics(double([[0.0, 0.0, 0.0]]), lying)
    deepest = float(lowest_point(robot.geoms, body_pos, body_rot))
    assert -0.35 < deepest <= -0.0942


def turned(axis, degrees):
    half = math.radians(degrees) / 2
    return double([[[math.cos(half), *(math.sin(half) * x for x in axis)]]])


@pytest.mark.parametrize(
    ("axis", "degrees", "expected"),
    [((0, 0, 1), 0, -1.25), ((1, 0, 0), 90, -0.25), ((0, 1, 0), 180, -1.25), ((1, 0, 0), 60, -0.75)],
)
def test_a_capsule_by_hand(axis, degrees, expected):
    """Half length 1 m along z, radius 0.25 m."""
    capsule = Geoms(torch.tensor([0, 0]), double([[0, 0, -1.0], [0, 0, 1.0]]), double([0.25, 0.25]))
    lowest = lowest_point(capsule, torch.zeros(1, 1, 3, dtype=torch.float64), turned(axis, degrees))
    assert float(lowest) == pytest.approx(expected, abs=1e-9)


def test_the_lowest_body_wins_frame_by_frame():
    spheres = Geoms(torch.tensor([0, 1]), torch.zeros(2, 3, dtype=torch.float64), double([0.1, 0.2]))
    pos = double([[[0, 0, 1.0], [0, 0, 1.0]], [[0, 0, 0.0], [0, 0, 1.0]], [[0, 0, 5.0], [9, 9, 2.0]]])
    torch.testing.assert_close(lowest_point(spheres, pos, identity(3, 2)), double([0.8, -0.1, 1.8]))


def test_single_precision_bodies_are_welcome():
    spheres = Geoms(torch.tensor([0]), double([[0.0, 0.0, 0.5]]), double([0.1]))
    lowest = lowest_point(spheres, torch.zeros(1, 1, 3), identity(1, 1).float())
    assert lowest.dtype == torch.float32
    torch.testing.assert_close(lowest, torch.tensor([0.4]))
