"""The 28-dof humanoid: published figures, its action map, and the motions made for it."""

import math

import mujoco
import numpy as np
import pytest
import torch

from poselib.rotations import quat_rotate
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.motions.loading import load_motions
from puffer_phc.robots.amp_humanoid import amp_humanoid_robot

ROBOT = amp_humanoid_robot()
STIFFNESS = [600.0] * 3 + [50.0] * 3 + ([200.0] * 3 + [150.0]) * 2 + ([300.0] * 4 + [200.0] * 3) * 2
MIMICKIT = [1000.0] * 3 + [100.0] * 3 + ([400.0] * 3 + [300.0]) * 2 + ([500.0] * 4 + [400.0] * 3) * 2
TORQUE = [200.0] * 3 + [50.0] * 3 + ([100.0] * 3 + [70.0]) * 2 + ([200.0] * 3 + [150.0] + [90.0] * 3) * 2
BOUND = [1.885] * 3 + [1.2566] * 3 + ([3.351] * 3 + [1.9548]) * 2 + ([2.9322] * 3 + [1.9548] + [1.1519] * 3) * 2
KNEES, ELBOWS = [17, 24], [9, 13]


def test_sizes_and_gains():
    model = ROBOT.model
    assert (model.nq, model.nv, model.nu, ROBOT.num_bodies) == (43, 34, 28, 15)
    assert ROBOT.kp.tolist() == STIFFNESS
    torch.testing.assert_close(ROBOT.kd, ROBOT.kp / 10)
    assert torch.isinf(ROBOT.torque_limit).all()
    assert 45 < model.body_mass.sum() < 50
    dof_bodies = [model.dof_bodyid[6:][i] - 1 for i in (0, 3, 6, 9, 10, 13, 14, 17, 18, 21, 24, 25)]
    assert dof_bodies == [1, 2, 3, 4, 6, 7, 9, 10, 11, 12, 13, 14]


def test_mimickits_gains_and_limits():
    robot = amp_humanoid_robot(gains="mimickit", action_bounds="mimickit")
    assert robot.kp.tolist() == MIMICKIT
    assert robot.torque_limit.tolist() == TORQUE
    torch.testing.assert_close(robot.action_scale, torch.tensor(BOUND), rtol=0, atol=1e-3)
    assert not robot.model.actuator_forcelimited.any()  # the engines keep the limits: tests/simulation/test_servos.py
    assert robot.model.dof_damping[6] == 100.0
    assert robot.model.actuator_biasprm[0, 2] == 0.0


@pytest.mark.parametrize("bounds", ["isaac", "mimickit"])
def test_knees_and_elbows_go_beyond_their_ranges(bounds):
    robot = amp_humanoid_robot(action_bounds=bounds)

    def degrees(action, dofs):
        return torch.rad2deg(robot.action_offset + robot.action_scale * action)[dofs].tolist()

    assert degrees(0.0, KNEES) == pytest.approx([80, 80], abs=1e-3)
    assert degrees(1.0, KNEES) == pytest.approx([192, 192], abs=1e-3)
    assert degrees(-1.0, KNEES) == pytest.approx([-32, -32], abs=1e-3)
    assert degrees(0.0, ELBOWS) == pytest.approx([-80, -80], abs=1e-3)
    assert degrees(0.0, [0]) == [0.0]


def test_action_one_is_half_a_turn_of_a_ball_joint():
    balls = [d for d in range(28) if d not in KNEES + ELBOWS]
    torch.testing.assert_close(ROBOT.action_scale[balls], torch.full((24,), math.pi))


def test_standing_touches_the_floor_with_level_arms():
    state = ROBOT.default_state()
    assert state.root_pos[0, 2] == pytest.approx(0.89)
    geoms = ROBOT.geoms
    heights = state.body_pos[0, geoms.body, 2] + quat_rotate(state.body_rot[0, geoms.body], geoms.point.float())[:, 2]
    assert (heights - geoms.radius).min() == pytest.approx(0.0, abs=2e-4)
    hands = state.body_pos[0, ROBOT.body_ids(ROBOT.body_sets["hands"])]
    assert hands[0, 1] < -0.7 < 0.7 < hands[1, 1]
    data = mujoco.MjData(ROBOT.model)
    data.qpos[:] = ROBOT.qpos(state.root_pos, state.local_rot)[0]
    mujoco.mj_forward(ROBOT.model, data)
    np.testing.assert_allclose(data.actuator_length, ROBOT.default_dof, rtol=0, atol=1e-6)
    assert all(contact.dist > -0.001 for contact in data.contact)


def test_actuators_are_joint_coordinates():
    """Actuator lengths of any pose are the dofs that the robot reads from it."""
    rng = np.random.default_rng(0)
    dofs = torch.from_numpy(rng.uniform(-1, 1, (20, 28)))
    root = torch.tensor([1.0, 0, 0, 0]).double().expand(20, 4)
    qpos = ROBOT.qpos(torch.zeros(20, 3).double(), ROBOT.local_rot_from_dof(root, dofs)).numpy()
    data = mujoco.MjData(ROBOT.model)
    for pose, wanted in zip(qpos, dofs, strict=True):
        data.qpos[:] = pose
        mujoco.mj_forward(ROBOT.model, data)
        np.testing.assert_allclose(data.actuator_length, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "file", ["igym_amp/amp_humanoid_walk.npy", "igym_amp/amp_humanoid_dance.npy", "mimickit_humanoid/humanoid_kick.pkl"]
)
def test_its_motions_load_without_retargeting(shared_data, file):
    clip = load_motions(shared_data / "formats" / file)[0]
    library = MotionLibrary([clip], ROBOT)
    times = torch.arange(0, float(library.duration[0]), 1 / 30)
    ids = torch.zeros(len(times), dtype=torch.long)
    state = library.state_at(ids, times)
    # Bodies are where the file's own skeleton has them, but for the height.
    frames = (times * clip.fps).round().long()
    pos, _ = clip.skeleton.forward_kinematics(clip.root_pos, clip.local_rot)
    rows = slice(0, None, 7)
    apart = (state.body_pos - pos[frames])[rows]
    assert (apart[..., :2].abs().max(), apart[..., 2].std(dim=1).max()) < (0.02, 0.02)
    dofs = library.dof_pos_at(ids, times)
    assert dofs[:, KNEES].min() > -0.01
    assert dofs[:, ELBOWS].max() < 0.25
    geoms = ROBOT.geoms
    low = state.body_pos[:, geoms.body, 2] + quat_rotate(state.body_rot[:, geoms.body], geoms.point.float())[..., 2]
    low = (low - geoms.radius.float()).amin(dim=1)
    assert low.min() > -1e-3
    assert torch.quantile(low, 0.1) < 0.02
    assert state.dof_vel.abs().amax(dim=1)[:-1].min() > 0  # no frame is held
