"""Joint coordinates and kinematics of trees with every kind of joint, against MuJoCo's own."""

import mujoco
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from poselib.rotations import quat_angle, quat_conj, quat_mul
from poselib.skeleton import Skeleton
from puffer_phc.robots.joints import JointRow, JointTable, joint_rows
from puffer_phc.robots.kinematics import TreeKinematics

SEEDS = st.integers(0, 2**32 - 1)
KINDS = ("ball", "hinge", "two", "three", "mirrored", "welded")
CPU = torch.device("cpu")


def random_rotation(rng):
    return Rotation.random(rng=rng).as_quat(scalar_first=True)


def random_tree(seed, kinds=KINDS):
    """A model whose bodies hang on each other anywhere, by each kind of joint, in random rest frames."""
    rng = np.random.default_rng(seed)
    spec = mujoco.MjSpec()
    bodies = [spec.worldbody.add_body(name="root", pos=(0, 0, 1), quat=random_rotation(rng))]
    bodies[0].add_freejoint(name="root")
    for kind in [*kinds, *rng.permutation(kinds)]:
        parent = bodies[rng.integers(len(bodies))]
        rest = random_rotation(rng) if rng.random() < 0.7 else (1, 0, 0, 0)
        body = parent.add_body(name=f"{kind}{len(bodies)}", pos=rng.normal(size=3), quat=rest)
        bodies.append(body)
        if kind == "ball":
            body.add_joint(name=body.name, type=mujoco.mjtJoint.mjJNT_BALL)
        axes = Rotation.random(rng=rng).as_matrix()
        if kind == "mirrored":
            axes[2] *= -1.0
        for k in range({"hinge": 1, "two": 2, "three": 3, "mirrored": 3}.get(kind, 0)):
            body.add_joint(name=f"{body.name}_{k}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=axes[k])
    for body in bodies:
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=(0.1, 0, 0))
    return spec.compile()


def skeleton_of(model):
    names = tuple(model.body(i).name for i in range(1, model.nbody))
    parents = (-1, *(int(p) - 1 for p in model.body_parentid[2:]))
    return Skeleton(names, parents, torch.from_numpy(model.body_pos[1:].copy()))


def random_state(model, seed):
    """Any rotation of balls, hinges within a turn; the middle hinge of three within a quarter of one."""
    rng = np.random.default_rng(seed)
    qpos = rng.uniform(-1.5, 1.5, model.nq)
    for joint in range(model.njnt):
        place = model.jnt_qposadr[joint]
        if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_BALL:
            qpos[place : place + 4] = random_rotation(rng)
        elif model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE:
            qpos[place + 3 : place + 7] = random_rotation(rng)
        elif not model.joint(joint).name.endswith("_1"):
            qpos[place] *= 2.0
    return qpos, rng.normal(0.0, 3.0, model.nv)


def mujoco_bodies(model, qpos, qvel):
    data = mujoco.MjData(model)
    data.qpos, data.qvel = qpos, qvel
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_comVel(model, data)
    velocity = np.zeros((model.nbody - 1, 6))
    for body, row in enumerate(velocity):
        mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, body + 1, row, 0)
    return data.xpos[1:], data.xquat[1:], velocity[:, 3:], velocity[:, :3]


def turned(a, b):
    """Largest angle (rad) between rotations."""
    return float(quat_angle(quat_mul(quat_conj(torch.as_tensor(a).double()), torch.as_tensor(b).double())).max())


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(1, 3))
def test_kinematics_are_mujocos(seed, envs):
    model = random_tree(seed)
    states = [random_state(model, seed + env) for env in range(envs)]
    joints = JointTable(joint_rows(model), CPU, torch.float64)
    kinematics = TreeKinematics(skeleton_of(model), CPU, joints)
    qpos, qvel = (torch.from_numpy(np.stack(x)).float() for x in zip(*states, strict=True))
    bodies = kinematics(qpos, qvel)
    for env, state in enumerate(states):
        pos, rot, vel, ang_vel = mujoco_bodies(model, *state)
        np.testing.assert_allclose(bodies.pos[env], pos, rtol=0, atol=3e-5)
        assert turned(bodies.rot[env], rot) < 2e-5
        np.testing.assert_allclose(bodies.vel[env], vel, rtol=0, atol=1e-3)
        np.testing.assert_allclose(bodies.ang_vel[env], ang_vel, rtol=0, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(SEEDS)
def test_coordinates_come_back(seed):
    """qpos -> rotations -> coordinates -> rotations and qpos, all in float64."""
    model = random_tree(seed)
    qpos, _ = random_state(model, seed)
    joints = JointTable(joint_rows(model), CPU, torch.float64)
    skeleton = skeleton_of(model)
    _, world, _, _ = mujoco_bodies(model, qpos, np.zeros(model.nv))
    local = skeleton.global_to_local(torch.from_numpy(world.copy()))
    dofs = joints.dofs(local)
    assert dofs.shape == (model.nv - 6,)
    assert turned(joints.local_rot(local[0], dofs), local) < 1e-7
    back = joints.qpos(local).numpy()
    for joint in range(1, model.njnt):
        place = model.jnt_qposadr[joint]
        if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_BALL:
            assert turned(back[place - 7 : place - 3], qpos[place : place + 4]) < 1e-7
        else:
            assert back[place - 7] == pytest.approx(qpos[place], abs=1e-7)
            assert dofs[model.jnt_dofadr[joint] - 6] == pytest.approx(qpos[place], abs=1e-7)


@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_steps_are_what_mujoco_integrates(seed):
    """Moving on by a time step at some velocity is the same as adding it to MuJoCo's positions."""
    model = random_tree(seed)
    qpos, qvel = random_state(model, seed)
    moved = qpos.copy()
    mujoco.mj_integratePos(model, moved, qvel, 0.01)
    joints = JointTable(joint_rows(model), CPU, torch.float64)
    local = []
    for q in (qpos, moved):
        world = mujoco_bodies(model, q, np.zeros(model.nv))[1].copy()
        local.append(skeleton_of(model).global_to_local(torch.from_numpy(world))[None])
    steps = joints.steps(*local)[0].numpy()
    np.testing.assert_allclose(steps, 0.01 * qvel[6:], rtol=0, atol=1e-7)


def test_batches_of_any_shape():
    model = random_tree(3)
    joints = JointTable(joint_rows(model), CPU, torch.float64)
    dofs = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (2, 5, joints.num_dofs)))
    root = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(2, 5, 4)
    rot = joints.local_rot(root, dofs)
    assert rot.shape == (2, 5, model.nbody - 1, 4)
    torch.testing.assert_close(joints.dofs(rot), dofs)
    torch.testing.assert_close(joints.local_rot(root[1, 2], dofs[1, 2]), rot[1, 2])


