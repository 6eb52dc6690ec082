"""Robots of MJCF files: what is kept, what is replaced, and what is refused."""

import math

import mujoco
import numpy as np
import pytest
import torch

from puffer_phc.config import ROOT
from puffer_phc.errors import InputError
from puffer_phc.robots.g1 import LINKS, g1_stand_in, write_g1_stand_in
from puffer_phc.robots.mjcf import mjcf_robot
from puffer_phc.robots.robot import FLOOR, PhysicsOptions

G1_YAML = ROOT / "configs" / "g1.yaml"
# Published for the G1: 0.7 of each joint's range.
G1_SCALE = [3.7873, 2.4435, 3.8606, 2.0769, 0.9774, 0.3665] * 2 + [3.6652, 0.7280, 0.7280]
G1_SCALE += [4.0317, 2.6878, 3.6652, 2.1991] * 2
G1_OFFSET = [-0.1, 0, 0, 0.3, -0.2, 0] * 2 + [0, 0, 0] + [0, 0.2, 0, 1.1] + [0, -0.2, 0, 1.1]

BODY = """<mujoco model="tiny">
  <option timestep="0.5"/>
  <worldbody>
    <body name="trunk" pos="0 0 0.5">
      <freejoint/>
      <geom name="trunk" type="sphere" size="0.1"/>
      <body name="limb" pos="0 0 -0.2">
        <joint name="knee" axis="0 1 0" stiffness="20" damping="2" range="-90 30" {joint}/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.2" size="0.03"/>
        {inner}
      </body>
    </body>
    {world}
  </worldbody>
  {more}
</mujoco>
"""


def tiny(tmp_path, joint="", inner="", world="", more="", settings=None, **options):
    path = tmp_path / "tiny.xml"
    path.write_text(BODY.format(joint=joint, inner=inner, world=world, more=more))
    if settings is not None:
        (tmp_path / "tiny.yaml").write_text(settings)
    return mjcf_robot(path, None if settings is None else tmp_path / "tiny.yaml", **options)


@pytest.fixture(scope="module")
def g1(tmp_path_factory):
    path = tmp_path_factory.mktemp("g1") / "g1.xml"
    write_g1_stand_in(path)
    return mjcf_robot(path, G1_YAML)


def test_g1_has_the_published_action_map_and_gains(g1):
    assert (g1.model.nq, g1.model.nv, g1.model.nu, g1.num_dofs) == (30, 29, 23, 23)
    torch.testing.assert_close(g1.action_scale, torch.tensor(G1_SCALE), rtol=0, atol=1e-4)
    torch.testing.assert_close(g1.action_offset, torch.tensor(G1_OFFSET))
    torch.testing.assert_close(g1.default_dof, torch.tensor(G1_OFFSET))
    leg, arm = [100.0, 100, 100, 200, 40, 40], [90.0, 60, 20, 60]
    assert g1.kp.tolist() == leg * 2 + [400.0] * 3 + arm * 2
    assert g1.torque_limit.tolist() == [75, 75, 75, 118, 43, 43] * 2 + [75, 43, 43] + [21] * 8
    assert g1.root_heights == (0.4, 1.1)
    assert np.all(g1.model.dof_armature[6:] == 0.025)
    assert 30 < g1.model.body_mass.sum() < 40
    assert g1.body_sets["key"][0] == "head_link_o"


def test_g1_stands_on_the_floor_without_overlaps(g1):
    data = mujoco.MjData(g1.model)
    state = g1.default_state()
    data.qpos[:] = g1.qpos(state.root_pos, state.local_rot)[0]
    mujoco.mj_forward(g1.model, data)
    np.testing.assert_allclose(data.xpos[1:], state.body_pos[0], rtol=0, atol=1e-6)
    assert data.ncon == 0
    soles = [data.xpos[g1.skeleton.index(name) + 1, 2] for name in g1.body_sets["feet"]]
    assert max(soles) < 0.07


def test_damping_is_in_the_joint_where_the_torque_is_limited(g1):
    """A servo at its target gives nothing and the joint brakes with kd times its speed; limits are not the model's."""
    data = mujoco.MjData(g1.model)
    data.ctrl[:] = 0.0
    data.qvel[6] = 1.0
    mujoco.mj_forward(g1.model, data)
    assert data.actuator_force[0] == pytest.approx(0.0, abs=1e-9)
    assert data.qfrc_passive[6] == pytest.approx(-2.5)
    assert not g1.model.actuator_forcelimited.any()
    assert not g1.model.jnt_actfrclimited.any()


def test_stiffness_and_damping_of_the_file_become_the_servo(tmp_path):
    robot = tiny(tmp_path, more='<actuator><motor joint="knee"/></actuator>', kp_scale=2.0)
    model = robot.model
    assert robot.kp.tolist() == [40.0]
    assert robot.kd.tolist() == [2.0]
    assert model.nu == 1
    assert model.actuator_gainprm[0, 0] == 40.0
    assert model.actuator_biasprm[0, :3].tolist() == [0.0, -40.0, -2.0]
    assert model.jnt_stiffness[1] == 0
    assert model.opt.timestep == PhysicsOptions().timestep
    assert model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_AUTORESET
    assert model.geom(FLOOR).type == mujoco.mjtGeom.mjGEOM_PLANE
    assert robot.action_scale.item() == pytest.approx(0.7 * math.radians(120))
    assert robot.body_names == ("trunk", "limb")


def test_a_floor_of_the_file_is_kept(tmp_path):
    robot = tiny(tmp_path, world='<geom name="ground" type="plane" size="5 5 1" friction="0.3"/>')
    planes = robot.model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
    assert planes.sum() == 1
    assert robot.model.geom(FLOOR).friction[0] == 0.3


