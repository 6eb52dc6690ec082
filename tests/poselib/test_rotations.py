"""Quaternion algebra: properties, hand-made cases and scipy as an independent oracle."""

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from poselib import rotations as rot

DTYPES = [torch.float32, torch.float64]
TOLERANCE = {torch.float32: 3e-6, torch.float64: 1e-12}
SQRT_HALF = math.sqrt(0.5)

relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

component = st.floats(-1.0, 1.0, allow_subnormal=False)
vectors = st.tuples(component, component, component).map(lambda v: torch.tensor(v, dtype=torch.float64))
quats = (
    st.tuples(component, component, component, component)
    .filter(lambda q: math.hypot(*q) > 1e-2)
    .map(lambda q: torch.tensor(q, dtype=torch.float64) / math.hypot(*q))
)
angles = st.floats(-10.0, 10.0, allow_subnormal=False)


@pytest.fixture(params=DTYPES, ids=str)
def dtype(request):
    return request.param


def random_quats(count, dtype=torch.float64, seed=0):
    """Uniform rotations with the awkward ones among them, both signs of the real part included."""
    generator = torch.Generator().manual_seed(seed)
    quats = torch.randn(count, 4, dtype=torch.float64, generator=generator)
    special = torch.tensor(
        [
            [1, 0, 0, 0],
            [-1, 0, 0, 0],
            [0, 1, 0, 0],
            [0, 0, 1, 0],
            [0, 0, 0, -1],
            [0, SQRT_HALF, -SQRT_HALF, 0],
            [1, 1e-9, 0, 0],
            [1, 0, -5e-5, 0],
            [-1, 0, 0, 3e-4],
            [1e-9, 0, 1, 0],
        ],
        dtype=torch.float64,
    )
    quats = torch.cat((special, quats))
    return (quats / quats.norm(dim=-1, keepdim=True)).to(dtype)


def oracle(quat):
    return Rotation.from_quat(quat.double().numpy(), scalar_first=True)


def assert_close(actual, expected, dtype, scale=1.0):
    expected = torch.as_tensor(np.asarray(expected)) if not isinstance(expected, torch.Tensor) else expected
    torch.testing.assert_close(actual.double(), expected.double(), rtol=0.0, atol=scale * TOLERANCE[dtype])


def assert_same_rotation(actual, expected, dtype, scale=1.0):
    """Equal up to sign."""
    expected = torch.as_tensor(np.asarray(expected)) if not isinstance(expected, torch.Tensor) else expected
    actual, expected = actual.double(), expected.double()
    sign = torch.where((actual * expected).sum(-1, keepdim=True) < 0, -1.0, 1.0).double()
    assert_close(sign * actual, expected, dtype, scale)


# --- against scipy ---------------------------------------------------------------------------------------------------


def test_product_matches_scipy(dtype):
    a, b = random_quats(50, dtype, 1), random_quats(50, dtype, 2)
    assert_same_rotation(rot.quat_mul(a, b), (oracle(a) * oracle(b)).as_quat(scalar_first=True), dtype)


def test_rotating_vectors_matches_scipy(dtype):
    quat, vec = random_quats(50, dtype), torch.randn(60, 3, dtype=dtype)
    assert_close(rot.quat_rotate(quat, vec), oracle(quat).apply(vec.numpy()), dtype, scale=5)
    assert_close(rot.quat_rotate_inverse(quat, vec), oracle(quat).inv().apply(vec.numpy()), dtype, scale=5)


def test_exp_map_matches_scipy(dtype):
    quat = random_quats(100, dtype)
    vec = rot.quat_to_exp_map(quat)
    expected = torch.as_tensor(oracle(quat).as_rotvec())
    # Half turns have two rotation vectors, and rounding decides between them.
    half_turn = (math.pi - expected.norm(dim=-1)) < 1e-6
    assert_close(vec[~half_turn], expected[~half_turn], dtype, scale=3)
    assert_same_rotation(rot.exp_map_to_quat(vec), quat, dtype)


