"""Mending of joints, root and held frames; smoothing."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from poselib.motion import dof_velocity
from poselib.rotations import exp_map_to_quat, quat_angle, quat_conj, quat_mul
from puffer_phc.motions.cleaning import MAX_JOINT_SPEED, fill_held_frames, mend_jumps, mend_root, untwist
from puffer_phc.motions.joint_maps import anatomy
from puffer_phc.motions.smoothing import smooth_curve
from tests.motions.moving import robot, walk, with_turn

FPS = 30.0


def turn_between(a, b):
    return quat_angle(quat_mul(quat_conj(a), b))


def fastest(local_rot):
    return float(dof_velocity(local_rot[:, 1:], FPS)[:-1].norm(dim=-1).max())


def test_good_motion_is_left_alone():
    rot = walk().local_rot
    assert mend_jumps(rot, FPS) == (rot, 0)
    assert mend_root(robot().skeleton, rot, FPS) == (rot, 0)
    assert untwist(robot(), anatomy(robot().skeleton), rot, FPS) == (rot, 0)
    assert fill_held_frames(walk().root_pos, rot)[2] == 0


@pytest.mark.parametrize("frames", [slice(60, 61), slice(60, 64), slice(0, 1), slice(191, 192)])
def test_a_flip_is_bridged(frames):
    bad = with_turn(walk(), "L_Elbow", frames, (0.0, 2.9, 0.0)).local_rot
    mended, count = mend_jumps(bad, FPS)
    assert count >= 1 or frames.start in (0, 191)
    assert fastest(mended) < MAX_JOINT_SPEED
    if frames.start == 60:
        assert turn_between(mended, walk().local_rot).max() < 0.15  # the walk hardly moves an elbow meanwhile


def test_a_step_that_stays_becomes_a_turn():
    bad = with_turn(walk(), "R_Wrist", slice(80, None), (0.0, 2.5, 0.0)).local_rot
    mended, count = mend_jumps(bad, FPS)
    assert 2 < count < 20
    assert fastest(mended) < MAX_JOINT_SPEED
    assert torch.equal(mended[:70], bad[:70])
    assert torch.equal(mended[92:], bad[92:])


def test_the_pelvis_is_mended_without_the_rest():
    skeleton = robot().skeleton
    good = skeleton.local_to_global(walk().local_rot)
    world = good.clone()
    world[50:53, 0] = quat_mul(exp_map_to_quat(torch.tensor((0.9, 0.9, 0.0)).double()).expand(3, 4), world[50:53, 0])
    mended, count = mend_root(skeleton, skeleton.global_to_local(world), FPS)
    assert count >= 3
    back = skeleton.local_to_global(mended)
    assert turn_between(back[:, 1:], good[:, 1:]).max() < 1e-6
    assert turn_between(back[:, 0], good[:, 0]).max() < 0.1


def test_half_turns_of_a_straight_leg_are_undone():
    clip, parts = walk(), anatomy(robot().skeleton)
    hip, knee, ankle = (robot().skeleton.index(f"R_{part}") for part in ("Hip", "Knee", "Ankle"))
    rot = clip.local_rot.clone()
    rot[:, hip], rot[:, knee] = exp_map_to_quat(torch.zeros(2, 3).double())[0], exp_map_to_quat(torch.zeros(3).double())
    good = rot.clone()
    axis = torch.nn.functional.normalize(robot().skeleton.offsets[knee], dim=0)
    half = exp_map_to_quat(math.pi * axis).expand(6, 4)
    rot[90:96, hip] = quat_mul(rot[90:96, hip], half)
    rot[90:96, ankle] = quat_mul(quat_conj(half), rot[90:96, ankle])
    mended, count = untwist(robot(), parts, rot, FPS)
    assert 6 <= count <= 8  # its neighbours may go with it
    assert turn_between(mended[:, hip], good[:, hip]).max() < 1e-6
    assert turn_between(mended[:, ankle], good[:, ankle]).max() < 1e-6


def test_held_frames_are_interpolated():
    pos, rot = walk().root_pos.clone(), walk().local_rot.clone()
    for frame in (31, 45, 100):
        pos[frame], rot[frame] = pos[frame - 1], rot[frame - 1]
    new_pos, new_rot, count = fill_held_frames(pos, rot)
    assert count == 3
    assert (new_pos - walk().root_pos).norm(dim=-1).max() < 0.01
    assert turn_between(new_rot, walk().local_rot).max() < 0.05


def test_standing_still_is_not_a_held_frame():
    pos, rot = walk().root_pos.clone(), walk().local_rot.clone()
    pos[50:80], rot[50:80] = pos[50], rot[50]
    assert fill_held_frames(pos, rot)[2] == 0


@settings(deadline=None, max_examples=8)
@given(st.integers(1, 12), st.integers(0, 2**31 - 1), st.floats(0.01, 100.0))
def test_smooth_curve_is_the_least_squares_solution(frames, seed, smoothness):
    random = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.rand(*shape, generator=random, dtype=torch.float64)

    values, weight = draw(frames, 2, 3), draw(frames, 2) + 0.01
    steps, step_weight = draw(frames - 1, 2, 3), draw(frames - 1, 2)
    found = smooth_curve(values, weight, steps, step_weight, smoothness)
    one = torch.eye(frames, dtype=torch.float64)
    for k in range(2):
        a, b = [weight[:, k, None].sqrt() * one], [weight[:, k, None].sqrt() * values[:, k]]
        if frames > 1:
            a.append(step_weight[:, k, None].sqrt() * one.diff(dim=0))
            b.append(step_weight[:, k, None].sqrt() * steps[:, k])
        if frames > 2:
            a.append(math.sqrt(smoothness) * one.diff(n=2, dim=0))
            b.append(torch.zeros(frames - 2, 3, dtype=torch.float64))
        expected = np.linalg.lstsq(torch.cat(a).numpy(), torch.cat(b).numpy())[0]
        np.testing.assert_allclose(found[:, k].numpy(), expected, rtol=0, atol=1e-6)
