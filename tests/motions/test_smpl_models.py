"""Model files of SMPL's kind: found by name, read without running anything, joints as smplx has them."""

import os
import pickle

import numpy as np
import pytest

from puffer_phc.errors import InputError
from puffer_phc.motions.smpl_models import list_models, model_facts, rest_joints
from tests.motions.clips import one_line
from tests.motions.smpl_files import arrays, joints_of, mean_joints, python2_pickle, sparse

smplx = pytest.importorskip("smplx", reason="the package smplx (extra smpl) is not installed")


def store(path, **changes):
    content = arrays() | changes
    np.savez(path, **{name: value for name, value in content.items() if value is not None})
    return path


@pytest.mark.parametrize("kind", ["smpl", "smplh", "smplx"])
def test_joints_of_a_shape(tmp_path, kind):
    path = store(tmp_path / "model.npz", **arrays(kind), faces=np.zeros((3, 3)))
    for betas in ([0.0, 0.0], [1.0, 0.0], [-0.5, 2.0, 3.0]):
        joints, known = rest_joints(path, kind, betas)
        np.testing.assert_allclose(joints.numpy(), joints_of(betas), atol=1e-12)
        assert known == len(betas)
    taller, _ = rest_joints(path, kind, [1.0])
    height = mean_joints()[:, 1].max() - mean_joints()[:, 1].min()
    assert float(taller[:, 1].max() - taller[:, 1].min()) == pytest.approx(1.1 * height)


def test_numbers_that_the_model_does_not_know(tmp_path):
    joints, known = rest_joints(store(tmp_path / "a.npz", **arrays(numbers=2)), "smpl", [0.5, 1.0, 9.0, 9.0])
    np.testing.assert_allclose(joints.numpy(), joints_of([0.5, 1.0]), atol=1e-12)
    assert known == 2
    # Of the 20 numbers of the first SMPL-X files, the last ten move the face.
    assert rest_joints(store(tmp_path / "b.npz", **arrays("smplx", 20)), "smplx", [0.1] * 16)[1] == 10
    assert rest_joints(store(tmp_path / "c.npz", **arrays("smplx", 400)), "smplx", [0.1] * 16)[1] == 16


def test_the_library_has_the_same_joints(tmp_path):
    """Its whole model, posed in the rest pose, on a surface with as many points as SMPL's."""
    rng = np.random.default_rng(0)
    regressor = rng.random((24, 6890))
    content = {
        "v_template": rng.normal(size=(6890, 3)),
        "shapedirs": rng.normal(size=(6890, 3, 10)),
        "J_regressor": regressor / regressor.sum(axis=1, keepdims=True),
    }
    betas = rng.normal(size=(1, 10)).astype(np.float32)
    unused = {"f": np.zeros((1, 3), np.int64), "posedirs": np.zeros((6890, 3, 207)), "weights": np.eye(6890, 24)}
    tree = np.array([[-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]])
    data = smplx.utils.Struct(**content, **unused, kintree_table=tree)
    expected = smplx.SMPL("", data_struct=data, betas=betas)().joints[0, :24].detach().numpy()
    joints, _ = rest_joints(store(tmp_path / "x.npz", **content), "smpl", betas[0].tolist())
    np.testing.assert_allclose(joints.numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("protocol", [0, 2, 4, "python 2"])
def test_pickles(tmp_path, protocol):
    path = tmp_path / "SMPL_MALE.pkl"
    content = sparse(arrays())
    path.write_bytes(python2_pickle(content) if protocol == "python 2" else pickle.dumps(content, protocol))
    np.testing.assert_allclose(rest_joints(path, "smpl", [1.0, 1.0])[0].numpy(), joints_of([1.0, 1.0]), atol=1e-12)


def test_files_are_told_by_their_names(tmp_path):
    names = {
        "basicModel_f_lbs_10_207_0_v1.0.0.pkl": ("smpl", "female"),
        "smpl/basicmodel_m_lbs_10_207_0_v1.1.0.pkl": ("smpl", "male"),
        "SMPL_NEUTRAL.npz": ("smpl", "neutral"),
        "smplh/female/model.npz": ("smplh", "female"),
        "male/model.npz": ("smplh", "male"),
        "SMPLH_NEUTRAL.npz": ("smplh", "neutral"),
        "models/smplx/SMPLX_FEMALE.npz": ("smplx", "female"),
        "SMPLX_MALE.pkl": ("smplx", "male"),
    }
    for name in (*names, "SMPL_NEUTRAL.pkl", "README.md", "smpl_uv.npz", "MANO_LEFT.pkl", "SMPL_MALE.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert {path.relative_to(tmp_path).as_posix(): key for key, path in list_models(tmp_path).items()} == names
    before = model_facts(tmp_path)
    store(tmp_path / "SMPL_NEUTRAL.npz")
    assert model_facts(tmp_path) != before
    assert list_models(tmp_path / "none") == {}


class Attack:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


HOLED = arrays()["shapedirs"]
HOLED[3, 1, 0] = np.nan


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"J_regressor": None}, "it is no SMPL model (J_regressor missing)"),
        ({"v_template": None, "shapedirs": None}, "(v_template, shapedirs missing)"),
        (
            {"J_regressor": arrays("smplh")["J_regressor"]},
            "J_regressor has shape (52, 104); the shape must be (24,",
        ),
        ({"shapedirs": np.zeros((48, 3))}, "shapedirs has shape (48, 3)"),
        ({"shapedirs": np.zeros((47, 3, 10))}, "shapedirs has shape (47, 3, 10)"),
        ({"v_template": np.zeros(48)}, "v_template has shape (48,)"),
        ({"shapedirs": HOLED}, "shapedirs holds NaN"),
        ({"v_template": np.array(["x"])}, "v_template is no array of numbers"),
        ({"J_regressor": np.array([None, {}])}, "it holds Python objects"),
    ],
)
def test_faulty_archives(tmp_path, changes, fault):
    with pytest.raises(InputError) as error:
        rest_joints(store(tmp_path / "SMPL_MALE.npz", **changes), "smpl", [1.0, 0.0])
    assert fault in one_line(error)
    assert "SMPL_MALE.npz" in one_line(error)


def test_faulty_pickles(tmp_path):
    marker, path = tmp_path / "it_ran", tmp_path / "SMPL_MALE.pkl"
    chumpy = b"\x80\x02}q\x00U\tshapedirsq\x01cchumpy.ch\nCh\nq\x02)\x81q\x03}q\x04bs."
    good = pickle.dumps(sparse(arrays()))
    for content, fault in (
        (pickle.dumps(arrays() | {"shapedirs": Attack(marker)}), "may run code and is refused"),
        (pickle.dumps(arrays() | {"shapedirs": Attack(marker)}, 0), "may run code and is refused"),
        (chumpy, "objects of the package chumpy instead of arrays; give version 1.1.0"),
        (good[: len(good) // 2], "smpl/README.md"),
        (pickle.dumps([1, 2]), "it is no SMPL model"),
        (b"", "empty"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError) as error:
            rest_joints(path, "smpl", [1.0])
        assert fault in one_line(error)
        assert "SMPL_MALE.pkl" in one_line(error)
    assert not marker.exists()