def test_exponential_matches_scipy_beyond_a_full_turn(dtype):
    vec = 4.0 * torch.randn(100, 3, dtype=dtype)
    expected = Rotation.from_rotvec(vec.double().numpy()).as_quat(scalar_first=True)
    assert_same_rotation(rot.exp_map_to_quat(vec), expected, dtype)


def test_angle_matches_scipy(dtype):
    quat = random_quats(100, dtype)
    assert_close(rot.quat_angle(quat), oracle(quat).magnitude(), dtype)


def test_matrices_match_scipy(dtype):
    quat = random_quats(100, dtype)
    matrix = rot.quat_to_matrix(quat)
    assert_close(matrix, oracle(quat).as_matrix(), dtype)
    assert_same_rotation(rot.matrix_to_quat(matrix), quat, dtype)
    assert (rot.matrix_to_quat(matrix)[..., 0] >= 0).all()


def test_slerp_matches_scipy():
    a, b = random_quats(30, seed=3), random_quats(30, seed=4)
    for start, end in zip(a[10:], b[10:], strict=True):
        t = torch.linspace(0, 1, 7, dtype=torch.float64)[:, None]
        expected = Slerp([0, 1], Rotation.concatenate([oracle(start), oracle(end)]))(t[:, 0].numpy())
        assert_same_rotation(rot.quat_slerp(start, end, t), expected.as_quat(scalar_first=True), torch.float64)


def test_heading_matches_scipy_intrinsic_zyx(dtype):
    quat = random_quats(100, dtype, 5)[10:]
    yaw = torch.as_tensor(oracle(quat).as_euler("ZYX")[:, 0].copy())
    assert_close(rot.wrap_angle(rot.heading_angle(quat).double() - yaw), torch.zeros(100), dtype, scale=20)


# --- algebra ---------------------------------------------------------------------------------------------------------


@relaxed
@given(quats, quats, quats)
def test_product_is_associative_and_unit(a, b, c):
    left = rot.quat_mul(rot.quat_mul(a, b), c)
    assert_close(left, rot.quat_mul(a, rot.quat_mul(b, c)), torch.float64)
    assert abs(left.norm() - 1) < 1e-12


@relaxed
@given(quats, vectors)
def test_rotation_keeps_length_and_is_undone(quat, vec):
    turned = rot.quat_rotate(quat, vec)
    assert_close(turned.norm(), vec.norm(), torch.float64)
    assert_close(rot.quat_rotate_inverse(quat, turned), vec, torch.float64)
    assert_close(rot.quat_rotate(-quat, vec), turned, torch.float64)


@relaxed
@given(quats, quats, vectors)
def test_product_applies_the_right_factor_first(a, b, vec):
    assert_close(
        rot.quat_rotate(rot.quat_mul(a, b), vec), rot.quat_rotate(a, rot.quat_rotate(b, vec)), torch.float64, scale=3
    )


@relaxed
@given(quats)
def test_conjugate_is_the_inverse(quat):
    assert_close(rot.quat_mul(quat, rot.quat_conj(quat)), rot.quat_identity(dtype=torch.float64), torch.float64)


@relaxed
@given(quats)
def test_positive_keeps_the_rotation(quat):
    positive = rot.quat_positive(quat)
    assert positive[0] >= 0
    assert torch.equal(positive, quat) or torch.equal(positive, -quat)


@relaxed
@given(angles, vectors.filter(lambda v: v.norm() > 1e-3))
def test_angle_axis_agrees_with_the_exponential(angle, vec):
    axis = vec / vec.norm()
    quat = rot.quat_from_angle_axis(torch.tensor(angle, dtype=torch.float64), axis)
    assert_same_rotation(rot.exp_map_to_quat(angle * axis), quat, torch.float64)


@relaxed
@given(st.floats(0, math.pi - 1e-6), vectors.filter(lambda v: v.norm() > 1e-3))
def test_exp_and_log_are_inverse(angle, vec):
    vec = angle * vec / vec.norm()
    assert_close(rot.quat_to_exp_map(rot.exp_map_to_quat(vec)), vec, torch.float64, scale=5)


