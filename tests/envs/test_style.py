"""The numbers that a discriminator of motions sees: sizes, invariances and hand-made values."""

import math

import pytest
import torch
from small_env import LIBRARY
from small_env import ROBOT as SMPL

from poselib.rotations import quat_from_angle_axis, quat_identity, quat_mul, quat_rotate, quat_to_tan_norm
from puffer_phc.config import ROOT
from puffer_phc.envs.style import style_features, style_tables, world_features
from puffer_phc.errors import InputError
from puffer_phc.robots.amp_humanoid import amp_humanoid_robot
from puffer_phc.robots.g1 import write_g1_stand_in
from puffer_phc.robots.mjcf import mjcf_robot
from puffer_phc.robots.state import BodyState

CPU = torch.device("cpu")
HUMANOID = amp_humanoid_robot()
Z = torch.tensor([0.0, 0.0, 1.0])


def pose(robot, dofs, root_pos=(0.3, -0.2, 0.9), root_rot=None):
    """One humanoid with joint coordinates (D,), at rest."""
    root_rot = quat_identity(1) if root_rot is None else root_rot[None]
    local = robot.local_rot_from_dof(root_rot, dofs[None])
    pos, rot = robot.skeleton.forward_kinematics(torch.tensor([root_pos]), local)
    return BodyState(pos.float(), rot.float(), torch.zeros_like(pos).float(), torch.zeros_like(pos).float())


