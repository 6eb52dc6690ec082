import numpy as np
import pytest
import torch
from clips import U, damage, load_or_refuse, one_line, random_clip, random_pose, same_rotation, upright_matrices
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from poselib.rotations import matrix_to_quat, quat_to_matrix
from poselib.skeleton import Skeleton
from puffer_phc.errors import InputError
from puffer_phc.motions.formats import SourceOptions, amass
from puffer_phc.motions.loading import load_motions
from puffer_phc.robots.smpl_table import BODY_NAMES, PARENTS, PELVIS_OFFSET, SMPL_BODIES

SKELETON = Skeleton(BODY_NAMES, PARENTS, torch.tensor([row.pos for row in SMPL_BODIES], dtype=torch.float64))


def store(path, **arrays):
    content = {"trans": np.zeros((6, 3)), "poses": random_pose(6), "mocap_framerate": np.array(120.0)} | arrays
    np.savez(path, **{key: value for key, value in content.items() if value is not None})
    return path


def test_rotations_agree_with_the_definition(tmp_path):
    pose = random_pose(6, seed=3, scale=1.0)
    trans = np.random.default_rng(0).normal(size=(6, 3))
    clip = amass.read(store(tmp_path / "kick.npz", poses=pose, trans=trans))[0]
    body_rot = quat_to_matrix(SKELETON.local_to_global(clip.local_rot)).numpy()
    np.testing.assert_allclose(body_rot, upright_matrices(pose), atol=1e-12)
    np.testing.assert_allclose(clip.root_pos.numpy(), trans + PELVIS_OFFSET, atol=1e-15)
    assert (clip.name, clip.fps, clip.body_names) == ("kick", 120.0, BODY_NAMES)


def test_zero_pose_stands_up_when_the_root_turns_smpl_upright(tmp_path):
    # SMPL's y axis is up; AMASS's root rotation puts it on the world's z, facing x.
    pose = np.zeros((6, 72))
    pose[:, :3] = Rotation.from_matrix(U.T).as_rotvec()
    clip = amass.read(store(tmp_path / "stand.npz", poses=pose))[0]
    body_pos, body_rot = SKELETON.forward_kinematics(clip.root_pos, clip.local_rot)
    assert torch.allclose(body_rot[..., 0].abs(), torch.ones(6, 24, dtype=torch.float64))
    assert body_pos[0, BODY_NAMES.index("Head"), 2] > body_pos[0, 0, 2] + 0.5
    assert body_pos[0, BODY_NAMES.index("L_Hand"), 1] > body_pos[0, 0, 1] + 0.6


@pytest.mark.parametrize("width", [156, 165])
def test_hands_of_smplh_and_smplx_are_identity(tmp_path, width):
    pose = np.random.default_rng(1).normal(0, 0.4, (6, width))
    clip = amass.read(store(tmp_path / "x.npz", poses=pose))[0]
    expected = np.concatenate((pose[:, :66], np.zeros((6, 6))), axis=1)
    reference = amass.read(store(tmp_path / "y.npz", poses=expected))[0]
    assert torch.equal(clip.local_rot, reference.local_rot)
    assert torch.equal(clip.local_rot[:, BODY_NAMES.index("L_Hand")], torch.eye(4, dtype=torch.float64)[[0] * 6])


def test_smplx_release_with_separate_arrays(tmp_path):
    pose = random_pose(6, seed=5)
    path = store(
        tmp_path / "x.npz",
        poses=None,
        root_orient=pose[:, :3],
        pose_body=pose[:, 3:66],
        mocap_framerate=None,
        mocap_frame_rate=np.float32(59.94),
    )
    clip = amass.read(path)[0]
    assert clip.fps == pytest.approx(59.94)
    assert torch.equal(clip.local_rot, amass.read(store(tmp_path / "y.npz", poses=pose))[0].local_rot)


def test_a_told_rate_is_for_files_without(tmp_path):
    told = SourceOptions(fps=100.0)
    for stated, fps in ((None, 100.0), (np.array(0.0), 100.0), (np.array(120.0), 120.0)):
        assert amass.read(store(tmp_path / "x.npz", mocap_framerate=stated), told)[0].fps == fps
        assert amass.read(tmp_path / "x.npz", SourceOptions(override_fps=50.0))[0].fps == 50.0