@relaxed
@given(quats)
def test_log_is_blind_to_the_sign(quat):
    if abs(quat[0]) > 1e-9:  # a half turn has two logarithms
        assert_close(rot.quat_to_exp_map(-quat), rot.quat_to_exp_map(quat), torch.float64)
    assert rot.quat_to_exp_map(quat).norm() <= math.pi + 1e-12


@relaxed
@given(quats, quats, st.floats(0, 1))
def test_slerp_divides_the_arc(a, b, t):
    mid = rot.quat_slerp(a, b, torch.tensor([t], dtype=torch.float64))
    whole = rot.quat_angle(rot.quat_mul(rot.quat_conj(a), b))
    part = rot.quat_angle(rot.quat_mul(rot.quat_conj(a), mid))
    assert_close(part, t * whole, torch.float64, scale=3e3)  # 3e-9 rad: linear interpolation of nearly equal inputs
    assert abs(mid.norm() - 1) < 1e-12


@relaxed
@given(quats)
def test_tan_norm_is_x_axis_then_z_axis(quat):
    x_axis = rot.quat_rotate(quat, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    z_axis = rot.quat_rotate(quat, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    code = rot.quat_to_tan_norm(quat)
    assert_close(code, torch.cat((x_axis, z_axis)), torch.float64)
    assert_same_rotation(rot.tan_norm_to_quat(code), quat, torch.float64, scale=10)


@relaxed
@given(quats)
def test_removing_the_heading_leaves_none(quat):
    level = rot.quat_rotate(quat, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))[:2].norm()
    if level > 1e-3:
        left = rot.quat_mul(rot.quat_conj(rot.heading_quat(quat)), quat)
        assert abs(rot.heading_angle(left)) < 1e-9


@relaxed
@given(quats, angles)
def test_heading_turns_with_the_body(quat, angle):
    level = rot.quat_rotate(quat, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))[:2].norm()
    if level > 1e-3:
        z_axis = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        turn = rot.quat_from_angle_axis(torch.tensor(angle, dtype=torch.float64), z_axis)
        change = rot.heading_angle(rot.quat_mul(turn, quat)) - rot.heading_angle(quat) - angle
        assert abs(rot.wrap_angle(change)) < 1e-9


@relaxed
@given(st.floats(-1e4, 1e4))
def test_wrap_angle_keeps_the_direction(angle):
    wrapped = rot.wrap_angle(torch.tensor(angle, dtype=torch.float64))
    assert -math.pi - 1e-12 <= wrapped <= math.pi + 1e-12
    assert abs(math.remainder(float(wrapped) - angle, 2 * math.pi)) < 1e-9


# --- hand-made cases -------------------------------------------------------------------------------------------------


def test_quarter_turn_about_z(dtype):
    quat = torch.tensor([SQRT_HALF, 0, 0, SQRT_HALF], dtype=dtype)
    assert_close(rot.quat_rotate(quat, torch.tensor([1.0, 0, 0], dtype=dtype)), torch.tensor([0.0, 1, 0]), dtype)
    assert_close(rot.quat_to_exp_map(quat), torch.tensor([0, 0, math.pi / 2]), torch.float32)
    assert_close(rot.heading_angle(quat), torch.tensor(math.pi / 2), torch.float32)
    assert_close(rot.quat_to_tan_norm(quat), torch.tensor([0.0, 1, 0, 0, 0, 1]), dtype)


def test_i_times_j_is_k():
    i, j, k = torch.eye(4)[1:]
    assert torch.equal(rot.quat_mul(i, j), k)
    assert torch.equal(rot.quat_mul(j, i), -k)


