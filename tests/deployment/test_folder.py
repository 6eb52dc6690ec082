"""Exported folders that are damaged or do not fit."""

import json
import shutil

import numpy as np
import onnx
import pytest
from small_policy import edited

from puffer_phc.deployment.folder import Deployment, choose_clips
from puffer_phc.deployment.performing import Performer
from puffer_phc.errors import InputError


def test_files_that_do_not_fit_are_told(make_exported, tmp_path):
    folder = tmp_path / "e"
    shutil.copytree(make_exported("mlp").folder, folder)
    for name in ("motions.npz", "robot.xml", "metadata.json", "policy.onnx"):
        (folder / name).rename(folder / "aside")
        with pytest.raises(InputError, match=name):
            Performer(Deployment(folder))
        (folder / "aside").rename(folder / name)
    metadata = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps({**metadata, "robot": {**metadata["robot"], "name": "g1"}}))
    with pytest.raises(InputError, match=r"differs from what policy\.onnx carries"):
        Deployment(folder)


def test_onnx_files_of_others_are_told(make_exported, tmp_path):
    folder = tmp_path / "e"
    shutil.copytree(make_exported("mlp").folder, folder)
    model = onnx.load(folder / "policy.onnx")
    del model.metadata_props[:]
    onnx.save(model, folder / "policy.onnx")
    with pytest.raises(InputError, match="carries no metadata of this program"):
        Deployment(folder)
    (folder / "policy.onnx").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="is no readable ONNX file"):
        Deployment(folder)


def test_a_graph_of_another_size_is_told(make_exported, tmp_path):
    data = json.loads((make_exported("mlp").folder / "metadata.json").read_text())
    folder = edited(make_exported("mlp").folder, tmp_path, observation={**data["observation"], "size": 105})
    with pytest.raises(InputError, match=r"'obs': 934.*its metadata say .*'obs': 105"):
        Deployment(folder)


def test_motions_of_another_robot_are_told(make_exported, tmp_path):
    folder = make_exported("mlp").folder
    arrays = dict(np.load(folder / "motions.npz"))
    np.savez(tmp_path / "g1.npz", **{**arrays, "robot": np.array("g1")})
    with pytest.raises(InputError, match="is of robot 'g1', the policy of 'smpl'"):
        Performer(Deployment(folder), tmp_path / "g1.npz")
    np.savez(tmp_path / "less.npz", **{**arrays, "dof_pos": arrays["dof_pos"][:, :9]})
    with pytest.raises(InputError, match="other bodies or joints"):
        Performer(Deployment(folder), tmp_path / "less.npz")


def test_clips_are_chosen_by_name_or_number(make_exported):
    frames = Performer(Deployment(make_exported("mlp").folder)).frames
    assert [choose_clips(frames, wanted) for wanted in ("", "1", "walk")] == [[0, 1], [1], [0]]
    with pytest.raises(InputError, match="no clip 'x'; use 0 to 1 or one of walk, slow_walk"):
        choose_clips(frames, "x")