def moving(robot, seed=0):
    """Four humanoids in random poses that move at random."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    rows = []
    for _ in range(4):
        axis = torch.nn.functional.normalize(random(3), dim=0)
        root = quat_from_angle_axis(random(1)[0], axis)
        rows.append(pose(robot, 0.3 * random(robot.num_dofs), root_rot=root))
    bodies = BodyState(*(torch.cat(parts) for parts in zip(*rows, strict=True)))
    bodies = bodies._replace(vel=random(*bodies.vel.shape), ang_vel=random(*bodies.ang_vel.shape))
    return bodies, random(4, robot.num_dofs)


def turned(bodies, angle):
    turn = quat_from_angle_axis(torch.tensor(angle), Z)
    return BodyState(
        quat_rotate(turn, bodies.pos),
        quat_mul(turn, bodies.rot),
        quat_rotate(turn, bodies.vel),
        quat_rotate(turn, bodies.ang_vel),
    )


def test_sizes():
    assert style_tables(HUMANOID, CPU, False).size == 105
    assert style_tables(SMPL, CPU, True).size == 196
    assert style_tables(HUMANOID, CPU, False).difference_size == 160


@pytest.mark.parametrize(("robot", "size"), [(HUMANOID, 105), (SMPL, 196)])
def test_only_the_global_root_rotation_knows_the_heading(robot, size):
    bodies, dof_vel = moving(robot)
    for local in (False, True):
        tables = style_tables(robot, CPU, local)
        before = style_features(bodies, dof_vel, tables)
        after = style_features(turned(bodies, 0.7), dof_vel, tables)
        assert before.shape == (4, size)
        same = torch.ones(size, dtype=torch.bool)
        if not local:
            same[1:7] = False
            assert ((before - after)[:, 1:7].abs().amax(dim=1) > 0.1).all()
        torch.testing.assert_close(before[:, same], after[:, same], atol=1e-5, rtol=0)


def test_the_layout_of_humanoid_amp():
    """abdomen 13, neck 19, right shoulder 25, elbow 31, left shoulder 32, elbow 38, hips and knees, velocities 65."""
    tables = style_tables(HUMANOID, CPU, False)
    dofs = torch.zeros(28)
    dofs[9], dofs[13], dofs[17], dofs[24] = -1.0, -1.1, 1.2, 1.3  # elbows and knees
    dofs[0:3] = torch.tensor([0.0, 0.5, 0.0])  # abdomen
    dof_vel = torch.arange(28.0)[None]
    bodies = pose(HUMANOID, dofs)
    row = style_features(bodies, dof_vel, tables)[0]
    assert float(row[0]) == pytest.approx(0.9)
    torch.testing.assert_close(row[1:7], torch.tensor([1.0, 0, 0, 0, 0, 1.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(row[[31, 38, 45, 58]], torch.tensor([-1.0, -1.1, 1.2, 1.3]))
    abdomen = torch.tensor([math.cos(0.5), 0, -math.sin(0.5), math.sin(0.5), 0, math.cos(0.5)])
    torch.testing.assert_close(row[13:19], abdomen, atol=1e-6, rtol=0)
    torch.testing.assert_close(row[19:25], torch.tensor([1.0, 0, 0, 0, 0, 1.0]), atol=1e-6, rtol=0)
    assert torch.equal(row[65:93], dof_vel[0])
    keys = HUMANOID.body_ids(("right_hand", "left_hand", "right_foot", "left_foot"))
    torch.testing.assert_close(row[93:], (bodies.pos[0, keys] - bodies.pos[0, 0]).flatten(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("angle", [-2.9, -0.4, 0.0, 2.9])
def test_hinges_are_angles_whatever_the_sign_of_the_quaternion(angle):
    tables = style_tables(HUMANOID, CPU, False)
    dofs = torch.zeros(28)
    dofs[17] = angle
    bodies = pose(HUMANOID, dofs)
    for flipped in (bodies, bodies._replace(rot=-bodies.rot)):
        assert float(style_features(flipped, torch.zeros(1, 28), tables)[0, 45]) == pytest.approx(angle, abs=1e-5)


def test_recordings_and_their_local_rotations_agree():
    state = LIBRARY.state_at(torch.tensor([0, 1]), torch.tensor([0.4, 1.1]))
    tables = style_tables(SMPL, CPU, True)
    rows = style_features(state.bodies, state.dof_vel, tables)
    codes = quat_to_tan_norm(state.local_rot[:, tables.bodies]).flatten(1)
    torch.testing.assert_close(rows[:, 13:127], codes, atol=1e-5, rtol=0)
    held = {SMPL.body_names[b] for b in range(1, 24)} - {SMPL.body_names[b] for b in tables.bodies.tolist()}
    assert held == {"L_Toe", "R_Toe", "L_Hand", "R_Hand"}
    kept = [d for d in range(69) if not SMPL.frozen_dofs[d]]
    torch.testing.assert_close(rows[:, 127:184], state.dof_vel[:, kept])


def test_a_robot_of_hinges_alone(tmp_path):
    """The G1's 74 numbers: joint angles as they are."""
    write_g1_stand_in(tmp_path / "g1.xml")
    robot = mjcf_robot(str(tmp_path / "g1.xml"), str(ROOT / "configs" / "g1.yaml"))
    tables = style_tables(robot, CPU, False)
    assert tables.size == 74
    state = robot.default_state()
    row = style_features(state.bodies, state.dof_vel, tables)[0]
    torch.testing.assert_close(row[13:36], robot.default_dof, atol=1e-6, rtol=0)


def test_differences_are_zero_only_for_the_same_motion():
    tables = style_tables(HUMANOID, CPU, False)
    bodies, dof_vel = moving(HUMANOID)
    rows = world_features(bodies, dof_vel, tables)
    assert rows.shape == (4, 160)
    for changed in (turned(bodies, 0.1), bodies._replace(pos=bodies.pos + Z)):
        assert ((world_features(changed, dof_vel, tables) - rows).abs().amax(dim=1) > 1e-3).all()


def test_a_robot_without_key_bodies_is_refused():
    nameless = amp_humanoid_robot()
    object.__setattr__(nameless, "body_sets", {"feet": ("right_foot",)})
    with pytest.raises(InputError, match="key"):
        style_tables(nameless, CPU, False)