@pytest.mark.parametrize("pitch", [-1.5, -0.8, 0.0, 0.8, 1.5])
@pytest.mark.parametrize("yaw", [-3.0, -1.0, 0.0, 2.0])
def test_heading_of_a_pitched_and_rolled_root_is_its_yaw(dtype, pitch, yaw):
    quat = Rotation.from_euler("ZYX", [yaw, pitch, 0.4]).as_quat(scalar_first=True)
    quat = torch.as_tensor(quat, dtype=dtype)
    assert_close(rot.heading_angle(quat), torch.tensor(yaw, dtype=dtype), dtype, scale=10)
    expected = torch.tensor([math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)], dtype=torch.float64)
    assert_same_rotation(rot.heading_quat(quat), expected, dtype, scale=10)


def test_heading_of_a_vertical_axis_is_a_number(dtype):
    up = torch.tensor([SQRT_HALF, 0, -SQRT_HALF, 0], dtype=dtype)
    assert rot.heading_quat(up).isfinite().all()


def test_tiny_angles_keep_their_digits(dtype):
    vec = torch.tensor([[1e-7, 0, 0], [0, -3e-5, 0], [0, 0, 9.9e-5], [1.01e-4, 0, 0], [0, 2.1e-4, 0]], dtype=dtype)
    back = rot.quat_to_exp_map(rot.exp_map_to_quat(vec))
    torch.testing.assert_close(back, vec, rtol=1e-6 if dtype is torch.float32 else 1e-12, atol=0.0)


def test_zero_angle_and_half_turn(dtype):
    assert torch.equal(rot.exp_map_to_quat(torch.zeros(3, dtype=dtype)), rot.quat_identity(dtype=dtype))
    assert torch.equal(rot.quat_to_exp_map(rot.quat_identity(dtype=dtype)), torch.zeros(3, dtype=dtype))
    half_turn = torch.tensor([0.0, 0, 1, 0], dtype=dtype)
    assert_close(rot.quat_to_exp_map(half_turn), torch.tensor([0, math.pi, 0], dtype=torch.float64), dtype)
    assert_close(rot.quat_angle(half_turn), torch.tensor(math.pi, dtype=torch.float64), dtype)
    assert_close(rot.quat_angle(-rot.quat_identity(dtype=dtype)), torch.tensor(0.0), dtype)


def test_zero_quaternion_normalises_to_zero(dtype):
    assert torch.equal(rot.quat_normalize(torch.zeros(4, dtype=dtype)), torch.zeros(4, dtype=dtype))


def test_slerp_ends_are_the_inputs(dtype):
    a, b = random_quats(40, dtype, 6), random_quats(40, dtype, 7)
    zero, one = torch.zeros(1, dtype=dtype), torch.ones(1, dtype=dtype)
    assert_close(rot.quat_slerp(a, b, zero), a, dtype)
    assert_same_rotation(rot.quat_slerp(a, b, one), b, dtype)


def test_slerp_takes_the_shorter_arc_for_opposite_signs(dtype):
    a, b = random_quats(40, dtype, 8), random_quats(40, dtype, 9)
    t = torch.full((50, 1), 0.3, dtype=dtype)
    assert_close(rot.quat_slerp(a, -b, t), rot.quat_slerp(a, b, t), dtype)
    assert_same_rotation(rot.quat_slerp(a, -a, t), a, dtype)


@pytest.mark.parametrize("gap", [0.0, 1e-9, 1e-5, 1.9e-3, 2.1e-3, 1e-2])
def test_slerp_of_nearly_equal_inputs(dtype, gap):
    x_axis = torch.tensor([1.0, 0, 0], dtype=dtype)
    a = rot.quat_from_angle_axis(torch.tensor(0.5, dtype=dtype), x_axis)
    b = rot.quat_from_angle_axis(torch.tensor(0.5 + gap, dtype=torch.float64).to(dtype), x_axis)
    mid = rot.quat_slerp(a, b, torch.tensor([0.25], dtype=dtype))
    expected = torch.tensor([math.cos(0.25 + gap / 8), math.sin(0.25 + gap / 8), 0, 0], dtype=torch.float64)
    torch.testing.assert_close(mid.double(), expected, rtol=0, atol=2e-7 if dtype is torch.float32 else 1e-9)


