"""The SMPL humanoid against the published table, SciPy's rotations and MuJoCo's own geometry."""

import math

import mujoco
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from puffer_phc.robots.robot import FLOOR, PhysicsOptions
from puffer_phc.robots.smpl import smpl_robot

# name, parent, joint offset (m), mass (kg), stiffness (N m / rad)
TABLE = (
    ("Pelvis", None, (-0.0018, -0.2233, 0.0282), 16.210, 0),
    ("L_Hip", "Pelvis", (-0.0068, 0.0695, -0.0914), 7.472, 800),
    ("L_Knee", "L_Hip", (-0.0045, 0.0343, -0.3752), 3.548, 800),
    ("L_Ankle", "L_Knee", (-0.0437, -0.0136, -0.398), 1.524, 800),
    ("L_Toe", "L_Ankle", (0.1193, 0.0264, -0.0558), 0.379, 500),
    ("R_Hip", "Pelvis", (-0.0043, -0.0677, -0.0905), 7.337, 800),
    ("R_Knee", "R_Hip", (-0.0089, -0.0383, -0.3826), 3.549, 800),
    ("R_Ankle", "R_Knee", (-0.0423, 0.0158, -0.3984), 1.598, 800),
    ("R_Toe", "R_Ankle", (0.1233, -0.0254, -0.0481), 0.408, 500),
    ("Torso", "Pelvis", (-0.0267, -0.0025, 0.109), 4.400, 1000),
    ("Spine", "Torso", (0.0011, 0.0055, 0.1352), 3.895, 1000),
    ("Chest", "Spine", (0.0254, 0.0015, 0.0529), 9.604, 1000),
    ("Neck", "Chest", (-0.0429, -0.0028, 0.2139), 0.645, 500),
    ("Head", "Neck", (0.0513, 0.0052, 0.065), 4.329, 500),
    ("L_Thorax", "Chest", (-0.0341, 0.0788, 0.1217), 1.086, 500),
    ("L_Shoulder", "L_Thorax", (-0.0089, 0.091, 0.0305), 1.896, 500),
    ("L_Elbow", "L_Shoulder", (-0.0275, 0.2596, -0.0128), 1.050, 500),
    ("L_Wrist", "L_Elbow", (-0.0012, 0.2492, 0.009), 0.298, 300),
    ("L_Hand", "L_Wrist", (-0.0149, 0.084, -0.0082), 0.160, 300),
    ("R_Thorax", "Chest", (-0.0386, -0.0818, 0.1188), 1.060, 500),
    ("R_Shoulder", "R_Thorax", (-0.0091, -0.096, 0.0326), 1.983, 500),
    ("R_Elbow", "R_Shoulder", (-0.0214, -0.2537, -0.0133), 1.086, 500),
    ("R_Wrist", "R_Elbow", (-0.0056, -0.2553, 0.0078), 0.316, 300),
    ("R_Hand", "R_Wrist", (-0.0103, -0.0846, -0.0061), 0.165, 300),
)
NAMES = tuple(row[0] for row in TABLE)
TOTAL_MASS = 73.995
EXCLUDED = {
    frozenset(pair)
    for pair in (
        ("L_Knee", "R_Ankle"),
        ("L_Knee", "R_Toe"),
        ("L_Knee", "L_Toe"),
        ("L_Toe", "R_Knee"),
        ("L_Ankle", "R_Knee"),
        ("R_Knee", "R_Toe"),
        ("Torso", "Chest"),
        ("Chest", "Head"),
    )
}
FROZEN = {*range(9, 12), *range(21, 24), *range(51, 54), *range(66, 69)}
SEEDS = st.integers(0, 2**32 - 1)
ROBOT = smpl_robot()


def posed(model, seed, root_z=0.0, speed=0.0):
    """MuJoCo data at a random pose (every joint anywhere in the rotation group)."""
    rng = np.random.default_rng(seed)
    data = mujoco.MjData(model)
    data.qpos[:3] = rng.normal(size=3)
    data.qpos[2] = root_z
    data.qpos[3:] = Rotation.random(24, rng=rng).as_quat(scalar_first=True).ravel()
    data.qvel[:] = speed * rng.normal(size=model.nv)
    mujoco.mj_forward(model, data)
    return data


