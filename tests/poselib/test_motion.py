"""Motion velocities against NumPy and scipy, and the operations that make one motion from another."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation, Slerp

from poselib import Skeleton, SkeletonMotion, angular_velocity, dof_velocity, gaussian_smooth, linear_velocity
from poselib.rotations import exp_map_to_quat, heading_angle, quat_angle, quat_conj, quat_mul, quat_normalize

NAMES = ("Pelvis", "L_Hip", "L_Knee", "R_Hip", "R_Knee", "Torso")
PARENTS = (-1, 0, 1, 0, 3, 0)
OFFSETS = torch.tensor(
    [[0, 0, 0], [0, 0.07, -0.09], [0.01, 0.03, -0.4], [0, -0.07, -0.09], [0.01, -0.03, -0.4], [0, 0, 0.1]],
    dtype=torch.float64,
)
LENGTHS = [2, 3, 5, 8, 17, 60]


def make_motion(frames=40, fps=30.0, dtype=torch.float64, seed=0):
    """Smooth random motion: a random walk in rotation vectors."""
    generator = torch.Generator().manual_seed(seed)
    steps = 0.1 * torch.randn(frames, len(NAMES), 3, dtype=torch.float64, generator=generator)
    root_pos = 0.02 * torch.randn(frames, 3, dtype=torch.float64, generator=generator).cumsum(0)
    return SkeletonMotion(
        Skeleton(NAMES, PARENTS, OFFSETS.to(dtype)),
        fps,
        root_pos.to(dtype),
        exp_map_to_quat(steps.cumsum(0)).to(dtype),
    )


def random_rotations(frames, joints, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return quat_normalize(torch.randn(frames, joints, 4, dtype=torch.float64, generator=generator))


# --- velocities ------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.sampled_from([0.5, 1.0, 2.0, 3.3]))
def test_smoothing_is_scipys(frames, sigma):
    signal = torch.randn(frames, 2, 3, dtype=torch.float64)
    expected = gaussian_filter1d(signal.numpy(), sigma, axis=0, mode="nearest", truncate=4.0)
    np.testing.assert_allclose(gaussian_smooth(signal, sigma).numpy(), expected, rtol=0, atol=1e-13)


def test_smoothing_in_single_precision():
    signal = torch.randn(50, 4)
    expected = gaussian_filter1d(signal.numpy(), 2.0, axis=0, mode="nearest")
    np.testing.assert_allclose(gaussian_smooth(signal).numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("frames", LENGTHS)
def test_linear_velocity_is_gradient_then_gaussian(frames):
    pos = torch.randn(frames, 4, 3, dtype=torch.float64)
    expected = gaussian_filter1d(np.gradient(pos.numpy(), axis=0) * 30.0, 2.0, axis=0, mode="nearest")
    np.testing.assert_allclose(linear_velocity(pos, 30.0).numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("frames", LENGTHS)
def test_angular_velocity_matches_scipy(frames):
    rotations = random_rotations(frames, 2)
    expected = np.zeros((frames, 2, 3))
    for joint in range(2):
        turns = Rotation.from_quat(rotations[:, joint].numpy(), scalar_first=True)
        expected[:-1, joint] = (turns[1:] * turns[:-1].inv()).as_rotvec() * 50.0
    expected = gaussian_filter1d(expected, 2.0, axis=0, mode="nearest")
    np.testing.assert_allclose(angular_velocity(rotations, 50.0).numpy(), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("frames", LENGTHS)
def test_dof_velocity_matches_scipy(frames):
    rotations = random_rotations(frames, 2)
    expected = np.zeros((frames, 2, 3))
    for joint in range(2):
        turns = Rotation.from_quat(rotations[:, joint].numpy(), scalar_first=True)
        expected[:-1, joint] = (turns[:-1].inv() * turns[1:]).as_rotvec() * 50.0
    expected[-1] = expected[-2]
    np.testing.assert_allclose(dof_velocity(rotations, 50.0).numpy(), expected, rtol=0, atol=1e-10)


def test_steady_motion_has_its_speed_by_hand():
    time = torch.arange(60, dtype=torch.float64) / 30.0
    pos = time[:, None] * torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(linear_velocity(pos, 30.0), pos[30:31].expand(60, 3) / time[30])
    spin = torch.tensor([0.3, 0.0, 2.0], dtype=torch.float64)
    rotations = exp_map_to_quat(time[:, None] * spin)
    world = angular_velocity(rotations, 30.0)
    torch.testing.assert_close(world[:40], spin.expand(40, 3))
    assert world[-1].norm() < spin.norm()  # the last frame counts as standing still
    torch.testing.assert_close(dof_velocity(rotations[:, None], 30.0)[:, 0], spin.expand(60, 3))


def test_velocities_ignore_quaternion_signs():
    rotations = random_rotations(20, 3)
    flipped = rotations * torch.where(torch.arange(20) % 3 == 0, -1.0, 1.0).double()[:, None, None]
    torch.testing.assert_close(angular_velocity(flipped, 30.0), angular_velocity(rotations, 30.0))
    torch.testing.assert_close(dof_velocity(flipped, 30.0), dof_velocity(rotations, 30.0))


@pytest.mark.parametrize("velocity", [linear_velocity, angular_velocity, dof_velocity])
def test_one_frame_has_no_velocity(velocity):
    with pytest.raises(ValueError, match="two frames"):
        velocity(torch.ones(1, 2, 4), 30.0)


def test_motion_properties_are_the_pure_functions():
    motion = make_motion()
    body_pos, body_rot = motion.skeleton.forward_kinematics(motion.root_pos, motion.local_rot)
    assert torch.equal(motion.body_pos, body_pos)
    assert torch.equal(motion.body_rot, body_rot)
    assert torch.equal(motion.body_vel, linear_velocity(body_pos, 30.0))
    assert torch.equal(motion.body_ang_vel, angular_velocity(body_rot, 30.0))
    assert torch.equal(motion.dof_vel, dof_velocity(motion.local_rot[:, 1:], 30.0))
    assert motion.body_pos is motion.body_pos
    assert (motion.num_frames, motion.duration) == (40, pytest.approx(1.3))


# --- construction ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fps": 0.0}, "fps must be a positive"),
        ({"fps": math.nan}, "fps must be a positive"),
        ({"root_pos": torch.zeros(5, 2)}, "root_pos must be"),
        ({"root_pos": torch.zeros(())}, "root_pos must be"),
        ({"root_pos": torch.zeros(1, 3), "local_rot": torch.zeros(1, 6, 4)}, "T >= 2"),
        ({"local_rot": torch.zeros(4, 6, 4)}, r"local_rot must be \(5, 6, 4\)"),
        ({"local_rot": torch.zeros(5, 6, 4, dtype=torch.float64)}, "share a floating-point dtype"),
        ({"root_pos": torch.zeros(5, 3, device="meta")}, "root_pos is on meta"),
    ],
)
def test_a_malformed_motion_is_refused_in_one_line(change, message):
    fields = {"fps": 30.0, "root_pos": torch.zeros(5, 3), "local_rot": torch.zeros(5, 6, 4)} | change
    with pytest.raises(ValueError, match=message) as caught:
        SkeletonMotion(Skeleton(NAMES, PARENTS, OFFSETS), **fields)
    assert "\n" not in str(caught.value)


def test_to_changes_the_dtype_of_everything():
    single = make_motion().to(dtype=torch.float32)
    assert {single.root_pos.dtype, single.local_rot.dtype, single.skeleton.offsets.dtype} == {torch.float32}


# --- resampling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fps", "fps_out"), [(120.0, 30.0), (30.0, 120.0), (25.0, 30.0), (59.94, 30.0), (30.0, 29.97)])
def test_resampling_matches_scipy_at_true_time(fps, fps_out):
    motion = make_motion(frames=41, fps=fps)
    out = motion.resample(fps_out)
    times = np.arange(out.num_frames) / fps_out
    assert times[-1] <= motion.duration + 1e-6 / fps
    assert motion.duration - times[-1] < 1 / fps_out
    times = times.clip(max=motion.duration)
    source = np.arange(41) / fps
    for axis in range(3):
        expected = np.interp(times, source, motion.root_pos[:, axis].numpy())
        np.testing.assert_allclose(out.root_pos[:, axis].numpy(), expected, rtol=0, atol=1e-9)
    for body in range(len(NAMES)):
        turns = Slerp(source, Rotation.from_quat(motion.local_rot[:, body].numpy(), scalar_first=True))(
            times.clip(0, 40 / fps)
        )
        expected = torch.as_tensor(turns.as_quat(scalar_first=True))
        assert quat_angle(quat_mul(quat_conj(out.local_rot[:, body]), expected)).max() < 1e-8


def test_resampling_to_the_same_rate_changes_nothing():
    motion = make_motion()
    out = motion.resample(30.0)
    torch.testing.assert_close(out.root_pos, motion.root_pos)
    torch.testing.assert_close(out.local_rot, motion.local_rot)


def test_resampling_keeps_every_fourth_frame_exactly():
    motion = make_motion(frames=42, fps=120.0, dtype=torch.float32)
    out = motion.resample(30.0)
    assert out.num_frames == 11  # 41 steps of 1/120 s hold ten of 1/30 s: the last frame is left out, not stretched
    torch.testing.assert_close(out.root_pos, motion.root_pos[::4])


def test_resampling_keeps_time_in_long_clips():
    """Single precision seconds would drift: an hour at 120 fps."""
    frames = 120 * 3600 + 1
    root_pos = torch.zeros(frames, 3)
    root_pos[:, 0] = torch.arange(frames) % 2
    motion = SkeletonMotion(
        Skeleton(("root",), (-1,), torch.zeros(1, 3)),
        120.0,
        root_pos,
        torch.tensor([[[1.0, 0, 0, 0]]]).expand(frames, 1, 4),
    )
    out = motion.resample(240.0)
    torch.testing.assert_close(out.root_pos[-4:, 0], torch.tensor([0.5, 1.0, 0.5, 0.0]))


def test_resampling_refuses_nonsense():
    with pytest.raises(ValueError, match="positive"):
        make_motion().resample(0.0)
    with pytest.raises(ValueError, match="fewer than two frames"):
        make_motion(frames=3).resample(1.0)


# --- cropping --------------------------------------------------------------------------------------------------------


def test_cropping_keeps_the_frames_inside():
    motion = make_motion(frames=40)
    assert torch.equal(motion.crop(10 / 30, 20 / 30).root_pos, motion.root_pos[10:21])
    assert torch.equal(motion.crop(9.5 / 30, 20.5 / 30).local_rot, motion.local_rot[10:21])
    assert torch.equal(motion.crop(1.0).root_pos, motion.root_pos[30:])
    assert torch.equal(motion.crop(0.0, motion.duration).root_pos, motion.root_pos)


@pytest.mark.parametrize(
    ("start", "end"), [(-0.1, 1.0), (0.5, 0.5), (0.6, 0.5), (0.0, 9.0), (math.nan, 1.0), (0.51, 0.54), (0.5, 0.51)]
)
def test_cropping_refuses_intervals_outside_or_empty(start, end):
    with pytest.raises(ValueError, match=r"crop|fewer than two"):
        make_motion().crop(start, end)


# --- mirroring and turning -------------------------------------------------------------------------------------------


def test_mirroring_reflects_every_body():
    motion = make_motion()
    mirror = motion.mirrored()
    swap = torch.tensor(motion.skeleton.mirror_permutation())
    flip_y = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(mirror.body_pos, motion.body_pos[:, swap] * flip_y)
    # M R M is the reflected rotation.
    reflect = torch.diag(flip_y)
    before = torch.as_tensor(Rotation.from_quat(motion.body_rot[:, swap].reshape(-1, 4), scalar_first=True).as_matrix())
    after = torch.as_tensor(Rotation.from_quat(mirror.body_rot.reshape(-1, 4), scalar_first=True).as_matrix())
    torch.testing.assert_close(after, reflect @ before @ reflect)
    torch.testing.assert_close(mirror.body_vel, motion.body_vel[:, swap] * flip_y)
    torch.testing.assert_close(mirror.body_ang_vel, -motion.body_ang_vel[:, swap] * flip_y)  # a pseudovector


def test_mirroring_twice_is_nothing():
    motion = make_motion()
    twice = motion.mirrored().mirrored()
    assert torch.equal(twice.root_pos, motion.root_pos)
    assert torch.equal(twice.local_rot, motion.local_rot)


@settings(deadline=None, max_examples=20)
@given(st.floats(-7, 7))
def test_turning_moves_the_heading_and_nothing_else(angle):
    motion = make_motion(frames=10)
    turned = motion.rotated_heading(angle)
    change = heading_angle(turned.body_rot[:, 0]) - heading_angle(motion.body_rot[:, 0]) - angle
    assert max(abs(math.remainder(float(c), 2 * math.pi)) for c in change) < 1e-9
    matrix = torch.as_tensor(Rotation.from_rotvec([0, 0, angle]).as_matrix())
    torch.testing.assert_close(turned.body_pos, motion.body_pos @ matrix.T)
    torch.testing.assert_close(turned.body_vel, motion.body_vel @ matrix.T)
    torch.testing.assert_close(turned.dof_vel, motion.dof_vel)
