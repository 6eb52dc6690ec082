"""The sample motions obey the floor, the joints' limits of speed and the laws of balance."""

from __future__ import annotations

import math
import runpy
import sys
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull

from poselib.rotations import (
    exp_map_to_quat,
    heading_angle,
    quat_angle,
    quat_conj,
    quat_identity,
    quat_mul,
    quat_rotate,
    quat_to_exp_map,
)
from puffer_phc.motions.balance import GRAVITY, pendulum_path, smpl_masses, smpl_skeleton, zero_moment_point
from puffer_phc.motions.choreography import SAMPLE_MOTIONS, walk
from puffer_phc.motions.curves import Knot, keyed, quintic
from puffer_phc.motions.leg_ik import LegBones, solve_leg
from puffer_phc.motions.synthesis import amass_arrays, save_amass
from puffer_phc.robots.smpl_table import BODY_NAMES, PELVIS_OFFSET, SMPL_BODIES, SMPL_JOINT_ORDER

ROOT = Path(__file__).parents[2]
FEET = {"L": ("L_Ankle", "L_Toe"), "R": ("R_Ankle", "R_Toe")}
TOUCH = 0.005  # m, a corner this low carries weight


@pytest.fixture(scope="module")
def clips():
    return {name: make() for name, make in SAMPLE_MOTIONS.items()}


@pytest.fixture(params=SAMPLE_MOTIONS)
def clip(request, clips):
    return clips[request.param]


def poses(clip):
    return smpl_skeleton().forward_kinematics(clip.root_pos, clip.local_rot)


def corners(clip, body):
    """World corners (T, 8, 3) m of a foot box."""
    pos, rot = (x[:, BODY_NAMES.index(body), None] for x in poses(clip))
    row = SMPL_BODIES[BODY_NAMES.index(body)]
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    return pos + quat_rotate(rot, torch.tensor(row.geom_pos).double() + signs * torch.tensor(row.size).double())


def joint_velocity(clip):
    """Angular velocity (T - 1, B, 3) rad/s of every body relative to its parent, central between frames."""
    return quat_to_exp_map(quat_mul(quat_conj(clip.local_rot[:-1]), clip.local_rot[1:])) * clip.fps


def test_soles_neither_sink_nor_float(clip):
    lowest = torch.stack([corners(clip, body)[..., 2].amin(dim=1) for side in FEET.values() for body in side])
    assert lowest.min() > -1e-3
    assert lowest.amin(dim=0).max() < TOUCH  # some sole touches in every frame


def test_planted_feet_stand_still(clip):
    for ankle, _ in FEET.values():
        planted = corners(clip, ankle)[..., 2].sort(dim=1).values[:, :4].amax(dim=1) < 1e-3  # the whole sole is down
        moved = poses(clip)[0][:, BODY_NAMES.index(ankle)].diff(dim=0).norm(dim=-1)
        still = planted[1:] & planted[:-1]
        assert still.float().mean() > 0.3
        assert moved[still].max() < 1e-3


def test_joints_move_at_human_speeds_without_spikes(clip):
    velocity = joint_velocity(clip)
    assert velocity.norm(dim=-1).max() < 10.0
    assert (velocity.diff(dim=0) * clip.fps).norm(dim=-1).max() < 220.0  # rad/s^2; a knee before heel strike
    root_acceleration = clip.root_pos.diff(n=2, dim=0) * clip.fps**2
    assert root_acceleration.norm(dim=-1).max() < 0.5 * GRAVITY
    assert (root_acceleration.diff(dim=0) * clip.fps).norm(dim=-1).max() < 60.0


def test_knees_bend_forward_only(clip):
    for side in FEET:
        knee = quat_to_exp_map(clip.local_rot[:, BODY_NAMES.index(f"{side}_Knee")])
        assert knee[:, 1].min() > 0.0
        assert knee[:, [0, 2]].abs().max() < 1e-9


