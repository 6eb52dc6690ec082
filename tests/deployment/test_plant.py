"""The exported model in plain MuJoCo against the robot as trained."""

import shutil
from dataclasses import replace

import mujoco
import numpy as np
import pytest
import torch

from puffer_phc.deployment.metadata import parse_metadata
from puffer_phc.deployment.model_file import write_model
from puffer_phc.deployment.plant import Plant, count_substeps
from puffer_phc.errors import InputError
from puffer_phc.robots.kinematics import TreeKinematics

MESH = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"


@pytest.fixture
def metadata(make_exported):
    return parse_metadata((make_exported("mlp").folder / "metadata.json").read_text(), "it")


@pytest.fixture
def plant(make_exported, metadata):
    return Plant(make_exported("mlp").folder, metadata, metadata.timestep)


def test_the_model_is_the_trained_one(plant, robot):
    """MJCF text has six digits; everything that physics reads agrees to a few of the last."""
    for name in ("body_mass", "body_inertia", "body_pos", "dof_armature", "geom_size", "geom_friction", "geom_solref"):
        np.testing.assert_allclose(getattr(plant.model, name), getattr(robot.model, name), rtol=1e-5, atol=1e-6)
    for name in ("actuator_gainprm", "actuator_biasprm", "geom_contype", "geom_conaffinity", "exclude_signature"):
        np.testing.assert_array_equal(getattr(plant.model, name), getattr(robot.model, name))
    assert plant.model.opt.integrator == robot.model.opt.integrator
    assert plant.model.opt.timestep == robot.model.opt.timestep


def test_bodies_are_those_of_the_trainers_kinematics(plant, robot):
    generator = np.random.default_rng(0)
    for _ in range(5):
        qpos, qvel = generator.normal(size=99), 3 * generator.normal(size=75)
        qpos[3:] = (qpos[3:].reshape(-1, 4) / np.linalg.norm(qpos[3:].reshape(-1, 4), axis=1, keepdims=True)).ravel()
        plant.reset(qpos, qvel)
        theirs = TreeKinematics(robot.skeleton, torch.device("cpu"))(
            torch.tensor(qpos)[None].float(), torch.tensor(qvel)[None].float()
        )
        ours = plant.bodies()
        sign = np.sign((ours.rot * theirs.rot.numpy()).sum(-1, keepdims=True))
        np.testing.assert_allclose(ours.rot * sign, theirs.rot, atol=1e-5)
        for name in ("pos", "vel", "ang_vel"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-4, rtol=1e-5)


def test_torque_is_counted_and_kept_within_limits(make_exported, metadata):
    limited = replace(metadata, robot=replace(metadata.robot, torque_limit=(20.0, *[None] * 68)))
    plant = Plant(make_exported("mlp").folder, limited, metadata.timestep)
    plant.reset(plant.model.qpos0, np.zeros(75))
    target = np.zeros(69)
    target[:2] = 0.5  # both axes have 800 N m / rad
    plant.step(target)
    assert plant.torque_steps == plant.substeps == 2
    assert plant.torque_peak[0] == pytest.approx(20)
    assert plant.torque_peak[1] == pytest.approx(400, rel=0.01)
    assert plant.torque_over[0] >= 1
    assert plant.torque_over[1:].sum() == 0
    assert plant.torque_sum[0] <= 2 * plant.torque_peak[0]
    plant.reset(plant.model.qpos0, np.zeros(75))
    assert plant.torque_steps == plant.torque_peak.max() == 0


def test_physics_steps_must_fill_a_control_step(metadata):
    assert [count_substeps(1 / 30, step) for step in (1 / 30, 1 / 60, 0.0166667, 1 / 600)] == [1, 2, 2, 20]
    for step in (0.02, 0.05, 0.0, -1.0):
        with pytest.raises(InputError, match="--timestep"):
            count_substeps(1 / 30, step)


def test_another_robots_files_are_told(make_exported, metadata, tmp_path):
    shutil.copytree(make_exported("mlp").folder, tmp_path / "e")
    other = replace(metadata, robot=replace(metadata.robot, name="g1", body_names=("pelvis",)))
    with pytest.raises(InputError, match="has 24 bodies, not the 1 of robot 'g1'"):
        Plant(tmp_path / "e", other, metadata.timestep)
    (tmp_path / "e" / "robot.xml").write_text("<mujoco><worldbody>")
    with pytest.raises(InputError, match="is no model that MuJoCo"):
        Plant(tmp_path / "e", metadata, metadata.timestep)
    (tmp_path / "e" / "robot.xml").unlink()
    with pytest.raises(InputError, match="does not exist"):
        Plant(tmp_path / "e", metadata, metadata.timestep)


def test_meshes_travel_along(robot, tmp_path):
    """A model that names files is written with them, and loads where nothing else is."""
    (tmp_path / "home" / "meshes").mkdir(parents=True)
    (tmp_path / "home" / "meshes" / "t.obj").write_text(MESH)
    (tmp_path / "home" / "r.xml").write_text(
        '<mujoco><compiler meshdir="meshes"/><asset><mesh name="t" file="t.obj"/></asset>'
        '<worldbody><body><freejoint/><geom type="mesh" mesh="t"/></body></worldbody></mujoco>'
    )
    spec = mujoco.MjSpec.from_file(str(tmp_path / "home" / "r.xml"))
    model = spec.compile()
    (tmp_path / "out").mkdir()
    write_model(replace(robot, model=model, spec=spec), tmp_path / "out")
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "home")
    moved = mujoco.MjModel.from_xml_path(str(tmp_path / "elsewhere" / "robot.xml"))
    np.testing.assert_allclose(moved.body_mass, model.body_mass, rtol=1e-5)
    with pytest.raises(InputError, match=r"cannot be written as MJCF .*t\.obj"):
        write_model(replace(robot, model=model, spec=spec), tmp_path / "elsewhere")
    with pytest.raises(InputError, match="does not keep its MJCF"):
        write_model(replace(robot, spec=None), tmp_path / "elsewhere")
