"""The 934 numbers, computed once more with SciPy from their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from puffer_phc.envs.observations import observation, self_observation, task_observation
from puffer_phc.robots.state import BodyState

SEEDS = st.integers(0, 2**32 - 1)
SELF = {"height": 1, "positions": 69, "rotations": 144, "velocities": 72, "spins": 72}
TASK = {"offsets": 72, "turns": 144, "velocities": 72, "spins": 72, "positions": 72, "rotations": 144}


def random_bodies(seed, envs=3, count=24):
    rng = np.random.default_rng(seed)
    rot = Rotation.random(envs * count, rng=rng).as_quat(scalar_first=True).reshape(envs, count, 4)
    arrays = rng.normal(size=(envs, count, 3)), rot, *(3.0 * rng.normal(size=(2, envs, count, 3)))
    return BodyState(*(torch.from_numpy(array) for array in arrays))


def rotations(quats):
    return Rotation.from_quat(quats.numpy(), scalar_first=True)


def tan_norm(rotation):
    """Rotated x axes, then rotated z axes, (K, 6)."""
    return np.concatenate((rotation.apply([1.0, 0, 0]), rotation.apply([0, 0, 1.0])), axis=1)


def heading(root):
    x_axis = root.apply([1.0, 0.0, 0.0])
    return Rotation.from_rotvec([0.0, 0.0, np.arctan2(x_axis[1], x_axis[0])])


def expected_blocks(bodies, reference, env):
    """Both observations of one environment as lists of blocks."""
    pos, vel, spin = (x[env].numpy() for x in (bodies.pos, bodies.vel, bodies.ang_vel))
    ref_pos, ref_vel, ref_spin = (x[env].numpy() for x in (reference.pos, reference.vel, reference.ang_vel))
    rot, ref_rot = rotations(bodies.rot[env]), rotations(reference.rot[env])
    back = heading(rot[0]).inv()
    own = [
        pos[0, 2:],
        back.apply(pos[1:] - pos[0]),
        tan_norm(back * rot),
        back.apply(vel),
        back.apply(spin),
    ]
    task = [
        back.apply(ref_pos - pos),
        tan_norm(back * (ref_rot * rot.inv()) * back.inv()),
        back.apply(ref_vel - vel),
        back.apply(ref_spin - spin),
        back.apply(ref_pos - pos[0]),
        tan_norm(back * ref_rot),
    ]
    return own, task


def flat(blocks):
    return np.concatenate([np.ravel(block) for block in blocks])


def split(tensor, sizes):
    return dict(zip(sizes, tensor.split(list(sizes.values()), dim=1), strict=True))


def turned(bodies, angle, shift):
    """The same scene turned about the world's z axis and moved."""
    turn = Rotation.from_rotvec([0.0, 0.0, angle])

    def vectors(x):
        return torch.from_numpy(turn.apply(x.numpy().reshape(-1, 3)).reshape(x.shape))

    rot = (turn * rotations(bodies.rot.reshape(-1, 4))).as_quat(scalar_first=True).reshape(bodies.rot.shape)
    return BodyState(
        vectors(bodies.pos) + torch.tensor(shift), torch.from_numpy(rot), vectors(bodies.vel), vectors(bodies.ang_vel)
    )


@settings(deadline=None, max_examples=30)
@given(SEEDS)
def test_equal_to_the_definition(seed):
    bodies, reference = random_bodies(seed), random_bodies(seed + 1)
    own, task = self_observation(*bodies), task_observation(*bodies, *reference)
    assert own.shape == (3, 358)
    assert task.shape == (3, 576)
    for env in range(3):
        own_blocks, task_blocks = expected_blocks(bodies, reference, env)
        assert [np.size(block) for block in own_blocks] == list(SELF.values())
        assert [np.size(block) for block in task_blocks] == list(TASK.values())
        np.testing.assert_allclose(own[env], flat(own_blocks), rtol=0, atol=1e-9)
        np.testing.assert_allclose(task[env], flat(task_blocks), rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(1, 5), st.integers(2, 30))