def test_zero_moment_point_stays_over_the_feet(clip):
    zmp = zero_moment_point(clip.root_pos, clip.local_rot, 1.0 / clip.fps)
    touching = torch.cat([corners(clip, body) for side in FEET.values() for body in side], dim=1)
    outside = []
    for point, feet in zip(zmp[1:-1].numpy(), touching[1:-1].numpy(), strict=True):
        hull = ConvexHull(feet[feet[:, 2] < TOUCH, :2])
        outside.append((hull.equations[:, :2] @ point + hull.equations[:, 2]).max())
    assert max(outside) < 0.03
    assert np.mean(np.array(outside) > 0.01) < 0.02


def test_starts_and_ends_standing_still(clip):
    velocity = joint_velocity(clip)
    for ends in (velocity[[0, -1]], clip.root_pos.diff(dim=0)[[0, -1]] * clip.fps):
        assert ends.abs().max() < 0.15


def test_what_each_motion_does(clips):
    travelled = clips["walk"].root_pos[-1] - clips["walk"].root_pos[0]
    assert 4.0 < travelled[0] < 5.0
    assert abs(travelled[1]) < 0.05
    turned = heading_angle(clips["weight_shift_turn"].local_rot[:, 0])
    assert turned[-1] - turned[0] == pytest.approx(math.pi / 2, abs=1e-6)
    squat = clips["squat_and_wave"]
    assert squat.root_pos[:, 2].max() - squat.root_pos[:, 2].min() > 0.1
    pos = poses(squat)[0]
    assert pos[:, BODY_NAMES.index("R_Hand"), 2].max() > pos[0, BODY_NAMES.index("Neck"), 2]


def test_bundled_files_are_what_the_code_makes(clip):
    with np.load(ROOT / "sample_data" / f"{clip.name}.npz", allow_pickle=False) as stored:
        fresh = amass_arrays(clip)
        assert set(stored.files) == set(fresh)
        for key, value in fresh.items():
            assert stored[key].dtype == value.dtype
            if key == "gender":
                assert stored[key].item() == "neutral"
            else:
                np.testing.assert_allclose(stored[key], value, atol=1e-6)


def test_amass_arrays_describe_the_same_poses(clip):
    """Global SMPL rotations times the change of axes are the upright ones; the pelvis is trans plus its offset."""
    arrays = amass_arrays(clip)
    np.testing.assert_allclose(arrays["trans"] + np.float32(PELVIS_OFFSET), clip.root_pos.numpy(), atol=1e-6)
    exp_map = torch.from_numpy(arrays["poses"]).double().reshape(-1, 24, 3)
    smpl_local = torch.empty(*exp_map.shape[:2], 4, dtype=torch.float64)
    for column, joint in enumerate(SMPL_JOINT_ORDER):
        smpl_local[:, BODY_NAMES.index(joint)] = exp_map_to_quat(exp_map[:, column])
    to_smpl_axes = torch.tensor((0.5, -0.5, -0.5, -0.5), dtype=torch.float64)  # x forward to z forward
    upright = quat_mul(smpl_skeleton().local_to_global(smpl_local), to_smpl_axes.expand(*smpl_local.shape))
    assert quat_angle(quat_mul(quat_conj(upright), poses(clip)[1])).max() < 1e-5


def test_files_are_reproducible_bytes(clips, tmp_path):
    for copy in ("a", "b"):
        save_amass(tmp_path / f"{copy}.npz", clips["walk"])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {member.date_time[0] for member in archive.infolist()} == {1980}


def test_script_writes_the_files_and_a_table(clips, tmp_path, monkeypatch, capsys):
    for name, clip in clips.items():
        monkeypatch.setitem(SAMPLE_MOTIONS, name, lambda clip=clip: clip)
    monkeypatch.setattr(sys, "argv", ["make_sample_motions.py", "--out", str(tmp_path / "new")])
    runpy.run_path(str(ROOT / "scripts" / "make_sample_motions.py"), run_name="__main__")
    assert {path.stem for path in (tmp_path / "new").iterdir()} == set(SAMPLE_MOTIONS)
    table = capsys.readouterr().out
    assert all(name in table for name in SAMPLE_MOTIONS)


def test_unreachable_foot_is_refused():
    with pytest.raises(ValueError, match=r"walk: the [LR] foot is .* m out of reach at"):
        walk(step_length=1.1)