def contact_pairs(model, data):
    bodies = model.geom_bodyid
    return {frozenset(model.body(bodies[g]).name for g in contact.geom) for contact in data.contact}


def test_sizes():
    model = ROBOT.model
    assert (model.nq, model.nv, model.nu, model.nbody) == (99, 75, 69, 25)
    assert (ROBOT.num_bodies, ROBOT.num_dofs) == (24, 69)
    assert ROBOT.body_names == NAMES
    assert ROBOT.kp.shape == ROBOT.kd.shape == ROBOT.action_scale.shape == ROBOT.frozen_dofs.shape == (69,)


def test_tree_and_masses_are_the_published_ones():
    model = ROBOT.model
    for name, parent, offset, mass, _ in TABLE:
        body = model.body(name)
        assert float(body.mass[0]) == pytest.approx(mass, abs=1e-3), name
        if parent is not None:
            assert model.body(int(body.parentid[0])).name == parent
            np.testing.assert_allclose(body.pos, offset, rtol=0, atol=1e-12)
            assert ROBOT.skeleton.parents[NAMES.index(name)] == NAMES.index(parent)
            np.testing.assert_allclose(ROBOT.skeleton.offsets[NAMES.index(name)], offset, rtol=0, atol=1e-12)
    assert model.body_mass.sum() == pytest.approx(TOTAL_MASS, abs=1e-3)


def test_joints_are_balls_behind_a_free_root():
    model = ROBOT.model
    assert model.jnt_type.tolist() == [mujoco.mjtJoint.mjJNT_FREE] + [mujoco.mjtJoint.mjJNT_BALL] * 23
    np.testing.assert_array_equal(model.dof_armature[:6], 0.0)
    np.testing.assert_array_equal(model.dof_armature[6:], 0.02)


@pytest.mark.parametrize(("kp_scale", "kd_scale"), [(1.0, 1.0), (0.5, 2.0), (3.0, 1.0)])
def test_gains(kp_scale, kd_scale):
    scaled = smpl_robot(kp_scale=kp_scale, kd_scale=kd_scale)
    table = np.repeat([row[4] for row in TABLE[1:]], 3)
    kp, kd = kp_scale * table, 0.1 * kd_scale * table
    np.testing.assert_allclose(scaled.kp, kp, rtol=1e-6)
    np.testing.assert_allclose(scaled.kd, kd, rtol=1e-6)
    np.testing.assert_allclose(scaled.model.actuator_gainprm[:, 0], kp, rtol=1e-12)
    np.testing.assert_allclose(scaled.model.actuator_biasprm[:, 1], -kp, rtol=1e-12)
    np.testing.assert_allclose(scaled.model.actuator_biasprm[:, 2], -kd, rtol=1e-12)


def test_action_scale_is_pi_but_for_the_knees_pitch():
    expected = np.full(69, math.pi)
    expected[[4, 16]] = 5.0
    np.testing.assert_allclose(ROBOT.action_scale, expected, rtol=1e-6)


def test_frozen_dofs_are_toes_and_hands():
    assert set(ROBOT.frozen_dofs.nonzero().flatten().tolist()) == FROZEN


def test_evaluation_set_has_twenty_bodies():
    assert set(NAMES) - set(ROBOT.body_sets["evaluation"]) == {"L_Toe", "R_Toe", "L_Hand", "R_Hand"}
    assert ROBOT.body_ids(("L_Hand", "Pelvis")) == [18, 0]