def test_the_whole_is_its_two_halves(seed, envs, count):
    bodies, reference = random_bodies(seed, envs, count), random_bodies(seed + 1, envs, count)
    whole = observation(bodies, reference)
    assert whole.shape == (envs, 39 * count - 2)
    halves = torch.cat((self_observation(*bodies), task_observation(*bodies, *reference)), dim=1)
    torch.testing.assert_close(whole, halves, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.floats(-np.pi, np.pi), st.floats(-50, 50), st.floats(-50, 50))
def test_neither_heading_nor_place_shows(seed, angle, x, y):
    bodies, reference = random_bodies(seed), random_bodies(seed + 1)
    shift = [x, y, 0.0]
    before, after = observation(bodies, reference), observation(*(turned(b, angle, shift) for b in (bodies, reference)))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-8)


def test_height_shows_in_one_number():
    bodies, reference = random_bodies(0), random_bodies(1)
    raised = observation(*(turned(b, 0.0, [0.0, 0.0, 0.7]) for b in (bodies, reference)))
    difference = raised - observation(bodies, reference)
    torch.testing.assert_close(difference[:, 0], torch.full((3,), 0.7, dtype=torch.float64))
    torch.testing.assert_close(difference[:, 1:], torch.zeros(3, 933, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_perfect_follower_sees_no_difference():
    bodies = random_bodies(5)
    blocks = split(task_observation(*bodies, *bodies), TASK)
    for name in ("offsets", "velocities", "spins"):
        assert not blocks[name].any()
    identity = torch.tensor([1.0, 0, 0, 0, 0, 1], dtype=torch.float64).repeat(3, 24)
    torch.testing.assert_close(blocks["turns"], identity, rtol=0, atol=1e-12)
    own = split(self_observation(*bodies), SELF)
    torch.testing.assert_close(blocks["rotations"], own["rotations"])
    torch.testing.assert_close(blocks["positions"][:, 3:], own["positions"])
    assert not blocks["positions"][:, :3].any()


def test_quaternion_signs_do_not_show():
    bodies, reference = random_bodies(2), random_bodies(3)
    sign = torch.where(torch.rand(3, 24, 1) < 0.5, -1.0, 1.0).double()
    flipped = observation(bodies._replace(rot=sign * bodies.rot), reference._replace(rot=-sign * reference.rot))
    torch.testing.assert_close(flipped, observation(bodies, reference), rtol=0, atol=1e-12)


def test_one_body_by_hand():
    """A humanoid of one body that faces +y (yaw 90 degrees), 1 m ahead of which its reference stands still."""
    quarter = np.sqrt(0.5)

    def body(*numbers):
        return torch.tensor([[numbers]], dtype=torch.float64)

    yaw = body(quarter, 0, 0, quarter)
    bodies = BodyState(body(3, 4, 0.9), yaw, body(0, 2, 0.5), body(0, 0, 1))
    reference = BodyState(body(3, 5, 1.0), yaw, body(0, 0, 0), body(0, 0, 0))
    upright = [1, 0, 0, 0, 0, 1]
    own = [0.9, *upright, 2, 0, 0.5, 0, 0, 1]
    task = [1, 0, 0.1, *upright, -2, 0, -0.5, 0, 0, -1, 1, 0, 0.1, *upright]
    expected = torch.tensor([own + task], dtype=torch.float64)
    torch.testing.assert_close(observation(bodies, reference), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", ["batch first", "batch last"])
def test_single_precision_in_either_memory_layout(layout):
    exact = random_bodies(8), random_bodies(9)
    states = [BodyState(*(x.float() for x in state)) for state in exact]
    if layout == "batch last":
        states = [BodyState(*(x.permute(2, 1, 0).contiguous().permute(2, 1, 0) for x in state)) for state in states]
    result = observation(*states)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), observation(*exact), rtol=1e-5, atol=1e-5)
