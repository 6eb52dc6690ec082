"""Subjects of AMASS files with their own proportions, where there are model files for them."""

import io
import runpy
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from puffer_phc.errors import InputError
from puffer_phc.motions import body_shape, smpl_models
from puffer_phc.motions.body_shape import with_shape
from puffer_phc.motions.clip import BodyShape
from puffer_phc.motions.conversion import convert, convert_clip
from puffer_phc.motions.conversion_files import ConversionOptions
from puffer_phc.motions.formats import amass, read_file
from puffer_phc.motions.formats.smpl_pose import pose_from_local_rot
from puffer_phc.motions.retargeting import transfer
from puffer_phc.robots.smpl_table import BODY_NAMES, PARENTS, SMPL_JOINT_ORDER
from tests.motions.clips import one_line
from tests.motions.moving import few_steps, positions, robot, walk
from tests.motions.smpl_files import GROWTH, arrays, joints_of

pytest.importorskip("smplx", reason="the package smplx (extra smpl) is not installed")


@pytest.fixture
def models(tmp_path):
    """A folder with a man's SMPL-H model."""
    folder = tmp_path / "models"
    folder.mkdir()
    np.savez(folder / "SMPLH_MALE.npz", **arrays("smplh"))
    return folder


def record(path, clip, shape, changes=None):
    """``clip``, on a body of this shape, as AMASS would store it; its root path is that of the body's pelvis."""
    pose = pose_from_local_rot(clip.local_rot).flatten(1).numpy()
    arrays = {
        "trans": clip.root_pos.numpy() - joints_of(shape)[0],
        "poses": np.concatenate((pose[:, :66], np.zeros((len(pose), 90))), axis=1),
        "betas": np.array(shape),
        "gender": np.array("male"),
        "mocap_framerate": np.array(clip.fps),
    }
    np.savez(path, **(arrays | (changes or {})))
    return path


def offsets_of(betas):
    joints = joints_of(betas)[[SMPL_JOINT_ORDER.index(name) for name in BODY_NAMES]][:, [2, 0, 1]]
    return joints - joints[[0, *PARENTS[1:]]]


def walking_subject(path, betas):
    """The bundled walk by a body of another shape, whose path is as much longer as its legs are."""
    legs = [BODY_NAMES.index(name) for name in ("L_Knee", "L_Ankle", "R_Knee", "R_Ankle")]
    longer = np.linalg.norm(offsets_of(betas)[legs], axis=1).sum() / float(
        robot().skeleton.offsets[legs].norm(dim=-1).sum()
    )
    return record(path, replace(few_steps(), root_pos=longer * few_steps().root_pos), betas)


def test_a_taller_subject(tmp_path, models):
    (clip,) = read_file(record(tmp_path / "x.npz", walk(), [1.0, 0.0]))
    assert clip.skeleton is None
    shaped, remark = with_shape(clip, models)
    assert remark == "body of the SMPL-H male model, 2 of 2 betas"
    torch.testing.assert_close(shaped.skeleton.offsets[1:], (1 + GROWTH) * robot().skeleton.offsets[1:].double())
    np.testing.assert_allclose(shaped.root_pos.numpy(), walk().root_pos.numpy(), atol=1e-12)
    assert torch.equal(shaped.local_rot, clip.local_rot)


def test_longer_shins(tmp_path, models):
    (clip,) = read_file(record(tmp_path / "x.npz", walk(), [0.0, 1.0]))
    skeleton = with_shape(clip, models)[0].skeleton
    np.testing.assert_allclose(skeleton.offsets.numpy()[1:], offsets_of([0.0, 1.0])[1:], atol=1e-12)
    shin = skeleton.offsets[BODY_NAMES.index("L_Ankle")] - robot().skeleton.offsets[BODY_NAMES.index("L_Ankle")]
    np.testing.assert_allclose(shin.numpy(), [0, 0, -0.05], atol=1e-6)


@pytest.mark.parametrize("growth", [2.0, -1.0])
def test_a_subject_of_another_size_walks_as_the_robot(tmp_path, models, growth):
    (clip,) = read_file(walking_subject(tmp_path / "x.npz", [growth]))
    found = transfer(with_shape(clip, models)[0], robot())
    hands = torch.tensor(["Hand" not in name for name in BODY_NAMES])  # AMASS has none
    assert float((positions(found) - positions(few_steps())).norm(dim=-1)[:, hands].max()) < 1e-3