def test_leg_reaches_random_targets():
    torch.manual_seed(0)
    rows = [SMPL_BODIES[BODY_NAMES.index(f"L_{part}")] for part in ("Hip", "Knee", "Ankle")]
    bones = LegBones(*(torch.tensor(row.pos, dtype=torch.float64) for row in rows))
    pelvis_pos = torch.randn(50, 3, dtype=torch.float64)
    pelvis_rot = exp_map_to_quat(0.5 * torch.randn(50, 3, dtype=torch.float64))
    direction = torch.nn.functional.normalize(torch.randn(50, 3).double() * 0.3 - torch.tensor([0.0, 0.0, 1.0]), dim=-1)
    distance = 0.4 + 0.36 * torch.rand(50, 1, dtype=torch.float64)
    ankle_pos = pelvis_pos + quat_rotate(pelvis_rot, bones.hip + distance * direction)
    foot_rot = exp_map_to_quat(torch.randn(50, 3, dtype=torch.float64))
    hinge = quat_rotate(pelvis_rot, torch.tensor([0.0, 1.0, 0.0]).double().expand(50, 3))
    leg = solve_leg(bones, pelvis_pos, pelvis_rot, ankle_pos, foot_rot, hinge)
    local_rot = quat_identity(50, 24, dtype=torch.float64)
    local_rot[:, 0] = pelvis_rot
    for part, rot in zip(("Hip", "Knee", "Ankle"), leg, strict=True):
        local_rot[:, BODY_NAMES.index(f"L_{part}")] = rot
    pos, rot = smpl_skeleton().forward_kinematics(pelvis_pos, local_rot)
    ankle = BODY_NAMES.index("L_Ankle")
    torch.testing.assert_close(pos[:, ankle], ankle_pos, atol=1e-9, rtol=0.0)
    assert quat_angle(quat_mul(quat_conj(rot[:, ankle]), foot_rot)).max() < 1e-6


def test_standing_still_puts_the_zero_moment_point_under_the_centre_of_mass():
    root_pos = torch.tensor([[0.3, -0.2, 0.94]], dtype=torch.float64).repeat(5, 1)
    local_rot = quat_identity(5, 24, dtype=torch.float64)
    masses = smpl_masses()
    pos, _ = smpl_skeleton().forward_kinematics(root_pos, local_rot)
    centre = ((pos + masses.centre) * masses.mass[:, None]).sum(dim=1) / masses.mass.sum()
    torch.testing.assert_close(zero_moment_point(root_pos, local_rot, 0.01), centre[:, :2])


def test_pendulum_path_obeys_its_equation():
    dt, frames = 0.01, 200
    zmp = torch.stack((torch.linspace(0, 1, frames), torch.sin(torch.linspace(0, 9, frames))), dim=-1).double()
    path = pendulum_path(zmp, torch.full((frames,), 0.9, dtype=torch.float64), dt)
    acceleration = path.diff(n=2, dim=0) / dt**2
    torch.testing.assert_close(path[1:-1] - 0.9 / GRAVITY * acceleration, zmp[1:-1])


def test_curves_meet_their_knots():
    times = torch.linspace(0.0, 2.0, 2001, dtype=torch.float64)
    knots = [Knot(*torch.randn(3, 2, generator=torch.Generator().manual_seed(i)).double()) for i in range(2)]
    curve = quintic(times, 0.0, 2.0, *knots)
    velocity = curve.diff(dim=0) / 1e-3
    acceleration = curve.diff(n=2, dim=0) / 1e-6
    for end, knot in zip((0, -1), knots, strict=True):
        torch.testing.assert_close(curve[end], knot.value)
        torch.testing.assert_close(velocity[end], knot.velocity, atol=1e-2, rtol=0.0)
        torch.testing.assert_close(acceleration[end], knot.acceleration, atol=5e-2, rtol=0.0)
    keys = ((0.2, 1.0), (0.9, -2.0), (1.5, 0.5))
    through = keyed(times, keys)
    for time, value in keys:
        assert through[round(time * 1000)] == pytest.approx(value)
    for (start, low), (end, high) in pairwise(keys):
        inside = through[round(start * 1000) : round(end * 1000)]
        assert min(low, high) - 1e-9 <= inside.min() <= inside.max() <= max(low, high) + 1e-9
