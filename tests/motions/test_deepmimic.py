"""DeepMimic's text motions, by hand and against MimicKit's own conversion of the same recordings."""

import json

import numpy as np
import pytest
from clips import one_line
from format_files import deepmimic, deepmimic_row

from puffer_phc.errors import InputError
from puffer_phc.motions.formats import SourceOptions, read_file
from puffer_phc.motions.formats import deepmimic as reader

HALF = np.sqrt(0.5)


def store(folder, content):
    (folder / "walk.txt").write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder / "walk.txt"


def body_pos(clip):
    pos, _ = clip.skeleton.forward_kinematics(clip.root_pos, clip.local_rot)
    return {name: pos[:, i].numpy() for i, name in enumerate(clip.body_names)}


def test_known_places(tmp_path):
    """The file's (x, y, z) is our (x, -z, y): at rest the right hip is at -y."""
    bent = deepmimic_row(right_knee=[-np.pi / 2], left_shoulder=[HALF, 0.0, 0.0, HALF])
    (clip,) = read_file(store(tmp_path, deepmimic([deepmimic_row()] * 3 + [bent] * 3)))
    assert (clip.rig, clip.num_frames, clip.name) == ("deepmimic", 6, "walk")
    assert clip.fps == pytest.approx(20.0)
    pos = body_pos(clip)
    np.testing.assert_allclose(clip.root_pos.numpy(), [[1.0, -3.0, 2.0]] * 6)
    rest = {"right_hip": (0, -0.084887, 0), "right_knee": (0, -0.084887, -0.421546), "chest": (0, 0, 0.236151)}
    for name, place in rest.items():
        np.testing.assert_allclose(pos[name] - pos["root"], [place] * 6, atol=1e-12)
    # The knee bends the shin back, a positive turn about the file's z (our -y) lifts the arm forward.
    np.testing.assert_allclose(pos["right_ankle"][0] - pos["right_knee"][0], [0, 0, -0.40987], atol=1e-12)
    np.testing.assert_allclose(pos["right_ankle"][3] - pos["right_knee"][3], [-0.40987, 0, 0], atol=1e-12)
    np.testing.assert_allclose(pos["left_elbow"][3] - pos["left_shoulder"][3], [0.274788, 0, 0], atol=1e-12)


def test_the_last_duration_does_not_count_and_the_rate_can_be_told(tmp_path):
    rows = [deepmimic_row()] * 5 + [[0.0, *deepmimic_row()[1:]]]
    assert read_file(store(tmp_path, deepmimic(rows)))[0].fps == pytest.approx(20.0)
    uneven = [[0.05 * (1 + i), *deepmimic_row()[1:]] for i in range(6)]
    assert read_file(store(tmp_path, deepmimic(uneven)), SourceOptions(fps=24))[0].fps == 24.0
    with pytest.raises(InputError, match=r"frame 0 lasts 0.05 s, others 0.15 s; resample"):
        read_file(store(tmp_path, deepmimic(uneven)))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (deepmimic([]), "Frames is no list of rows"),
        (deepmimic({}), "no known motion format"),
        (deepmimic([1, 2]), "Frames is no list of rows"),
        (deepmimic([deepmimic_row()[:-1]] * 6), "row 0 of Frames is not 44 numbers"),
        (deepmimic([deepmimic_row()] * 5 + [["a"] * 44]), "row 5 of Frames is not 44 numbers"),
        (deepmimic([deepmimic_row(root=[0.0] * 4)] * 6), "root rotation holds what is no rotation (norm 0)"),
        (deepmimic([[0.0, *deepmimic_row()[1:]]] * 6), "a frame lasts 0 s; give --fps"),
        (deepmimic([[10**400, *deepmimic_row()[1:]]] * 6), "far too large"),
        (deepmimic().replace(b"0.05", b"NaN"), "damaged JSON (NaN is no finite number)"),
        (deepmimic().replace(b"0.05", b"1e999"), "NaN or infinite"),
        (deepmimic()[:-5], "damaged JSON"),
        (b'{"Frames": [' + b"[" * 100_000, "damaged JSON"),
        (b'{"Frames": [' + b"1" * 100_000, "damaged JSON"),
    ],
)
def test_faults(tmp_path, content, fault):
    path = store(tmp_path, content)
    with pytest.raises(InputError) as error:
        read_file(path)
    assert fault in one_line(error)
    assert str(path) in one_line(error)


def test_other_json_is_not_a_motion(tmp_path):
    with pytest.raises(InputError, match="no known motion format"):
        read_file(store(tmp_path, {"config": {"Frames": [1]}}))


def test_a_rig_of_its_own(tmp_path):
    (clip,) = reader.read(store(tmp_path, deepmimic()))
    assert clip.skeleton is not None
    assert len(clip.body_names) == 15


@pytest.mark.parametrize("name", ["cartwheel", "kick", "backflip"])
def test_agrees_with_mimickits_version_of_the_same_motion(cmu_train, shared_data, name):
    ours = body_pos(read_file(cmu_train / f"humanoid3d_{name}.dm.txt")[0])
    theirs = body_pos(read_file(shared_data / "formats" / "mimickit_humanoid" / f"humanoid_{name}.pkl")[0])
    pairs = {"right_wrist": "right_hand", "left_ankle": "left_foot", "neck": "head", "left_elbow": "left_lower_arm"}
    for here, there in pairs.items():
        gap = np.linalg.norm((ours[here] - ours["root"]) - (theirs[there] - theirs["pelvis"]), axis=-1)
        assert np.median(gap) < 0.02
