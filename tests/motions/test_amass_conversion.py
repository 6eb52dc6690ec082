import json
import pickle
import runpy
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest
from clips import one_line, random_pose, same_rotation, upright_matrices
from scipy.spatial.transform import Rotation, Slerp

from puffer_phc.config import ROOT
from puffer_phc.errors import InputError
from puffer_phc.motions.amass_conversion import AmassOptions, convert_amass, convert_file
from puffer_phc.motions.amass_lists import key_of, read_keys, read_occlusions, split_of
from puffer_phc.motions.formats import amass
from puffer_phc.motions.loading import load_motions
from puffer_phc.motions.unpickle import read_pickle
from puffer_phc.robots.smpl_table import PELVIS_OFFSET


def smooth_pose(frames, fps, seed=0):
    """(T, 72) rad: every joint swings slowly."""
    rng = np.random.default_rng(seed)
    axis, phase = rng.normal(0, 0.4, 72), rng.uniform(0, 6, 72)
    return axis * np.sin(np.arange(frames)[:, None] / fps * 3 + phase)


def amass_file(path, frames=120, fps=120.0, pose=None, rate_key="mocap_framerate", width=156):
    path.parent.mkdir(parents=True, exist_ok=True)
    pose = smooth_pose(frames, fps) if pose is None else pose
    poses = np.random.default_rng(1).normal(size=(len(pose), width))  # fingers and face, which must be left out
    poses[:, :66] = pose[:, :66]
    trans = np.linspace(0.0, 1.0, len(pose))[:, None] * [1.0, 2.0, 0.0] + [0, 0, 1.2]
    rate = {rate_key: fps} if rate_key else {}
    np.savez(path, poses=poses, trans=trans, betas=np.ones(16), **rate)
    return path


@pytest.fixture
def folder(tmp_path):
    amass_file(tmp_path / "CMU" / "02" / "02_01_poses.npz")
    amass_file(tmp_path / "CMU" / "02" / "02_02_stageii.npz", rate_key="mocap_frame_rate", width=165)
    amass_file(tmp_path / "KIT" / "3" / "walk_poses.npz", frames=50, fps=100.0)
    amass_file(tmp_path / "HDM05" / "dg" / "kick_poses.npz")
    amass_file(tmp_path / "Mine" / "me" / "jump_poses.npz")
    np.savez(tmp_path / "CMU" / "02" / "shape.npz", betas=np.zeros(16))
    return tmp_path


def test_layout_is_phcs_by_its_definition(tmp_path):
    """Q = R U for every body, to 1e-6, R from the pose by SciPy; the hands stay open."""
    pose = random_pose(12, seed=4, scale=1.0)
    amass_file(tmp_path / "CMU" / "a" / "b.npz", pose=pose, fps=30.0)
    report = convert_amass(AmassOptions(tmp_path))
    assert report.out == tmp_path / "amass_train_1_upright.pkl"
    ((key, record),) = read_pickle(report.out).items()
    assert key == "0-CMU_a_b"
    stored = Rotation.from_quat(record["pose_quat_global"].reshape(-1, 4)).as_matrix().reshape(-1, 24, 3, 3)
    np.testing.assert_allclose(stored, upright_matrices(pose), atol=1e-6)
    np.testing.assert_allclose(record["pose_aa"][:, 66:], 0.0, atol=1e-12)
    trans = np.load(tmp_path / "CMU" / "a" / "b.npz")["trans"]
    np.testing.assert_allclose(record["root_trans_offset"], trans + PELVIS_OFFSET, atol=1e-9)
    assert (record["fps"], record["gender"], record["beta"].shape) == (30, "neutral", (16,))
    pickle.loads(zlib.decompress(report.out.read_bytes()))  # what PHC's joblib.load does


def test_a_whole_ratio_keeps_every_nth_frame(tmp_path):
    path = amass_file(tmp_path / "a.npz", frames=121)
    (source,), clip = amass.read(path), convert_file(path, "a")
    assert (clip.name, clip.fps, clip.num_frames) == ("a", 30.0, 31)
    np.testing.assert_allclose(clip.root_pos, source.root_pos[::4], atol=1e-12)
    hands = [18, 23]
    body = [i for i in range(24) if i not in hands]
    assert same_rotation(clip.local_rot[:, body], source.local_rot[::4][:, body], 1e-12)


