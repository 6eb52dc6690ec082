"""Motions of Unitree's G1 as csv and npz."""

import numpy as np
import pytest
from clips import one_line
from format_files import g1_csv, g1_npz
from scipy.spatial.transform import Rotation

from puffer_phc.errors import InputError
from puffer_phc.motions.formats import SourceOptions, read_file
from puffer_phc.motions.formats.g1 import G1_JOINTS, breadth_first_joints, g1_skeleton

KNOWN = SourceOptions(fps=30)


def check(clip, place, quats, angles, tolerance):
    assert (clip.rig, clip.body_names[:3]) == ("unitree_g1", ("pelvis", "left_hip_pitch_link", "left_hip_roll_link"))
    np.testing.assert_allclose(clip.root_pos.numpy(), place, atol=tolerance)
    turn = Rotation.from_quat(clip.local_rot[:, 0].numpy(), scalar_first=True)
    assert (turn.inv() * Rotation.from_quat(quats, scalar_first=True)).magnitude().max() < 10 * tolerance
    knee = Rotation.from_quat(clip.local_rot[:, 1 + G1_JOINTS.index("right_knee")].numpy(), scalar_first=True)
    expected = angles[:, G1_JOINTS.index("right_knee")]
    np.testing.assert_allclose(knee.as_rotvec(), expected[:, None] * [[0, 1, 0]], atol=1e-6)


def test_csv(tmp_path):
    content, place, quats, angles = g1_csv()
    (tmp_path / "walk.csv").write_bytes(content)
    (clip,) = read_file(tmp_path / "walk.csv", KNOWN)
    check(clip, place, quats, angles, 1e-8)
    with pytest.raises(InputError, match=r"no frame rate; give --fps \(Unitree's LAFAN1 files have 30\)"):
        read_file(tmp_path / "walk.csv")


@pytest.mark.parametrize("breadth_first", [True, False])
def test_npz_in_either_joint_order(tmp_path, breadth_first):
    expected = g1_npz(tmp_path / "walk.npz", breadth_first=breadth_first)
    (clip,) = read_file(tmp_path / "walk.npz")
    assert clip.fps == 50.0
    check(clip, *expected, 1e-9)


def test_the_orders_of_joints():
    assert [G1_JOINTS[i] for i in breadth_first_joints()][:12] == [
        "left_hip_pitch", "right_hip_pitch", "waist_yaw", "left_hip_roll", "right_hip_roll", "waist_roll",
        "left_hip_yaw", "right_hip_yaw", "waist_pitch", "left_knee", "right_knee", "left_shoulder_pitch",
    ]  # fmt: skip
    assert (len(G1_JOINTS), G1_JOINTS[15]) == (29, "left_shoulder_pitch")


def test_the_skeleton_stands_as_tall_as_the_robot():
    """The model's pelvis is 0.793 m up with its soles 0.035 m under the ankles."""
    skeleton = g1_skeleton()
    height = -sum(
        float(skeleton.offsets[skeleton.index(f"left_{name}_link"), 2])
        for name in ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
    )
    assert height == pytest.approx(0.793 - 0.035, abs=0.01)
    assert skeleton.names[15] == "torso_link"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"fps": np.array([0])}, "fps is 0"),
        ({"joint_pos": np.zeros((6, 23))}, "joint_pos has shape (6, 23)"),
        ({"joint_pos": np.zeros((6, 29))}, "do not put the G1's bodies where body_pos_w has them"),
        ({"body_quat_w": np.zeros((6, 30, 4))}, "body_quat_w holds what is no rotation"),
        ({"body_pos_w": np.full((6, 30, 3), np.nan)}, "NaN"),
        ({"body_pos_w": np.zeros((5, 30, 3))}, "differ in frames"),
        ({"body_pos_w": np.zeros((6, 14, 3))}, "body_pos_w has shape (6, 14, 3)"),
    ],
)
def test_npz_faults(tmp_path, changes, fault):
    g1_npz(tmp_path / "walk.npz", **changes)
    with pytest.raises(InputError) as error:
        read_file(tmp_path / "walk.npz")
    assert fault in one_line(error)


def test_csv_faults(tmp_path):
    content = g1_csv()[0]
    for changed, fault in (
        (content[:-40], "columns"),
        (content.replace(b"\n", b",1\n", 2).replace(b",1\n", b"\n", 1), "line 2 has 37 columns"),
        (b"0,0,1,0,0,0,1" + b",0" * 29 + b"\n0,0,1,0,0,0,0" + b",0" * 29 + b"\n", "no rotation"),
    ):
        (tmp_path / "walk.csv").write_bytes(changed)
        with pytest.raises(InputError, match=fault):
            read_file(tmp_path / "walk.csv", KNOWN)
    (tmp_path / "walk.csv").write_bytes(b",".join([b"1"] * 36) + b"\n")
    with pytest.raises(InputError, match="no known motion format"):
        read_file(tmp_path / "walk.csv", KNOWN)
