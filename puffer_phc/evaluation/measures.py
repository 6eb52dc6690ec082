"""Per-frame measures of many humanoids at once, as tensors on their device.

Everything here is laid out ``(T, C, B, N)``: frames, components, bodies, environments. Environments vary fastest, so
formulas over the components work on dense blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from puffer_phc.motions.contacts import feet_of
from puffer_phc.robots.robot import Robot
from puffer_phc.robots.state import BodyState

CONTACT_HEIGHT = 0.01
"""m: a foot whose lowest point is at or below this stands on the floor."""

HISTORY = 3
"""Frames before the first that a measure may look back at."""

COLUMNS = (
    *("mpjpe_g", "mpjpe_l", "mpjpe_pa", "vel_dist", "accel_dist"),
    *("rot_error", "root_drift", "jerk", "jerk_ref", "contact"),
)
"""One number per frame and environment each; per-foot speeds follow, see :class:`FrameMeasures`."""

_MM = 1000.0
_POINT_SIZE = 1e-9  # m: a body smaller than this has no orientation or scale to align
_FAR = 1e6  # m: a simulation that blew up is this far away at most, so that its numbers stay finite
_BLOCK = 64  # control steps


def distance(vectors: Tensor) -> Tensor:
    """Mean over bodies of the lengths of (T, 3, B, N), as (T, N)."""
    x, y, z = vectors.unbind(1)
    return (x * x + y * y + z * z).sqrt_().mean(dim=1)


def difference(frames: Tensor, order: int) -> Tensor:
    """Differences of consecutive frames (T, ...), ``order`` times: (T - order, ...)."""
    for _ in range(order):
        frames = frames[1:] - frames[:-1]
    return frames


def relative_to_root(pos: Tensor) -> Tensor:
    """Positions (T, 3, B, N) relative to the first body."""
    return pos - pos[:, :, :1]


def similarity_aligned(source: Tensor, target: Tensor) -> Tensor:
    """``source`` (T, 3, B, N) moved onto ``target`` by the best similarity transform of each frame.

    Scale, rotation and translation minimise the summed squared distance; a reflection is not allowed. The rotation is
    the quaternion that the largest eigenvalue of a symmetric 4 x 4 matrix belongs to, and that eigenvalue is the scale
    (Horn, 1987). A frame whose source is a single point can only be moved onto the target's centre.
    """
    centre = target.mean(dim=2, keepdim=True)
    source, target = _unit(source), target - centre
    products = torch.einsum("tibn,tjbn->tnij", source, target).double()
    values, vectors = torch.linalg.eigh(_horn_matrix(products))
    scaled = _matrix(vectors[..., -1]) * values[..., -1, None, None]  # (T, N, 3, 3)
    return torch.einsum("tnij,tjbn->tibn", scaled.to(source.dtype), source) + centre


def _unit(pos: Tensor) -> Tensor:
    """Positions (T, 3, B, N) around their centre, scaled to a summed square of 1; a point stays at 0."""
    centred = pos - pos.mean(dim=2, keepdim=True)
    size = centred.square().sum(dim=(1, 2), keepdim=True).sqrt_()
    return torch.where(size > _POINT_SIZE, centred, 0.0) / size.clamp_min(_POINT_SIZE)


def _horn_matrix(s: Tensor) -> Tensor:
    """Horn's symmetric matrix (..., 4, 4) of sums of products ``s`` (..., 3, 3), rows source, columns target."""
    xx, xy, xz = s[..., 0, :].unbind(-1)
    yx, yy, yz = s[..., 1, :].unbind(-1)
    zx, zy, zz = s[..., 2, :].unbind(-1)
    rows = (
        (xx + yy + zz, yz - zy, zx - xz, xy - yx),
        (yz - zy, xx - yy - zz, xy + yx, zx + xz),
        (zx - xz, xy + yx, yy - xx - zz, yz + zy),
        (xy - yx, zx + xz, yz + zy, zz - xx - yy),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _matrix(quat: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4) wxyz."""
    return torch.stack([torch.stack(row, dim=-1) for row in _rows(*quat.unbind(-1))], dim=-2)


def _rows(w: Tensor, x: Tensor, y: Tensor, z: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
    """The rotation matrix of a unit quaternion, each entry as the components are shaped."""
    return (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )


def rotation_angle(pred_rot: Tensor, ref_rot: Tensor) -> Tensor:
    """Angle (T, B, N) rad in [0, pi] between orientations (T, 4, B, N) wxyz of unit norm."""
    aw, ax, ay, az = pred_rot.unbind(1)
    bw, bx, by, bz = ref_rot.unbind(1)
    # The real part and the vector of ref * conj(pred).
    w = aw * bw + ax * bx + ay * by + az * bz
    x = bx * aw - bw * ax - by * az + bz * ay
    y = by * aw - bw * ay - bz * ax + bx * az
    z = bz * aw - bw * az - bx * ay + by * ax
    return 2.0 * torch.atan2((x * x + y * y + z * z).sqrt_(), w.abs_())


def position_errors(pos: Tensor, ref_pos: Tensor, first: int = 0) -> dict[str, Tensor]:
    """The five errors of positions, mm (per frame, per frame²), each the mean over bodies.

    Args:
        pos, ref_pos: (T, 3, B, N) m.
        first: frames before it are only looked back at.

    Returns:
        ``mpjpe_g``, ``mpjpe_l`` and ``mpjpe_pa`` (T - first, N); ``vel_dist`` and ``accel_dist`` of the frames from
        ``first`` on that have one and two before them.
    """
    error = pos - ref_pos  # differences are linear, so velocity and acceleration errors are differences of this
    local, ref_local = relative_to_root(pos[first:]), relative_to_root(ref_pos[first:])
    vectors = {
        "mpjpe_g": error[first:],
        "mpjpe_l": local - ref_local,
        "mpjpe_pa": similarity_aligned(local, ref_local) - ref_local,
        "vel_dist": difference(error[max(first - 1, 0) :], 1),
        "accel_dist": difference(error[max(first - 2, 0) :], 2),
    }
    return {name: _MM * distance(value) for name, value in vectors.items()}


@dataclass(frozen=True)
class Sole:
    """The points of one foot's collision shapes.

    Attributes:
        bodies: for each body of the foot its number, its points (P, 3) m in its frame and their radii (P, 1) m.
    """

    bodies: tuple[tuple[int, Tensor, Tensor], ...]

    def touching(self, pos: Tensor, rot: Tensor) -> tuple[Tensor, Tensor]:
        """Where the points are in the ground plane, (T, 2, P, N) m, and which touch the floor, (T, P, N) bool.

        Args:
            pos: (T, 3, B, N) m, all bodies.
            rot: (T, 4, B, N) wxyz.
        """
        places, heights = [], []
        for body, points, radius in self.bodies:
            rows = _rows(*rot[:, :, body].unbind(1))
            x, y, z = (points @ torch.stack(row, dim=1) + pos[:, axis, body, None] for axis, row in enumerate(rows))
            places.append(torch.stack((x, y), dim=1))
            heights.append(z - radius)
        return torch.cat(places, dim=2), torch.cat(heights, dim=1) <= CONTACT_HEIGHT


def soles_of(robot: Robot, device: torch.device | str = "cpu") -> list[Sole]:
    """The feet of ``robot``, each with all points of its own shapes, in the order of its body set ``feet``."""
    geoms, soles = robot.geoms, []
    for foot in feet_of(robot):
        bodies = []
        for body in foot.bodies:
            mine = geoms.body == body
            points, radius = geoms.point[mine].float(), geoms.radius[mine].float()
            bodies.append((body, points.to(device), radius[:, None].to(device)))
        soles.append(Sole(tuple(bodies)))
    return soles


def skating_speed(place: Tensor, touching: Tensor, control_dt: float) -> Tensor:
    """Horizontal speed (T - 1, N) mm/s at which a standing foot slides; NaN while it does not stand.

    A foot stands during a step on those of its points that touch the floor before and after it. Its speed is their
    mean: rolling from heel to toe is no skating, as what touches stands.

    Args:
        place: (T, 2, P, N) m.
        touching: (T, P, N) bool.
        control_dt: s.
    """
    standing = touching[1:] & touching[:-1]
    x, y = difference(place, 1).unbind(1)
    speed = (x * x + y * y).sqrt_() * (_MM / control_dt)
    return (speed * standing).sum(dim=1) / standing.sum(dim=1)  # 0 / 0 is the NaN that is meant


class FrameMeasures:
    """Collects the bodies of every control step and measures them in blocks of steps.

    A step costs copies into fixed buffers; a full block is measured as one batch. Rows of the result are frames,
    columns :data:`COLUMNS`, then for each foot the speed at which it skates in the simulation and in the reference.

    Args:
        robot: whose bodies they are.
        num_envs: N.
        control_dt: s.
        device: where they are.
    """

    def __init__(self, robot: Robot, num_envs: int, control_dt: float, device: torch.device) -> None:
        self._dt, self._soles = control_dt, soles_of(robot, device)
        rows, bodies = HISTORY + _BLOCK, robot.num_bodies
        self._pos, self._ref_pos = (torch.zeros(rows, 3, bodies, num_envs, device=device) for _ in range(2))
        self._rot, self._ref_rot = (torch.zeros(rows, 4, bodies, num_envs, device=device) for _ in range(2))
        self._buffers = (self._pos, self._ref_pos, self._rot, self._ref_rot)
        self._row, self._done = HISTORY, list[Tensor]()

    def begin(self) -> None:
        """Forget everything: the next step is the first."""
        self._row = HISTORY
        self._done.clear()

    def add(self, bodies: BodyState, reference: BodyState) -> None:
        """Take note of one control step: simulated bodies and their reference (N, B, ...)."""
        for buffer, value in zip(self._buffers, (bodies.pos, reference.pos, bodies.rot, reference.rot), strict=True):
            buffer[self._row].copy_(value.permute(2, 1, 0))
        self._row += 1
        if self._row == HISTORY + _BLOCK:
            self._measure_block()

    def result(self) -> Tensor:
        """(N, K, T) float32 on the CPU: all measures of all steps since :meth:`begin`.

        Looking back before the first frame gives no meaning to the first 1 (``vel_dist``, skating), 2
        (``accel_dist``) and 3 (``jerk``) frames of a column.
        """
        if self._row > HISTORY:
            self._measure_block()
        return torch.cat(self._done).permute(2, 1, 0).contiguous().cpu()

    def _measure_block(self) -> None:
        self._done.append(self._measure(self._row))
        for buffer in self._buffers:
            buffer[:HISTORY].copy_(buffer[self._row - HISTORY : self._row].clone())
        self._row = HISTORY

    def _measure(self, rows: int) -> Tensor:
        """(rows - HISTORY, K, N) of the first ``rows`` rows of the buffers."""
        pos, ref_pos, rot, ref_rot = (buffer[:rows] for buffer in self._buffers)
        pos = pos.nan_to_num(0.0, _FAR, -_FAR).clamp(-_FAR, _FAR)
        rot = rot.nan_to_num(0.0, 1.0, -1.0)
        now = slice(HISTORY, rows)
        feet, ref_feet = (
            [sole.touching(*bodies) for sole in self._soles] for bodies in ((pos, rot), (ref_pos, ref_rot))
        )
        agree = [(a[1][now].any(dim=1) == b[1][now].any(dim=1)).float() for a, b in zip(feet, ref_feet, strict=True)]
        jerk_scale = self._dt**-3
        columns = [
            *position_errors(pos, ref_pos, HISTORY).values(),
            rotation_angle(rot[now], ref_rot[now]).mean(dim=1),
            _MM * (pos - ref_pos)[now, :2, 0].norm(dim=1),
            jerk_scale * distance(difference(pos, 3)),
            jerk_scale * distance(difference(ref_pos, 3)),
            torch.stack(agree).mean(dim=0),
        ]
        for places in (feet, ref_feet):
            columns += [skating_speed(place[HISTORY - 1 :], touch[HISTORY - 1 :], self._dt) for place, touch in places]
        return torch.stack(columns, dim=1)
