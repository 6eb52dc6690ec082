import pickle
import pickletools
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import damage, load_or_refuse, one_line, random_clip, random_pose, same_rotation, upright_matrices
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from puffer_phc.errors import InputError
from puffer_phc.motions.formats import SourceOptions, phc_pickle
from puffer_phc.motions.formats.amass import read as read_amass
from puffer_phc.motions.loading import load_motions
from puffer_phc.motions.unpickle import read_pickle
from puffer_phc.robots.smpl_table import BODY_NAMES, PELVIS_OFFSET

DATA = Path(__file__).parent / "data"


def record(pose=None, **changes):
    pose = random_pose(6) if pose is None else pose
    content = {
        "pose_quat_global": Rotation.from_matrix(upright_matrices(pose).reshape(-1, 3, 3)).as_quat().reshape(-1, 24, 4),
        "pose_aa": pose,
        "root_trans_offset": torch.from_numpy(np.random.default_rng(9).normal(size=(len(pose), 3))),
        "beta": np.zeros(16),
        "gender": "neutral",
        "fps": 30,
    } | changes
    return {key: value for key, value in content.items() if value is not None}


def store(path, content):
    path.write_bytes(zlib.compress(pickle.dumps(content)))
    return path


@pytest.mark.parametrize("name", ["phc_joblib_zlib.pkl", "phc_joblib_plain.pkl"])
def test_files_written_by_joblib(name):
    # Made with joblib 1.6 and torch 2.13 out of random poses; no recording is in them.
    clips = load_motions(DATA / name)
    assert [(clip.name, clip.num_frames, clip.fps) for clip in clips] == [("0-made_a", 8, 30.0), ("0-made_b", 6, 30.0)]
    stored = read_pickle(DATA / name)
    for clip in clips:
        raw = {key: np.array(value) for key, value in stored[clip.name].items()}
        body_rot = Rotation.from_quat(raw["pose_quat_global"].reshape(-1, 4)).as_matrix().reshape(-1, 24, 3, 3)
        np.testing.assert_allclose(body_rot, upright_matrices(raw["pose_aa"]), atol=1e-12)
        np.testing.assert_array_equal(clip.root_pos.numpy(), raw["root_trans_offset"])
        with_pose = phc_pickle.local_rot_from_pose(torch.from_numpy(raw["pose_aa"]).unflatten(1, (24, 3)))
        assert same_rotation(clip.local_rot, with_pose, 1e-12)


def test_global_rotations_written_agree_with_the_definition(tmp_path):
    """Q_global = R_global U for every body, R_global by SciPy from SMPL's own pose."""
    pose = random_pose(12, seed=4, scale=1.2)
    np.savez(tmp_path / "amass.npz", poses=pose, trans=np.ones((12, 3)), mocap_framerate=30.0)
    phc_pickle.write(tmp_path / "out.pkl", read_amass(tmp_path / "amass.npz"))
    written = {key: np.array(value) for key, value in read_pickle(tmp_path / "out.pkl")["amass"].items()}
    body_rot = Rotation.from_quat(written["pose_quat_global"].reshape(-1, 4)).as_matrix().reshape(-1, 24, 3, 3)
    np.testing.assert_allclose(body_rot, upright_matrices(pose), atol=1e-6)
    np.testing.assert_allclose(written["root_trans_offset"], np.ones((12, 3)) + PELVIS_OFFSET, atol=1e-12)
    turned = Rotation.from_rotvec(written["pose_aa"].reshape(-1, 3)).as_matrix()
    np.testing.assert_allclose(turned, Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix(), atol=1e-9)
    assert written["pose_aa"].shape == (12, 72)
    assert written["beta"].tolist() == [0.0] * 16
    assert (written["gender"], written["fps"]) == ("neutral", 30)


def test_round_trip(tmp_path):
    clips = [random_clip("a", 9, 1), random_clip("b", 5, 2, fps=59.94)]
    phc_pickle.write(tmp_path / "out.pkl", clips)
    for clip, back in zip(clips, phc_pickle.read(tmp_path / "out.pkl"), strict=True):
        assert (back.name, back.fps, back.body_names) == (clip.name, clip.fps, BODY_NAMES)
        assert torch.equal(back.root_pos, clip.root_pos)
        assert same_rotation(back.local_rot, clip.local_rot, 1e-12)


def test_written_files_suit_the_standard_unpickler_of_old_and_new_numpy(tmp_path):
    clip = random_clip("a", 9)
    phc_pickle.write(tmp_path / "out.pkl", [clip])
    content = zlib.decompress((tmp_path / "out.pkl").read_bytes())
    loaded = pickle.loads(content)["a"]
    assert isinstance(loaded["root_trans_offset"], torch.Tensor)
    assert loaded["root_trans_offset"].dtype == torch.float64
    assert torch.equal(loaded["root_trans_offset"], clip.root_pos)
    assert loaded["pose_quat_global"].shape == (9, 24, 4)
    names = {argument for opcode, argument, _ in pickletools.genops(content) if opcode.name == "GLOBAL"}
    assert "numpy.core.multiarray _reconstruct" in names
    assert not any(name.startswith("numpy._core") for name in names)