def test_angles_lie_around_the_middle_of_the_range():
    """A hinge from 20 to 340 degrees at 200: the rotation alone would say -160."""
    row = JointRow("body", axes=((0.0, 1.0, 0.0),), centres=(float(np.pi),))
    joints = JointTable((row,), CPU, torch.float64)
    angle = torch.tensor([np.deg2rad(200.0)])
    rot = joints.local_rot(torch.tensor([1.0, 0, 0, 0], dtype=torch.float64), angle)
    torch.testing.assert_close(joints.dofs(rot), angle)


def test_a_hinge_leaves_out_what_it_cannot_do():
    row = JointRow("body", axes=((0.0, 1.0, 0.0),), centres=(0.0,))
    joints = JointTable((row,), CPU, torch.float64)
    swing = Rotation.from_rotvec([0.3, 0, 0]) * Rotation.from_rotvec([0, 0.7, 0])
    rot = torch.from_numpy(np.stack(([1, 0, 0, 0], swing.as_quat(scalar_first=True))))
    torch.testing.assert_close(joints.dofs(rot), torch.tensor([0.7], dtype=torch.float64))


def test_all_of_it_compiles_without_breaks():
    model = random_tree(1)
    joints = JointTable(joint_rows(model), CPU, torch.float32)
    kinematics = TreeKinematics(skeleton_of(model), CPU, joints)

    def everything(qpos, qvel, rot):
        return kinematics(qpos, qvel).pos.sum() + joints.dofs(rot).sum() + joints.qpos(rot).sum()

    qpos, qvel = (torch.from_numpy(x).float()[None] for x in random_state(model, 1))
    rot = joints.local_rot(qpos[:, 3:7], qvel[:, 6:])
    compiled = torch.compile(everything, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(qpos, qvel, rot), everything(qpos, qvel, rot))


def hinged(*joints):
    spec = mujoco.MjSpec()
    root = spec.worldbody.add_body(name="root")
    root.add_freejoint(name="free")
    body = root.add_body(name="limb")
    for place in (root, body):
        place.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=(0.1, 0, 0))
    for number, joint in enumerate(joints):
        body.add_joint(name=f"j{number}", armature=1.0, **joint)
    return spec.compile()


HINGE, SLIDE, BALL = mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_BALL


@pytest.mark.parametrize(
    ("joints", "fault"),
    [
        ([{"type": SLIDE, "axis": (0, 0, 1)}], "joint j0 is no hinge"),
        ([{"type": HINGE, "axis": (0, 0, 1)}, {"type": BALL}], "joint j1 is no hinge"),
        ([{"type": HINGE, "axis": (0, 0, 1), "pos": (0, 0.1, 0)}], "joint j0 is not at its body's origin"),
        ([{"type": HINGE, "axis": (0, 0, 1), "ref": 0.3}], "joint j0 has a reference angle"),
        ([{"type": HINGE, "axis": (0, 0, 1)}, {"type": HINGE, "axis": (0, 1, 1)}], "body limb are not at right angles"),
        ([{"type": HINGE, "axis": (0, 0, 1)}] * 4, "body limb has 4 hinges"),
    ],
)
def test_other_joints_are_refused_by_name(joints, fault):
    with pytest.raises(ValueError, match=fault):
        joint_rows(hinged(*joints))
