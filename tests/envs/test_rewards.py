"""The imitation reward, computed once more from its definition."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from puffer_phc.envs.rewards import RewardConfig, imitation_reward, power_penalty, rotation_angle

SEEDS = st.integers(0, 2**32 - 1)
PHC = RewardConfig(power_coef=0.0005)


def random_pair(seed, envs=3, spread=0.1):
    """A body state and one near it, 4 + 4 tensors."""
    rng = np.random.default_rng(seed)
    rot = Rotation.random(envs * 24, rng=rng)
    near = Rotation.from_rotvec(rng.normal(0.0, 3 * spread, (envs * 24, 3))) * rot
    quats = [r.as_quat(scalar_first=True).reshape(envs, 24, 4) for r in (rot, near)]
    first = [rng.normal(size=(envs, 24, 3)) for _ in range(3)]
    second = [x + scale * spread * rng.normal(size=x.shape) for x, scale in zip(first, (1, 30, 30), strict=True)]
    states = [[x[0], q, x[1], x[2]] for x, q in zip((first, second), quats, strict=True)]
    return [torch.from_numpy(x) for state in states for x in state]


def still(envs=2):
    """A humanoid at rest, all rotations the identity."""
    zeros = torch.zeros(envs, 24, 3, dtype=torch.float64)
    identity = torch.zeros(envs, 24, 4, dtype=torch.float64)
    identity[..., 0] = 1.0
    return [zeros, identity, zeros, zeros]


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.floats(0.001, 0.3))
def test_equal_to_the_definition(seed, spread):
    tensors = random_pair(seed, spread=spread)
    reward, terms = imitation_reward(*tensors, PHC)
    pos, rot, vel, spin, ref_pos, ref_rot, ref_vel, ref_spin = (x.numpy() for x in tensors)
    assert reward.shape == (3,)
    assert terms.shape == (3, 4)
    for env in range(3):
        turn = (
            Rotation.from_quat(ref_rot[env], scalar_first=True) * Rotation.from_quat(rot[env], scalar_first=True).inv()
        )
        expected = [
            np.exp(-100.0 * np.mean((ref_pos[env] - pos[env]) ** 2)),
            np.exp(-10.0 * np.mean(turn.magnitude() ** 2)),
            np.exp(-0.1 * np.mean((ref_vel[env] - vel[env]) ** 2)),
            np.exp(-0.1 * np.mean((ref_spin[env] - spin[env]) ** 2)),
        ]
        np.testing.assert_allclose(terms[env], expected, rtol=1e-9, atol=1e-12)
        assert float(reward[env]) == pytest.approx(np.dot([0.5, 0.3, 0.1, 0.1], expected), rel=1e-9)


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_perfect_tracking_earns_one_and_nothing_earns_more(seed):
    tensors = random_pair(seed)
    reward, terms = imitation_reward(*tensors[:4], *tensors[:4], RewardConfig())
    torch.testing.assert_close(reward, torch.ones_like(reward))
    torch.testing.assert_close(terms, torch.ones_like(terms))
    reward, terms = imitation_reward(*tensors, RewardConfig())
    assert ((reward >= 0) & (reward < 1)).all()
    assert ((terms >= 0) & (terms <= 1)).all()


def test_the_default_weights_are_phcs():
    cfg = RewardConfig()
    assert (cfg.w_pos, cfg.w_rot, cfg.w_vel, cfg.w_ang_vel) == (0.5, 0.3, 0.1, 0.1)
    assert (cfg.k_pos, cfg.k_rot, cfg.k_vel, cfg.k_ang_vel) == (100.0, 10.0, 0.1, 0.1)
    assert cfg.power_grace_steps == 3


@pytest.mark.parametrize(
    ("index", "offset", "expected"),
    [
        (0, [0.1, 0.0, 0.0], math.exp(-100 * 0.01 / 3)),
        (0, [0.1, -0.1, 0.1], math.exp(-1.0)),
        (2, [0.0, 3.0, 0.0], math.exp(-0.1 * 3.0)),
        (3, [0.0, 0.0, -6.0], math.exp(-0.1 * 12.0)),
    ],
)
def test_a_known_offset_of_every_body(index, offset, expected):
    bodies, reference = still(), still()
    reference[index] = reference[index] + torch.tensor(offset, dtype=torch.float64)
    reward, terms = imitation_reward(*bodies, *reference, PHC)
    ones = torch.ones(2, 4, dtype=torch.float64)
    ones[:, index] = expected
    torch.testing.assert_close(terms, ones)
    weight = (0.5, 0.3, 0.1, 0.1)[index]
    torch.testing.assert_close(reward, torch.full_like(reward, 1 - weight + weight * expected))


def test_a_known_turn_of_one_body_of_one_humanoid():
    bodies, reference = still(), still()
    reference[1] = reference[1].clone()
    reference[1][1, 7] = torch.tensor([math.cos(0.3), 0.0, math.sin(0.3), 0.0])  # 0.6 rad
    reward, terms = imitation_reward(*bodies, *reference, PHC)
    expected = math.exp(-10 * 0.36 / 24)
    torch.testing.assert_close(terms[:, 1], torch.tensor([1.0, expected], dtype=torch.float64))
    torch.testing.assert_close(reward, torch.tensor([1.0, 0.7 + 0.3 * expected], dtype=torch.float64))


def test_every_option_acts_on_its_own_term():
    tensors = random_pair(3)
    errors = -imitation_reward(*tensors, RewardConfig(k_pos=1, k_rot=1, k_vel=1, k_ang_vel=1))[1].log()
    cfg = RewardConfig(w_pos=1.0, w_rot=2.0, w_vel=3.0, w_ang_vel=4.0, k_pos=2.0, k_rot=0.5, k_vel=0.05, k_ang_vel=0.03)
    reward, terms = imitation_reward(*tensors, cfg)
    expected = torch.exp(-errors * torch.tensor([2.0, 0.5, 0.05, 0.03], dtype=torch.float64))
    torch.testing.assert_close(terms, expected)
    torch.testing.assert_close(reward, (expected * torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)).sum(1))


# --- the angle between rotations -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_angles_are_scipys(seed):
    rng = np.random.default_rng(seed)
    a, b = Rotation.random(20, rng=rng), Rotation.random(20, rng=rng)
    quats = [torch.from_numpy(r.as_quat(scalar_first=True)) for r in (a, b)]
    np.testing.assert_allclose(rotation_angle(*quats), (b * a.inv()).magnitude(), rtol=0, atol=1e-7)
    signs = torch.from_numpy(rng.choice([-1.0, 1.0], (2, 20, 1)))
    torch.testing.assert_close(rotation_angle(signs[0] * quats[0], signs[1] * quats[1]), rotation_angle(*quats))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("angle", [0.0, 1e-4, 1e-3, 0.1, 1.0, 3.0, math.pi - 1e-3, math.pi])
def test_angles_are_accurate_at_both_ends(angle, dtype):
    a = torch.tensor([0.5, -0.5, 0.5, 0.5], dtype=torch.float64)
    turn = Rotation.from_rotvec(angle * np.array([2.0, -1.0, 2.0]) / 3.0)
    b = turn * Rotation.from_quat(a.numpy(), scalar_first=True)
    b = torch.from_numpy(b.as_quat(scalar_first=True))
    for sign in (1, -1):
        measured = float(rotation_angle(a.to(dtype), (sign * b).to(dtype)))
        assert measured == pytest.approx(angle, abs=5e-7 if dtype == torch.float32 else 1e-7)


def test_no_angle_between_a_rotation_and_itself():
    quats = torch.nn.functional.normalize(torch.randn(1000, 4), dim=-1)
    assert not rotation_angle(quats, quats).any()
    assert not rotation_angle(quats, -quats).any()


def test_angles_of_slightly_unnormalised_quaternions_are_numbers():
    quats = 1.00001 * torch.nn.functional.normalize(torch.randn(1000, 4), dim=-1)
    orthogonal = torch.stack((-quats[:, 1], quats[:, 0], -quats[:, 3], quats[:, 2]), dim=-1)
    torch.testing.assert_close(rotation_angle(quats, orthogonal), torch.full((1000,), math.pi), rtol=0, atol=1e-3)


# --- power -----------------------------------------------------------------------------------------------------------


def test_power_by_hand():
    force = torch.tensor([[100.0, -50.0, 0.0], [1.0, 1.0, 1.0]])
    vel = torch.tensor([[-2.0, -1.0, 9.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(power_penalty(force, vel, 0.0005), torch.tensor([-0.125, 0.0]))


@given(SEEDS)
@settings(deadline=None, max_examples=20)
def test_power_is_never_a_gain_and_braking_costs_as_much(seed):
    generator = torch.Generator().manual_seed(seed)
    force, vel = torch.randn(2, 4, 69, generator=generator)
    penalty = power_penalty(force, vel, 0.01)
    assert (penalty < 0).all()
    torch.testing.assert_close(power_penalty(-force, vel, 0.01), penalty)
    torch.testing.assert_close(penalty, -0.01 * (force * vel).abs().sum(-1))