def test_other_ratios_are_interpolated_on_the_true_clock(tmp_path):
    """100 fps, where PHC's converter plays 10 % too slow."""
    path = amass_file(tmp_path / "a.npz", frames=101, fps=100.0)
    (source,), clip = amass.read(path), convert_file(path, "a")
    times = np.arange(clip.num_frames) / 30.0
    assert clip.duration == pytest.approx(source.duration)
    for axis in range(3):
        wanted = np.interp(times, np.arange(101) / 100.0, source.root_pos[:, axis])
        np.testing.assert_allclose(clip.root_pos[:, axis], wanted, atol=1e-12)
    rotations = Rotation.from_quat(source.local_rot[:, 5].numpy(), scalar_first=True)
    wanted = Slerp(np.arange(101) / 100.0, rotations)(np.minimum(times, 1.0))
    got = Rotation.from_quat(clip.local_rot[:, 5].numpy(), scalar_first=True)
    assert (wanted * got.inv()).magnitude().max() < 1e-7


def test_split_and_report(folder):
    report = convert_amass(AmassOptions(folder, out=folder / "o" / "train.npz"))
    assert list(report.kept) == ["0-CMU_02_02_01_poses", "0-CMU_02_02_02_stageii", "0-KIT_3_walk_poses"]
    reasons = {path.rpartition("/")[2]: reason for path, reason in report.dropped}
    assert reasons == {
        "shape.npz": "no motion in it",
        "kick_poses.npz": "of the valid split",
        "jump_poses.npz": "of no data set in PHC's split",
    }
    assert [clip.name for clip in load_motions(report.out)] == list(report.kept)
    written = json.loads((folder / "o" / "train.npz.report.json").read_text())
    assert written["kept"].keys() == report.kept.keys()
    assert len(written["dropped"]) == 3
    assert len(convert_amass(AmassOptions(folder, out=folder / "a.pkl", split="all")).kept) == 5
    assert list(convert_amass(AmassOptions(folder, out=folder / "v.pkl", split="valid")).kept) == [
        "0-HDM05_dg_kick_poses"
    ]


def test_names_of_data_sets(tmp_path):
    assert split_of(tmp_path / "BioMotionLab_NTroje" / "x" / "a.npz") == "train"
    assert split_of(tmp_path / "BMLrub" / "x" / "a.npz") == "train"
    assert split_of(tmp_path / "CMU" / "SSM_synced" / "a.npz") == "test"  # the nearest folder decides
    assert split_of(tmp_path / "x" / "CMU.npz") is None
    assert key_of(tmp_path / "A" / "b" / "c.d_poses.npz", -2) == "0-b_c.d_poses"


OCCLUSIONS = {
    "0-CMU_02_02_01_poses": {"issue": "sitting", "idxs": np.array([15, 20])},
    "0-KIT_3_walk_poses": {"issue": "airborne", "idxs": [9]},
    "0-CMU_02_02_02_stageii": {"issue": "stairs", "idxs": [100]},
}


@pytest.mark.parametrize("kind", ["pickle", "json", "text"])
def test_occlusions(folder, kind):
    path = folder / "occlusion"
    if kind == "pickle":
        path.write_bytes(zlib.compress(pickle.dumps(OCCLUSIONS)))
    elif kind == "json":
        path.write_text(json.dumps({k: v | {"idxs": list(map(int, v["idxs"]))} for k, v in OCCLUSIONS.items()}))
    else:
        path.write_text("# mine\n0-CMU_02_02_01_poses sitting 15\n0-KIT_3_walk_poses airborne 9 # in the air\n\n")
        path.write_text(path.read_text() + "0-CMU_02_02_02_stageii stairs\n")
    report = convert_amass(AmassOptions(folder, out=folder / "o.pkl", occlusion_file=path))
    assert report.cut == {"0-CMU_02_02_01_poses": "sitting"}
    (clip,) = load_motions(report.out)
    assert clip.num_frames == 15  # frames 0 to 14 come before the first bad one
    reasons = {path.rpartition("/")[2]: reason for path, reason in report.dropped}
    assert reasons["walk_poses.npz"] == "cut for airborne: fewer than 10 frames (9)"
    assert reasons["02_02_stageii.npz"] == "occlusion list: stairs"
    fast = convert_amass(AmassOptions(folder, out=folder / "o.npz", occlusion_file=path, fps=60.0))
    assert load_motions(fast.out)[0].num_frames == 30  # bounds count 30 fps, whatever is written


