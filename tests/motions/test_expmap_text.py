"""CMU clips as tables of exponential maps."""

import numpy as np
import pytest
from clips import one_line
from format_files import expmap, expmap_row
from scipy.spatial.transform import Rotation

from puffer_phc.errors import InputError
from puffer_phc.motions.formats import SourceOptions, bvh, read_file

KNOWN = SourceOptions(fps=120)
T_POSE = {2: (0, 0, 0.366519143), 8: (0, 0, -0.366519143)}  # the BVH conversion's: thighs turned by -21 and 21 degrees


def store(folder, content):
    (folder / "walk.txt").write_bytes(content)
    return folder / "walk.txt"


def test_known_rotations_and_places(tmp_path):
    rows = [expmap_row(T_POSE), *[expmap_row({0: (0, 0.1, 0), 3: (0.5, 0, 0)})] * 6]
    (clip,) = read_file(store(tmp_path, expmap(rows)), KNOWN)
    assert (clip.fps, clip.num_frames, clip.rig) == (120.0, 6, "cmu_bvh_cgspeed")  # the T-pose in front is left out
    np.testing.assert_allclose(clip.root_pos[0].numpy(), np.array([3, 1, 2]) * 0.0254 / 0.45)
    knee = Rotation.from_quat(clip.local_rot[0, clip.body_names.index("LeftLeg")].numpy(), scalar_first=True)
    np.testing.assert_allclose(knee.as_rotvec(), [0, -0.5, 0], atol=1e-9)  # the file's x is our y; exp(-r)
    (kept,) = read_file(store(tmp_path, expmap(rows)), SourceOptions(fps=120, skip_first=0))
    thigh = Rotation.from_quat(kept.local_rot[0, kept.body_names.index("LeftUpLeg")].numpy(), scalar_first=True)
    np.testing.assert_allclose(thigh.as_rotvec(degrees=True), [-21, 0, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (expmap([expmap_row({6: (0, 0.1, 0)})] * 6), "nodes that are CMU's end sites turn"),
        (expmap([expmap_row(), expmap_row() + ",0", expmap_row()]), "line 2 has 118 columns, not 117"),
        (expmap([expmap_row(), expmap_row().replace("1,", "x,", 1)]), "no number"),
        (expmap([expmap_row(), expmap_row().replace("1,", "nan,", 1)]), "NaN"),
        (expmap([expmap_row(), expmap_row().replace("1,", ",", 1)]), "empty"),
        (expmap([expmap_row()] * 6)[:-30], "columns"),
    ],
)
def test_faults(tmp_path, content, fault):
    path = store(tmp_path, content)
    with pytest.raises(InputError) as error:
        read_file(path, KNOWN)
    assert fault in one_line(error)


def test_the_frame_rate_is_asked_for(tmp_path):
    with pytest.raises(InputError, match="the file has no frame rate; give --fps"):
        read_file(store(tmp_path, expmap()))


def test_joints_are_those_of_the_bvh_conversion(cmu_train):
    (table,) = read_file(cmu_train / "10_01.expmap.txt", SourceOptions(skip_first=0))
    (other,) = bvh.read(cmu_train / "06_01.mb.bvh", SourceOptions(skip_first=0))
    assert table.body_names == other.body_names
    assert table.skeleton.parents == other.skeleton.parents
    # Both begin with the T-pose that the converter added.
    a = Rotation.from_quat(table.local_rot[0].numpy(), scalar_first=True)
    b = Rotation.from_quat(other.local_rot[0].numpy(), scalar_first=True)
    assert np.degrees((a.inv() * b).magnitude()).max() < 1e-3
