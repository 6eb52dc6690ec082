"""Batched kinematics against MuJoCo's, for states anywhere."""

import mujoco
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from poselib.skeleton import Skeleton
from puffer_phc.robots.kinematics import TreeKinematics
from puffer_phc.robots.smpl import smpl_robot

ROBOT = smpl_robot()


def random_state(seed, envs):
    rng = np.random.default_rng(seed)
    qpos = np.concatenate(
        (
            rng.normal(0.0, 2.0, (envs, 3)),
            Rotation.random(24 * envs, rng=rng).as_quat(scalar_first=True).reshape(envs, 96),
        ),
        axis=1,
    )
    return qpos, rng.normal(0.0, 3.0, (envs, 75))


def mujoco_bodies(model, qpos, qvel):
    data = mujoco.MjData(model)
    data.qpos, data.qvel = qpos, qvel
    mujoco.mj_forward(model, data)
    velocity = np.zeros((model.nbody - 1, 6))
    for body, row in enumerate(velocity):
        mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, body + 1, row, 0)
    return data.xpos[1:].copy(), data.xquat[1:].copy(), velocity[:, 3:], velocity[:, :3]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_equal_to_mujoco(seed, envs):
    qpos, qvel = random_state(seed, envs)
    kinematics = TreeKinematics(ROBOT.skeleton, torch.device("cpu"))
    bodies = kinematics(torch.from_numpy(qpos).float(), torch.from_numpy(qvel).float())
    assert [tuple(x.shape) for x in bodies] == [(envs, 24, 3), (envs, 24, 4), (envs, 24, 3), (envs, 24, 3)]
    for env in range(envs):
        pos, rot, vel, ang_vel = mujoco_bodies(ROBOT.model, qpos[env], qvel[env])
        np.testing.assert_allclose(bodies.pos[env], pos, rtol=0, atol=1e-5)
        own = bodies.rot[env].numpy()
        np.testing.assert_allclose(own * np.sign((own * rot).sum(-1, keepdims=True)), rot, rtol=0, atol=5e-6)
        np.testing.assert_allclose(bodies.vel[env], vel, rtol=0, atol=1e-4)
        np.testing.assert_allclose(bodies.ang_vel[env], ang_vel, rtol=0, atol=1e-4)


def test_a_turning_arm_by_hand():
    """Root at (1, 2, 3) turning about z at 2 rad/s, one child 0.5 m along x that turns about its own x at 7 rad/s."""
    skeleton = Skeleton(("root", "arm"), (-1, 0), torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]]))
    kinematics = TreeKinematics(skeleton, torch.device("cpu"))
    quarter = 0.5**0.5  # the root faces +y, so the child lies 0.5 m along +y
    qpos = torch.tensor([[1.0, 2.0, 3.0, quarter, 0.0, 0.0, quarter, 1.0, 0.0, 0.0, 0.0]])
    qvel = torch.tensor([[0.1, 0.0, 0.0, 0.0, 0.0, 2.0, 7.0, 0.0, 0.0]])
    bodies = kinematics(qpos, qvel)
    torch.testing.assert_close(bodies.pos[0], torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.5, 3.0]]))
    torch.testing.assert_close(bodies.vel[0], torch.tensor([[0.1, 0.0, 0.0], [-0.9, 0.0, 0.0]]))
    torch.testing.assert_close(bodies.ang_vel[0], torch.tensor([[0.0, 0.0, 2.0], [0.0, 7.0, 2.0]]))


@pytest.mark.parametrize("seed", range(3))
def test_environments_do_not_mix(seed):
    qpos, qvel = (torch.from_numpy(x).float() for x in random_state(seed, 6))
    together = TreeKinematics(ROBOT.skeleton, torch.device("cpu"))(qpos, qvel)
    alone = TreeKinematics(ROBOT.skeleton, torch.device("cpu"))
    for env in range(6):
        for a, b in zip(alone(qpos[env : env + 1], qvel[env : env + 1]), together, strict=True):
            torch.testing.assert_close(a[0], b[env], rtol=0, atol=2e-5)