def test_actions_about_the_middle(tmp_path):
    robot = tiny(tmp_path, settings="joints:\n  kn.*: {offset: middle, scale: 1.5, effort: 7}\n")
    assert robot.action_offset.item() == pytest.approx(math.radians(-30))
    assert robot.action_scale.item() == 1.5
    assert robot.torque_limit.item() == 7


def test_without_self_collision_only_the_floor_is_touched(tmp_path):
    model = tiny(tmp_path, self_collision=False).model
    parts = model.geom_bodyid > 0
    assert not (model.geom_contype[parts] & model.geom_conaffinity[parts]).any()


def test_every_kind_of_shape_has_points(tmp_path):
    (tmp_path / "tetra.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n")
    shapes = """<geom type="cylinder" size="0.1 0.2" pos="0 0 -1"/><geom type="ellipsoid" size="0.1 0.2 0.3"/>
        <geom type="mesh" mesh="tetra"/><geom type="box" size="0.1 0.1 0.1" contype="0" conaffinity="0"/>"""
    robot = tiny(tmp_path, inner=shapes, more='<asset><mesh name="tetra" file="tetra.obj"/></asset>')
    limb = robot.geoms.point[robot.geoms.body == 1]
    assert len(limb) == 2 + 32 + 42 + 4
    np.testing.assert_allclose(limb.numpy().min(axis=0), [-0.1, -0.2, -1.2], atol=0.005)
    np.testing.assert_allclose(limb.numpy().max(axis=0), [1, 1, 1], atol=1e-6)  # where the tetrahedron's corners are


def test_frames_are_moved_to_joints_that_stand_elsewhere(tmp_path):
    inner = """<body name="tip" pos="0.1 0 -0.2" euler="20 0 30">
          <joint name="tip" pos="0 0.05 0.02" axis="1 0 0" stiffness="1"/>
          <geom type="box" size="0.02 0.03 0.04" pos="0.01 0 0"/>
          <geom type="capsule" fromto="0 0 0 0.1 0.1 0" size="0.01"/>
        </body>"""
    robot = tiny(tmp_path, 'pos="0 0 0.05"', inner, settings="joints: {tip: {scale: 1}}")
    original = mujoco.MjModel.from_xml_path(str(tmp_path / "tiny.xml"))
    assert np.abs(robot.model.jnt_pos[1:]).max() == 0
    np.testing.assert_allclose(robot.skeleton.offsets[1], [0, 0, -0.15])
    places = []
    for model in (robot.model, original):
        data = mujoco.MjData(model)
        data.qpos[:3], data.qpos[7:] = (0.1, 0.2, 0.7), (-0.4, 0.8)
        mujoco.mj_kinematics(model, data)
        places.append(data.geom_xpos[-3:].copy())
    np.testing.assert_allclose(*places, atol=1e-9)


FAULTS = [
    ({"joint": 'type="slide"'}, "joint 'knee' slides"),
    ({"world": '<body name="other"><geom size="1"/></body>'}, "2 bodies hang on the world"),
    ({"inner": '<joint name="hip" axis="0 1 1" stiffness="1" range="-9 9"/>'}, "body limb are not at right angles"),
    ({"joint": 'ref="20"'}, "joint knee has a reference angle"),
    ({"inner": '<joint name="hip" axis="1 0 0" pos="0 0 1"/>'}, "'limb' do not stand in one place"),
    ({"inner": '<joint name="hip" axis="1 0 0"/>'}, "'hip' has no stiffness"),
    ({"more": '<equality><weld body1="trunk" body2="limb"/></equality>'}, "has equality constraints"),
    ({"more": "<nonsense/>"}, "is no MJCF"),
    ({"more": '<asset><mesh file="missing.obj"/></asset>'}, "missing.obj"),
    ({"settings": "feet: [toe]"}, "feet names body 'toe', which the MJCF does not have; it has trunk, limb"),
    ({"settings": "joints: {elbow: {kp: 1}}"}, "joints.elbow matches no joint of the MJCF; it has knee"),
    ({"settings": "colour: red"}, "unknown key 'colour'; use one of"),
    ({"settings": "joints: {knee: {kq: 1}}"}, "unknown key 'kq' in joints.knee"),
    ({"settings": "joints: {knee: {kp: -1}}"}, "joints.knee.kp is -1"),
    ({"settings": "joints: {knee: {kp: yes}}"}, "joints.knee.kp is True"),
    ({"settings": "joints: {knee: {scale: 2 * limits}}"}, "0.7 \\* range"),
    ({"settings": "joints: {knee: {default: [1, 2]}}"}, "has 1 dofs but its default 2"),
    ({"settings": "joints: {'(': {kp: 1}}"}, "is no pattern"),
    ({"settings": "a: [1"}, "is no YAML"),
    ({"settings": "- 1"}, "is no table"),
    ({"settings": "root_heights: 3"}, "root_heights is 3"),
]


@pytest.mark.parametrize(("changes", "fault"), FAULTS)
def test_what_is_wrong_is_named(tmp_path, changes, fault):
    with pytest.raises(InputError, match=fault) as caught:
        tiny(tmp_path, **changes)
    assert "\n" not in str(caught.value)


def test_a_root_must_be_free(tmp_path):
    path = tmp_path / "fixed.xml"
    path.write_text(g1_stand_in().replace('<freejoint name="root"/>', ""))
    with pytest.raises(InputError, match="its root 'pelvis' has no free joint"):
        mjcf_robot(path)
    with pytest.raises(InputError, match="cannot be read"):
        mjcf_robot(tmp_path / "nothing.xml")


def test_the_stand_in_has_links_in_order():
    assert [link.joint for link in LINKS if link.joint][12:15] == [f"waist_{k}_joint" for k in ("yaw", "roll", "pitch")]
