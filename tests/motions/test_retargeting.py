"""From skeleton to robot: what is carried over, what is mended, and what must not matter."""

from dataclasses import replace

import pytest
import torch

from poselib.rotations import quat_angle, quat_conj, quat_mul
from poselib.skeleton import Skeleton
from puffer_phc.errors import InputError
from puffer_phc.motions.contacts import feet_of, find_contacts
from puffer_phc.motions.feet import plan_feet
from puffer_phc.motions.fitting import FitWeights, _Chunk, _Pose, _Problem
from puffer_phc.motions.formats import SourceOptions, read_file
from puffer_phc.motions.joint_maps import anatomy
from puffer_phc.motions.loading import load_motions
from puffer_phc.motions.planting import joint_limits
from puffer_phc.motions.quality import measure, shape_points
from puffer_phc.motions.retargeting import retarget, transfer
from tests.motions.clips import one_line
from tests.motions.moving import drifting, far, few_steps, positions, robot, shifted, turned, walk, with_turn

_LEG = {"Hip": "UpLeg", "Knee": "Leg", "Ankle": "Foot", "Toe": "Toe"}
_ARM = {"Thorax": "Shoulder", "Shoulder": "Arm", "Elbow": "ForeArm", "Wrist": "Hand", "Hand": "Palm"}
BVH_NAMES = {
    "Pelvis": "Hips",
    **{"Torso": "Spine", "Spine": "Spine1", "Chest": "Spine2"},
    **{f"{s[0]}_{ours}": f"{s}{theirs}" for s in ("Left", "Right") for ours, theirs in (_LEG | _ARM).items()},
}


def foreign(clip, scale=1.0, names=BVH_NAMES):
    """The same motion on a skeleton of its own: other names, other size."""
    skeleton = robot().skeleton
    renamed = tuple(names.get(name, name) for name in skeleton.names)
    own = Skeleton(renamed, skeleton.parents, scale * skeleton.offsets)
    return replace(clip, body_names=renamed, skeleton=own, root_pos=scale * clip.root_pos)


def turn_between(a, b):
    return float(quat_angle(quat_mul(quat_conj(a.local_rot), b.local_rot)).max())


# --- transfer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [BVH_NAMES, {}])
@pytest.mark.parametrize("scale", [1.0, 0.7, 100.0])
def test_a_skeleton_onto_itself_is_the_identity(names, scale):
    result = transfer(foreign(walk(), scale, names), robot())
    assert result.skeleton is None
    assert result.body_names == robot().body_names
    assert turn_between(result, walk()) < 1e-6
    torch.testing.assert_close(result.root_pos, walk().root_pos, rtol=0, atol=1e-9)


def test_a_clip_of_the_robot_is_passed_on():
    assert transfer(walk(), robot()) is walk()


def test_hands_of_other_skeletons_are_left_alone():
    moved = with_turn(walk(), "L_Hand", slice(None), (0.5, 0.5, 0.5))
    assert turn_between(transfer(foreign(moved), robot()), walk()) < 1e-6


def test_unknown_joints_are_told():
    clip = foreign(walk(), names={name: f"bone{i}" for i, name in enumerate(robot().body_names)})
    with pytest.raises(InputError) as error:
        transfer(clip, robot())
    assert "no left knee" in one_line(error)
    assert "--joint-map" in one_line(error)


# --- the whole way ---------------------------------------------------------------------------------------------------


def test_a_good_walk_stays_as_it_is():
    result = retarget(walk(), robot())
    assert far(result.clip, walk()) < 0.06  # in mid-swing, where our feet graze the floor
    assert float((positions(result.clip) - positions(walk())).norm(dim=-1).mean()) < 0.008
    assert measure(result.clip, robot()).verdict == "use"
    assert result.notes == ()


@pytest.mark.parametrize("depth", [0.02, -0.05])
def test_a_sunk_or_floating_walk_is_put_on_the_floor(depth):
    result = retarget(shifted(walk(), z=-depth), robot())
    quality = measure(result.clip, robot())
    assert quality.penetration_p99 < 0.002
    assert quality.floating < 0.002
    assert far(result.clip, retarget(walk(), robot()).clip) < 0.002


def test_skating_feet_are_held():
    skating = drifting(walk(), 0.15)
    before = measure(skating, robot())
    after = measure(retarget(skating, robot()).clip, robot())
    assert before.skate > 0.13
    assert after.skate < 0.02
    assert after.penetration_p99 < 0.002
    assert after.joint_speed_max < 1.5 * before.joint_speed_max


def test_one_foot_too_low_is_lifted():
    """The ankle turned down by a constant, as a wrong rest pose does: the toes point through the floor."""
    tilted = with_turn(with_turn(walk(), "L_Ankle", slice(None), (0, 0.2, 0)), "R_Ankle", slice(None), (0, 0.2, 0))
    assert measure(tilted, robot()).penetration_p50 > 0.02
    after = measure(retarget(tilted, robot()).clip, robot())
    assert after.penetration_p99 < 0.002
    assert after.skate < 0.02


