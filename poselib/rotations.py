"""Batched quaternion algebra in torch.

Quaternions are ``(..., 4)`` tensors in **wxyz** order with unit norm unless a docstring says otherwise, as MuJoCo
stores them. Vectors are ``(..., 3)``. Every function broadcasts over leading dimensions, allocates only its result,
never synchronises with the device and is differentiable away from its stated singularities.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SMALL_ANGLE = 1e-4
_SLERP_NEAR = 1.0 - 5e-7  # cosine of half of 2e-3 rad


def quat_identity(*shape: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
    """Identity rotations ``(*shape, 4)``."""
    quat = torch.zeros(*shape, 4, dtype=dtype, device=device)
    quat[..., 0] = 1.0
    return quat


def quat_mul(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product ``a * b`` (first rotate by ``b``, then by ``a``), ``(..., 4)``."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        (
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ),
        dim=-1,
    )


def quat_conj(q: Tensor) -> Tensor:
    """Conjugate, the inverse of a unit quaternion, ``(..., 4)``."""
    return torch.cat((q[..., :1], -q[..., 1:]), dim=-1)


def quat_normalize(q: Tensor) -> Tensor:
    """``q`` scaled to unit norm; a zero quaternion stays zero."""
    return q / q.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(q.dtype).tiny)


def quat_positive(q: Tensor) -> Tensor:
    """The representative of the same rotation whose real part is not negative."""
    return torch.where(q[..., :1] < 0, -q, q)


def quat_rotate(q: Tensor, v: Tensor) -> Tensor:
    """Vector ``v`` (..., 3) rotated by ``q``."""
    xyz = q[..., 1:]
    t = 2.0 * torch.linalg.cross(*torch.broadcast_tensors(xyz, v), dim=-1)
    return v + q[..., :1] * t + torch.linalg.cross(*torch.broadcast_tensors(xyz, t), dim=-1)


def quat_rotate_inverse(q: Tensor, v: Tensor) -> Tensor:
    """Vector ``v`` (..., 3) rotated by the inverse of ``q``."""
    return quat_rotate(quat_conj(q), v)


def quat_from_angle_axis(angle: Tensor, axis: Tensor) -> Tensor:
    """Rotation by ``angle`` (...,) rad about the unit vector ``axis`` (..., 3)."""
    half = 0.5 * angle.unsqueeze(-1)
    xyz = half.sin() * axis
    return torch.cat((half.cos().expand(*xyz.shape[:-1], 1), xyz), dim=-1)


def quat_to_exp_map(q: Tensor) -> Tensor:
    """Rotation vector ``(..., 3)`` rad of norm at most pi (the logarithm of ``q``; MuJoCo's ball-joint length)."""
    q = quat_positive(q)
    xyz = q[..., 1:]
    sin_half = xyz.norm(dim=-1, keepdim=True)
    angle = 2.0 * torch.atan2(sin_half, q[..., :1])
    small = sin_half < _SMALL_ANGLE
    # angle / sin(angle / 2) -> 2 + angle^2 / 12 near zero.
    ratio = torch.where(
        small, 2.0 + angle * angle / 12.0, angle / torch.where(small, torch.ones_like(sin_half), sin_half)
    )
    return ratio * xyz


def exp_map_to_quat(exp_map: Tensor) -> Tensor:
    """Quaternion of a rotation vector ``(..., 3)`` rad; the inverse of :func:`quat_to_exp_map`."""
    angle = exp_map.norm(dim=-1, keepdim=True)
    half = 0.5 * angle
    small = angle < _SMALL_ANGLE
    # sin(angle / 2) / angle -> 1/2 - angle^2 / 48 near zero.
    ratio = torch.where(
        small, 0.5 - angle * angle / 48.0, half.sin() / torch.where(small, torch.ones_like(angle), angle)
    )
    return torch.cat((half.cos(), ratio * exp_map), dim=-1)


def quat_angle(q: Tensor) -> Tensor:
    """Rotation angle ``(...,)`` in [0, pi] rad."""
    return 2.0 * torch.atan2(q[..., 1:].norm(dim=-1), q[..., 0].abs())


def quat_slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation along the shorter arc, ``(..., 4)``; ``t`` broadcasts against ``a[..., :1]``.

    The result is continuous with ``a`` (``t`` = 1 gives ``b`` or ``-b``). Inputs within 2e-3 rad of each other fall
    back to normalised linear interpolation, where the two differ by less than 1e-9.
    """
    dot = (a * b).sum(dim=-1, keepdim=True)
    b = torch.where(dot < 0, -b, b)
    cos = dot.abs()
    near = cos > _SLERP_NEAR
    # acos has an infinite slope at 1, which would turn the unused branch's zero gradient into NaN.
    angle = torch.acos(torch.where(near, torch.zeros_like(cos), cos))
    sin = angle.sin()
    weight_a = torch.where(near, 1.0 - t, ((1.0 - t) * angle).sin() / sin)
    weight_b = torch.where(near, t, (t * angle).sin() / sin)
    return quat_normalize(weight_a * a + weight_b * b)


def quat_to_matrix(q: Tensor) -> Tensor:
    """Rotation matrices ``(..., 3, 3)`` acting on column vectors."""
    w, x, y, z = q.unbind(-1)
    rows = (
        torch.stack((1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)), dim=-1),
        torch.stack((2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)), dim=-1),
        torch.stack((2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)), dim=-1),
    )
    return torch.stack(rows, dim=-2)


def matrix_to_quat(matrix: Tensor) -> Tensor:
    """Quaternions ``(..., 4)`` with non-negative real part of rotation matrices ``(..., 3, 3)``.

    Uses the best-conditioned of the four classical formulas in each row, so it is stable for every rotation.
    """
    m = matrix
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    squares = torch.stack((m00 + m11 + m22, m00 - m11 - m22, m11 - m00 - m22, m22 - m00 - m11), dim=-1) + 1.0
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    candidates = torch.stack(
        (
            torch.stack((squares[..., 0], wx, wy, wz), dim=-1),
            torch.stack((wx, squares[..., 1], xy, xz), dim=-1),
            torch.stack((wy, xy, squares[..., 2], yz), dim=-1),
            torch.stack((wz, xz, yz, squares[..., 3]), dim=-1),
        ),
        dim=-2,
    )  # (..., 4 formulas, 4): each a positive multiple of the quaternion
    best = squares.argmax(dim=-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    return quat_positive(quat_normalize(candidates.gather(-2, best).squeeze(-2)))


def tan_norm_components(w: Tensor, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    """The six numbers of :func:`quat_to_tan_norm` from the four of a unit quaternion, each of any one shape."""
    x2, y2, z2 = 2 * x, 2 * y, 2 * z
    xx, yy, zz = x2 * x, y2 * y, z2 * z
    xy, xz, yz = x2 * y, x2 * z, y2 * z
    wx, wy, wz = x2 * w, y2 * w, z2 * w
    return 1 - (yy + zz), xy + wz, xz - wy, xz + wy, yz - wx, 1 - (xx + yy)


def quat_to_tan_norm(q: Tensor) -> Tensor:
    """Six-number rotation code ``(..., 6)``: the rotated x axis, then the rotated z axis (PHC's "tan-norm")."""
    return torch.stack(tan_norm_components(*q.unbind(-1)), dim=-1)


def tan_norm_to_quat(code: Tensor) -> Tensor:
    """Quaternion of a six-number code ``(..., 6)``; the axes are orthonormalised, x first."""
    x_axis = torch.nn.functional.normalize(code[..., :3], dim=-1)
    z_axis = code[..., 3:] - (x_axis * code[..., 3:]).sum(-1, keepdim=True) * x_axis
    z_axis = torch.nn.functional.normalize(z_axis, dim=-1)
    return matrix_to_quat(torch.stack((x_axis, torch.linalg.cross(z_axis, x_axis, dim=-1), z_axis), dim=-1))


def heading_angle(q: Tensor) -> Tensor:
    """Yaw ``(...,)`` in [-pi, pi] rad: the direction in the ground plane that the rotated x axis points to.

    Undefined (and its gradient not finite) where that axis is vertical; the value is still a number there.
    """
    w, x, y, z = q.unbind(-1)
    return torch.atan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z))


def heading_quat(q: Tensor) -> Tensor:
    """The rotation about z by :func:`heading_angle`, ``(..., 4)``."""
    half = 0.5 * heading_angle(q)
    zero = torch.zeros_like(half)
    return torch.stack((half.cos(), zero, zero, half.sin()), dim=-1)


def wrap_angle(angle: Tensor) -> Tensor:
    """``angle`` moved by multiples of 2 pi into [-pi, pi), up to rounding at the border."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def wxyz_to_xyzw(q: Tensor) -> Tensor:
    """Reorder for files and libraries that put the real part last."""
    return torch.cat((q[..., 1:], q[..., :1]), dim=-1)


def xyzw_to_wxyz(q: Tensor) -> Tensor:
    """Reorder from files and libraries that put the real part last."""
    return torch.cat((q[..., 3:], q[..., :3]), dim=-1)