def test_write_then_read_keeps_the_motion(tmp_path):
    clip = random_clip(num_frames=40, fps=59.94)
    amass.write(tmp_path / "out.npz", clip)
    back = amass.read(tmp_path / "out.npz")[0]
    assert same_rotation(back.local_rot, clip.local_rot, 1e-12)
    assert torch.allclose(back.root_pos, clip.root_pos, atol=1e-14)
    assert back.fps == 59.94
    first = (tmp_path / "out.npz").read_bytes()
    amass.write(tmp_path / "out.npz", clip)
    assert (tmp_path / "out.npz").read_bytes() == first


def test_write_refuses_other_bodies(tmp_path):
    with pytest.raises(InputError, match="unknown base"):
        amass.write(tmp_path / "out.npz", random_clip(body_names=("base",)))


def test_rotation_vectors_beyond_a_half_turn(tmp_path):
    pose = random_pose(6, seed=2, scale=4.0)
    clip = amass.read(store(tmp_path / "x.npz", poses=pose))[0]
    expected = matrix_to_quat(torch.from_numpy(upright_matrices(pose)))
    assert same_rotation(SKELETON.local_to_global(clip.local_rot), expected, 1e-9)


NAN_POSES = random_pose(6)
NAN_POSES[4, 10] = np.nan


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"mocap_framerate": None}, "neither mocap_framerate nor mocap_frame_rate"),
        ({"mocap_framerate": np.array(0.0)}, "mocap_framerate is 0"),
        ({"mocap_framerate": np.array(-30.0)}, "mocap_framerate is -30"),
        ({"mocap_framerate": np.array(np.inf)}, "mocap_framerate is inf"),
        ({"mocap_framerate": np.array("30")}, "not one number"),
        ({"mocap_framerate": np.array([30.0, 60.0])}, "not one number"),
        ({"trans": None}, "array trans is missing"),
        ({"trans": np.zeros((6, 2))}, "trans has shape (6, 2); the shape must be (T, 3)"),
        ({"trans": np.zeros((5, 3))}, "differ in frames (trans 5, poses 6)"),
        ({"poses": np.zeros((6, 63))}, "(6, 63)"),
        ({"poses": np.zeros(72)}, "(72,)"),
        ({"poses": NAN_POSES}, "poses holds NaN or infinite values from frame 4 on"),
        ({"poses": None, "pose_body": np.zeros((6, 63))}, "root_orient is missing"),
        ({"poses": None, "pose_body": np.zeros((6, 69)), "root_orient": np.zeros((6, 3))}, "pose_body has shape"),
        ({"poses": random_pose(4), "trans": np.zeros((4, 3))}, "too short (4 frames)"),
    ],
)
def test_faults(tmp_path, changes, fault):
    path = store(tmp_path / "bad.npz", **changes)
    with pytest.raises(InputError) as error:
        load_motions(path)
    assert fault in one_line(error)
    assert "bad.npz" in one_line(error)


def test_real_files(shared_data):
    clips = load_motions(shared_data / "formats" / "single" / "*.npz")
    assert [(clip.name, clip.num_frames, clip.fps) for clip in clips] == [
        ("01_01", 688, 30.0),
        ("02_01", 86, 30.0),
        ("05_02", 281, 30.0),
    ]
    body_pos, _ = SKELETON.forward_kinematics(clips[1].root_pos, clips[1].local_rot)
    # A walk: feet near the floor, head above the pelvis.
    assert -0.05 < float(body_pos[..., 2].min()) < 0.05
    assert float((body_pos[:, BODY_NAMES.index("Head"), 2] - body_pos[:, 0, 2]).min()) > 0.4


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_never_escape(tmp_path, data):
    good = tmp_path / "good.bin"
    if not good.exists():
        store(tmp_path / "x.npz")
        good.write_bytes((tmp_path / "x.npz").read_bytes())
    (tmp_path / "x.npz").write_bytes(damage(data, good.read_bytes()))
    for clip in load_or_refuse(load_motions, tmp_path / "x.npz") or []:
        assert torch.isfinite(clip.root_pos).all()