def test_a_flip_is_mended_and_told():
    result = retarget(with_turn(walk(), "L_Shoulder", slice(90, 91), (0, 2.8, 0)), robot())
    assert measure(result.clip, robot()).joint_speed_max < 25.0
    assert "joint jumps mended" in " ".join(result.notes)


@pytest.mark.parametrize(("yaw", "x", "y"), [(1.0, 9.6, 0.0), (-3.0, 0.0, -30.0)])
def test_place_and_heading_do_not_matter(yaw, x, y):
    skating = foreign(drifting(few_steps(), 0.15))
    expected = shifted(turned(retarget(skating, robot()).clip, yaw), x, y)
    found = retarget(shifted(turned(skating, yaw), x, y), robot()).clip
    assert far(found, expected) < 1e-4


def test_resampling_keeps_the_clock():
    result = retarget(few_steps(), robot(), target_fps=50.0)
    assert result.clip.fps == 50.0
    assert result.clip.duration == pytest.approx(few_steps().duration, abs=1 / 50)
    half = retarget(walk(), robot(), target_fps=15.0, clean=False)
    torch.testing.assert_close(half.clip.root_pos, walk().root_pos[::2], rtol=0, atol=1e-12)


def test_twice_is_the_same_bytes():
    clips = [retarget(foreign(drifting(few_steps(), 0.2)), robot()).clip for _ in range(2)]
    assert torch.equal(clips[0].root_pos, clips[1].root_pos)
    assert torch.equal(clips[0].local_rot, clips[1].local_rot)


def test_too_short():
    short = replace(walk(), root_pos=walk().root_pos[:6], local_rot=walk().local_rot[:6])
    with pytest.raises(InputError, match="too short"):
        retarget(short, robot(), target_fps=10.0)


# --- parts -----------------------------------------------------------------------------------------------------------


def test_contacts_of_a_walk():
    body_pos, body_rot = robot().skeleton.forward_kinematics(walk().root_pos, walk().local_rot)
    contacts = find_contacts(feet_of(robot()), shape_points(robot(), body_pos, body_rot), 30.0)
    assert abs(contacts.floor) < 0.005
    standing = contacts.heel | contacts.ball
    assert standing.any(dim=1).all()  # somebody who walks always has a foot on the floor
    assert 0.5 < standing.double().mean() < 0.98
    assert not standing.all(dim=1).all()


def test_derivatives_of_the_fit_are_those_of_its_cost():
    """Against finite differences, with every term at work."""
    clip = shifted(with_turn(walk(), "R_Knee", slice(None), (0.0, -1.0, 0.0)), z=-0.15)
    feet = feet_of(robot())
    body_pos, body_rot = robot().skeleton.forward_kinematics(clip.root_pos, clip.local_rot)
    contacts = find_contacts(feet, shape_points(robot(), body_pos, body_rot), 30.0)
    paths = plan_feet(robot(), feet, contacts, body_pos, body_rot, 30.0)
    limits = joint_limits(robot(), anatomy(robot().skeleton))
    problem = _Problem(robot(), feet, paths, limits, FitWeights())
    chunk = _Chunk(problem, slice(0, 8), _Pose(walk().root_pos, walk().local_rot))
    pose = _Pose(clip.root_pos[:8], clip.local_rot[:8])
    _, gradient, _ = chunk.evaluate(pose)
    # Turns are measured in the world, "stay" linearises the drift at zero: take its term out of the comparison.
    chunk.stay = torch.zeros_like(chunk.stay)
    _, gradient, _ = chunk.evaluate(pose)
    step = 1e-6
    for column in range(0, gradient.shape[1], 4):
        move = torch.zeros_like(gradient)
        move[:, column] = step
        slope = (chunk.evaluate(chunk.moved(pose, move))[0] - chunk.evaluate(chunk.moved(pose, -move))[0]) / (2 * step)
        torch.testing.assert_close(2.0 * gradient[:, column], slope, rtol=2e-2, atol=2.0)


# --- real recordings -------------------------------------------------------------------------------------------------


def test_cmus_walk_lies_on_the_reference(shared_data):
    """25 mm root-relative, mean over joints and frames, after everything has been mended."""
    (source,) = read_file(shared_data / "formats" / "single" / "02_01.amc", SourceOptions(fps=120.0))
    (reference,) = load_motions(shared_data / "formats" / "single" / "02_01.npz")
    result = retarget(source, robot(), target_fps=30.0)
    for clip, bar in ((result.transferred, 0.001), (result.clip, 0.025)):
        frames = min(clip.num_frames, reference.num_frames)
        a, b = positions(clip)[:frames], positions(reference)[:frames]
        assert float((a - a[:, :1] - b + b[:, :1]).norm(dim=-1).mean()) < bar
    quality = measure(result.clip, robot())
    assert quality.penetration_p99 < 0.01
    assert quality.skate < 0.05
    assert quality.verdict == "use"
