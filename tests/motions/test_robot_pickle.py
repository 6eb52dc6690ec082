"""GMR's and ASAP's pickles of Unitree's G1."""

import numpy as np
import pytest
from clips import one_line
from format_files import asap, gmr
from scipy.spatial.transform import Rotation

from puffer_phc.errors import InputError
from puffer_phc.motions.formats import SourceOptions, read_file
from puffer_phc.motions.formats.g1 import G1_JOINTS, g1_axes

TOLD = SourceOptions(source_robot="unitree_g1")


def store(folder, content):
    (folder / "walk.pkl").write_bytes(content)
    return folder / "walk.pkl"


def check(clip, place, quats, angles, joint="right_elbow"):
    assert (clip.rig, clip.fps, clip.num_frames) == ("unitree_g1", 30.0, 6)
    np.testing.assert_array_equal(clip.root_pos.numpy(), place)
    turn = Rotation.from_quat(clip.local_rot[:, 0].numpy(), scalar_first=True)
    assert (turn.inv() * Rotation.from_quat(quats, scalar_first=True)).magnitude().max() < 1e-9
    elbow = Rotation.from_quat(clip.local_rot[:, 1 + G1_JOINTS.index(joint)].numpy(), scalar_first=True)
    np.testing.assert_allclose(elbow.as_rotvec(), angles[:, G1_JOINTS.index(joint), None] * [[0, 1, 0]], atol=2e-4)


def test_gmr(tmp_path):
    content, *expected = gmr()
    (clip,) = read_file(store(tmp_path, content))
    check(clip, *expected)
    content, *expected = gmr(links=())
    with pytest.raises(InputError, match="does not name the G1's links; give --source-robot unitree_g1 if"):
        read_file(store(tmp_path, content))
    check(read_file(store(tmp_path, content), TOLD)[0], *expected)
    (tmp_path / "motion.yaml").write_text("source_robot: unitree_g1")
    check(read_file(store(tmp_path, content))[0], *expected)


def test_asap(tmp_path):
    content, *expected = asap()
    (clip,) = read_file(store(tmp_path, content))
    assert clip.name == "kick"
    check(clip, *expected)
    wrist = clip.local_rot[:, 1 + G1_JOINTS.index("left_wrist_yaw")].numpy()
    np.testing.assert_array_equal(wrist, [[1, 0, 0, 0]] * 6)


def test_asap_of_another_robot(tmp_path):
    content, *expected = asap(axes=np.roll(g1_axes(), 1, axis=0))
    with pytest.raises(InputError, match=r"record kick\): its joints do not turn about the axes of the G1's"):
        read_file(store(tmp_path, content))
    check(read_file(store(tmp_path, content), TOLD)[0], *expected)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (gmr(dofs=21)[0], "dof_pos has 21 joints"),
        (gmr(root_rot=np.zeros((6, 4)))[0], "root_rot holds what is no rotation"),
        (gmr(root_rot=np.ones((5, 4)))[0], "6 places, 5 rotations, 6 joint rows"),
        (gmr(root_pos=np.full((6, 3), np.nan))[0], "NaN"),
        (gmr(fps=0)[0], "fps is 0"),
        (gmr(dof_pos=[1, 2])[0], "dof_pos is no array of numbers"),
        (gmr(dof_pos=np.zeros(6))[0], "dof_pos has shape (6,)"),
        (asap(fps="30")[0], "fps is not one number"),
        (asap(root_rot=None)[0], "root_rot is no array"),
    ],
)
def test_faults(tmp_path, content, fault):
    with pytest.raises(InputError) as error:
        read_file(store(tmp_path, content), TOLD)
    assert fault in one_line(error)
    assert str(tmp_path) in one_line(error)
