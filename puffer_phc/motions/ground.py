"""Puts clips on the floor: from the collision shapes, so that no reset starts inside the ground."""

from __future__ import annotations

import torch
from torch import Tensor

from poselib.rotations import quat_rotate
from puffer_phc.robots.geoms import Geoms

_CONTACT_QUANTILE = 0.1
_SMOOTHING_S = 0.1
_PHC_FRAMES = 30


def lowest_point(geoms: Geoms, body_pos: Tensor, body_rot: Tensor) -> Tensor:
    """Height (T,) m of the lowest point of all collision shapes for bodies at (T, B, 3) and (T, B, 4)."""
    points = quat_rotate(body_rot[:, geoms.body], geoms.point.to(body_rot.dtype))
    return (body_pos[:, geoms.body, 2] + points[..., 2] - geoms.radius.to(body_rot.dtype)).amin(dim=1)


def contact_lift(lowest: Tensor, fps: float) -> Tensor:
    """Height (T,) m to add to a clip whose lowest point is at ``lowest`` (T,) so that it stands on the floor.

    One constant puts the lowest tenth of the frames at or below the floor, as feet in contact are; a smooth remainder
    lifts what would still be below, so that afterwards no frame penetrates.
    """
    constant = -torch.quantile(lowest, _CONTACT_QUANTILE)
    missing = (-(lowest + constant)).clamp_min(0.0)
    radius = max(1, round(_SMOOTHING_S * fps))
    return constant + _envelope(missing, radius)


def first_frames_lift(lowest: Tensor) -> Tensor:
    """PHC's height fix, a single number (1,): the lowest point of the first 30 frames comes to the floor."""
    return -lowest[:_PHC_FRAMES].amin().reshape(1)


def _envelope(values: Tensor, radius: int) -> Tensor:
    """The smoothest-looking upper bound of ``values`` (T,): a running maximum, then a mean of the same width."""
    padded = torch.nn.functional.pad(values[None, None], (radius, radius), mode="replicate")
    upper = torch.nn.functional.max_pool1d(padded, 2 * radius + 1, stride=1)
    upper = torch.nn.functional.pad(upper, (radius, radius), mode="replicate")
    return torch.nn.functional.avg_pool1d(upper, 2 * radius + 1, stride=1)[0, 0]
