"""Isaac Gym's pose library files, which are pickles: read without NumPy's unpickler, and safely."""

import os

import numpy as np
import pytest
from clips import one_line
from format_files import poselib
from scipy.spatial.transform import Rotation

from poselib.motion import angular_velocity, linear_velocity
from puffer_phc.errors import InputError
from puffer_phc.motions.checks import check_bodies
from puffer_phc.motions.formats import SourceOptions, poselib_npy, read_file
from puffer_phc.motions.loading import load_motions
from puffer_phc.robots.smpl_table import BODY_NAMES

TREE = {"names": ("hip", "leg", "arm"), "parents": (-1, 0, 0), "offsets": [(0, 0, 0), (0, 0, -1), (0, 1, 0.0)]}
UP = SourceOptions(unit=1.0, up="z")


@pytest.mark.parametrize("protocol", [None, 2, 3, 4, 5])
def test_a_skeleton_of_its_own(tmp_path, protocol):
    rotation, root = poselib(tmp_path / "x.npy", protocol=protocol, **TREE)
    (clip,) = read_file(tmp_path / "x.npy", UP)
    assert (clip.fps, clip.body_names, clip.skeleton.parents, clip.rig) == (60.0, ("hip", "leg", "arm"), (-1, 0, 0), "")
    np.testing.assert_allclose(clip.root_pos.numpy(), root)
    np.testing.assert_allclose(clip.skeleton.offsets.numpy(), TREE["offsets"])
    expected = Rotation.from_quat(rotation.reshape(-1, 4))
    found = Rotation.from_quat(clip.local_rot.reshape(-1, 4).numpy(), scalar_first=True)
    assert (expected.inv() * found).magnitude().max() < 1e-7


def test_global_rotations_are_made_local(tmp_path):
    rotation, _ = poselib(tmp_path / "x.npy", is_local=False, **TREE)
    (clip,) = read_file(tmp_path / "x.npy", UP)
    expected = Rotation.from_quat(rotation[:, 0]).inv() * Rotation.from_quat(rotation[:, 1])
    found = Rotation.from_quat(clip.local_rot[:, 1].numpy(), scalar_first=True)
    assert (expected.inv() * found).magnitude().max() < 1e-6


def test_smpl_bodies_are_our_own(tmp_path):
    poselib(tmp_path / "x.npy")
    (clip,) = load_motions(tmp_path / "x.npy")
    check_bodies(clip, BODY_NAMES)
    assert (clip.rig, clip.skeleton) == ("phc_smpl", None)


def test_unknown_skeletons_are_asked_about(tmp_path):
    poselib(tmp_path / "x.npy", **TREE)
    with pytest.raises(InputError, match=r"give --unit .* and --up"):
        read_file(tmp_path / "x.npy")
    place = read_file(tmp_path / "x.npy", SourceOptions(unit=0.01, up="y", override_fps=30))[0]
    raw = read_file(tmp_path / "x.npy", UP)[0]
    np.testing.assert_allclose(place.root_pos.numpy(), raw.root_pos[:, [2, 0, 1]].numpy() * 0.01)
    assert place.fps == 30.0


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_no_code_runs(tmp_path):
    marker = str(tmp_path / "it_ran")
    for fields in ({"extra": Attack(marker)}, {"rotation": Attack(marker)}):
        poselib(tmp_path / "x.npy", **fields)
        with pytest.raises(InputError, match=r"asks to load 'posix.mkdir', which may run code and is refused"):
            read_file(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.array({"rotation": 1, "x": np.array([Attack(marker)], object)}, object))
    with pytest.raises(InputError):
        read_file(tmp_path / "x.npy")
    assert not os.path.exists(marker)


def dressed(array):
    return {"arr": array, "context": {"dtype": array.dtype.name}}


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"fps": None}, "fps is not one number"),
        ({"fps": 0}, "fps is 0 frames per second"),
        ({"skeleton_tree": 3}, "it has no skeleton_tree"),
        ({"skeleton_tree": {"node_names": [1, 2]}}, "node_names are no list of names"),
        ({"skeleton_tree": {"node_names": ["a"]}}, "parent_indices is no array of numbers"),
        ({"rotation": dressed(np.zeros((6, 3, 4)))}, "rotation holds what is no rotation"),
        ({"rotation": dressed(np.ones((6, 2, 4)))}, "rotation has shape (6, 2, 4)"),
        ({"rotation": dressed(np.full((6, 3, 4), np.nan))}, "NaN"),
        ({"root_translation": dressed(np.zeros((5, 3)))}, "differ in frames"),
        ({"root_translation": None}, "root_translation is no array of numbers"),
    ],
)
def test_faults(tmp_path, fields, fault):
    poselib(tmp_path / "x.npy", **TREE, **fields)
    with pytest.raises(InputError) as error:
        poselib_npy.read(tmp_path / "x.npy", UP)
    assert fault in one_line(error)


def test_a_tree_that_is_none(tmp_path):
    poselib(tmp_path / "x.npy", names=TREE["names"], parents=(-1, 2, 1), offsets=TREE["offsets"])
    with pytest.raises(InputError, match=r"parent of body 1 \('leg'\) must be in 0..0"):
        read_file(tmp_path / "x.npy", UP)


def test_other_arrays_are_no_motions(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(InputError, match="no known motion format"):
        read_file(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.array([{"rotation": 1}, {}], object))
    with pytest.raises(InputError, match=r"an array of shape \(2,\)"):
        read_file(tmp_path / "x.npy")


def test_every_truncation_is_told(tmp_path):
    poselib(tmp_path / "x.npy", **TREE)
    content = (tmp_path / "x.npy").read_bytes()
    for length in range(1, len(content), 29):
        (tmp_path / "x.npy").write_bytes(content[:length])
        with pytest.raises(InputError) as error:
            poselib_npy.read(tmp_path / "x.npy", UP)
        one_line(error)


def test_real_files_agree_with_their_own_velocities(shared_data):
    paths = sorted((shared_data / "formats" / "igym_amp").glob("*.npy"))
    assert len(paths) == 6
    for path in paths:
        (clip,) = load_motions(path)
        content = poselib_npy._content(path)
        pos, rot = clip.skeleton.forward_kinematics(clip.root_pos, clip.local_rot)
        assert (clip.rig, len(clip.body_names)) == ("igym_amp", 15)
        stated = content["global_velocity"]["arr"]
        np.testing.assert_allclose(linear_velocity(pos, clip.fps).numpy(), stated, atol=1e-4)
        stated = content["global_angular_velocity"]["arr"]
        np.testing.assert_allclose(angular_velocity(rot, clip.fps).numpy(), stated, atol=5e-3)
        feet = [clip.body_names.index(name) for name in ("left_foot", "right_foot")]
        assert -0.01 < float(pos[:, feet, 2].min()) < 0.1