def test_a_part_of_a_long_clip_does_not_store_the_whole(tmp_path):
    long = torch.zeros(100_000, 3, dtype=torch.float64)
    clip = random_clip("a", 9)
    cut = type(clip)("a", 30.0, BODY_NAMES, long[:9], clip.local_rot)
    phc_pickle.write(tmp_path / "out.pkl", [cut])
    assert len(zlib.decompress((tmp_path / "out.pkl").read_bytes())) < 40_000


@pytest.mark.parametrize(
    ("clips", "fault"),
    [([], "no clips"), ([random_clip("a")] * 2, "same name"), ([random_clip(body_names=("base",))], "unknown base")],
)
def test_write_refuses(tmp_path, clips, fault):
    with pytest.raises(InputError, match=fault):
        phc_pickle.write(tmp_path / "out.pkl", clips)
    assert not list(tmp_path.iterdir())


def test_pose_aa_serves_where_global_rotations_are_missing(tmp_path):
    both = load_motions(store(tmp_path / "both.pkl", {"x": record()}))[0]
    poses = load_motions(store(tmp_path / "poses.pkl", {"x": record(pose_quat_global=None)}))[0]
    joints = load_motions(
        store(tmp_path / "j.pkl", {"x": record(pose_quat_global=None, pose_aa=random_pose(6).reshape(6, 24, 3))})
    )[0]
    globals_only = load_motions(store(tmp_path / "globals.pkl", {"x": record(pose_aa=None)}))[0]
    for other in (poses, joints, globals_only):
        assert same_rotation(both.local_rot, other.local_rot, 1e-12)


def test_global_rotations_in_smpl_frames_are_recognised(tmp_path):
    upright = record()
    not_upright = Rotation.from_quat(upright["pose_quat_global"].reshape(-1, 4)) * Rotation.from_quat([0.5] * 4)
    content = record(pose_quat_global=not_upright.as_quat().reshape(6, 24, 4))
    a = load_motions(store(tmp_path / "a.pkl", {"x": upright}))[0]
    b = load_motions(store(tmp_path / "b.pkl", {"x": content}))[0]
    assert same_rotation(a.local_rot, b.local_rot, 1e-12)


def test_folder_of_single_records(tmp_path):
    for name in ("a", "b"):
        store(tmp_path / f"{name}.pkl", {f"0-{name}": record()})
    store(tmp_path / "c.pkl", record())
    assert [clip.name for clip in load_motions(tmp_path)] == ["0-a", "0-b", "c"]


NAN_ROTATIONS = record()["pose_quat_global"].copy()
NAN_ROTATIONS[3, 2] = np.nan


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"fps": None}, "fps missing"),
        ({"fps": 0}, "fps is 0 frames per second"),
        ({"fps": "30"}, "fps is not one number"),
        ({"root_trans_offset": None}, "root_trans_offset missing"),
        ({"root_trans_offset": torch.zeros(6, 2)}, "root_trans_offset has shape (6, 2)"),
        ({"root_trans_offset": [0.0]}, "root_trans_offset is no array"),
        ({"root_trans_offset": torch.zeros(5, 3)}, "differ in frames"),
        ({"pose_aa": None, "pose_quat_global": None}, "pose_quat_global or pose_aa missing"),
        ({"pose_quat_global": np.zeros((6, 52, 4))}, "pose_quat_global has shape (6, 52, 4)"),
        ({"pose_quat_global": np.zeros((6, 24, 4))}, "no unit quaternions from frame 0"),
        ({"pose_quat_global": NAN_ROTATIONS}, "NaN or infinite values from frame 3"),
        ({"pose_aa": np.zeros((6, 27, 3)), "pose_quat_global": None}, "pose_aa has shape (6, 27, 3)"),
    ],
)
def test_faults(tmp_path, changes, fault):
    path = store(tmp_path / "bad.pkl", {"walk": record(**changes)})
    with pytest.raises(InputError) as error:
        load_motions(path)
    assert fault in one_line(error)
    assert "bad.pkl" in one_line(error)
    assert "walk" in one_line(error)


def test_a_record_without_a_rate_takes_the_told_one(tmp_path):
    path = store(tmp_path / "x.pkl", {"without": record(fps=None), "with": record()})
    assert [clip.fps for clip in load_motions(path, SourceOptions(fps=50))] == [50.0, 30.0]
    assert [clip.fps for clip in load_motions(path, SourceOptions(override_fps=50))] == [50.0, 50.0]


@pytest.mark.parametrize("content", [[], {}, {"a": 1}, 3, {"pose_aaa": {}}, {3: {"pose_aa": 1}}])
def test_pickles_without_motions(tmp_path, content):
    with pytest.raises(InputError) as error:
        load_motions(store(tmp_path / "bad.pkl", content))
    assert "bad.pkl" in one_line(error)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_never_escape(tmp_path, data):
    content = (DATA / data.draw(st.sampled_from(["phc_joblib_zlib.pkl", "phc_joblib_plain.pkl"]))).read_bytes()
    (tmp_path / "x.pkl").write_bytes(damage(data, content))
    for clip in load_or_refuse(load_motions, tmp_path / "x.pkl") or []:
        assert torch.isfinite(clip.local_rot).all()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_in_the_pickle_instructions_never_escapes(tmp_path, data):
    content = bytearray((DATA / "phc_joblib_plain.pkl").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, 400))] = data.draw(st.integers(0, 255))
    (tmp_path / "x.pkl").write_bytes(content)
    load_or_refuse(load_motions, tmp_path / "x.pkl")