@pytest.mark.parametrize("betas", [[1.5, 0.0], [0.0, 1.0]])
def test_feet_are_on_the_floor(tmp_path, models, betas):
    """On the mean body the same file walks in the air, with steps too long for its legs."""
    (clip,) = read_file(walking_subject(tmp_path / "x.npz", betas))
    options = ConversionOptions(tmp_path / "x.npz", tmp_path / "out", smpl=models)
    own = convert_clip(clip, robot(), options, {})[1]
    assert max(own.before.floating, own.before.penetration_p99, own.before.skate) < 0.005
    assert max(own.after.floating, own.after.penetration_p99) < 0.001
    assert own.after.verdict == "use"
    (tmp_path / "empty").mkdir()
    mean = convert_clip(clip, robot(), replace(options, smpl=tmp_path / "empty", clean=False), {})[1]
    assert mean.remarks == ()
    assert mean.after.floating > 0.05
    assert mean.after.skate > 0.05


def test_results_follow_the_model_files(tmp_path, models):
    walking_subject(tmp_path / "x.npz", [1.0])
    options = ConversionOptions(tmp_path / "x.npz", tmp_path / "out", workers=1, smpl=models, clean=False)

    def run():
        console = Console(file=io.StringIO(), width=200)
        (row,) = convert(options, console)
        return row.remarks, console.file.getvalue()

    assert run()[0] == ("body of the SMPL-H male model, 1 of 1 betas",)
    remarks, text = run()
    assert "converted before" in text
    assert f"1 clip: {remarks[0]}" in text
    (models / "SMPLH_MALE.npz").rename(models / "SMPLH_FEMALE.npz")
    assert run()[0] == ("mean body: no SMPL-H male model among the files in models",)


def test_a_broken_model_is_named(tmp_path, models):
    walking_subject(tmp_path / "x.npz", [1.0])
    np.savez(models / "SMPLH_MALE.npz", v_template=np.zeros((9, 3)))
    options = ConversionOptions(tmp_path / "x.npz", tmp_path / "out", workers=1, smpl=models)
    with pytest.raises(InputError) as error:
        convert(options, Console(file=io.StringIO()))
    assert "SMPLH_MALE.npz: it is no SMPL-H model (shapedirs, J_regressor missing)" in one_line(error)
    with pytest.raises(InputError, match="--smpl: there is no folder"):
        replace(options, smpl=tmp_path / "nothing")


@pytest.mark.parametrize(
    ("shape", "remark"),
    [
        (None, ""),
        (BodyShape("smplh", "neutral", (0.0, 0.0)), ""),
        (BodyShape("smplh", "", (1.0,)), "mean body: it does not say the gender that its betas belong to"),
        (BodyShape("smplh", "male", ()), "mean body: its betas are not one row of finite numbers"),
        (BodyShape("smplh", "female", (1.0,)), "mean body: no SMPL-H female model among the files in models"),
        (BodyShape("smplx", "male", (1.0,)), "mean body: no SMPL-X male model among the files in models"),
    ],
)
def test_otherwise_the_mean_body(tmp_path, models, shape, remark):
    clip = replace(few_steps(), shape=shape)
    assert with_shape(clip, models) == (clip, remark)
    assert with_shape(clip, tmp_path / "nothing") == (clip, "")


def test_without_the_package(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "smplx", None)
    clip = replace(few_steps(), shape=BodyShape("smplh", "male", (1.0,)))
    assert with_shape(clip, models) == (
        clip,
        "mean body: to use the SMPL-H male model install the package smplx (extra smpl)",
    )


def test_importing_needs_no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "smplx", None)
    for module in (body_shape, smpl_models):
        runpy.run_path(module.__file__)


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({}, ("smplh", "male", (0.5, 0.25))),
        ({"gender": np.array(b"female")}, ("smplh", "female", (0.5, 0.25))),
        ({"gender": np.array(["Male"])}, ("smplh", "male", (0.5, 0.25))),
        ({"gender": np.array("x")}, ("smplh", "", (0.5, 0.25))),
        ({"gender": np.array(None)}, ("smplh", "", (0.5, 0.25))),  # objects are not read
        ({"surface_model_type": np.array("smplx")}, ("smplx", "male", (0.5, 0.25))),
        ({"surface_model_type": np.array("other")}, ("smplh", "male", (0.5, 0.25))),
        ({"poses": np.zeros((90, 72))}, ("smpl", "male", (0.5, 0.25))),
        ({"poses": np.zeros((90, 165))}, ("smplx", "male", (0.5, 0.25))),
        ({"betas": np.full((90, 2), 0.5)}, ("smplh", "male", (0.5, 0.5))),
        ({"betas": np.arange(180.0).reshape(90, 2)}, ("smplh", "male", ())),
        ({"betas": np.array([0.5, np.nan])}, ("smplh", "male", ())),
        ({"betas": np.array(["a"])}, ("smplh", "male", ())),
    ],
)
def test_what_files_say_of_their_subjects(tmp_path, changes, shape):
    (clip,) = amass.read(record(tmp_path / "x.npz", few_steps(), [0.5, 0.25], changes))
    assert clip.shape == (None if shape is None else BodyShape(*shape))
    assert clip.num_frames == 90