@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_actuators_measure_the_exponential_map_and_local_angular_velocity(seed):
    data = posed(ROBOT.model, seed, root_z=5.0, speed=3.0)
    joints = Rotation.from_quat(data.qpos[7:].reshape(23, 4), scalar_first=True)
    np.testing.assert_allclose(data.actuator_length, joints.as_rotvec().ravel(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(data.actuator_velocity, data.qvel[6:], rtol=0, atol=1e-12)
    # qvel is the child's angular velocity against its parent, in the child's frame: by definition of world velocities
    world = np.zeros((24, 3))
    for body in range(24):
        velocity = np.zeros(6)
        mujoco.mj_objectVelocity(ROBOT.model, data, mujoco.mjtObj.mjOBJ_XBODY, body + 1, velocity, 0)
        world[body] = velocity[:3]
    parents = np.array(ROBOT.skeleton.parents[1:])
    child = Rotation.from_quat(data.xquat[2:], scalar_first=True)
    relative = child.inv().apply(world[1:] - world[parents])
    np.testing.assert_allclose(data.actuator_velocity.reshape(23, 3), relative, rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_dofs_and_positions_of_a_pose_are_mujocos(seed):
    data = posed(ROBOT.model, seed)
    local_rot = torch.from_numpy(data.qpos[3:].copy()).reshape(1, 24, 4)
    root_pos = torch.from_numpy(data.qpos[:3].copy())[None]
    np.testing.assert_allclose(ROBOT.dof_from_local_rot(local_rot)[0], data.actuator_length, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(ROBOT.qpos(root_pos, local_rot)[0], data.qpos)
    body_pos, body_rot = ROBOT.skeleton.forward_kinematics(root_pos, local_rot)
    np.testing.assert_allclose(body_pos[0], data.xpos[1:], rtol=0, atol=1e-10)
    assert np.abs((body_rot[0].numpy() * data.xquat[1:]).sum(-1)).min() > 1 - 1e-10


@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_shapes_reach_as_low_as_mujocos(seed):
    """Per body, the lowest of ``Robot.geoms`` is the shape's support point straight down."""
    model, data = ROBOT.model, posed(ROBOT.model, seed, root_z=4.0)
    geoms = ROBOT.geoms
    points = data.xpos[1:][geoms.body] + np.einsum(
        "pij,pj->pi", data.xmat[1:].reshape(-1, 3, 3)[geoms.body], geoms.point.numpy()
    )
    heights = points[:, 2] - geoms.radius.numpy()
    for name in NAMES:
        geom = model.geom(name)
        distance = mujoco.mj_geomDistance(model, data, geom.id, model.geom(FLOOR).id, 100.0, None)
        own = heights[geoms.body.numpy() == NAMES.index(name)]
        assert own.min() == pytest.approx(distance, abs=1e-6), name
    assert len(heights) == 4 * 1 + 16 * 2 + 4 * 8  # spheres, capsules, boxes


def test_capsule_feet_weigh_what_boxes_do_and_stand_as_high():
    robot = smpl_robot(feet="capsules")
    np.testing.assert_allclose(robot.model.body_mass, ROBOT.model.body_mass, rtol=1e-6)
    for feet in (ROBOT, robot):
        has_boxes = (feet.model.geom_type == mujoco.mjtGeom.mjGEOM_BOX).any()
        assert has_boxes == (feet is ROBOT)
    for name in ("L_Ankle", "L_Toe", "R_Ankle", "R_Toe"):
        box, sole = (
            (
                each.geoms.point[each.geoms.body == NAMES.index(name)],
                each.geoms.radius[each.geoms.body == NAMES.index(name)],
            )
            for each in (ROBOT, robot)
        )
        for axis in range(3):
            low = (sole[0][:, axis] - sole[1]).min()
            assert low >= box[0][:, axis].min() - 1e-9  # within the box ...
            if axis != 2:  # ... and, but for the height, as large
                assert (sole[0][:, axis] + sole[1]).max() == pytest.approx(float(box[0][:, axis].max()))
                assert low == pytest.approx(float(box[0][:, axis].min()))
        assert (sole[0][:, 2] - sole[1]).min() == pytest.approx(float(box[0][:, 2].min()))


def test_excluded_pairs():
    signatures = ROBOT.model.exclude_signature
    pairs = {frozenset(ROBOT.model.body(s).name for s in (sig >> 16, sig & 0xFFFF)) for sig in signatures}
    assert pairs == EXCLUDED


def test_bodies_collide_unless_excluded_or_neighbours():
    neighbours = {frozenset((name, parent)) for name, parent, *_ in TABLE if parent}
    seen = set()
    for seed in range(60):
        seen |= contact_pairs(ROBOT.model, posed(ROBOT.model, seed, root_z=5.0))
    assert not seen & (EXCLUDED | neighbours)
    assert not any("world" in pair for pair in seen)
    assert len(seen) > 50  # almost anything else does meet in some random pose
    assert any({"L_Hand", "Head"} <= pair or {"R_Elbow", "Chest"} <= pair for pair in seen)


def test_without_self_collision_only_the_floor_is_felt():
    model = smpl_robot(self_collision=False).model
    pairs = set()
    for seed in range(20):
        pairs |= contact_pairs(model, posed(model, seed))
    assert pairs
    assert all("world" in pair for pair in pairs)
    assert {next(iter(pair - {"world"})) for pair in pairs} >= {"Head", "Pelvis", "L_Toe", "R_Hand", "L_Knee"}


@pytest.mark.parametrize("self_collision", [True, False])
def test_feet_rub_on_the_floor(self_collision):
    model = smpl_robot(self_collision=self_collision).model
    data = mujoco.MjData(model)
    data.qpos[2] = 0.93  # 7 mm into the floor
    mujoco.mj_forward(model, data)
    assert data.ncon > 0
    for contact in data.contact:
        assert contact.dim == 3
        np.testing.assert_allclose(contact.friction[:2], 1.0)


@pytest.mark.parametrize(
    ("physics", "integrator"),
    [
        (PhysicsOptions("implicitfast", 1 / 120, 4), mujoco.mjtIntegrator.mjINT_IMPLICITFAST),
        (PhysicsOptions("discrete", 1 / 60, 2), mujoco.mjtIntegrator.mjINT_DISCRETE),
    ],
)
def test_physics_options_reach_the_model(physics, integrator):
    option = smpl_robot(physics).model.opt
    assert option.timestep == physics.timestep
    assert option.integrator == integrator
    assert physics.control_dt == pytest.approx(1 / 30)


def test_another_shape_of_the_same_proportions_scales_everything():
    scale = 1.2
    bigger = smpl_robot(offsets=[tuple(scale * x for x in row[2]) for row in TABLE])
    for name, parent, offset, mass, _ in TABLE:
        assert float(bigger.model.body(name).mass[0]) == pytest.approx(scale**3 * mass, abs=scale**3 * 1e-3)
        if parent:
            np.testing.assert_allclose(bigger.model.body(name).pos, scale * np.array(offset), rtol=1e-12)
    assert float(bigger.geoms.radius.max()) == pytest.approx(scale * 0.1011)


def test_one_longer_shin_changes_that_shin_alone():
    offsets = [row[2] for row in TABLE]
    offsets[3] = tuple(1.5 * x for x in offsets[3])
    other = smpl_robot(offsets=offsets)
    changed = {name for name in NAMES if other.model.body(name).mass[0] != ROBOT.model.body(name).mass[0]}
    assert changed == {"L_Knee"}
    assert other.model.geom("L_Knee").size[1] == pytest.approx(1.5 * ROBOT.model.geom("L_Knee").size[1])
    np.testing.assert_allclose(other.model.body("L_Ankle").pos, 1.5 * np.array(TABLE[3][2]))
    np.testing.assert_allclose(other.skeleton.offsets[3], 1.5 * np.array(TABLE[3][2]))


@pytest.mark.parametrize("count", [0, 23, 25])
def test_a_wrong_number_of_offsets_is_refused(count):
    with pytest.raises(ValueError, match=f"24 joint offsets, got {count}"):
        smpl_robot(offsets=[(0.0, 0.0, 0.1)] * count)