def test_slerp_broadcasts_many_times_over_one_pair():
    a, b = random_quats(2, torch.float64, 10)[-2:]
    times = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None]
    assert rot.quat_slerp(a, b, times).shape == (5, 4)
    assert_close(rot.quat_slerp(a, a, times), a.expand(5, 4), torch.float64)


def test_orders_of_storage_are_inverse():
    quat = torch.tensor([1.0, 2, 3, 4])
    assert rot.wxyz_to_xyzw(quat).tolist() == [2, 3, 4, 1]
    assert torch.equal(rot.xyzw_to_wxyz(rot.wxyz_to_xyzw(quat)), quat)


def test_leading_dimensions_broadcast():
    many, one = random_quats(2)[:12].reshape(3, 4, 4), random_quats(1)[-1]
    vec = torch.randn(3, dtype=torch.float64)
    assert rot.quat_mul(many, one).shape == rot.quat_mul(one, many).shape == (3, 4, 4)
    assert rot.quat_rotate(many, vec).shape == (3, 4, 3)
    assert rot.quat_rotate(one, vec.expand(5, 3)).shape == (5, 3)
    assert rot.quat_from_angle_axis(torch.zeros(3, 4), vec.float()).shape == (3, 4, 4)
    assert rot.quat_from_angle_axis(torch.tensor(0.0), torch.zeros(5, 3)).shape == (5, 4)
    assert rot.quat_to_matrix(many).shape == (3, 4, 3, 3)
    assert rot.matrix_to_quat(rot.quat_to_matrix(many)).shape == (3, 4, 4)
    assert rot.quat_to_tan_norm(many).shape == (3, 4, 6)
    assert rot.heading_angle(many).shape == (3, 4)


# --- gradients -------------------------------------------------------------------------------------------------------


def test_gradients_at_the_identity_are_those_of_the_limit(dtype):
    identity = rot.quat_identity(dtype=dtype)
    log = torch.autograd.functional.jacobian(rot.quat_to_exp_map, identity)
    exp = torch.autograd.functional.jacobian(rot.exp_map_to_quat, torch.zeros(3, dtype=dtype))
    assert torch.equal(log[:, 1:], 2 * torch.eye(3, dtype=dtype))
    assert torch.equal(exp[1:], 0.5 * torch.eye(3, dtype=dtype))
    assert torch.equal(exp[0], torch.zeros(3, dtype=dtype))


@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e-5, 1e-3, 3e-3, 1.0, math.pi])
def test_gradients_of_angle_and_slerp_are_finite(dtype, gap):
    x_axis = torch.tensor([1.0, 0, 0], dtype=dtype)
    a = rot.quat_from_angle_axis(torch.tensor(0.3, dtype=dtype), x_axis).requires_grad_()
    b = rot.quat_from_angle_axis(torch.tensor(0.3 + gap, dtype=dtype), x_axis).requires_grad_()
    t = torch.tensor([0.4], dtype=dtype, requires_grad=True)
    weights = torch.tensor([1.0, 2, 3, 4], dtype=dtype)
    mid = (rot.quat_slerp(a, b, t) * weights).sum()
    angle = rot.quat_angle(rot.quat_mul(rot.quat_conj(a), b))
    log = rot.quat_to_exp_map(rot.quat_mul(rot.quat_conj(a), b)).sum()
    for gradient in torch.autograd.grad(mid + angle + log, (a, b, t)):
        assert gradient.isfinite().all()


def test_gradients_match_finite_differences():
    quat = random_quats(3, torch.float64, 11)[-3:].requires_grad_()
    other = random_quats(3, torch.float64, 12)[-3:].requires_grad_()
    t = torch.tensor([0.3], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda q: rot.quat_to_exp_map(rot.quat_normalize(q)), quat)
    assert torch.autograd.gradcheck(lambda a, b: rot.quat_slerp(a, b, t), (quat, other))
    assert torch.autograd.gradcheck(rot.exp_map_to_quat, torch.randn(4, 3, dtype=torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(lambda q: rot.tan_norm_to_quat(rot.quat_to_tan_norm(q)), quat)
