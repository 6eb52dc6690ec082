"""MimicKit's pickles on three bodies, by the definition and by where feet are in the published motions."""

import numpy as np
import pytest
import torch
from clips import one_line
from format_files import mimickit, mimickit_rows
from scipy.spatial.transform import Rotation

from poselib.skeleton import Skeleton
from puffer_phc.errors import InputError
from puffer_phc.motions.checks import check_bodies
from puffer_phc.motions.formats import SourceOptions, read_file
from puffer_phc.motions.loading import load_motions
from puffer_phc.robots.smpl_table import BODY_NAMES, PARENTS, SMPL_BODIES

SMPL = Skeleton(BODY_NAMES, PARENTS, torch.tensor([row.pos for row in SMPL_BODIES], dtype=torch.float64))


def store(folder, content):
    (folder / "walk.pkl").write_bytes(content)
    return folder / "walk.pkl"


def same_turns(quats, vectors):
    found = Rotation.from_quat(quats.numpy(), scalar_first=True)
    return (found.inv() * Rotation.from_rotvec(vectors)).magnitude().max() < 1e-9


def test_smpl_rows_are_our_own_body(tmp_path):
    rows = mimickit_rows(75)
    (clip,) = load_motions(store(tmp_path, mimickit(rows, fps=60)))
    check_bodies(clip, BODY_NAMES)
    values = np.array(rows)
    assert (clip.fps, clip.rig, clip.skeleton, clip.name) == (60.0, "mimickit_smpl", None, "walk")
    np.testing.assert_array_equal(clip.root_pos.numpy(), values[:, :3])
    for body in range(24):
        assert same_turns(clip.local_rot[:, body], values[:, 3 + 3 * body : 6 + 3 * body])


def test_humanoid_rows(tmp_path):
    rows = np.zeros((6, 34))
    rows[:, 2] = 1.0
    rows[3:, 6 + 9] = np.pi / 2  # right elbow
    rows[3:, 6 + 17] = np.pi / 2  # right knee: behind three joints, elbow, three joints, elbow, hip
    (clip,) = load_motions(store(tmp_path, mimickit(rows.tolist())))
    assert clip.rig == "mimickit_humanoid"
    pos, _ = clip.skeleton.forward_kinematics(clip.root_pos, clip.local_rot)
    place = {name: pos[:, i].numpy() for i, name in enumerate(clip.body_names)}
    np.testing.assert_allclose(place["right_hand"][0] - place["right_lower_arm"][0], [0, -0.258947, 0], atol=1e-12)
    np.testing.assert_allclose(place["right_hand"][3] - place["right_lower_arm"][3], [0.258947, 0, 0], atol=1e-12)
    np.testing.assert_allclose(place["right_foot"][3] - place["right_shin"][3], [-0.40987, 0, 0], atol=1e-12)


def test_g1_rows(tmp_path):
    rows = np.zeros((6, 35))
    rows[3:, 6 + 3] = np.pi / 2  # left knee
    (clip,) = load_motions(store(tmp_path, mimickit(rows.tolist())))
    assert clip.rig == "unitree_g1"
    pos, _ = clip.skeleton.forward_kinematics(clip.root_pos, clip.local_rot)
    place = {name: pos[:, i].numpy() for i, name in enumerate(clip.body_names)}
    shin = place["left_ankle_pitch_link"] - place["left_knee_link"]
    np.testing.assert_allclose(shin[0], [0, -9.4445e-05, -0.30001], atol=1e-6)
    np.testing.assert_allclose(shin[3], [-0.30001, -9.4445e-05, 0], atol=1e-6)


def test_frames_as_an_array_and_options(tmp_path):
    array = np.array(mimickit_rows(75, frames=8))
    (clip,) = load_motions(store(tmp_path, mimickit(array)), SourceOptions(override_fps=24, skip_first=2))
    assert (clip.fps, clip.num_frames) == (24.0, 6)
    np.testing.assert_array_equal(clip.root_pos.numpy(), array[2:, :3])


def shared_rows():
    """A pickle of a few bytes that spreads one row over a billion numbers."""
    row = [0.0] * 75
    level = [row] * 1000
    return [level] * 1000


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (mimickit(mimickit_rows(75), fps=0), "fps is 0 frames per second"),
        (mimickit(mimickit_rows(75), fps="30"), "fps is not one number"),
        (mimickit(mimickit_rows(80)), "rows have 80 numbers, those of no body known here"),
        (mimickit([*mimickit_rows(75), [0.0] * 74]), "row 6 of frames is not 75 numbers"),
        (mimickit([*mimickit_rows(75), [None] * 75]), "row 6 of frames is not 75 numbers"),
        (mimickit([*mimickit_rows(75), [float("nan")] * 75]), "NaN or infinite values from frame 6"),
        (mimickit([]), "no list of rows"),
        (mimickit(3), "no list of rows"),
        (mimickit([[[0.0]] * 75]), "row 0 of frames is not 75 numbers"),
        (mimickit([[0.0] * 75] * 500_000), "more than 20000000 numbers"),
        (mimickit([[0.0] * 75] * 20_000), "frames holds the same row many times over"),
        (mimickit(shared_rows()), "row 0 of frames is not 1000 numbers"),
        (mimickit(mimickit_rows(75)).replace(b"frames", b"phrases"[:6]), "no motion"),
    ],
)
def test_faults(tmp_path, content, fault):
    path = store(tmp_path, content)
    with pytest.raises(InputError) as error:
        read_file(path)
    assert fault in one_line(error)
    assert str(path) in one_line(error)


def test_real_smpl_motions_stand_on_the_floor(shared_data):
    clips = load_motions(shared_data / "formats" / "mimickit_smpl")
    assert len(clips) == 20
    feet = [BODY_NAMES.index(name) for name in ("L_Ankle", "R_Ankle", "L_Toe", "R_Toe")]
    for clip in clips:
        check_bodies(clip, BODY_NAMES)
        pos, _ = SMPL.forward_kinematics(clip.root_pos, clip.local_rot)
        assert -0.1 < float(pos[:, feet, 2].min()) < 0.1, clip.name
        assert float((pos[1:] - pos[:-1]).norm(dim=-1).max()) * clip.fps < 20, clip.name
    walk = next(clip for clip in clips if clip.name == "smpl_walk")
    assert walk.fps == 120.0


def test_real_humanoid_motions(shared_data):
    refused = {}
    for path in sorted((shared_data / "formats" / "mimickit_humanoid").glob("*.pkl")):
        try:
            (clip,) = load_motions(path)
        except InputError as error:
            refused[path.stem] = error.fault
            continue
        pos, _ = clip.skeleton.forward_kinematics(clip.root_pos, clip.local_rot)
        feet = [clip.body_names.index(name) for name in ("left_foot", "right_foot")]
        assert -0.02 < float(pos[:, feet, 2].min()) < 0.1
    # The published walk has NaN in the neck, in all frames.
    assert list(refused) == ["humanoid_walk"]
    assert "NaN" in refused["humanoid_walk"]