def test_only_failed_keys(folder):
    key = "0-KIT_3_walk_poses"
    contents = {
        "a.pkl": pickle.dumps({"failed_keys": np.array([key]), "termination_history": np.zeros(3)}),
        "a.json": json.dumps([key]).encode(),
        "a.txt": f"{key}\n".encode(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        assert read_keys(folder / name) == {key}
        report = convert_amass(AmassOptions(folder, out=folder / "f.pkl", failed_keys=folder / name))
        assert list(report.kept) == [key]


def test_files_that_cannot_be_read_are_named_and_do_not_stop_the_rest(folder):
    amass_file(folder / "CMU" / "x" / "no_rate.npz", rate_key=None)
    (folder / "CMU" / "x" / "broken.npz").write_bytes((folder / "KIT" / "3" / "walk_poses.npz").read_bytes()[:5000])
    pose = smooth_pose(60, 120.0)
    pose[7, 3] = np.nan
    amass_file(folder / "CMU" / "x" / "nan.npz", pose=pose)
    amass_file(folder / "CMU" / "x" / "short.npz", frames=20)
    amass_file(folder / "CMU" / "x" / "one.npz", frames=1)
    amass_file(folder / "other" / "CMU" / "02" / "02_01_poses.npz")  # the same key again
    report = convert_amass(AmassOptions(folder, out=folder / "o.pkl"))
    assert len(report.kept) == 3
    reasons = {path.rpartition("/")[2]: reason for path, reason in report.dropped if "HDM05" not in path}
    assert "no frame rate" in reasons["no_rate.npz"]
    assert "damaged" in reasons["broken.npz"]
    assert "frame 7" in reasons["nan.npz"]
    assert reasons["short.npz"] == "too short: fewer than 10 frames (5)"
    assert "short" in reasons["one.npz"]
    assert "another file's" in reasons["02_01_poses.npz"]
    assert dict(report.reasons)["cannot be read"] == 4


def test_the_number_of_threads_does_not_matter(folder):
    files = []
    for workers in (1, 3):
        out = folder / f"{workers}.npz"
        convert_amass(AmassOptions(folder, out=out, workers=workers))
        files.append(out.read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "content",
    [b"", b"[1, 2]", b"{}", b'{"a": 3}', b'{"a": {"issue": "x", "idxs": ["y"]}}', b"{", b"key", b"key sitting x\n"],
)
def test_bad_occlusion_lists(tmp_path, content):
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(InputError) as error:
        read_occlusions(tmp_path / "list")
    one_line(error)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": 3}', b"# nothing\n", pickle.dumps({"failed_keys": 3})])
def test_bad_key_lists(tmp_path, content):
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(InputError) as error:
        read_keys(tmp_path / "list")
    one_line(error)


def test_bad_options(tmp_path, folder):
    for change in ({"fps": 0.0}, {"fps": float("nan")}, {"name_offset": 0}, {"min_frames": 1}, {"workers": -1}):
        with pytest.raises(InputError):
            replace(AmassOptions(folder), **change)
    for options in (
        AmassOptions(tmp_path / "none"),
        AmassOptions(folder, split="test"),
        AmassOptions(folder, occlusion_file=tmp_path / "none"),
        AmassOptions(folder, out=folder / "CMU" / "02" / "shape.npz" / "x.pkl"),
    ):
        with pytest.raises(InputError) as error:
            convert_amass(options)
        one_line(error)


def test_script(monkeypatch, capsys, folder):
    script = ROOT / "scripts" / "convert_amass_data.py"

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(script), run_name="__main__")
        return end.value.code

    assert run("--path", folder, "--name_offset", -1) == 0
    out = capsys.readouterr().out
    assert "3 clips" in out
    assert "left out 1: of the valid split" in out
    assert {clip.name for clip in load_motions(folder / "amass_train_3_upright.pkl")} == {
        "0-02_01_poses",
        "0-02_02_stageii",
        "0-walk_poses",
    }
    assert run("--path", folder / "none") == 2
    assert capsys.readouterr().err.count("\n") == 1
